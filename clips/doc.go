// Package clips encodes recorded video a clip at a time, as whoever works with files expects it: `ensue encode` is built on it.
//
//   - Reader: cuts recordings into clips of so many sampled frames.
//   - Model: what makes tokens, expected tokens and energies of a clip. Open opens one by its name or its directory.
//
// A pipeline encodes a stream as it comes; here every clip is encoded on its own, with all of it in sight. So a model whose attention is
// full gives here what transformers gives, and the frames of a ready tensor can be encoded in place of a video's.
//
// Invariants: a Reader holds two clips in memory at most, unless a clip is asked to be as long as its recording. Frames are sampled on
// the grid of package decode, where package ingest cuts: those of a pipeline, bit for bit (invariant 7 of package stream).
package clips
