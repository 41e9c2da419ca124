package eval

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/train"
)

// The protocol of windows: X and Y of negatives.Length frames at about windowRate frames per second, hop frames apart.
const (
	windowRate     = 8.0
	hop            = negatives.Length
	windowsPerClip = 12

	cutDifference = 20.0 / 255 // of the grey picture, mean over all pixels
	cutFactor     = 4.0        // times the median of the differences around
	cutAround     = 8
	stillLimit    = 1.0 / 255
)

// Recording is a clip at the protocol's rate: every so many of its frames.
type Recording struct {
	Name, Family string
	// Rate is the effective frames per second.
	Rate float64

	count int
	frame func(i int) []byte
	// differences are the mean absolute grey differences of neighbouring frames.
	differences []float64
	cuts        []bool // between frame i and i+1
}

// Len is the number of frames.
func (r *Recording) Len() int { return r.count }

// Frame is frame i, [Side, Side, 3] RGB, not to be changed.
func (r *Recording) Frame(i int) []byte { return r.frame(i) }

// Frames are frames [from, to).
func (r *Recording) Frames(from, to int) [][]byte {
	frames := make([][]byte, 0, to-from)
	for i := from; i < to; i++ {
		frames = append(frames, r.Frame(i))
	}
	return frames
}

// fromClip takes every so many frames of a clip that their rate comes nearest to the protocol's.
func fromClip(clip *train.Clip) *Recording {
	stride := train.Stride(clip, windowRate, 1)
	return newRecording(Recording{
		Name: clip.Name, Family: clip.Family, Rate: clip.FPS() / float64(stride),
		count: (clip.Count + stride - 1) / stride, frame: func(i int) []byte { return clip.Frame(i * stride) },
	}, clip.Side)
}

// newRecording looks for cuts.
func newRecording(r Recording, side int) *Recording {
	r.differences = differencesOf(r.Frames(0, r.Len()), side)
	r.cuts = findCuts(r.differences)
	return &r
}

// differencesOf are the mean absolute differences of neighbouring frames, in grey at half the size: sensor noise averages out a little,
// what moves does not.
func differencesOf(frames [][]byte, side int) []float64 {
	var differences []float64
	var pictures [2][]float32
	for i, frame := range frames {
		pictures[i%2] = grey(frame, side, pictures[i%2])
		if i > 0 {
			differences = append(differences, difference(pictures[0], pictures[1]))
		}
	}
	return differences
}

// grey is a frame's luma (BT.601) of [0, 1] at half the size.
func grey(frame []byte, side int, into []float32) []float32 {
	into = into[:0]
	row := side * 3
	for y := 0; y+1 < side; y += 2 {
		for x := 0; x+1 < side; x += 2 {
			at := y*row + x*3
			sum := luma(frame[at:]) + luma(frame[at+3:]) + luma(frame[at+row:]) + luma(frame[at+row+3:])
			into = append(into, sum/(4*255))
		}
	}
	return into
}

func luma(pixel []byte) float32 {
	return 0.299*float32(pixel[0]) + 0.587*float32(pixel[1]) + 0.114*float32(pixel[2])
}

func difference(a, b []float32) float64 {
	sum := 0.0
	for i, value := range a {
		sum += math.Abs(float64(value - b[i]))
	}
	return sum / float64(len(a))
}

// isStatic says, from the differences of X and Y, that nothing moves: in both together, or within Y.
func isStatic(differences []float64) bool {
	return mean(differences...) < stillLimit || mean(differences[negatives.Length:]...) < stillLimit
}

// findCuts says which differences are cuts: large, and much larger than those around.
func findCuts(differences []float64) []bool {
	cuts := make([]bool, len(differences))
	var around []float64
	for i, d := range differences {
		around = around[:0]
		for k := max(0, i-cutAround/2); k <= min(len(differences)-1, i+cutAround/2); k++ {
			if k != i {
				around = append(around, differences[k])
			}
		}
		cuts[i] = d > cutDifference && d > cutFactor*median(around)
	}
	return cuts
}

