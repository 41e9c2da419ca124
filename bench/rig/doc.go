// Package rig is what the measuring programs share: small clips of real footage, processes of the program under test, and brokers.
//
//   - Clips cuts recorded video down to clips that cost next to nothing to decode.
//   - Process is one `ensue run` that is started, signalled and waited for, with its output in a file.
//   - Kafka is the brokers: embedded in this process, or Apache Kafka in processes of its own.
//   - Relay is a network link in between, as slow as it is told to be.
//   - Sender puts segments on a topic, with headers written by hand as docs/wire.md says.
//
// It is no part of the program, and shares as little with it as it can: what checks the pipeline should not be the pipeline.
package rig
