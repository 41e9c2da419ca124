// Package encoder turns clips into tokens: `[T, H, W, 3]` frames become float32 `[T', H', W', D]`, with the stretch of the
// stream that every step covers.
//
//   - Encoder: one model, shared by every stream; New makes the one a definition names, Names lists them.
//   - State: what a model remembers of one stream between clips. A model whose steps cover several frames keeps the frames
//     left over there, so a short clip may give no token at all.
//   - Pixels: the hand-made encoder every learned one is measured against.
//
// Invariants: no token depends on a later frame (invariant 5); the tokens of a stream do not depend on how it was cut into
// segments, nor on what other streams do (invariant 7).
package encoder
