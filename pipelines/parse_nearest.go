package pipelines

import "strings"

// Nearest is the candidate that word was probably meant to be, as for keys of a definition; empty when none is near.
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

// nearest is the candidate that word was probably meant to be; empty when none is near.
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	plain := plainWord(word)
	best, bestDistance := "", max(1, len(plain)/3)+1
	for _, candidate := range candidates {
		other := plainWord(candidate)
		distance := editDistance(plain, other)
		if len(plain) >= 3 && (strings.HasPrefix(other, plain) || strings.HasPrefix(plain, other)) {
			distance = min(distance, 1)
		}
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// plainWord takes out what does not matter when a name is misremembered: case, dashes, underscores.
func plainWord(word string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(word))
}

// editDistance is how many letters must be changed, added, left out or swapped with the next one to make b of a
// (optimal string alignment: Damerau's edits, no letter edited twice).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, current := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		current[0] = i
		for j := 1; j <= len(y); j++ {
			change := last[j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			current[j] = min(change, last[j]+1, current[j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, last, current = last, current, before
	}
	return last[len(y)]
}
