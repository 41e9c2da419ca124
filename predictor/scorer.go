package predictor

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// Scorer says of every segment of a stream how badly it continues what came before: predictor, configuration and calibration in
// one. It is safe for use by several goroutines; what it remembers of a stream is in the State, which one goroutine uses at a time.
type Scorer struct {
	encoder   encoder.Info
	predictor Predictor
	frames    int // predictor.Info().Frames
	cfg       Config
	alpha     float64
	model     string
	scratch   sync.Pool // of *scratch
}

// scratch is memory for one call of Score.
type scratch struct {
	tokens, expected []float32
	spans            []stream.Span
}

// NewScorer makes the scorer of what predictor expects of the tokens of enc, decoded at decodeFPS frames per second. It fails
// when cfg, with the defaults filled in, is not valid.
func NewScorer(enc encoder.Info, predictor Predictor, cfg Config, decodeFPS float64) (*Scorer, error) {
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("making a scorer: %w", err)
	}
	info := predictor.Info()
	return &Scorer{
		encoder: enc, predictor: predictor, frames: info.Frames,
		cfg: cfg, alpha: cfg.Alpha(), model: Model(enc, info, decodeFPS, cfg),
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}, nil
}

// Model is how results name what they come from; see the function Model.
func (s *Scorer) Model() string { return s.model }

// NewState is the state of a stream that begins.
func (s *Scorer) NewState() *State {
	return &State{calibrator: NewRunning(s.cfg), torn: stream.ReasonFirst}
}

// Needed is the oldest segment whose tokens are still part of the context: what invariant 3 holds the commit back for. Where there
// is no context it is the last segment that was scored, and the zero SegmentID when there was none.
func (s *Scorer) Needed(state *State) stream.SegmentID { return state.needed() }

// Score scores a segment: clip is its frames and tokens what the encoder made of them, both nil only for the end of a stream
// that came without video. All three stay the caller's. The result is nil for a segment that is read again for its context only;
// its Latency is left to the caller.
//
// A segment marked Gap, or whose tokens do not follow on the last ones in time or rate, is scored like a first one. One marked Alone
// is, too, and leaves no state. After an error the state is what it was.
func (s *Scorer) Score(
	ctx context.Context, state *State, segment *stream.Segment, clip *stream.Clip, tokens *stream.Tokens,
) (*stream.Result, error) {
	if clip == nil && tokens == nil && segment.Mark == stream.MarkEnd {
		return s.end(state, segment), nil
	}
	if err := s.check(clip, tokens); err != nil {
		return nil, err
	}
	if segment.Alone {
		return s.follow(ctx, &State{calibrator: deaf{state.calibrator}, torn: stream.ReasonAlone}, segment, clip, tokens)
	}
	step := clip.Step * time.Duration(s.encoder.FramesPerStep)
	if segment.Gap || !state.continues(step, tokens) {
		reset := *state
		reset.Reset()
		result, err := s.follow(ctx, &reset, segment, clip, tokens)
		if err == nil {
			*state = reset
		}
		return result, err
	}
	return s.follow(ctx, state, segment, clip, tokens)
}

// deaf judges by the stream's past without becoming part of it.
type deaf struct{ Calibrator }

func (deaf) Observe(float64, time.Duration) {}

// check refuses what the encoder of this scorer cannot have made.
func (s *Scorer) check(clip *stream.Clip, tokens *stream.Tokens) error {
	switch {
	case clip == nil || tokens == nil:
		return stream.Fail("predict", "predict.no_tokens", "scoring without frames or tokens: only the end of a stream has none")
	case tokens.T > 0 && (tokens.H != s.encoder.GridHeight || tokens.W != s.encoder.GridWidth || tokens.D != s.encoder.Dim),
		len(tokens.Data) != tokens.Len(), len(tokens.Spans) != tokens.T:
		return stream.Fail("predict", "predict.shape", "scoring tokens of shape %v with %d values and %d spans: %s makes %d×%d×%d",
			tokens.Shape, len(tokens.Data), len(tokens.Spans), s.encoder.Name,
			s.encoder.GridHeight, s.encoder.GridWidth, s.encoder.Dim)
	case clip.T > 0 && clip.Step <= 0:
		return stream.Fail("predict", "predict.step", "scoring a clip whose frames are %s apart", clip.Step)
	}
	return nil
}

