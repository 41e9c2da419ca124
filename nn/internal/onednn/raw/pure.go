//go:build !cgo || !linux || purego

// Package raw times oneDNN alone; here there is none.
package raw

// Fastest says that there is no oneDNN.
func Fastest(int, int, int, bool, int, int) (float64, bool) { return 0, false }
