package predictor

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
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
	warmup    int // of the encoder
	era       int // steps of an era of what the predictor remembers; 0 where it begins once
	kept      bool
	// The predictor again, each nil where it cannot do that.
	targeting   Targeting
	remembering Remembering
	batching    Batching
	// What energies are made by beside distances; at most one is not nil.
	learned *LearnedEnergy
	// maps says that the learned energy draws the map.
	maps    bool
	judging Judging
	cfg     Config
	alpha   float64
	model   string
	scratch sync.Pool // of *scratch
}

// scratch is memory for one call of Score.
type scratch struct {
	tokens, memories, newer, expected, seen, energies []float32
	spans                                             []stream.Span
}

// room is memory of a size, with anything in it; it replaces *memory where that is too small.
func room(memory *[]float32, size int) []float32 {
	if cap(*memory) < size {
		*memory = make([]float32, size)
	}
	return (*memory)[:size]
}

// NewScorer makes the scorer of what predictor expects of the tokens of enc, decoded at decodeFPS frames per second. It fails
// when cfg, with the defaults filled in, is not valid. Which energy it is, options say, not cfg.
func NewScorer(enc encoder.Info, predictor Predictor, cfg Config, decodeFPS float64, options ...ScorerOption) (*Scorer, error) {
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("making a scorer: %w", err)
	}
	info := predictor.Info()
	s := &Scorer{
		encoder: enc, predictor: predictor, frames: info.Frames, warmup: enc.Warmup, era: info.Warmup,
		cfg: cfg, alpha: cfg.Alpha(),
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
	for _, option := range options {
		option(s)
	}
	if s.learned != nil && s.learned.Side() > enc.Width {
		return nil, fmt.Errorf("making a scorer: the energy wants frames of %d pixels, the encoder's have %d", s.learned.Side(), enc.Width)
	}
	s.maps = cfg.Map && s.learned != nil && s.judging == nil && s.learned.Maps(enc)
	s.model = Model(enc, info, decodeFPS, cfg, s.energy())
	s.targeting, _ = predictor.(Targeting)
	s.remembering, _ = predictor.(Remembering)
	s.batching, _ = predictor.(Batching)
	return s, nil
}

// energy is what the energy is, for Model; nothing for the distance.
func (s *Scorer) energy() (e EnergyInfo) {
	switch {
	case s.learned != nil:
		e = EnergyInfo{Name: string(s.learned.Rule()), Digest: s.learned.Digest()}
	case s.judging != nil:
		e = EnergyInfo{Name: EnergyVerifier, Digest: s.judging.Digest()}
	}
	return e
}

// Model is how results name what they come from; see the function Model.
func (s *Scorer) Model() string { return s.model }

// NewState is the state of a stream that begins.
func (s *Scorer) NewState() *State {
	var calibrator Calibrator = newByDistance(s.cfg)
	if s.learned != nil {
		calibrator = newByLearned(s.cfg)
	}
	return &State{calibrator: calibrator, torn: stream.ReasonFirst}
}

// Needed is the oldest segment whose tokens are still part of the context: what invariant 3 holds the commit back for. Where there
// is no context it is the last segment that was scored, and the zero SegmentID when there was none.
func (s *Scorer) Needed(state *State) stream.SegmentID { return state.needed() }

// Score scores a segment: clip is its frames and tokens what the encoder made of them, both nil only for the end of a stream
// that came without video. All three stay the caller's. The result is nil for a segment that is read again for its context only;
// its Latency is left to the caller.
//
// A segment marked Gap, or whose frames do not follow on the last ones in time or rate (encoder.Continuity), is scored like a first
// one. One marked Alone is, too, and leaves no state. After an error the state is what it was.
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
	next := *state
	if segment.Counted { // Invariant 7: the calibration that was restored knows its energies already.
		next.calibrator = deaf{state.calibrator}
	}
	if segment.Gap {
		next.Reset()
	}
	if !next.continuity.Next(clip) {
		continuity := next.continuity
		next.Reset()
		next.continuity = continuity
	}
	result, err := s.follow(ctx, &next, segment, clip, tokens)
	if err == nil {
		next.calibrator = state.calibrator
		*state = next
	}
	return result, err
}

