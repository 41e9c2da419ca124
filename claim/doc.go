// Package claim keeps payloads that are too large for Kafka in an object store: the record then carries a reference to the payload,
// its size and its SHA-256, a claim.
//
//   - Ref is an address, s3://bucket/key or file:///folder/key; a Place is where claims may lie: a bucket with a prefix, or a folder.
//   - Store keeps the objects of one Place: Folder on one machine, S3 for anything that speaks its API.
//   - Writer puts a payload into a store and tells the claim on it.
//   - Reader gets the payload of a claim, from the places it was allowed and from nowhere else.
//   - Sweep removes objects that nothing refers to any more.
//
// # Invariants
//
//  1. A message never decides where this process connects to or which file it opens: the places are the definition's, a claim outside
//     of them is refused before anything is opened (ErrRefused). An address names no host and no port, and leads nowhere through
//     "..", a symbolic link, a pipe or a device.
//  2. What a Reader returns has the size and the SHA-256 that the claim told, and never more than the limit was read.
//  3. When Writer.Put returns, the object is durable: a record that refers to it may be written.
//  4. Writing the same payload of the same stream again makes the same object, and makes it new: a retry leaves nothing behind.
//  5. Sweep removes nothing that is younger than it was told, and nothing that is referred to.
//  6. No credential is part of an error, a log line or a String.
package claim
