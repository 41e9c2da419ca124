package train

import (
	"math"
	"time"
)

// progress is how much of the budget is used, 0 to 1, after steps that took a time.
func (b BudgetConfig) progress(steps int, elapsed time.Duration) float64 {
	switch {
	case b.Time > 0:
		return min(1, elapsed.Seconds()/b.Time.Seconds())
	case b.Steps > 0:
		return min(1, float64(steps)/float64(b.Steps))
	}
	return 1
}

// spent says that the training is over.
func (b BudgetConfig) spent(steps int, elapsed time.Duration) bool {
	return b.Steps > 0 && steps >= b.Steps || b.Time > 0 && elapsed >= b.Time
}

// left is an estimate of the time that remains, from the mean time of a step in this process.
func (b BudgetConfig) left(steps int, elapsed, step time.Duration) time.Duration {
	left := time.Duration(math.MaxInt64)
	if b.Time > 0 {
		left = b.Time - elapsed
	}
	if b.Steps > 0 && step < left/time.Duration(max(1, b.Steps-steps)) {
		left = step * time.Duration(b.Steps-steps)
	}
	return max(0, left)
}

// rate is the learning rate of a step (the first is 1): it rises linearly over the warm-up and falls on half a cosine over the budget
// (Loshchilov, Hutter 2017, arXiv:1608.03983, eq. 5 without restarts).
func (o OptimiserConfig) rate(step int, progress float64) float64 {
	if step < o.Warmup {
		return o.Rate * float64(step) / float64(o.Warmup)
	}
	return o.Rate * (o.Final + (1-o.Final)*(1+math.Cos(math.Pi*progress))/2)
}

// of is the target's momentum in a step.
func (m MomentumConfig) of(step int, progress float64) float64 {
	if step <= m.Settle {
		return min(settleMomentum, m.Start)
	}
	return m.Start + (m.End-m.Start)*progress
}
