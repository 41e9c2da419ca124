package model

import (
	"fmt"
	"math"
)

// The files that say how a frame is prepared, the first one that is there counts.
const (
	videoProcessorFile = "video_preprocessor_config.json"
	imageProcessorFile = "preprocessor_config.json"
)

// preprocessor is what ensue does of what transformers' VJEPA2VideoProcessor can be told to do.
type preprocessor struct {
	file      string
	mean, std [3]float64
	crop      int // 0: not said
}

// parsePreprocessor reads the file. Steps that ensue always does must not be switched off: the model would see other pixels than it was
// trained with.
func parsePreprocessor(data []byte) (*preprocessor, error) {
	f, err := parseFields(data)
	if err != nil {
		return nil, err
	}
	p := &preprocessor{mean: imageNetMean, std: imageNetStd}
	for _, step := range []string{"do_resize", "do_center_crop", "do_rescale", "do_normalize"} {
		on := true
		if string(f[step]) == "null" {
			delete(f, step)
		}
		if err := f.take(step, &on); err != nil {
			return nil, err
		}
		if !on {
			return nil, fmt.Errorf("%s: false: only true is supported", step)
		}
	}
	if err := f.takeRescale(); err != nil {
		return nil, err
	}
	if err := f.takeChannels("image_mean", &p.mean); err != nil {
		return nil, err
	}
	if err := f.takeChannels("image_std", &p.std); err != nil {
		return nil, err
	}
	p.crop, err = f.takeCrop()
	return p, err
}

func (f fields) takeRescale() error {
	factor, filter := 1.0/255, 2
	if err := f.take("rescale_factor", &factor); err != nil {
		return err
	}
	if math.Abs(factor*255-1) > 1e-6 {
		return fmt.Errorf("rescale_factor: %v: only 1/255 is supported", factor)
	}
	if err := f.take("resample", &filter); err != nil {
		return err
	}
	if filter != 2 {
		return fmt.Errorf("resample: %d: only 2, bilinear, is supported", filter)
	}
	return nil
}

// takeCrop reads crop_size: a number, or an object with height and width.
func (f fields) takeCrop() (int, error) {
	raw, ok := f["crop_size"]
	if !ok {
		return 0, nil
	}
	var crop int
	if raw[0] != '{' {
		err := f.take("crop_size", &crop)
		return crop, err
	}
	var sides fields
	if err := f.take("crop_size", &sides); err != nil {
		return 0, err
	}
	width := 0
	if err := sides.take("height", &crop); err != nil {
		return 0, fmt.Errorf("crop_size: %w", err)
	}
	if err := sides.take("width", &width); err != nil {
		return 0, fmt.Errorf("crop_size: %w", err)
	}
	if crop != width {
		return 0, fmt.Errorf("crop_size: height %d and width %d: only squares are supported", crop, width)
	}
	return crop, nil
}

// fits tells whether the frames that p makes are those that the model wants.
func (p *preprocessor) fits(c Config) error {
	if p == nil || p.crop == 0 || p.crop == c.CropSize {
		return nil
	}
	return fmt.Errorf("crop_size: %d: %s has crop_size %d; they must agree", c.CropSize, p.file, p.crop)
}
