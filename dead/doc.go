// Package dead looks at dead letters and sends them again.
//
//   - Letters lists what lies in a topic of dead letters, or in a file of them, with what was done about each.
//   - Retry sends the original records of letters back to where they came from, and marks the letters.
//
// A letter that is sent again carries its id (ensue-retry-of). The pipeline scores it alone: its place in the stream has passed.
//
// # What it enforces
//
// Invariant 4: the record that is sent is the original one, its key, value and headers as they were. Where the letter does not have them
// (it was too large, or is a line in a file), they are fetched from where the letter says that they lie, and compared with its digest.
//
// A letter is marked after its record is durably written: a crash in between sends it once more, never not at all.
package dead
