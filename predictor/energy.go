package predictor

// EnergyMap writes to out the energy of every token: the mean L1 distance between what was expected and what was seen, over its
// dim channels. expected and seen have dim values for each value of out.
func EnergyMap(expected, seen []float32, dim int, out []float32) {
	for token := range out {
		want := expected[token*dim:][:dim]
		sum := float32(0)
		for i, value := range seen[token*dim:][:dim] {
			difference := value - want[i]
			sum += max(difference, -difference)
		}
		out[token] = sum / float32(dim)
	}
}

// mean is the energy of a stretch: the mean over its tokens, in their order. No tokens have none.
func mean(energies []float32) float64 {
	return sum(energies) / float64(len(energies))
}

func sum(energies []float32) float64 {
	total := 0.0
	for _, energy := range energies {
		total += float64(energy)
	}
	return total
}