// follow scores the segment as what comes after the state, and makes it part of the state.
func (s *Scorer) follow(
	ctx context.Context, state *State, segment *stream.Segment, clip *stream.Clip, tokens *stream.Tokens,
) (*stream.Result, error) {
	last := piece{id: segment.ID(), extent: extentOf(segment, clip), frames: clip.T}
	result := s.unscored(segment, last.extent, stream.ReasonShort)
	result.Decode = decodeOf(clip)
	if clip.T > 0 {
		if err := s.advance(ctx, state, last, clip, tokens, result); err != nil {
			return nil, err
		}
	}
	state.last = last
	if segment.ContextOnly { // Its result is already written.
		return nil, nil
	}
	return s.named(result), nil
}

// advance fills the result with what the tokens say after the state, and makes them part of the state. What can fail comes first.
func (s *Scorer) advance(
	ctx context.Context, state *State, last piece, clip *stream.Clip, tokens *stream.Tokens, result *stream.Result,
) error {
	step := state.step
	if state.tokens == nil {
		step = clip.Step * time.Duration(s.encoder.FramesPerStep)
	}
	room := s.scratch.Get().(*scratch)
	defer s.scratch.Put(room)
	line := s.timeline(state, clip, tokens, newLayout(s.cfg, step), room)
	line.piece = last

	begin := open(state, line, clip, result)
	read, err := s.read(ctx, line, begin, room)
	if err != nil {
		return err
	}
	result.Next = read.next
	if len(read.windows) > 0 {
		s.report(read, line, result)
		s.judge(state.calibrator, read, line, result)
	}
	state.step = step
	state.keep(line, s.bounds(line.layout))
	return nil
}

// timeline puts the segment's steps behind the state's.
func (s *Scorer) timeline(state *State, clip *stream.Clip, tokens *stream.Tokens, layout layout, room *scratch) *timeline {
	line := &timeline{layout: layout, framesPerStep: s.encoder.FramesPerStep}
	room.tokens, room.spans = room.tokens[:0], room.spans[:0]
	if state.tokens != nil {
		line.from = state.tokens.T
		room.tokens = append(room.tokens, state.tokens.Data...)
		room.spans = append(room.spans, state.tokens.Spans...)
	}
	room.tokens = append(room.tokens, tokens.Data...)
	room.spans = append(room.spans, tokens.Spans...)
	line.tokens = stream.Tokens{Data: room.tokens, Spans: room.spans, Shape: stream.Shape{
		T: line.from + tokens.T, H: s.encoder.GridHeight, W: s.encoder.GridWidth, D: s.encoder.Dim,
	}}
	line.carried = max(0, state.carried+clip.T-tokens.T*line.framesPerStep)
	if s.frames > 0 {
		line.frames = append(line.frames, state.frames...)
		for t := range clip.T {
			line.frames = append(line.frames, clip.Frame(t))
		}
	}
	return line
}

// bounds is what a later window may need: the earliest context it is predicted from, and the frames that end it.
func (s *Scorer) bounds(l layout) bounds {
	per := s.encoder.FramesPerStep
	b := bounds{steps: max(l.context, (s.frames+per-1)/per) + l.reach, framesPerStep: per}
	if s.frames > 0 {
		b.frames = l.reach*per + s.frames
	}
	return b
}

// open finds the step at which the segment begins to be scored, and says by what past. It is the end of the timeline when the
// segment cannot be scored.
func open(state *State, line *timeline, clip *stream.Clip, result *stream.Result) int {
	own := line.tokens.T - line.from
	switch {
	case own == 0:
		return line.tokens.T
	case line.from > 0:
		x := state.pieces[len(state.pieces)-1].extent
		result.X, result.Reason = &x, ""
		return line.from
	case own < 2:
		result.Reason = state.torn
		return line.tokens.T
	}
	begin := line.layout.alone(own)
	x := result.Y
	x.End = x.Start.Add(line.tokens.Spans[begin].Start - clip.Start)
	result.X, result.Y.Start, result.Reason = &x, x.End, state.torn
	return begin
}

// reading is what the predictor and the tokens say, before it is judged.
type reading struct {
	windows []stretch
	// energies are the windows', tokens those of every token from the first window on.
	energies []float64
	tokens   []float32
	horizons []stream.Horizon
	next     []stream.Next
}

