// Package onednn multiplies matrices with oneDNN 2.6 (C API): bias, GELU and a running sum as post-operations, weights reordered once into
// the layout that oneDNN asks for, primitives cached by shape.
//
// With the build tag purego, or without cgo, the same API is a plain loop.
//
// Invariants:
//
//  1. An Engine is used from one OS thread; it uses that thread's OpenMP team.
//  2. MatMul allocates nothing once its shape is cached; scratch memory comes from the caller.
//  3. Packed weights do not depend on how many rows they are first used with.
package onednn
