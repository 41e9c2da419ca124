// Package model is a model on disk: a directory as transformers lays it out, in and out.
//
//   - Config: config.json, under transformers' names and with transformers' defaults, and ensue's own section in it.
//   - Model: an open directory. Open checks the configuration and the name and shape of every tensor before anything is read; the weights
//     are mapped into memory. Model.Source gives them to nn's layers one by one.
//   - Write: a directory that transformers' VJEPA2Model.from_pretrained loads.
//   - Import and Export: from one directory to another, a tensor at a time.
//
// What is read: one model.safetensors or several with their index, in float32, float16 or bfloat16; a classifier's checkpoint
// (VJEPA2ForVideoClassification), whose prefix and head are passed over.
//
// Invariants: what a file says allocates nothing before it is checked; no file outside the directory's own names is opened; a digest
// depends on what determines the numbers and on nothing else: not on sharding, not on the order of tensors, not on keys that nobody reads
// (invariants 2 and 7 of package stream need it).
package model
