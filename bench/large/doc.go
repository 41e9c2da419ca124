// Command large measures segments that are large for Kafka: 8 MiB and 64 MiB, in their records and as claims, on a plain link and one of
// 4 MiB a second. Of each it takes the time from a segment being durable on the topic to its result being durable, and the most memory that
// the pipeline had.
//
//	make bench-large
//	go run ./bench/large --rounds 3
//
// The video in it is a few seconds of a sample; the rest is a box that players pass over, so that what is measured is how the bytes travel.
// The broker is Apache Kafka; the slow link lies between it and the pipeline, and between the object store and the pipeline.
package main
