//go:build !cgo || !linux || purego

package onednn

// Version is empty: there is no oneDNN here.
func Version() string { return "" }
