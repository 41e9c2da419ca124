package tokenfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/nn"
)

// framesTensor is what transformers' video processors call what they make.
const framesTensor = "pixel_values_videos"

// Frames are clips that are ready for a model: resized and normalised by whoever wrote the file.
type Frames struct {
	// B clips of T frames of H by W pixels of C channels.
	B, T, H, W, C int

	file   *nn.Safetensors
	values []float32
}

// OpenFrames opens a safetensors file with a tensor pixel_values_videos, [B, T, C, H, W] or, of one clip, [T, C, H, W], of any type
// of floating-point number. Close it when its clips have been read.
func OpenFrames(path string) (*Frames, error) {
	file, err := nn.OpenSafetensors(path)
	if err != nil {
		return nil, fmt.Errorf("opening frames: %w", err)
	}
	f := &Frames{file: file}
	if err := f.read(path); err != nil {
		_ = file.Close() // only read
		return nil, err
	}
	return f, nil
}

func (f *Frames) read(path string) error {
	info, ok := f.file.Info(framesTensor)
	if !ok {
		return fmt.Errorf("reading %s: expected a tensor %s, found %s", path, framesTensor, listed(f.file.Names()))
	}
	switch info.Dtype {
	case "F64", "F32", "F16", "BF16":
	default:
		return fmt.Errorf("reading %s: tensor %s: expected normalised floating-point numbers (F32, F16, BF16 or F64), found type %s",
			path, framesTensor, info.Dtype)
	}
	shape := info.Shape
	if len(shape) == 4 {
		shape = append([]int{1}, shape...)
	}
	if len(shape) != 5 {
		return fmt.Errorf("reading %s: tensor %s: expected shape [B, T, C, H, W], found %v", path, framesTensor, info.Shape)
	}
	if slices.Contains(shape, 0) {
		return fmt.Errorf("reading %s: tensor %s: shape %v holds nothing", path, framesTensor, info.Shape)
	}
	array, err := f.file.View(framesTensor)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	f.B, f.T, f.C, f.H, f.W = shape[0], shape[1], shape[2], shape[3], shape[4]
	f.values = array.Float32s()
	return nil
}

// listed names a few tensors.
func listed(names []string) string {
	const few = 5
	switch {
	case len(names) == 0:
		return "none at all"
	case len(names) > few:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// Clip is clip i, [T, C, H, W]. It is valid until Close and must not be written to.
func (f *Frames) Clip(i int) []float32 {
	size := f.T * f.C * f.H * f.W
	return f.values[i*size : (i+1)*size]
}

// Close ends the reading.
func (f *Frames) Close() error { return f.file.Close() }
