package nn

import "math"

// CosineSchedule is a learning rate that rises linearly to Peak over Warmup steps and falls to Final on half a cosine, at step Total.
type CosineSchedule struct {
	Start, Peak, Final float64
	Warmup, Total      int
}

// Rate is the rate of a step; the first step is 1. After Total it stays Final.
func (c CosineSchedule) Rate(step int) float64 {
	if step < c.Warmup {
		return c.Start + (c.Peak-c.Start)*float64(step)/float64(c.Warmup)
	}
	progress := min(1, float64(step-c.Warmup)/float64(max(1, c.Total-c.Warmup)))
	return c.Final + (c.Peak-c.Final)*(1+math.Cos(math.Pi*progress))/2
}
