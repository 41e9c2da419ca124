// Package rawdnnl times oneDNN alone: one primitive, called from C in a loop, with the layout of its own choice. Benchmarks measure
// package nn against it.
package rawdnnl
