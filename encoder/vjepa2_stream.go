package encoder

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

// vjepaState is what VJEPA2 remembers of a stream: the frames of a tubelet that is not full yet, and where the attention reaches back
// the keys and values of the last tubelets, layer by layer.
//
// Invariant 6: its size depends on the model only.
type vjepaState struct {
	begun  bool // whether frames came since the beginning, or since Reset
	frames []byte
	times  []time.Duration
	recent []*nn.Recent
}

// NewState is the state of a stream that begins.
func (e *VJEPA2) NewState() State {
	s := &vjepaState{}
	if e.config.Ensue.Attention == model.BlockCausal {
		for range e.net.Blocks {
			s.recent = append(s.recent, nn.NewRecent(e.places(), e.info.Dim, Window(e.config)))
		}
	}
	return s
}

// Reset forgets everything; the memory stays.
func (s *vjepaState) Reset() {
	s.begun, s.frames, s.times = false, s.frames[:0], s.times[:0]
	for _, r := range s.recent {
		r.Clear()
	}
}

// Encode makes a step of every tubelet that the clip completes. Its span is from the time of its first frame to one Step after its last
// one. Frames that are left over wait in the state. After an error the state must be Reset.
func (e *VJEPA2) Encode(ctx context.Context, clip *stream.Clip, state State) (*stream.Tokens, error) {
	s, err := e.checkClip(clip, state)
	if err != nil {
		return nil, err
	}
	per := e.info.FramesPerStep
	if !s.begun && clip.T > 0 {
		clip, s.begun = aligned(clip, per), true
	}
	waiting := len(s.times)
	count := (waiting + clip.T) / per
	tokens := &stream.Tokens{
		Shape: stream.Shape{T: count, H: e.info.GridHeight, W: e.info.GridWidth, D: e.info.Dim},
		Spans: make([]stream.Span, count),
	}
	tokens.Data = make([]float32, tokens.Len())
	for t := range tokens.Spans {
		tokens.Spans[t] = stream.Span{Start: s.time(clip, t*per), End: s.time(clip, (t+1)*per-1) + clip.Step}
	}
	for first := 0; first < count; first += e.group {
		last := min(first+e.group, count)
		// Invariant 5: the steps [first, last) are computed from their own frames and what the state remembers of earlier ones.
		j := &job{clip: clip, state: s, first: first, steps: last - first, out: tokens.Data[first*tokens.Step() : last*tokens.Step()]}
		if err := e.gather.Do(ctx, j, j.steps, e.group, e.compute); err != nil {
			return nil, fmt.Errorf("encoding steps [%d, %d) of %d: %w", first, last, count, err)
		}
	}
	s.keep(clip, count*per)
	return tokens, nil
}

// aligned is a clip with which a stream begins, without the frames before the first whole tubelet. Tubelets are counted from the first
// frame of the stream, by the steps of the sampling grid: a pipeline that starts again in the middle of a stream pairs frames as it did
// before (invariant 7). Frames that are not on the grid, of a variable rate, are paired as they come, and after a new start maybe
// otherwise.
func aligned(clip *stream.Clip, per int) *stream.Clip {
	if clip.Step <= 0 {
		return clip
	}
	index := max(0, int64(math.Round(float64(clip.Times[0])/float64(clip.Step))))
	skip := int((int64(per) - index%int64(per)) % int64(per))
	skip = min(skip, clip.T)
	rest := stream.NewClip(clip.Frames[skip*clip.H*clip.W*3:], clip.T-skip, clip.H, clip.W, nil)
	rest.Times, rest.Start, rest.End, rest.Step = clip.Times[skip:], clip.Start, clip.End, clip.Step
	return rest
}

func (e *VJEPA2) checkClip(clip *stream.Clip, state State) (*vjepaState, error) {
	if clip.T > 0 && (clip.H != e.info.Height || clip.W != e.info.Width) {
		return nil, stream.Fail("encode", "encode.frame_size", "encoding frames of %d×%d pixels: the model wants %d×%d; resize them first",
			clip.W, clip.H, e.info.Width, e.info.Height)
	}
	if len(clip.Times) != clip.T || len(clip.Frames) < clip.T*clip.H*clip.W*3 {
		return nil, stream.Fail("encode", "encode.clip", "encoding a clip of %d frames: it has %d times and %d bytes",
			clip.T, len(clip.Times), len(clip.Frames))
	}
	s, ok := state.(*vjepaState)
	if !ok {
		return nil, stream.Fail("encode", "encode.state", "encoding with the state of another encoder, %T", state)
	}
	return s, nil
}

// time is when frame i was taken, frame those pixels: the frames that wait come before the clip's.
func (s *vjepaState) time(clip *stream.Clip, i int) time.Duration {
	if i < len(s.times) {
		return s.times[i]
	}
	return clip.Times[i-len(s.times)]
}