// read compares the steps from begin on with what was expected of them, and looks ahead.
func (s *Scorer) read(ctx context.Context, line *timeline, begin int, room *scratch) (reading, error) {
	places, step := line.tokens.Places(), line.tokens.Step()
	longest := max(2*line.layout.window, line.layout.horizon()) // a window is shorter than two
	if len(room.expected) < longest*step {
		room.expected = make([]float32, longest*step)
	}
	read := reading{
		windows: line.layout.tile(begin, line.tokens.T),
		tokens:  make([]float32, (line.tokens.T-begin)*places),
	}
	for _, window := range read.windows {
		out := read.tokens[(window.from-begin)*places : (window.to-begin)*places]
		if err := s.compare(ctx, line, window, 0, room.expected, out); err != nil {
			return reading{}, err
		}
		energy := mean(out)
		if math.IsNaN(energy) || math.IsInf(energy, 0) {
			return reading{}, stream.Fail("predict", "predict.not_finite", "scoring steps [%d, %d): the energy is %v",
				window.from, window.to, energy)
		}
		read.energies = append(read.energies, energy)
	}
	var err error
	if read.horizons, err = s.horizons(ctx, line, read, room); err != nil {
		return reading{}, err
	}
	read.next, err = s.next(ctx, line, room)
	return read, err
}

// compare writes to out the energy of every token of the stretch, expected from the context that ends lead steps before it.
func (s *Scorer) compare(ctx context.Context, line *timeline, seen stretch, lead int, expected, out []float32) error {
	step := line.tokens.Step()
	expected = expected[:seen.len()*step]
	if err := s.expect(ctx, line, seen.from-lead, lead, seen.len(), expected); err != nil {
		return err
	}
	EnergyMap(expected, line.tokens.Data[seen.from*step:seen.to*step], line.tokens.D, out)
	return nil
}

// expect asks the predictor for the steps [lead, lead+count) after end.
func (s *Scorer) expect(ctx context.Context, line *timeline, end, lead, count int, out []float32) error {
	if err := s.predictor.Expect(ctx, line.past(end, s.frames), lead, count, out); err != nil {
		return fmt.Errorf("predicting %d steps, %d after step %d: %w", count, lead, end, err)
	}
	return nil
}

// horizons is the mean energy of all that was predicted as far ahead as each band says; bands that nothing fell into are left out.
func (s *Scorer) horizons(ctx context.Context, line *timeline, read reading, room *scratch) ([]stream.Horizon, error) {
	var horizons []stream.Horizon
	energies := make([]float32, 2*line.layout.window*line.tokens.Places())
	for i, band := range line.layout.bands {
		total, count := 0.0, 0
		for _, lead := range line.layout.leads(band) {
			for _, window := range read.windows {
				if window.from-lead < 1 {
					continue
				}
				part := stretch{window.from, min(window.to, window.from-lead+band.to)}
				out := energies[:part.len()*line.tokens.Places()]
				if lead == 0 {
					copy(out, read.tokens[(part.from-read.windows[0].from)*line.tokens.Places():])
				} else if err := s.compare(ctx, line, part, lead, room.expected, out); err != nil {
					return nil, err
				}
				total, count = total+sum(out), count+len(out)
			}
		}
		if count > 0 {
			horizons = append(horizons, stream.Horizon{Seconds: s.cfg.Horizons[i].Seconds(), Energy: total / float64(count)})
		}
	}
	return horizons, nil
}

// next is what is expected after the end of the timeline: of each band, the mean over its steps and places.
func (s *Scorer) next(ctx context.Context, line *timeline, room *scratch) ([]stream.Next, error) {
	if line.tokens.T == line.from {
		return nil, nil
	}
	step, dim := line.tokens.Step(), line.tokens.D
	expected := room.expected[:line.layout.horizon()*step]
	if err := s.expect(ctx, line, line.tokens.T, 0, line.layout.horizon(), expected); err != nil {
		return nil, err
	}
	next := make([]stream.Next, 0, len(line.layout.bands))
	for i, band := range line.layout.bands {
		next = append(next, stream.Next{
			Seconds: s.cfg.Horizons[i].Seconds(), Dim: int32(dim), Encoding: "float32-base64",
			Data: pool(expected[band.from*step:band.to*step], dim),
		})
	}
	return next, nil
}

