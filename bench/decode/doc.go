// Command decode measures decoding, sampling and resizing: this project's decoder against PyAV in one process and against the ffmpeg
// command line, on the same files, taking turns so that they see the same machine.
//
//	go run ./bench/decode --python .venv/bin/python --peers pyav,ffmpeg FILE...
//
// Every run decodes all files. The table gives the median of the runs, their spread, and the ratio peer/ours of each round: its
// median, lowest and highest. Wall is what counts; processor time shows what a busy machine hides.
package main