// Skipped is the result on a segment that is not to be scored, for a reason that it tells. The state stays as it is: the next segment has
// a gap before it.
func (s *Scorer) Skipped(state *State, segment *stream.Segment, reason stream.Reason) *stream.Result {
	if segment.ContextOnly {
		return nil
	}
	start := segment.Start
	if start.IsZero() {
		start = state.last.extent.End
	}
	if start.IsZero() {
		start = time.Unix(0, 0)
	}
	start = start.UTC()
	extent := stream.Extent{Segment: segment.ID().String(), Start: start, End: start.Add(segment.Duration)}
	return s.named(s.unscored(segment, extent, reason))
}

// deaf judges by the stream's past without becoming part of it.
type deaf struct{ Calibrator }

func (deaf) Observe(Said, time.Duration) {}

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
	last := piece{id: segment.ID(), extent: extentOf(segment, clip), frames: clip.T, until: clip.End}
	if tokens.T > 0 {
		last.until = tokens.Spans[tokens.T-1].End
	}
	result := s.unscored(segment, last.extent, stream.ReasonShort)
	result.Decode = decodeOf(clip)
	if clip.T > 0 {
		scratch := s.scratch.Get().(*scratch)
		defer s.scratch.Put(scratch)
		line := s.timeline(state, clip, tokens, scratch)
		line.piece, line.contextOnly = last, segment.ContextOnly
		if err := s.advance(ctx, state, line, clip, result, scratch); err != nil {
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
	ctx context.Context, state *State, line *timeline, clip *stream.Clip, result *stream.Result, scratch *scratch,
) error {
	if err := s.remember(ctx, state, line, scratch); err != nil {
		return err
	}
	begin := s.open(state, line, clip, result)
	read, err := s.read(ctx, line, begin, scratch)
	if err != nil {
		return err
	}
	result.Next = read.next
	if len(read.windows) > 0 {
		s.report(read, line, result)
		s.judge(state.calibrator, read, line, result)
	}
	state.keep(line, s.bounds(line.layout))
	return nil
}

// timeline puts the segment's steps behind the state's.
func (s *Scorer) timeline(state *State, clip *stream.Clip, tokens *stream.Tokens, scratch *scratch) *timeline {
	line := &timeline{step: state.step, framesPerStep: s.encoder.FramesPerStep}
	if state.tokens == nil {
		line.step = clip.Step * time.Duration(s.encoder.FramesPerStep)
	}
	line.layout = newLayout(s.cfg, line.step)
	scratch.tokens, scratch.spans = scratch.tokens[:0], scratch.spans[:0]
	if state.tokens != nil {
		line.from = state.tokens.T
		scratch.tokens = append(scratch.tokens, state.tokens.Data...)
		scratch.spans = append(scratch.spans, state.tokens.Spans...)
	}
	scratch.tokens = append(scratch.tokens, tokens.Data...)
	scratch.spans = append(scratch.spans, tokens.Spans...)
	line.tokens = stream.Tokens{Data: scratch.tokens, Spans: scratch.spans, Shape: stream.Shape{
		T: line.from + tokens.T, H: s.encoder.GridHeight, W: s.encoder.GridWidth, D: s.encoder.Dim,
	}}
	line.carried = carried(state, clip, tokens, line.framesPerStep)
	line.side = s.encoder.Width
	if s.frames > 0 || s.learned != nil {
		line.frames = append(line.frames, state.frames...)
		for t := range clip.T {
			line.frames = append(line.frames, clip.Frame(t))
		}
	}
	return line
}

// carried is how many frames came after the last step, and will be part of the next one. An encoder may pass over a frame with which a
// stream begins, so the frames are counted by their times.
func carried(state *State, clip *stream.Clip, tokens *stream.Tokens, framesPerStep int) int {
	if tokens.T == 0 {
		return min(state.carried+clip.T, framesPerStep-1)
	}
	end, count := tokens.Spans[tokens.T-1].End-clip.Step/2, 0
	for _, at := range clip.Times {
		if at >= end {
			count++
		}
	}
	return min(count, framesPerStep-1)
}

// remember has the predictor remember the segment's steps, each once. Later windows start from the last of them.
func (s *Scorer) remember(ctx context.Context, state *State, line *timeline, scratch *scratch) error {
	if s.remembering == nil {
		return nil
	}
	line.memory = s.remembering.Memory()
	line.newer, line.era = state.newer, state.era
	known, own := len(state.memories), line.tokens.T-line.from
	line.memories = room(&scratch.memories, known+own*line.memory)
	copy(line.memories, state.memories)
	var before []float32
	if known > 0 {
		before = line.memories[known-line.memory : known]
	}
	for from := line.from; from < line.tokens.T; {
		era, to := line.eraOf(from, s.era), from+1
		for to < line.tokens.T && line.eraOf(to, s.era) == era {
			to++
		}
		out := line.memories[known+(from-line.from)*line.memory : known+(to-line.from)*line.memory]
		if err := s.rememberEra(ctx, line, stretch{from, to}, era, before, out, scratch); err != nil {
			return fmt.Errorf("remembering steps [%d, %d): %w", from, to, err)
		}
		before, from = out[len(out)-line.memory:], to
	}
	return nil
}

// rememberEra remembers steps of one era. What is in use was begun with the era before; what was begun with this one becomes that in the
// next.
func (s *Scorer) rememberEra(
	ctx context.Context, line *timeline, steps stretch, era int64, before, out []float32, scratch *scratch,
) error {
	begins := before != nil && era != line.era
	if begins && line.newer != nil {
		before = line.newer
	}
	line.era = era
	tokens := line.steps(steps.from, steps.to)
	if err := s.remembering.Remember(ctx, tokens, before, out); err != nil || !begins && line.newer == nil {
		return err
	}
	if begins {
		line.newer = nil
	}
	newer := room(&scratch.newer, len(out))
	if err := s.remembering.Remember(ctx, tokens, line.newer, newer); err != nil {
		return err
	}
	line.newer = slices.Clone(newer[len(newer)-line.memory:])
	return nil
}

// bounds is what a later window may need: the earliest context it is predicted from, what is remembered after that and after every
// later one, and the frames that end it.
func (s *Scorer) bounds(l layout) bounds {
	per := s.encoder.FramesPerStep
	b := bounds{memories: l.reach + 1, framesPerStep: per, warmup: s.warmup, frames: s.rememberedFrames()}
	if s.remembering != nil && !s.kept {
		b.era = s.era
	}
	if s.frames > 0 {
		b.frames = max(b.frames, l.reach*per+s.frames)
	}
	b.steps = max(l.context+l.reach, (b.frames+per-1)/per)
	return b
}

// open finds the step at which the segment begins to be scored, and says by what past. It is the end of the timeline when the
// segment cannot be scored.
func (s *Scorer) open(state *State, line *timeline, clip *stream.Clip, result *stream.Result) int {
	own := line.tokens.T - line.from
	switch {
	case own == 0:
		return line.tokens.T
	case line.from > 0:
		x := state.pieces[len(state.pieces)-1].extent
		result.X = &x
		begin := s.measurable(line, line.from)
		if begin < line.tokens.T {
			result.Reason = ""
		}
		return begin
	case own < 2:
		result.Reason = state.torn
		return line.tokens.T
	}
	begin := s.measurable(line, line.layout.alone(own))
	if begin == line.tokens.T {
		result.Reason = state.torn
		return begin
	}
	x := result.Y
	x.End = x.Start.Add(line.tokens.Spans[begin].Start - clip.Start)
	result.X, result.Y.Start, result.Reason = &x, x.End, state.torn
	return begin
}

// reading is what the predictor and the tokens say, before it is judged.
type reading struct {
	windows []stretch
	// said is of the windows, tokens are the energies of every token from the first window on, and heat is the map: the same memory, unless
	// the learned energy draws it.
	said     []Said
	tokens   []float32
	heat     []float32
	horizons []stream.Horizon
	next     []stream.Next
}

// comparison is a stretch of the segment beside what is expected of it from the context that ends lead steps before it. What begins
// where the timeline ends cannot be compared with anything yet.
type comparison struct {
	stretch
	lead int
	// band is which horizon the energy belongs to.
	band int
}

// comparisons are all that the segment is asked about: its windows, these again from earlier contexts for the horizons beyond the
// first, and what comes next. Of what is read again for its context only the windows count: the calibration has to know them.
func (l *timeline) comparisons(windows []stretch) []comparison {
	var all []comparison
	for _, window := range windows {
		all = append(all, comparison{stretch: window})
	}
	if l.contextOnly || l.tokens.T == l.from {
		return all
	}
	for i, band := range l.layout.bands {
		for _, lead := range l.layout.leads(band) {
			for _, window := range windows {
				if end := window.from - lead; lead > 0 && end >= 1 {
					all = append(all, comparison{stretch{window.from, min(window.to, end+band.to)}, lead, i})
				}
			}
		}
	}
	return append(all, comparison{stretch: stretch{l.tokens.T, l.tokens.T + l.layout.horizon()}})
}

// read compares the steps from begin on with what was expected of them, and looks ahead.
func (s *Scorer) read(ctx context.Context, line *timeline, begin int, scratch *scratch) (reading, error) {
	places := line.tokens.Places()
	read := reading{windows: line.layout.tile(begin, line.tokens.T), tokens: make([]float32, (line.tokens.T-begin)*places)}
	if read.heat = read.tokens; s.maps {
		read.heat = make([]float32, len(read.tokens))
	}
	seen, err := s.seen(ctx, line, begin, read.windows, scratch)
	if err != nil {
		return reading{}, err
	}
	energies := room(&scratch.energies, 2*line.layout.window*places)
	bands := make([]band, len(line.layout.bands))
	err = s.ask(ctx, line, line.comparisons(read.windows), scratch, func(c comparison, expected []float32) error {
		if c.from == line.tokens.T {
			read.next = s.next(line, expected)
			return nil
		}
		out := energies[:c.len()*places]
		if c.lead == 0 {
			out = read.tokens[(c.from-begin)*places : (c.to-begin)*places]
		}
		if err := s.compare(ctx, line, c, seen[(c.from-begin)*line.tokens.Step():], expected, out); err != nil {
			return err
		}
		if c.lead == 0 {
			heat := read.heat[(c.from-begin)*places : (c.to-begin)*places]
			copy(heat, out)
			said, err := s.said(ctx, line, c.stretch, out, heat)
			if err != nil {
				return err
			}
			read.said = append(read.said, said)
			if err := finite(c, said.Energy); err != nil {
				return err
			}
			out = out[:min(len(out), line.layout.bands[0].to*places)] // a window that a remainder has joined reaches further
		}
		bands[c.band].add(out)
		return finite(c, mean(out))
	})
	for i, band := range bands {
		if band.count > 0 && !line.contextOnly {
			seconds := s.cfg.Horizons[i].Seconds()
			read.horizons = append(read.horizons, stream.Horizon{Seconds: seconds, Energy: band.total / float64(band.count)})
		}
	}
	return read, err
}

// band is the energy of all that was predicted as far ahead as a horizon says.
type band struct {
	total float64
	count int
}

func (b *band) add(energies []float32) {
	b.total, b.count = b.total+sum(energies), b.count+len(energies)
}

func finite(c comparison, energy float64) error {
	if math.IsNaN(energy) || math.IsInf(energy, 0) {
		return stream.Fail("predict", "predict.not_finite", "scoring steps [%d, %d), expected %d steps before: the energy is %v",
			c.from, c.to, c.lead, energy)
	}
	return nil
}

// seen is what is compared with expectations, from step begin on: the tokens, or what a Targeting predictor makes of each window after
// the context directly before it.
func (s *Scorer) seen(ctx context.Context, line *timeline, begin int, windows []stretch, scratch *scratch) ([]float32, error) {
	step := line.tokens.Step()
	if s.targeting == nil {
		return line.tokens.Data[begin*step:], nil
	}
	targets := room(&scratch.seen, (line.tokens.T-begin)*step)
	for _, window := range windows {
		first := max(0, window.from-line.layout.context)
		out := targets[(window.from-begin)*step : (window.to-begin)*step]
		if err := s.targeting.Target(ctx, line.steps(first, window.to), window.from-first, out); err != nil {
			return nil, fmt.Errorf("making targets of steps [%d, %d): %w", window.from, window.to, err)
		}
	}
	return targets, nil
}

// batchSteps is how many expected steps are held at a time, unless one question asks for more.
const batchSteps = 64

// ask asks the predictor about every comparison, in their order; a Batching one about several at once.
func (s *Scorer) ask(
	ctx context.Context, line *timeline, all []comparison, scratch *scratch, answer func(comparison, []float32) error,
) error {
	for len(all) > 0 {
		batch, steps := 0, 0
		for batch < len(all) && (batch == 0 || s.batching != nil && steps+all[batch].len() <= batchSteps) {
			steps += all[batch].len()
			batch++
		}
		questions := s.questions(line, all[:batch], room(&scratch.expected, steps*line.tokens.Step()))
		if err := s.expect(ctx, questions); err != nil {
			return fmt.Errorf("predicting steps [%d, %d) from %d steps before: %w", all[0].from, all[0].to, all[0].lead, err)
		}
		for i, question := range questions {
			if err := answer(all[i], question.Out); err != nil {
				return err
			}
		}
		all = all[batch:]
	}
	return nil
}

func (s *Scorer) questions(line *timeline, about []comparison, out []float32) []Question {
	questions := make([]Question, len(about))
	for i, c := range about {
		size := c.len() * line.tokens.Step()
		questions[i] = Question{Past: line.past(c.from-c.lead, s.frames), Lead: c.lead, Steps: c.len(), Out: out[:size]}
		out = out[size:]
	}
	return questions
}

func (s *Scorer) expect(ctx context.Context, questions []Question) error {
	if len(questions) > 1 {
		return s.batching.ExpectEach(ctx, questions)
	}
	q := questions[0]
	return s.predictor.Expect(ctx, q.Past, q.Lead, q.Steps, q.Out)
}

// next is what is expected after the end of the timeline: of each band, the mean over its steps and places.
func (s *Scorer) next(line *timeline, expected []float32) []stream.Next {
	step, dim := line.tokens.Step(), line.tokens.D
	next := make([]stream.Next, 0, len(line.layout.bands))
	for i, band := range line.layout.bands {
		next = append(next, stream.Next{
			Seconds: s.cfg.Horizons[i].Seconds(), Dim: int32(dim), Encoding: "float32-base64",
			Data: pool(expected[band.from*step:band.to*step], dim),
		})
	}
	return next
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
	for _, said := range read.said {
		energy += said.Energy / float64(len(read.said))
	}
	result.Energy, result.Horizons = &energy, read.horizons
	if s.cfg.Map {
		steps := len(read.heat) / line.tokens.Places()
		result.Map = halfArray(read.heat, int32(steps), int32(line.tokens.H), int32(line.tokens.W))
	}
}

// judge asks the calibration about every window, which then becomes part of the stream's past, and takes the verdict of the most
// surprising one.
func (s *Scorer) judge(calibrator Calibrator, read reading, line *timeline, result *stream.Result) {
	result.Verdict = stream.WarmingUp
	for i, window := range read.windows {
		first, last, energy := line.tokens.Spans[window.from], line.tokens.Spans[window.to-1], read.said[i].Energy
		judged := stream.Window{Start: first.Start.Seconds(), Energy: energy}
		judgement := calibrator.Judge(read.said[i])
		calibrator.Observe(read.said[i], last.End-first.Start)
		if judgement.Warm {
			judged.PValue = &judgement.PValue
			if result.PValue == nil || judgement.PValue < *result.PValue {
				result.PValue, result.Expected = &judgement.PValue, &judgement.Expected
				result.Verdict = s.verdict(judgement)
			}
		}
		result.Windows = append(result.Windows, judged)
	}
}

func (s *Scorer) verdict(judgement Judgement) stream.Verdict {
	switch {
	case judgement.PValue >= s.alpha:
		return stream.Continues
	case judgement.Calm:
		return stream.Stalls
	default:
		return stream.Breaks
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
