// Package eval measures how good an energy is: how well it tells what continues a video from what does not.
//
//   - Continuation: real footage against ten kinds of negatives, paired and with one threshold for all.
//   - Paired, AUROC, RecallAt, Bootstrap: the numbers and how sure they are.
//
// The protocols are fixed beforehand and the same for every model; baselines that need no learning stand in the same tables.
//
// Invariants: the same footage, seed and model give the same table, whatever runs beside; nothing is fitted on what is reported.
package eval
