// Package state keeps what is known of streams (stream.Saved) where the next owner of a stream finds it, so that a stream that moves to
// another process, or whose process was killed, goes on with the calibration it had.
//
//   - Store is what a pipeline saves to and loads from, a partition at a time.
//   - Topic is a Store on a compacted topic, for any number of machines; a partition's streams lie on one partition of it.
//   - Folder is a Store of files, for the processes of one machine.
//   - Memory is a Store within the process: it outlives a rebalance and nothing else.
//
// # What it enforces
//
// Invariant 1: Save returns nil only once everything is durably written (Memory promises nothing of that kind).
//
// Invariant 6: of a stream the newest entry alone is kept, of a stream that ended none after a while; Memory forgets the streams that
// were saved longest ago.
//
// Invariant 7: Load gives back what was saved last by the latest generation of the group, bit for bit. What a member writes that was
// put out of the group does not replace what its successor wrote.
package state
