package clips

import (
	"context"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tokenfile"
)

// vjepa2 is a Model of transformers' VJEPA2Model: with full attention, its tokens are last_hidden_state, and what it expects is what
// its predictor says of a context that was encoded without the rest of the clip.
type vjepa2 struct {
	*opened
	info    Info
	encoder *encoder.VJEPA2
	predict *predictor.VJEPA2 // nil where the model has none
	// grey is what a byte of each channel is once it is normalised.
	grey  [3][256]float32
	video []float32
}

// newVJEPA2 takes over what was opened; whole is its encoder.
func newVJEPA2(o *opened, whole *encoder.VJEPA2) *vjepa2 {
	v := &vjepa2{opened: o, encoder: whole}
	v.predict, _ = o.predictor.(*predictor.VJEPA2)
	about, c := whole.Info(), whole.Config()
	v.info = Info{
		Name: about.Name, Digest: o.model.Digest(), Width: about.Width, Height: about.Height, Crop: true,
		FramesPerStep: about.FramesPerStep, FramesPerClip: c.FramesPerClip, Expects: v.predict != nil,
		Attention: c.Ensue.Attention, Precision: precisions[whole.Precision()],
	}
	for channel := range v.grey {
		// transformers' fast processors put the division by 255 into mean and deviation, in float32.
		mean, deviation := float32(c.Ensue.Mean[channel]*255), float32(c.Ensue.Std[channel]*255)
		for level := range v.grey[channel] {
			v.grey[channel][level] = (float32(level) - mean) / deviation
		}
	}
	return v
}

// precisions names nn's precisions.
var precisions = map[nn.Precision]string{nn.Float32: encoder.PrecisionF32, nn.BFloat16: encoder.PrecisionBF16}

// Info implements Model.
func (v *vjepa2) Info() Info { return v.info }

// Close implements Model.
func (v *vjepa2) Close() error { return v.close() }

// Encode implements Model.
func (v *vjepa2) Encode(ctx context.Context, clip *stream.Clip, context int) (*tokenfile.Clip, error) {
	frames := Frames{T: clip.T, C: 3, H: clip.H, W: clip.W}
	out, err := v.encode(ctx, v.normalise(clip, frames), context)
	if err != nil {
		return nil, err
	}
	for step := range out.Shape.T {
		first, last := step*v.info.FramesPerStep, (step+1)*v.info.FramesPerStep-1
		if last >= clip.T { // shorter than a step: the clip is repeated
			first, last = 0, clip.T-1
		}
		out.Spans = append(out.Spans, stream.Span{Start: clip.Times[first], End: clip.Times[last] + clip.Step})
	}
	return out, nil
}

// normalise makes the numbers of transformers' processor of bytes.
func (v *vjepa2) normalise(clip *stream.Clip, frames Frames) Frames {
	plane := clip.H * clip.W
	if size := clip.T * 3 * plane; cap(v.video) < size {
		v.video = make([]float32, size)
	}
	frames.Values = v.video[:clip.T*3*plane]
	for t := range clip.T {
		pixels := clip.Frame(t)
		for channel := range v.grey {
			to := frames.Values[(t*3+channel)*plane:][:plane]
			for i := range to {
				to[i] = v.grey[channel][pixels[3*i+channel]]
			}
		}
	}
	return frames
}

// EncodeFrames implements FrameModel.
func (v *vjepa2) EncodeFrames(ctx context.Context, frames Frames, context int) (*tokenfile.Clip, error) {
	return v.encode(ctx, frames, context)
}

func (v *vjepa2) encode(ctx context.Context, frames Frames, context int) (*tokenfile.Clip, error) {
	video := encoder.Video{B: 1, T: frames.T, C: frames.C, H: frames.H, W: frames.W, Data: frames.Values}
	if err := v.check(frames); err != nil {
		return nil, err
	}
	steps, err := v.info.contextSteps(frames.T, context)
	if err != nil {
		return nil, err
	}
	if steps == 0 {
		tokens, err := v.encoder.EncodeVideo(ctx, video)
		if err != nil {
			return nil, err
		}
		return &tokenfile.Clip{Shape: shapeOf(*tokens), Tokens: tokens.Data}, nil
	}
	next, err := v.predict.NextSegment(ctx, video, context)
	if err != nil {
		return nil, err
	}
	return &tokenfile.Clip{
		Shape: shapeOf(next.Tokens), Tokens: next.Tokens.Data, Context: steps,
		Expected: next.Expected.Data, Target: next.Target.Data, Energy: next.Energy,
	}, nil
}

func shapeOf(tokens encoder.VideoTokens) stream.Shape {
	return stream.Shape{T: tokens.T, H: tokens.H, W: tokens.W, D: tokens.D}
}

// check refuses frames that the model cannot take. Their size is free, as in transformers.
func (v *vjepa2) check(f Frames) error {
	c := v.encoder.Config()
	switch {
	case f.C != c.InChans:
		return stream.Fail("encode", CodeFrames, "frames [T, C, H, W]: expected C = %d channels (in_chans), found %d in %v",
			c.InChans, f.C, []int{f.T, f.C, f.H, f.W})
	case f.H < c.PatchSize || f.W < c.PatchSize:
		return stream.Fail("encode", CodeFrames, "frames [T, C, H, W]: expected H and W of a patch at least, %d (patch_size), found %v",
			c.PatchSize, []int{f.T, f.C, f.H, f.W})
	}
	return nil
}
