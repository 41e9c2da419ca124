// Package predictor says which tokens it expects, and how badly the ones that came fit them.
//
//   - Predictor: from the tokens of the past to the tokens expected at any distance ahead. New makes the one a definition names,
//     Names lists them: persistence, linear, flow.
//   - Energy: the mean L1 distance between expected and seen tokens, per token (EnergyMap), per window, per segment.
//   - Calibrator: from an energy to a p-value against the stream's own past, two-sided. Running is the one there is.
//   - Scorer: all of it over a stream, segment by segment, into Results; what it remembers of a stream is its State.
//
// # Windows and horizons
//
// Everything is counted in token steps. The first horizon is the length of a window, n steps. Windows tile a segment from its
// first token; what remains at the end is a window of its own from n/2 steps on, else it belongs to the last one. A window is
// predicted from the context directly before it. Horizon i covers the steps after horizon i−1 up to horizon i: a window is also
// predicted from the contexts that end that much earlier, and the horizon's energy is the mean over what falls into it.
//
// Where nothing came before a segment (the first one, the one after a gap, one that came too late), its own beginning is the
// context: n steps, or half of it when it is shorter than 2n.
//
// Invariants: the state of a stream has a bound that its length does not change (invariant 6); it says which segments it is
// made of (invariant 3); results carry deterministic ids (invariant 2); everything is computed in one order, on one goroutine
// (invariant 7).
package predictor
