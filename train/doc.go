// Package train learns models from unlabelled video.
//
//   - Run: a training, from its definition (Config, read by Load) to a model directory, with checkpoints and telemetry on the way.
//   - Objectives, a file each: JEPA and SmoothJEPA, VICReg, BarlowTwins, InfoNCE, NTXent and Margin, SIGReg, TimeSimilarity, Pixels; and
//     what they are judged by, EffectiveRank. They are functions of values on a tape; ObjectiveConfig mixes them by weights.
//   - Footage: video files decoded once into a cache on disk. Augment draws varied windows of them.
//   - Source: where windows come from: FootageSource, and generated video: SceneSource, SpriteSource, DigitSource; a Mixture of them.
//   - Loader: batches of windows, made ahead by goroutines of its own.
//   - Sample, Collapse: what is learned, looked at, and what is said when it has become useless.
//
// Two families of models learn: the recurrent one (a frame encoder with a memory) and V-JEPA 2's transformer; encoder and predictor hold
// their networks, this package what they learn by.
//
// Invariants:
//
//  1. A training is determined by its definition: every random number comes from the seed, the step and the place in the batch. Neither the
//     number of workers nor a kill and a resumption changes a bit of it, on the same machine with the same number of threads. (A budget of
//     time is the exception: its schedule follows the clock.)
//  2. A checkpoint, the page and every file of the cache are replaced as a whole: a kill leaves the old one or the new one.
//  3. Memory is bounded by the configuration: footage is mapped, not read; as many batches exist as the loader was made with (invariant 6
//     of package stream).
//  4. What a prediction is made from knows nothing of what it is compared with.
package train
