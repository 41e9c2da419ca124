// Command pipeline measures what the whole costs beside its decoding: the same segments of the files named, once through decoders
// alone and once from topic to topic through the embedded broker (pixels and persistence), in turn, with as many threads each.
//
//	go run ./bench/pipeline --rounds 5 FOLDER
package main
