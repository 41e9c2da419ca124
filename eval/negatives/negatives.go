package negatives

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// Kind is a way in which frames do not continue those before them.
type Kind string

// The kinds. X are the 8 frames before, Y the 8 genuine ones, frame i is counted from the beginning of X.
const (
	Other      Kind = "other"      // frames of another family of footage
	Jump       Kind = "jump"       // the same clip, 16 frames or more away from Y
	Skip       Kind = "skip"       // Y, 4 frames later
	Reverse    Kind = "reverse"    // Y backwards
	Rewind     Kind = "rewind"     // X backwards
	Freeze     Kind = "freeze"     // the last frame of X, again and again
	Shuffle    Kind = "shuffle"    // Y in another order
	Mirror     Kind = "mirror"     // Y, left and right exchanged
	Splice     Kind = "splice"     // Y with a box of another family's frames in it, a third of the picture wide and high
	Speed2     Kind = "speed2"     // twice as fast: frames 9, 11, … 23
	Brightness Kind = "brightness" // Y half as bright again, clipped; no kind of discontinuity that a camera does not make by itself
	// Of these every frame was encoded again (JPEG, of another quality each time), so that no two are the same: Coded is Y, which does
	// continue X, the others are what a recorder makes that plays a recording again.
	Coded       Kind = "coded"
	FreezeCoded Kind = "freeze_coded"
	RewindCoded Kind = "rewind_coded"
	LoopCoded   Kind = "loop_coded" // X once more
)

const (
	// Length is the number of frames of X, of Y, and of a negative.
	Length = 8
	// Span is how many frames of a clip every kind finds enough in.
	Span = 3 * Length
	// Apart is how far from Y the frames of Jump begin at least.
	Apart = 16

	skipped     = 4
	orderKept   = 2 // how many neighbours Shuffle leaves neighbours
	spliceShare = 3
)

// Kinds are the ten kinds, in the order of tables.
func Kinds() []Kind {
	return []Kind{Other, Jump, Skip, Reverse, Rewind, Freeze, Shuffle, Mirror, Splice, Speed2}
}

// Reported are kinds that are told of, and not part of any mean: of Brightness and Coded an energy should rather not make much, and no
// energy has seen an example of the last three.
func Reported() []Kind { return []Kind{Brightness, Coded, FreezeCoded, RewindCoded, LoopCoded} }

// Motion says that the kind is a matter of motion: where nothing moves it makes no difference, and is left out.
func (k Kind) Motion() bool {
	switch k {
	case Jump, Skip, Reverse, Rewind, Freeze, Shuffle, Speed2, FreezeCoded, RewindCoded, LoopCoded:
		return true
	}
	return false
}

// Window is what negatives are made from. Frames are [Side, Side, 3] RGB and never changed.
type Window struct {
	Side int
	// Frames are the clip's, from the first of X: X, Y and what follows, as far as there is.
	Frames [][]byte
	// Far gives Length frames of the same clip, Apart or more from Y; nil when there are none. Other gives Length frames of another
	// family. Both may be nil: the kinds that need them are then not made.
	Far, Other func(random *rand.Rand) [][]byte
}

// X is the frames before, Y the genuine ones after.
func (w Window) X() [][]byte { return w.Frames[:Length] }

// Y is the genuine frames after X.
func (w Window) Y() [][]byte { return w.Frames[Length : 2*Length] }

// Negative is Length frames that do not continue X.
type Negative struct {
	Kind   Kind
	Frames [][]byte
	// Box is the part of the picture that was replaced, for Splice.
	Box image.Rectangle
}

// Make makes the negative of a kind; false where the clip has not the frames for it.
func Make(random *rand.Rand, kind Kind, w Window) (Negative, bool) {
	return w.make(random, kind, parameters{skip: skipped, box: (w.Side + spliceShare/2) / spliceShare, pace: 2, gain: 1.5})
}

// Draw makes a negative of a kind with random parameters: how much is skipped, how large the box is, how much faster. To learn from:
// what was learned from one strength only knows that one.
func Draw(random *rand.Rand, kind Kind, w Window) (Negative, bool) {
	return w.make(random, kind, parameters{
		skip: 3 + random.IntN(6), box: w.Side/4 + random.IntN(w.Side/5+1), pace: 1.7 + 0.35*random.Float64(), gain: 1.3 + 0.4*random.Float64(),
	})
}

