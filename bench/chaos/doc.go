// Command chaos proves that nothing is lost and nothing comes twice: it runs several `ensue run` processes on real brokers, sends them
// numbered segments, kills, stops and restarts whatever it can, and then holds what came out against what went in.
//
//	make chaos                                     20 minutes on Apache Kafka
//	go run ./bench/chaos --minutes 2 --broker embedded
//	go run ./bench/chaos --delivery exactly_once --brokers 3
//	go run ./bench/chaos --poison 5%
//	go run ./bench/chaos --churn --minutes 5
//	go run ./bench/chaos --seed 42                 the same plan again
//
// What it does follows from the seed, which it prints. It ends with exit code 1 when anything was lost, came twice or out of order, and
// then keeps its folder with the log of every process.
//
// The checker (check.go) shares nothing with the pipeline: it reads the topics with a client of its own, and computes from the records
// that went in which results and dead letters must have come out, by what docs/wire.md says about ids.
package main
