//go:build !cgo || !linux || !amd64 || purego

package encoder

// vectorPixels says that there is no vector form of countPixels for this build.
func vectorPixels() bool { return false }

// countPixelsVector is countPixels.
func countPixelsVector(frame []byte, sums *pixelsSums) { countPixels(frame, sums) }
