package eval

import "math/rand/v2"

// versions draws which versions of a model (trained from other seeds) count in a draw of Bootstrap: in the first one all of them alike,
// then as many as there are, with replacement.
type versions struct {
	random *rand.Rand
	draws  int
}

func newVersions(seed uint64) *versions {
	return &versions{random: rand.New(rand.NewPCG(seed, 0x5eed))}
}

// next begins the next draw.
func (v *versions) next() { v.draws++ }

// draw is the share of each of count versions.
func (v *versions) draw(count int) []float64 {
	shares := make([]float64, count)
	for i := range shares {
		if v.draws > 0 {
			i = v.random.IntN(count)
		}
		shares[i] += 1 / float64(count)
	}
	return shares
}

// addScaled adds values times a factor.
func addScaled(to, values []float64, factor float64) {
	for i, value := range values {
		to[i] += factor * value
	}
}
