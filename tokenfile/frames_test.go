package tokenfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// framesFile writes a safetensors file with one tensor.
func framesFile(tb testing.TB, name string, x *tensor.Dense) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "frames.safetensors")
	var file nn.TensorFile
	file.Put(name, x)
	require.NoError(tb, file.Write(path))
	return path
}

// counted is an array of 0, 1, 2 …
func counted(shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(tensor.Range(tensor.Float32, 0, tensor.Shape(shape).TotalSize())))
}

func TestClipsLieOneAfterAnother(t *testing.T) {
	f, err := OpenFrames(framesFile(t, framesTensor, counted(2, 2, 3, 1, 2)))
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []int{2, 2, 3, 1, 2}, []int{f.B, f.T, f.C, f.H, f.W})
	require.Equal(t, []float32{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}, f.Clip(1))
}

func TestOneClipNeedsNoBatch(t *testing.T) {
	f, err := OpenFrames(framesFile(t, framesTensor, counted(4, 3, 2, 2)))
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, []int{1, 4, 3, 2, 2}, []int{f.B, f.T, f.C, f.H, f.W})
}

func TestWrongFramesAreToldByNameAndShape(t *testing.T) {
	bytes := tensor.New(tensor.WithShape(1, 2, 3, 2, 2), tensor.WithBacking(make([]uint8, 24)))
	tests := []struct {
		name, path, want string
	}{
		{"another name", framesFile(t, "video", counted(1, 2, 3, 2, 2)), "expected a tensor pixel_values_videos, found video"},
		{
			"another shape", framesFile(t, framesTensor, counted(2, 3, 2)),
			"tensor pixel_values_videos: expected shape [B, T, C, H, W], found [2 3 2]",
		},
		{
			"whole numbers", framesFile(t, framesTensor, bytes),
			"tensor pixel_values_videos: expected normalised floating-point numbers (F32, F16, BF16 or F64), found type U8",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := OpenFrames(test.path)
			require.ErrorContains(t, err, test.path+": "+test.want)
		})
	}
	_, err := OpenFrames(filepath.Join(t.TempDir(), "none.safetensors"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
