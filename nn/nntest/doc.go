// Package nntest is for tests of what stands on nn: a device that is closed when the test ends, a tape on it, and normal numbers.
package nntest