// pool is the mean of vectors of dim channels, as little-endian float32.
func pool(vectors []float32, dim int) []byte {
	sums, count := make([]float64, dim), 0.0
	for ; len(vectors) > 0; vectors = vectors[dim:] {
		for i, value := range vectors[:dim] {
			sums[i] += float64(value)
		}
		count++
	}
	data := make([]byte, 0, 4*dim)
	for _, total := range sums {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(total/count)))
	}
	return data
}

// report writes the energies to the result.
func (s *Scorer) report(read reading, line *timeline, result *stream.Result) {
	energy := 0.0
	for _, window := range read.energies {
		energy += window / float64(len(read.energies))
	}
	result.Energy, result.Horizons = &energy, read.horizons
	if s.cfg.Map {
		steps := len(read.tokens) / line.tokens.Places()
		result.Map = halfArray(read.tokens, int32(steps), int32(line.tokens.H), int32(line.tokens.W))
	}
}

// judge asks the calibration about every window, which then becomes part of the stream's past, and takes the verdict of the most
// surprising one.
func (s *Scorer) judge(calibrator Calibrator, read reading, line *timeline, result *stream.Result) {
	result.Verdict = stream.WarmingUp
	for i, window := range read.windows {
		first, last, energy := line.tokens.Spans[window.from], line.tokens.Spans[window.to-1], read.energies[i]
		judged := stream.Window{Start: first.Start.Seconds(), Energy: energy}
		judgement := calibrator.Judge(energy)
		calibrator.Observe(energy, last.End-first.Start)
		if judgement.Warm {
			judged.PValue = &judgement.PValue
			if result.PValue == nil || judgement.PValue < *result.PValue {
				result.PValue, result.Expected = &judgement.PValue, &judgement.Expected
				result.Verdict = s.verdict(judgement, energy)
			}
		}
		result.Windows = append(result.Windows, judged)
	}
}

func (s *Scorer) verdict(judgement Judgement, energy float64) stream.Verdict {
	switch {
	case judgement.PValue >= s.alpha:
		return stream.Continues
	case energy > judgement.Expected.Median:
		return stream.Breaks
	default:
		return stream.Stalls
	}
}

// end is the result that tells the end of a stream without video.
func (s *Scorer) end(state *State, segment *stream.Segment) *stream.Result {
	if segment.ContextOnly {
		return nil
	}
	at := state.last.extent.End
	if !segment.Start.IsZero() || at.IsZero() {
		at = extentOf(segment, &stream.Clip{}).Start
	}
	extent := stream.Extent{Segment: segment.ID().String(), Start: at, End: at}
	return s.named(s.unscored(segment, extent, stream.ReasonEnd))
}

func (s *Scorer) unscored(segment *stream.Segment, extent stream.Extent, reason stream.Reason) *stream.Result {
	return &stream.Result{Stream: segment.Stream, Y: extent, Verdict: stream.Unscored, Reason: reason, Model: s.model}
}

// named gives the result its id. Invariant 2: it depends on stream, X, Y and model alone.
func (s *Scorer) named(result *stream.Result) *stream.Result {
	x := ""
	if result.X != nil {
		x = result.X.Segment
	}
	result.ID = stream.ResultID(result.Stream, x, result.Y.Segment, s.model)
	return result
}

// extentOf is the time of a segment: as the sender told it, or by the stream's clock from the stream's beginning, which is 1970
// where nobody said.
func extentOf(segment *stream.Segment, clip *stream.Clip) stream.Extent {
	start := segment.Start
	if start.IsZero() {
		epoch := segment.Epoch
		if epoch.IsZero() {
			epoch = time.Unix(0, 0)
		}
		start = epoch.Add(clip.Start)
	}
	start = start.UTC()
	return stream.Extent{Segment: segment.ID().String(), Start: start, End: start.Add(clip.End - clip.Start)}
}

// decodeOf is what the decoder said of the clip.
func decodeOf(clip *stream.Clip) stream.Decode {
	decode := stream.Decode{Frames: int32(clip.T), Dropped: int32(clip.Dropped)}
	if clip.Step > 0 {
		decode.FPS = 1 / clip.Step.Seconds()
	}
	return decode
}
