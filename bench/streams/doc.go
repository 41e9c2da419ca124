// Command streams measures many streams on one process of the pipeline: the memory that each takes, what the process can do at most, and
// how long it takes from a segment being available on the topic to its result being durable, at half of that and at all of it.
//
//	make bench-streams
//	go run ./bench/streams --streams 1000 --clips real --length 60s
//
// The broker is embedded in this process, so its memory and its time are not counted; its processors are those of the pipeline, though.
package main
