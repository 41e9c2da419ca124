// Package eval measures how good an energy is: how well it tells what continues a video from what does not.
//
//   - Continuation: real footage against ten kinds of negatives, paired and with one threshold for all; where a spliced piece is; what a
//     live stream costs.
//   - VOE: generated scenes in which something impossible happens. Retrieval: the true next segment among others. Anomalies: labelled
//     frames of one camera.
//   - Objectives: every objective of package train with the same budget, in one table that is gone on with where it was stopped.
//   - Paired, AUROC, RecallAt, Bootstrap: the numbers and how sure they are.
//
// The protocols are fixed beforehand and the same for every model; baselines that need no learning stand in the same tables.
//
// Invariants: the same footage, seed and model give the same table, whatever runs beside, but for times; nothing is fitted on what is
// reported.
package eval
