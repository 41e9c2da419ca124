package predictor

// JointMap writes to out, [steps, places], how little every token was expected by several sources together; its mean is 1. each has the
// distances between expected and seen tokens of one source, laid out as out.
//
// With E the distances of a source, L_k their mean over the places of step k, and L the mean of L_k, a source adds E L / L_k² everywhere:
// the mean over steps weighted by their inverse variance, as far as a distance's deviation grows with its level. What comes soon is known
// better than what comes later, so that an odd place stands out of it more; and in steps in which a source knows nothing anywhere, a camera
// that was moved, it does not say where. Where no source sees any distance all places are alike.
func JointMap(each [][]float32, places int, out []float32) {
	clear(out)
	for _, distances := range each {
		level := mean(distances)
		for at := 0; at < len(out); at += places {
			step := distances[at : at+places]
			if own := mean(step); own > 0 {
				weight := float32(level / own / own)
				for place, distance := range step {
					out[at+place] += weight * distance
				}
			}
		}
	}
	scaleTo(1, out)
}

// scaleTo brings values to a mean; to that everywhere where they are all nothing.
func scaleTo(level float64, values []float32) {
	now := mean(values)
	if now <= 0 {
		for i := range values {
			values[i] = float32(level)
		}
		return
	}
	factor := float32(level / now)
	for i := range values {
		values[i] *= factor
	}
}
