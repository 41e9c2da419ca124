package encoder

import (
	"fmt"
	"strings"
)

// UnknownModel is the error of a model name that is in no table.
type UnknownModel struct {
	// Key is where the name was written ("encoder.model"), Name what it was.
	Key, Name string
	// Known are the names there are, sorted.
	Known []string
}

// Error names the key, the value, the nearest known name if one is near, and all of them.
func (u *UnknownModel) Error() string {
	hint := ""
	if near := u.Suggestion(); near != "" {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	return fmt.Sprintf("%s: there is no model %q%s (known: %s)", u.Key, u.Name, hint, strings.Join(u.Known, ", "))
}

// Suggestion is the known name that Name is most likely a misspelling of, or "": a third of the letters may be wrong.
func (u *UnknownModel) Suggestion() string {
	best, nearest := "", 0
	for _, known := range u.Known {
		distance := editDistance(strings.ToLower(u.Name), known)
		if distance <= max(1, len(known)/3) && (best == "" || distance < nearest) {
			best, nearest = known, distance
		}
	}
	return best
}

// editDistance is the Levenshtein distance: how many letters must be put in, taken out or replaced to turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