// parameters are the strengths of a negative.
type parameters struct {
	skip, box  int
	pace, gain float64
}

func (w Window) make(random *rand.Rand, kind Kind, p parameters) (Negative, bool) {
	n := Negative{Kind: kind}
	switch kind {
	case Other:
		n.Frames = ask(w.Other, random)
	case Jump:
		n.Frames = ask(w.Far, random)
	case Skip:
		n.Frames = w.frames(Length+p.skip, 1)
	case Reverse:
		n.Frames = w.frames(2*Length-1, -1)
	case Rewind:
		n.Frames = w.frames(Length-1, -1)
	case Freeze:
		n.Frames = w.frames(Length-1, 0)
	case Shuffle:
		n.Frames = shuffle(random, w.Y())
	case Mirror:
		n.Frames = each(w.Y(), func(from, to []byte) { mirror(from, to, w.Side) })
	case Splice:
		return w.splice(random, p.box)
	case Speed2:
		n.Frames = w.frames(Length+1, p.pace)
	case Brightness:
		n.Frames = each(w.Y(), func(from, to []byte) { brighten(from, to, p.gain) })
	case Coded:
		n.Frames = code(random, w.Y(), w.Side)
	case FreezeCoded:
		n.Frames = code(random, w.frames(Length-1, 0), w.Side)
	case RewindCoded:
		n.Frames = code(random, w.frames(Length-1, -1), w.Side)
	case LoopCoded:
		n.Frames = code(random, w.X(), w.Side)
	default:
		panic(fmt.Sprintf("negatives: %q is no kind", kind))
	}
	return n, n.Frames != nil
}

func ask(source func(*rand.Rand) [][]byte, random *rand.Rand) [][]byte {
	if source == nil {
		return nil
	}
	return source(random)
}

// frames takes Length frames from first on, pace apart; nil where the window does not reach so far.
func (w Window) frames(first int, pace float64) [][]byte {
	taken := make([][]byte, Length)
	for i := range taken {
		at := first + int(float64(i)*pace+0.5)
		if pace < 0 {
			at = first - i
		}
		if at >= len(w.Frames) {
			return nil
		}
		taken[i] = w.Frames[at]
	}
	return taken
}

// shuffle puts frames into an order in which few that followed each other still do.
func shuffle(random *rand.Rand, frames [][]byte) [][]byte {
	for {
		order, kept := random.Perm(len(frames)), 0
		for i := 1; i < len(order); i++ {
			if order[i] == order[i-1]+1 {
				kept++
			}
		}
		if kept > orderKept {
			continue
		}
		shuffled := make([][]byte, len(frames))
		for i, at := range order {
			shuffled[i] = frames[at]
		}
		return shuffled
	}
}

// splice pastes a box of another family's frames, at the same place, into every frame.
func (w Window) splice(random *rand.Rand, side int) (Negative, bool) {
	other := ask(w.Other, random)
	if other == nil {
		return Negative{}, false
	}
	left, top := random.IntN(w.Side-side+1), random.IntN(w.Side-side+1)
	n := Negative{Kind: Splice, Box: image.Rect(left, top, left+side, top+side)}
	at := 0
	n.Frames = each(w.Y(), func(from, to []byte) {
		copy(to, from)
		for y := top; y < top+side; y++ {
			row := (y*w.Side + left) * 3
			copy(to[row:row+side*3], other[at][row:])
		}
		at++
	})
	return n, true
}

// each makes a new frame of every frame.
func each(frames [][]byte, change func(from, to []byte)) [][]byte {
	changed := make([][]byte, len(frames))
	for i, frame := range frames {
		changed[i] = make([]byte, len(frame))
		change(frame, changed[i])
	}
	return changed
}

func mirror(from, to []byte, side int) {
	for row := 0; row < len(from); row += side * 3 {
		for x := range side {
			copy(to[row+(side-1-x)*3:row+(side-x)*3], from[row+x*3:])
		}
	}
}

func brighten(from, to []byte, gain float64) {
	var table [256]byte
	for i := range table {
		table[i] = byte(min(float64(i)*gain+0.5, 255))
	}
	for i, value := range from {
		to[i] = table[value]
	}
}
