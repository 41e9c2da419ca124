// Package embed holds two small programs that use ensue as a library: pipeline runs a whole pipeline in the process, score says how badly
// one video continues another. docs/library.md explains them, and a test runs them.
package embed
