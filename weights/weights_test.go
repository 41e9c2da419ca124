package weights

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
)

func TestTheModelIsWhole(t *testing.T) {
	m, err := Open()
	require.NoError(t, err)
	defer m.Close()
	require.True(t, m.HasPredictor())
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	seeing, err := encoder.New(encoder.Config{Model: encoder.Builtin}, encoder.WithModel(m), encoder.WithDevice(device))
	require.NoError(t, err)
	defer func() { require.NoError(t, encoder.Close(seeing)) }()
	saying, err := predictor.New(predictor.Config{}, seeing, predictor.WithModel(m), predictor.WithDevice(device))
	require.NoError(t, err)
	defer func() { require.NoError(t, predictor.Close(saying)) }()
	require.Zero(t, encoder.Unshrunk(seeing).Info().Warmup, "every frame is encoded once")
}

func TestTheFilesAreSmallAndAllThere(t *testing.T) {
	const limit = 8 << 20
	var size int64
	var names []string
	require.NoError(t, fs.WalkDir(Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		size += info.Size()
		names = append(names, path)
		return err
	}))
	require.LessOrEqual(t, size, int64(limit))
	require.Subset(t, names, []string{"README.md", "config.json", "energy.safetensors", "model.safetensors"})
}
