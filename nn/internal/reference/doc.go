// Package reference holds every kernel as plain loops, for float32 and float64: the formulas to read, the double-precision path that
// gradients are checked with, and what runs where there is no C.
//
// Sums are kept in float64 where that costs nothing to read. Nothing here allocates; nothing here uses more than the calling goroutine.
package reference

// Float is what the loops work on.
type Float interface {
	float32 | float64
}
