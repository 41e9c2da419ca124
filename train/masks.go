package train

import (
	"math"
	"math/rand/v2"
)

// The masks of V-JEPA (Bardes et al. 2024, arXiv:2404.08471, §3.2): the union of many small or of few large blocks, through all steps.
const (
	smallBlocks, smallScale = 8, 0.15
	largeBlocks, largeScale = 2, 0.7
	leastAspect, mostAspect = 0.75, 1.5
)

// mask is which tokens of every window are shown and which are to be predicted. All windows show the same number, and so with those
// hidden; what is over is neither.
type mask struct{ shown, hidden [][]int }

// drawMask draws masks for the tokens of steps × grid × grid places.
func drawMask(random *rand.Rand, batch, steps, grid int) mask {
	blocks, scale := smallBlocks, smallScale
	if random.IntN(2) == 1 {
		blocks, scale = largeBlocks, largeScale
	}
	var shown, hidden [][]int
	fewestShown, fewestHidden := grid*grid, grid*grid
	for range batch {
		a, b := drawPlaces(random, grid, blocks, scale)
		shown, hidden = append(shown, a), append(hidden, b)
		fewestShown, fewestHidden = min(fewestShown, len(a)), min(fewestHidden, len(b))
	}
	m := mask{make([][]int, batch), make([][]int, batch)}
	for i := range batch {
		m.shown[i] = throughTime(some(random, shown[i], fewestShown), steps, grid)
		m.hidden[i] = throughTime(some(random, hidden[i], fewestHidden), steps, grid)
	}
	return m
}

// drawPlaces divides the places of a grid; neither part is empty.
func drawPlaces(random *rand.Rand, grid, blocks int, scale float64) (shown, hidden []int) {
	for {
		covered := make([]bool, grid*grid)
		for range blocks {
			cover(random, covered, grid, scale)
		}
		shown, hidden = nil, nil
		for place, c := range covered {
			if c {
				hidden = append(hidden, place)
			} else {
				shown = append(shown, place)
			}
		}
		if len(shown) > 0 && len(hidden) > 0 {
			return shown, hidden
		}
		scale *= 0.9
	}
}

// cover hides a block of about scale of the grid's area.
func cover(random *rand.Rand, covered []bool, grid int, scale float64) {
	aspect := leastAspect + (mostAspect-leastAspect)*random.Float64()
	length := func(aspect float64) int {
		return min(max(1, int(math.Round(float64(grid)*math.Sqrt(scale*aspect)))), grid)
	}
	height, width := length(aspect), length(1/aspect)
	top, left := random.IntN(grid-height+1), random.IntN(grid-width+1)
	for y := top; y < top+height; y++ {
		for x := left; x < left+width; x++ {
			covered[y*grid+x] = true
		}
	}
}

// some are n of the places, in their order.
func some(random *rand.Rand, places []int, n int) []int {
	left := len(places)
	kept := make([]int, 0, n)
	for i, place := range places {
		if random.IntN(left-i) < n-len(kept) {
			kept = append(kept, place)
		}
	}
	return kept
}

// throughTime are the tokens of the places at every step.
func throughTime(places []int, steps, grid int) []int {
	ids := make([]int, 0, steps*len(places))
	for step := range steps {
		for _, place := range places {
			ids = append(ids, step*grid*grid+place)
		}
	}
	return ids
}
