// Package negatives makes what does not continue a video: for a window of frames, X and then Y, other frames in place of Y, of ten
// kinds and one that should not matter.
//
//   - Kind: in what way they do not continue; Kinds are the ten, Brightness is reported beside them.
//   - Window: the frames that a negative is made from; Make makes the one that evaluation uses, Draw one with random parameters, to
//     learn from.
//
// Everything random comes from the caller's source, so the same seed gives the same negatives.
package negatives
