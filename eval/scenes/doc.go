// Package scenes makes small moving pictures whose physics is known: balls, boxes and cones that move, bounce, fall and pass behind
// columns, and the same scenes with one impossible thing in them.
//
//   - Scene: what is in a picture and where it is at every frame; Possible draws one, Render makes its frames.
//   - Pair: a possible scene and its impossible twin, identical bit for bit before the event; DrawPair draws one of a Kind.
//   - Sheet: scenes as a PNG, a row of frames each, for people to look at.
//
// A model that was trained on possible scenes alone should be more surprised by the impossible twin: violation of expectation, as
// infants are tested (Spelke 1985; Riochet et al., IntPhys, 2018).
//
// Lengths are in pixels, speeds in pixels per frame, and pixel i covers [i, i+1).
//
// Invariants: a scene is determined by the random numbers it is drawn from, and its pixels by the scene (two random streams of its
// own seed: one for what stands still, one for the sensor's noise); nothing depends on how many scenes are drawn side by side.
package scenes
