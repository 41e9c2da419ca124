package report

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// principal projects points onto the directions in which they differ most: principal components (Pearson 1901) by subspace iteration
// (Golub and Van Loan, Matrix Computations, 4th ed., §7.3.2 on the covariance, which is never formed). Every row of the answer has dims
// numbers, the first with the largest variance; a sign is chosen such that the largest entry of a direction is positive. Fewer
// directions than asked for leave zeros.
func principal(points [][]float32, dims int) [][]float64 {
	out := make([][]float64, len(points))
	for i := range out {
		out[i] = make([]float64, dims)
	}
	if len(points) == 0 {
		return out
	}
	mean := meanOf(points)
	size := len(mean)
	random := rand.New(rand.NewPCG(1, 2)) // any start will do; the same one always gives the same picture
	directions := make([][]float64, min(dims, size))
	for k := range directions {
		directions[k] = make([]float64, size)
		for j := range directions[k] {
			directions[k][j] = random.NormFloat64()
		}
	}
	for range iterations {
		orthonormalise(directions)
		directions = multiply(points, mean, directions)
	}
	strongest(directions)
	orthonormalise(directions)
	for k, direction := range directions {
		point(direction)
		for i, row := range points {
			out[i][k] = along(row, mean, direction)
		}
	}
	return out
}

// iterations of subspace iteration: directions whose variances differ by a tenth are told apart to a hundredth, which is what a
// picture shows.
const iterations = 24

func meanOf(points [][]float32) []float64 {
	mean := make([]float64, len(points[0]))
	for _, row := range points {
		for j, value := range row {
			mean[j] += float64(value) / float64(len(points))
		}
	}
	return mean
}

// along is the coordinate of a point on a direction.
func along(row []float32, mean, direction []float64) float64 {
	total := 0.0
	for j, value := range row {
		total += (float64(value) - mean[j]) * direction[j]
	}
	return total
}

// multiply applies the covariance, times the number of points, to every direction.
func multiply(points [][]float32, mean []float64, directions [][]float64) [][]float64 {
	next := make([][]float64, len(directions))
	for k, direction := range directions {
		sum := make([]float64, len(mean))
		for _, row := range points {
			weight := along(row, mean, direction)
			for j, value := range row {
				sum[j] += weight * (float64(value) - mean[j])
			}
		}
		next[k] = sum
	}
	return next
}

// orthonormalise is Gram and Schmidt's, in place; a direction that depends on those before it becomes zero.
func orthonormalise(directions [][]float64) {
	for k, direction := range directions {
		before := math.Sqrt(dot(direction, direction))
		for _, earlier := range directions[:k] {
			weight := dot(direction, earlier)
			for j := range direction {
				direction[j] -= weight * earlier[j]
			}
		}
		length := math.Sqrt(dot(direction, direction))
		if length <= 1e-9*before || length == 0 {
			clear(direction)
			continue
		}
		for j := range direction {
			direction[j] /= length
		}
	}
}

// strongest puts the directions that the covariance stretches most first.
func strongest(directions [][]float64) {
	slices.SortStableFunc(directions, func(a, b []float64) int { return cmp.Compare(dot(b, b), dot(a, a)) })
}

// point turns a direction so that its largest entry is positive.
func point(direction []float64) {
	largest := 0.0
	for _, value := range direction {
		if math.Abs(value) > math.Abs(largest) {
			largest = value
		}
	}
	if largest < 0 {
		for j := range direction {
			direction[j] = -direction[j]
		}
	}
}

func dot(a, b []float64) float64 {
	total := 0.0
	for j, value := range a {
		total += value * b[j]
	}
	return total
}

// neighbour is another moment that looks alike: of which video, which of its moments, and how far off it is, 1 being how far two moments
// usually are.
type neighbour struct {
	video, moment int
	distance      float64
}

// The neighbour view: how many are told, in how many directions moments are compared, and within how many seconds of a moment its own
// video is not looked through, for what follows directly always looks alike.
const (
	neighbours = 3
	compareIn  = 16
	ownVideo   = 5.0
)

// place is a moment among those of all videos.
type place struct{ video, moment int }

// alike finds for every moment those that look most like it, in any video. At most limit moments of all are looked at, evenly spread;
// others have none. The answer is by video and moment.
func alike(videos []*video, limit int) [][][]neighbour {
	found := make([][][]neighbour, len(videos))
	total, dims := 0, 0
	for v, known := range videos {
		found[v] = make([][]neighbour, len(known.moments.all))
		total += len(known.moments.all)
		if dims == 0 && len(known.moments.all) > 0 {
			dims = len(known.moments.all[0].embedding)
		}
	}
	stride := (total + limit - 1) / max(limit, 1)
	var places []place
	var points [][]float32
	counted := 0
	for v, known := range videos {
		for m, one := range known.moments.all {
			if counted%max(stride, 1) == 0 && len(one.embedding) == dims {
				places, points = append(places, place{v, m}), append(points, one.embedding)
			}
			counted++
		}
	}
	where := principal(points, compareIn)
	usual := typical(where)
	for i, here := range places {
		found[here.video][here.moment] = nearest(videos, places, where, i, usual)
	}
	return found
}

// nearest looks through all places for those that look most like place i.
func nearest(videos []*video, places []place, where [][]float64, i int, usual float64) []neighbour {
	here := videos[places[i].video].moments.all[places[i].moment]
	var best []neighbour
	for j, there := range places {
		other := videos[there.video].moments.all[there.moment]
		if there.video == places[i].video && math.Abs(other.start-here.start) < ownVideo {
			continue
		}
		d := apart(where[i], where[j]) / usual
		if len(best) == neighbours && d >= best[neighbours-1].distance {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, d, func(n neighbour, d float64) int { return cmp.Compare(n.distance, d) })
		best = slices.Insert(best, at, neighbour{there.video, there.moment, d})
		best = best[:min(len(best), neighbours)]
	}
	return best
}

func apart(a, b []float64) float64 {
	total := 0.0
	for k, value := range a {
		total += (value - b[k]) * (value - b[k])
	}
	return math.Sqrt(total)
}

// typical is the median distance of two moments, over a sample of pairs; never 0.
func typical(where [][]float64) float64 {
	const pairs = 2000
	random := rand.New(rand.NewPCG(3, 4))
	distances := make([]float64, 0, pairs)
	for range pairs {
		if len(where) > 1 {
			distances = append(distances, apart(where[random.IntN(len(where))], where[random.IntN(len(where))]))
		}
	}
	if len(distances) == 0 {
		return 1
	}
	slices.Sort(distances)
	return max(distances[len(distances)/2], 1e-12)
}
