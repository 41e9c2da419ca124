// Package weights is the model that comes with the program: `encoder.model: builtin`.
//
// weights/default is a model directory like any other (package model), with the energy that was fitted for it and a model card, README.md.
// It is embedded, so that a program that was copied to another machine works there without a network and without files beside it.
//
//   - Open: the model, read from memory; its energy is beside it (model.Model.Extra).
//   - Files: the directory, to be looked at or copied out.
//
// Invariants: it was learned from footage that may be passed on, and from generated video, alone; all of it together is 8 MB at most.
package weights