func (s *vjepaState) frame(clip *stream.Clip, i int) []byte {
	if i < len(s.times) {
		size := len(s.frames) / len(s.times)
		return s.frames[i*size : (i+1)*size]
	}
	return clip.Frame(i - len(s.times))
}

// keep remembers the frames from the given one on, fewer than a tubelet.
func (s *vjepaState) keep(clip *stream.Clip, from int) {
	if from >= len(s.times) {
		from -= len(s.times)
		s.frames, s.times = s.frames[:0], s.times[:0]
	}
	for i := from; i < clip.T; i++ {
		s.frames = append(s.frames, clip.Frame(i)...)
		s.times = append(s.times, clip.Times[i])
	}
}

// unfold writes the pixels of a job's step, normalised, to where nn.PatchEmbed wants them: a row for each token, frame by frame, line by
// line, pixel by pixel.
func (e *VJEPA2) unfold(j *job, step int, to []float32) {
	per := e.info.FramesPerStep
	run, patch, all := e.config.PatchSize*3, e.config.PatchSize, e.pixelsOfToken()
	for f := range per {
		frame := j.state.frame(j.clip, (j.first+step)*per+f)
		for row := range e.info.GridHeight {
			for column := range e.info.GridWidth {
				token := to[(row*e.info.GridWidth+column)*all+f*patch*run:]
				for y := range patch {
					from := frame[((row*patch+y)*e.info.Width+column*patch)*3:]
					e.normalise(token[y*run:][:run], from[:run])
				}
			}
		}
	}
}

// normalise maps a run of pixels.
func (e *VJEPA2) normalise(to []float32, from []byte) {
	for i := 0; i+2 < len(to) && i+2 < len(from); i += 3 {
		to[i], to[i+1], to[i+2] = e.levels[0][from[i]], e.levels[1][from[i+1]], e.levels[2][from[i+2]]
	}
}

// job is some steps of one stream to be encoded: the frames of a clip and those that wait in the state before them are cut into steps,
// and it is those from first on.
type job struct {
	clip  *stream.Clip
	state *vjepaState
	first int
	steps int
	out   []float32 // [steps, H'*W', D]
}

// each calls f for the steps [first, first+count) of jobs, counted through: for every one its job, which of the job's steps it is and
// which of the group's.
func each(jobs []*job, first, count int, f func(j *job, step, i int)) {
	for _, j := range jobs {
		for step := max(first, 0); step < j.steps && step < first+count; step++ {
			f(j, step, step-first)
		}
		first -= j.steps
	}
}

// compute runs jobs on the device, in groups whose sizes are powers of two: few sizes, so memory and primitives are made once.
func (e *VJEPA2) compute(jobs []*job) error {
	return e.device.Run(func() error {
		steps := 0
		for _, j := range jobs {
			steps += j.steps
		}
		for first := 0; first < steps; {
			count := e.group
			for count > steps-first {
				count /= 2
			}
			e.computeGroup(jobs, first, count)
			first += count
		}
		return nil
	})
}

// computeGroup computes the tubelets [first, first+count) of the jobs, counted through.
func (e *VJEPA2) computeGroup(jobs []*job, first, count int) {
	size := e.places() * e.pixelsOfToken()
	e.tape.Reset()
	x := e.tape.Zeros(count*e.places(), e.pixelsOfToken())
	pixels := x.Float32s()
	each(jobs, first, count, func(j *job, step, i int) { e.unfold(j, step, pixels[i*size:(i+1)*size]) })
	y := e.embed(x, count)
	switch e.config.Ensue.Attention {
	case model.Tubelet:
		y = e.net.Encode(e.tape, y, e.places())
	case model.BlockCausal:
		y = e.encodeRecent(y, jobs, first, count)
	}
	tokens, values := e.places()*e.info.Dim, y.Float32s()
	each(jobs, first, count, func(j *job, step, i int) {
		copy(j.out[step*tokens:(step+1)*tokens], values[i*tokens:])
	})
}

// encodeRecent runs the blocks on the next tubelets of several streams.
func (e *VJEPA2) encodeRecent(x *nn.Value, jobs []*job, first, count int) *nn.Value {
	for layer, b := range e.net.Blocks {
		e.recents = e.recents[:0]
		each(jobs, first, count, func(j *job, _, _ int) { e.recents = append(e.recents, j.state.recent[layer]) })
		y := b.ForwardRecent(e.tape, x, e.recents, nn.Place{Rotary: e.window})
		e.tape.Release(x)
		x = y
	}
	clear(e.recents)
	return e.net.last(e.tape, x)
}
