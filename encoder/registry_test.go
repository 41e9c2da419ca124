package encoder

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

func TestEveryNameInTheTableMakesAnEncoderOfThatName(t *testing.T) {
	require.Contains(t, Names(), DefaultModel)
	for _, name := range Names() {
		if name == Builtin { // package weights has it
			_, err := New(Config{Model: name})
			require.ErrorContains(t, err, "builtin: the program does not bring its model here")
			continue
		}
		encoder, err := New(Config{Model: name})
		require.NoError(t, err)
		info := encoder.Info()
		require.Equal(t, name, info.Name)
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, info.Digest)
		require.Positive(t, min(info.Width, info.Height, info.GridHeight, info.GridWidth, info.Dim, info.FramesPerStep))
	}
}

// onThread is a device with one thread.
func onThread(t *testing.T) *nn.Device {
	t.Helper()
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}

func TestADirectoryMakesTheEncoderOfItsModel(t *testing.T) {
	dir, device := fixture.Shared(t, "fixtures", "vjepa2_tiny"), onThread(t)
	m, err := model.Open(dir)
	require.NoError(t, err)
	defer m.Close()
	digests := map[string]bool{}
	for _, cfg := range []Config{
		{Model: dir},
		{Model: dir, Attention: model.Tubelet},
		{Model: dir, Attention: model.BlockCausal},
		{Model: dir, Precision: PrecisionBF16},
	} {
		made, err := New(cfg, WithDevice(device))
		require.NoError(t, err)
		config, err := m.Config().WithAttention(cfg.Attention)
		require.NoError(t, err)
		described := Describe(config)
		described.Digest = made.Info().Digest
		require.Equal(t, described, made.Info())
		require.NoError(t, Close(made))
		require.False(t, digests[made.Info().Digest], "%+v", cfg)
		digests[made.Info().Digest] = true
	}
	own, err := New(Config{Model: dir, Attention: model.Full, Threads: 7}, WithDevice(device), WithModel(m))
	require.NoError(t, err)
	defer func() { require.NoError(t, Close(own)) }()
	require.True(t, digests[own.Info().Digest], "the model's own attention, said aloud, is the same model")
	require.NoError(t, Close(NewPixels()), "there is nothing to close")
}

func TestADirectoryThatIsNoModelIsRefused(t *testing.T) {
	dir := fixture.Shared(t, "fixtures", "vjepa2_tiny")
	for name, test := range map[string]struct {
		cfg     Config
		options []Option
		says    string
	}{
		"nothing":   {Config{Model: "./nothing"}, nil, "encoder.model: opening model ./nothing: there is no config.json"},
		"no model":  {Config{Model: t.TempDir()}, nil, "there is no config.json"},
		"no device": {Config{Model: dir}, nil, dir + ": there is no device to compute on"},
		"attention": {Config{Model: dir, Attention: "causal"}, nil, `encoder.attention: ensue.attention: "causal": expected one of full,`},
		"precision": {Config{Model: dir, Precision: "f16"}, nil, `encoder.precision: "f16": expected f32 or bf16`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg, test.options...)
			failure := stream.AsFailure(err, "")
			require.Equal(t, stream.Code("encode.bad_model"), failure.Code)
			require.True(t, failure.Permanent)
			require.ErrorContains(t, err, test.says)
		})
	}
	recurrent := model.RecurrentConfig()
	require.ErrorContains(t, Config{Attention: model.Full}.Fits(recurrent), "encoder.attention: choosing attention full")
	require.ErrorContains(t, Config{Precision: PrecisionBF16}.Fits(recurrent), "encoder.precision: bf16: a model of the family")
}

func TestNamesComeBeforeDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"pixels", "weights"} {
		require.NoError(t, os.Mkdir(name, 0o755))
	}
	require.False(t, IsDirectory("pixels"))
	require.True(t, IsDirectory("./pixels"))
	require.True(t, IsDirectory("weights"))
	require.False(t, IsDirectory("nothing"))
	require.True(t, IsDirectory("/nothing"))
}

func TestAnUnknownNameComesBackWithWhatWasMeant(t *testing.T) {
	tests := []struct{ name, suggestion string }{
		{"pixel", "pixels"},
		{"pixles", "pixels"},
		{"PIXELS", "pixels"},
		{"vjepa", ""},
	}
	for _, test := range tests {
		_, err := New(Config{Model: test.name})
		failure := stream.AsFailure(err, "")
		require.Equal(t, stream.Code("encode.unknown_model"), failure.Code)
		require.True(t, failure.Permanent)
		var unknown *UnknownModel
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, UnknownModel{Key: "encoder.model", Name: test.name, Known: Names()}, *unknown)
		require.Equal(t, test.suggestion, unknown.Suggestion())
		require.ErrorContains(t, err, `encoder.model: there is no model "`+test.name+`"`)
	}
}

func TestDigestsTellModelsApart(t *testing.T) {
	digests := map[string]bool{}
	for _, digest := range []string{
		Digest("a", "1"), Digest("a", "2"), Digest("b", "1"), Digest("a1", ""), Digest("a", "1", ""), Digest("a", "1", "x", "y"),
		Digest("a", "1", "xy"), Digest("a", "1", "x", "y", ""),
	} {
		require.False(t, digests[digest])
		digests[digest] = true
	}
	first, second := Digest("a", "1", "x"), Digest("a", "1", "x")
	require.Equal(t, first, second)
}
