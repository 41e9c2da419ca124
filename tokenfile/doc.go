// Package tokenfile writes what an encoder and a predictor made of clips to files that other programs read, and reads the files of
// ready frames.
//
//   - Writer: collects clips of one shape and writes them as one file. Create chooses the kind by the name: .safetensors, .npz, .npy,
//     .parquet.
//   - Clip: what is written of one clip: its tokens, the tokens expected of its later part, the target and the energy.
//   - Frames: the frames of a safetensors file, normalised by whoever wrote it.
//
// The arrays of a file have the clips along their first axis; docs/encode.md lists them. In a .npy file there is one array, the
// tokens, and the others lie beside it as NAME.ARRAY.npy. A .parquet file is a table with a row for each token.
//
// Invariants: a Writer holds no more than a clip in memory, however many there are: arrays are put together from files of their
// own. A file appears under its name when it is whole, or not at all. The same clips give the same bytes.
package tokenfile
