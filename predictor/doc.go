// Package predictor says which tokens it expects, and how badly the ones that came fit them.
//
//   - Predictor: from the tokens of the past to the tokens expected at any distance ahead. New makes the one a definition names,
//     Names lists them: persistence, linear, flow.
//   - VJEPA2: the predictor of a V-JEPA 2 model, asked for the next segment. MaskedTransformer is its net alone, for training and for any
//     masks.
//   - Recurrent: the predictor of ensue's own family, which remembers a stream in a memory of constant size. RecurrentNet is its net.
//   - Targeting, Remembering, Batching: what a Predictor may do beside: compare with something else than the tokens, carry a memory along
//     the stream, answer several questions at once.
//   - EnergyMap: the mean L1 distance between expected and seen tokens, per token; the energy of windows unless another one is chosen.
//   - Energy: a learned one, of Statistics that a Gauge measures of the Sources it was fitted to; LearnedEnergy is one at work. Verifier is
//     another kind, of a model's own.
//   - Calibrator: from an energy to a p-value against the stream's own past. Running is one number's; learned energies are judged
//     together with distances.
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
// # Memory
//
// A Remembering predictor is shown every step once, in order. The State keeps what it remembers after each of the last steps that the
// context of a later window may end at; how many those are depends on the horizons alone. A gap forgets it.
//
// It begins anew now and then, at times that the stream's clock alone decides: its time is cut into eras of Info.Warmup steps, and in each
// era the memory in use is the one that began with the era before (or with the stream), while a new one begins. So it knows the last
// Info.Warmup steps at least and twice as many at most, and after a restart it is built up again, bit for bit, from the beginning of an
// era: the segments from there on are Needed. The price is that every step is remembered twice.
//
// Invariants: the state of a stream has a bound that its length does not change (invariant 6); it says which segments it is
// made of (invariant 3); results carry deterministic ids (invariant 2); everything is computed in one order, on one goroutine
// (invariant 7).
package predictor
