// Package tail reads results back from a topic, for people and for programs that only want to look.
//
// It belongs to no consumer group and commits nothing, so looking never disturbs anybody who consumes in earnest.
package tail
