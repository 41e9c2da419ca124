package predictor

import (
	"math"
	"slices"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// State is what a Scorer remembers of one stream. One goroutine uses it at a time.
//
// Invariant 6: it holds the steps that a later window may need, the frames that belong to them as far as the predictor looks at
// frames, what the predictor remembers after the steps that end a later context, and the names of the segments all that came from;
// Running adds 8 bytes for each window of its history.
type State struct {
	calibrator Calibrator
	continuity encoder.Continuity
	// step is how long a token step is; 0 before the first one.
	step time.Duration
	// tokens are the last steps; nil before the first one.
	tokens *stream.Tokens
	// memories are what a Remembering predictor remembers after each of the last steps, `[n, Memory()]`, n ≤ tokens.T.
	memories []float32
	// newer is what it remembers that began with era, that of the last step; nil before the stream's second era. See Scorer.remember.
	newer []float32
	era   int64
	// frames are the last frames, oldest first; carried of them came after the last step and will be part of the next one.
	frames  [][]byte
	carried int
	// pieces are the segments the steps and the carried frames came from, oldest first.
	pieces []piece
	// torn is why the next segment has no past, while tokens is nil.
	torn stream.Reason
	// last is the segment that came last.
	last piece
}

// piece is a segment as the state remembers it.
type piece struct {
	id     stream.SegmentID
	extent stream.Extent
	frames int
	until  time.Duration // on the stream's clock
}

// Calibrator is the stream's calibration, to be exported and imported.
func (s *State) Calibrator() Calibrator { return s.calibrator }

// Reset forgets the context, as after a gap; the calibration stays.
func (s *State) Reset() {
	*s = State{calibrator: s.calibrator, torn: stream.ReasonGap, last: s.last}
}

// needed is the oldest segment the state is made of; the last one where it is made of nothing.
func (s *State) needed() stream.SegmentID {
	if len(s.pieces) > 0 {
		return s.pieces[0].id
	}
	return s.last.id
}

// keep makes the end of the timeline the state's memory: the steps and frames that bounds allow.
func (s *State) keep(line *timeline, bounds bounds) {
	s.keepTokens(line, min(bounds.steps, line.tokens.T))
	s.keepMemories(line, min(bounds.memories, line.tokens.T))
	s.keepFrames(line, min(bounds.frames+line.carried, len(line.frames)))
	s.step, s.carried = line.step, line.carried
	s.pieces = append(s.pieces, line.piece)
	s.trim(bounds)
}

func (s *State) keepTokens(line *timeline, steps int) {
	if steps == 0 {
		return
	}
	shape := line.tokens.Shape
	shape.T = steps
	if s.tokens == nil || cap(s.tokens.Data) < shape.Len() {
		s.tokens = &stream.Tokens{Data: make([]float32, shape.Len()), Spans: make([]stream.Span, steps)}
	}
	from := line.tokens.T - steps
	s.tokens.Shape = shape
	s.tokens.Data = s.tokens.Data[:shape.Len()]
	copy(s.tokens.Data, line.tokens.Data[from*shape.Step():])
	s.tokens.Spans = append(s.tokens.Spans[:0], line.tokens.Spans[from:]...)
}

func (s *State) keepMemories(line *timeline, steps int) {
	if line.memory == 0 {
		return
	}
	s.newer, s.era = line.newer, line.era
	size := steps * line.memory
	if cap(s.memories) < size {
		s.memories = make([]float32, size)
	}
	s.memories = s.memories[:size]
	copy(s.memories, line.memories[len(line.memories)-size:])
}

// keepFrames copies the last frames: those of the clip go back to their pool. Frames it drops lend their memory to new ones.
func (s *State) keepFrames(line *timeline, count int) {
	old := len(s.frames)
	kept := line.frames[len(line.frames)-count:]
	reused := max(0, count-(len(line.frames)-old)) // of kept, how many the state already owns
	spare := s.frames[:old-reused]
	frames := make([][]byte, count)
	copy(frames, kept[:reused])
	for i, frame := range kept[reused:] {
		var room []byte
		if len(spare) > 0 {
			room, spare = spare[0][:0], spare[1:]
		}
		frames[reused+i] = append(room, frame...)
	}
	s.frames = frames
}

// trim forgets the segments that no kept step came from. It counts frames, so that a segment whose only frame waits for the
// second half of its step is still needed.
func (s *State) trim(bounds bounds) {
	steps := 0
	if s.tokens != nil {
		steps = s.tokens.T
	}
	if steps > 0 {
		steps += bounds.warmup
	}
	needed := steps*bounds.framesPerStep + s.carried
	newer, begin := 0, s.begin(bounds.era)
	for i, piece := range slices.Backward(s.pieces) {
		if newer >= needed && piece.until <= begin {
			s.pieces = append(s.pieces[:0], s.pieces[i+1:]...)
			return
		}
		newer += piece.frames
	}
}

// begin is when the memory began that the oldest step kept has, were the stream as old; half a step later, to be on the safe side of
// times that are not quite exact.
func (s *State) begin(steps int) time.Duration {
	if steps == 0 || s.tokens == nil {
		return math.MaxInt64
	}
	return time.Duration(eraAt(s.tokens.Spans[0].Start, s.step, steps)-1)*time.Duration(steps)*s.step + s.step/2
}

// eraAt is the era that a step begins in, of so many steps each, counted from where the stream's clock begins.
func eraAt(start, step time.Duration, steps int) int64 {
	return int64((start + step/2) / (step * time.Duration(steps)))
}

// bounds is how much of a stream is remembered.
type bounds struct {
	// steps is how many steps, memories after how many of them, frames how many frames before the end of the last step.
	steps, memories, frames, framesPerStep int
	// warmup is how many steps before those are to be read again after a restart, for an encoder that sees earlier ones; era is how many
	// steps an era has, where a memory is to be built up again from one's beginning. They are not kept, the names of their segments are.
	warmup, era int
}

// timeline is what is known of a stream while a segment is scored: the state's steps, then the segment's own.
type timeline struct {
	tokens stream.Tokens
	// from is where the segment's own steps begin.
	from int
	// step is how long a step is, layout the configuration in such steps.
	step   time.Duration
	layout layout
	// memories are what is remembered after the last steps, memory numbers each; none where the predictor remembers nothing.
	memories []float32
	memory   int
	// newer and era are as in State, after the last step that was remembered.
	newer []float32
	era   int64
	// frames are the frames of the last steps and those carried, framesPerStep of them a step; the newest are the clip's own memory.
	frames                 [][]byte
	carried, framesPerStep int
	side                   int // of the frames, in pixels
	piece                  piece
	// contextOnly says that nobody wants to know more than the windows.
	contextOnly bool
}

// steps are the steps [from, to).
func (l *timeline) steps(from, to int) *stream.Tokens {
	shape := l.tokens.Shape
	shape.T = to - from
	return &stream.Tokens{Shape: shape, Data: l.tokens.Data[from*shape.Step() : to*shape.Step()], Spans: l.tokens.Spans[from:to]}
}

// eraOf is the era of a step, where eras have so many steps; all is one where that is 0.
func (l *timeline) eraOf(step, steps int) int64 {
	if steps == 0 {
		return 0
	}
	return eraAt(l.tokens.Spans[step].Start, l.step, steps)
}

// past is what a predictor may look at when its context ends before the step end, and that many frames with it.
func (l *timeline) past(end, frames int) Past {
	past := Past{Tokens: l.steps(max(0, end-l.layout.context), end)}
	if l.memory > 0 {
		after := len(l.memories) - (l.tokens.T-end)*l.memory
		past.Memory = l.memories[after-l.memory : after]
	}
	if frames > 0 {
		last := max(0, len(l.frames)-l.carried-(l.tokens.T-end)*l.framesPerStep)
		past.Frames = l.frames[max(0, last-frames):last]
	}
	return past
}