// median of values, which it sorts; of nothing it is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return quantile(values, 0.5)
}

// Window is a place in a recording where X begins; Y begins negatives.Length frames later.
type Window struct {
	// Recording is its index, Start the first frame of X.
	Recording, Start int
	// Static says that nothing moves: neither in X and Y together, or not in Y.
	Static bool
}

// Windows are the windows of some footage.
type Windows struct {
	Recordings []*Recording
	Windows    []Window
	// Side is the width and height of the frames.
	Side int
	// TooShort is how many files have too few frames, WithCuts how many windows were left out because of a cut in them.
	TooShort, WithCuts int

	families map[string][]int // recordings of which a negative can be taken, by family
	names    []string         // of the families, sorted
}

// FindWindows finds the windows of footage: at most windowsPerClip of each file, evenly spread, without cuts.
func FindWindows(footage *train.Footage) *Windows {
	side := 0
	var recordings []*Recording
	for _, clip := range footage.Clips() {
		side = clip.Side
		recordings = append(recordings, fromClip(clip))
	}
	return findWindows(recordings, side)
}

func findWindows(recordings []*Recording, side int) *Windows {
	w := &Windows{Side: side, families: map[string][]int{}}
	for _, r := range recordings {
		if r.Len() < 2*negatives.Length {
			w.TooShort++
		}
		w.add(r)
	}
	for name := range w.families {
		w.names = append(w.names, name)
	}
	slices.Sort(w.names)
	return w
}

func (w *Windows) add(r *Recording) {
	index := len(w.Recordings)
	w.Recordings = append(w.Recordings, r)
	if r.Len() >= negatives.Length {
		w.families[r.Family] = append(w.families[r.Family], index)
	}
	for _, start := range starts(r.Len()) {
		window := Window{Recording: index, Start: start}
		if slices.Contains(r.cuts[start:start+2*negatives.Length-1], true) {
			w.WithCuts++
			continue
		}
		window.Static = isStatic(r.differences[start : start+2*negatives.Length-1])
		w.Windows = append(w.Windows, window)
	}
}

// starts are the first frames of a recording's windows.
func starts(frames int) []int {
	var all []int
	for start := 0; start+2*negatives.Length <= frames; start += hop {
		all = append(all, start)
	}
	if len(all) <= windowsPerClip {
		return all
	}
	chosen := make([]int, windowsPerClip)
	for i := range chosen {
		chosen[i] = all[int(math.Round(float64(i*(len(all)-1))/(windowsPerClip-1)))]
	}
	return chosen
}

// Source is what the negatives of a window are made from.
func (w *Windows) Source(window Window) negatives.Window {
	r := w.Recordings[window.Recording]
	source := negatives.Window{
		Side: w.Side, Frames: r.Frames(window.Start, min(window.Start+negatives.Span, r.Len())),
		Other: func(random *rand.Rand) [][]byte { return w.other(random, r.Family) },
	}
	y := window.Start + negatives.Length
	var far []int
	for start := 0; start+negatives.Length <= r.Len(); start++ {
		if start <= y-negatives.Apart || start >= y+negatives.Apart {
			far = append(far, start)
		}
	}
	if len(far) > 0 {
		source.Far = func(random *rand.Rand) [][]byte {
			start := far[random.IntN(len(far))]
			return r.Frames(start, start+negatives.Length)
		}
	}
	return source
}

// other is frames of a random family but this one; nil where there is only one.
func (w *Windows) other(random *rand.Rand, family string) [][]byte {
	names := slices.DeleteFunc(slices.Clone(w.names), func(name string) bool { return name == family })
	if len(names) == 0 {
		return nil
	}
	recordings := w.families[names[random.IntN(len(names))]]
	r := w.Recordings[recordings[random.IntN(len(recordings))]]
	start := random.IntN(r.Len() - negatives.Length + 1)
	return r.Frames(start, start+negatives.Length)
}
