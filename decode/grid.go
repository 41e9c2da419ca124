package decode

import (
	"math"
	"slices"
	"time"

	"github.com/ensue-video/ensue/container"
)

// grid says which frames of a segment are taken. Times are in nanoseconds since the first frame of the stream; float64 holds them
// exactly for 104 days and to a few nanoseconds for years, and gives the same result everywhere.
type grid struct {
	// frame is the distance fd of two frames, step that of two grid points.
	frame, step float64
	// steady says that frames come at a steady distance.
	steady bool
}

const (
	// loose is how far, as a share of the median, the distance of two frames may be from it and still count as steady; steadyShare
	// is how many of them must be.
	loose, steadyShare = 0.05, 0.8
	// snap is how far, as a share, a measured frame duration is moved to a standard one at most, snapDeclared to the one the file
	// declares: a few frames in milliseconds say little.
	snap, snapDeclared = 0.005, 0.03
	// slack is how much too early a frame may be for its grid point where frames come as they like: containers round to 1 ms.
	slack = float64(time.Millisecond)
	// highest standard frame rate.
	highestRate = 240
)

// cell is the grid cell of the frame at time τ; a frame is taken when it is in another cell than the frame before it.
func (g grid) cell(tau float64) int64 {
	if g.steady {
		return int64(math.Floor((tau + g.frame/2) / g.step))
	}
	return int64(math.Floor((tau + slack) / g.step))
}

// newGrid finds the grid for frames at these times (increasing, in ticks). declared is the rate the file tells, 0 where it tells
// none. scratch is memory to use; it is returned, perhaps grown.
func newGrid(times []int64, base container.TimeBase, declared, fps float64, scratch []int64) (grid, []int64) {
	tick := float64(base.Num) / float64(base.Den) * float64(time.Second)
	ticks, doubt, steady, scratch := distance(times, scratch)
	if ticks <= 0 { // a single frame
		rate := declared
		if rate <= 0 {
			rate = 25
		}
		ticks, doubt, steady = float64(time.Second)/rate/tick, 0, true
	}
	g := grid{frame: ticks * tick, steady: steady}
	if !steady {
		g.step = float64(time.Second) / fps
		return g, scratch
	}
	g.frame = standard(g.frame, doubt*tick, declared)
	g.step = g.frame * math.Max(1, math.Round(float64(time.Second)/g.frame/fps))
	return g, scratch
}

// distance is the typical distance of neighbouring times in ticks: the mean of those that are near the median, because
// containers round times to their ticks (1 ms in Matroska: 33, 33, 34). doubt is how far rounding can have moved that mean.
func distance(times, scratch []int64) (ticks, doubt float64, steady bool, _ []int64) {
	scratch = scratch[:0]
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d > 0 {
			scratch = append(scratch, d)
		}
	}
	if len(scratch) == 0 {
		return 0, 0, false, scratch
	}
	slices.Sort(scratch)
	median := float64(scratch[len(scratch)/2])
	tolerance := math.Max(loose*median, math.Min(1, median/4))
	var sum int64
	near, runs, inRun := 0, 0, false
	for i := 1; i < len(times); i++ {
		d := times[i] - times[i-1]
		isNear := math.Abs(float64(d)-median) <= tolerance
		if isNear {
			sum += d
			near++
			if !inRun {
				runs++ // the rounding errors within a run cancel but for its two ends
			}
		}
		inRun = isNear
	}
	steady = float64(near) >= steadyShare*float64(len(scratch))
	return float64(sum) / float64(near), float64(runs) / float64(near), steady, scratch
}

// standard is the frame duration that is meant: that of a standard rate, k or k·1000/1001 frames per second, where rounding can
// explain the difference, the one the file declares before others; otherwise the measured one. All in nanoseconds.
//
// Rounding is what a standard rate is for: a camera that really runs at 29.83 fps, with exact times, must not be put on a grid of
// 29.97, or it slips a frame every seven seconds.
func standard(measured, doubt, declared float64) float64 {
	off := func(candidate, share float64) float64 {
		if d := math.Abs(measured - candidate); d <= math.Min(share*candidate, doubt+1) {
			return d
		}
		return math.Inf(1)
	}
	if meant := nearestStandard(declared); meant > 0 && math.Abs(meant-declared) < 1e-4*meant {
		if candidate := float64(time.Second) / meant; !math.IsInf(off(candidate, snapDeclared), 1) {
			return candidate
		}
	}
	whole := float64(time.Second) / math.Max(1, math.Round(float64(time.Second)/measured))
	slow := whole * 1001 / 1000
	switch toWhole, toSlow := off(whole, snap), off(slow, snap); {
	case math.IsInf(toWhole, 1) && math.IsInf(toSlow, 1):
		return measured
	case toWhole <= toSlow:
		return whole
	default:
		return slow
	}
}

// nearestStandard is the standard rate next to a rate in frames per second, 0 where there is none.
func nearestStandard(rate float64) float64 {
	whole := math.Round(rate)
	if whole < 1 || whole > highestRate {
		return 0
	}
	if slow := whole * 1000 / 1001; math.Abs(rate-slow) < math.Abs(rate-whole) {
		return slow
	}
	return whole
}
