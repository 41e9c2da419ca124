package clips

import (
	"context"

	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tokenfile"
)

// staged is a Model made of a pipeline's two stages: tokens, expected tokens and energies are those of a stream that begins with the
// clip.
type staged struct {
	*opened
	info Info
}

// newStaged takes over what was opened. digest is the model's; "": the encoder's.
func newStaged(o *opened, digest string) *staged {
	about := o.encoder.Info()
	if digest == "" {
		digest = about.Digest
	}
	return &staged{
		opened: o,
		info: Info{
			Name: about.Name, Digest: digest, Width: about.Width, Height: about.Height, Crop: about.Crop,
			FramesPerStep: about.FramesPerStep, Expects: true,
		},
	}
}

// Info implements Model.
func (s *staged) Info() Info { return s.info }

// Close implements Model.
func (s *staged) Close() error { return s.close() }

// Encode implements Model.
func (s *staged) Encode(ctx context.Context, clip *stream.Clip, context int) (*tokenfile.Clip, error) {
	steps, err := s.info.contextSteps(clip.T, context)
	if err != nil {
		return nil, err
	}
	tokens, err := s.encoder.Encode(ctx, clip, s.encoder.NewState())
	if err != nil {
		return nil, err
	}
	out := &tokenfile.Clip{Shape: tokens.Shape, Spans: tokens.Spans, Tokens: tokens.Data, Context: steps}
	if steps == 0 {
		return out, nil
	}
	later := tokens.Len() - steps*tokens.Step()
	out.Expected, out.Target = make([]float32, later), make([]float32, later)
	out.Energy = make([]float32, later/tokens.D)
	if err := s.expect(ctx, clip, tokens, out); err != nil {
		return nil, err
	}
	predictor.EnergyMap(out.Expected, out.Target, tokens.D, out.Energy)
	return out, nil
}

// expect fills what is expected after the context, and what it is compared with.
func (s *staged) expect(ctx context.Context, clip *stream.Clip, tokens *stream.Tokens, out *tokenfile.Clip) error {
	past, err := s.past(ctx, clip, tokens, out.Context)
	if err != nil {
		return err
	}
	if err := s.predictor.Expect(ctx, past, 0, tokens.T-out.Context, out.Expected); err != nil {
		return err
	}
	if targeting, ok := s.predictor.(predictor.Targeting); ok {
		return targeting.Target(ctx, tokens, out.Context, out.Target)
	}
	copy(out.Target, tokens.Data[out.Context*tokens.Step():])
	return nil
}

// past is the first steps of a clip as a predictor sees them.
func (s *staged) past(ctx context.Context, clip *stream.Clip, tokens *stream.Tokens, steps int) (predictor.Past, error) {
	seen := &stream.Tokens{Shape: tokens.Shape, Data: tokens.Data[:steps*tokens.Step()], Spans: tokens.Spans[:steps]}
	seen.T = steps
	past := predictor.Past{Tokens: seen}
	frames := steps * s.info.FramesPerStep
	for i := max(0, frames-s.predictor.Info().Frames); i < frames; i++ {
		past.Frames = append(past.Frames, clip.Frame(i))
	}
	if remembering, ok := s.predictor.(predictor.Remembering); ok {
		size := remembering.Memory()
		memory := make([]float32, steps*size)
		if err := remembering.Remember(ctx, seen, nil, memory); err != nil {
			return past, err
		}
		past.Memory = memory[(steps-1)*size:]
	}
	return past, nil
}
