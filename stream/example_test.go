package stream_test

import (
	"fmt"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// A result as a reader of the topic, or of a file of lines, gets it.
func ExampleUnmarshalResult() {
	line := `{"id": "7f", "stream": "lobby", "y": {"segment": "lobby/42", "start": "2026-11-23T17:55:00Z", "end": "2026-11-23T17:55:02Z"},
		"verdict": "breaks", "energy": 0.83, "p_value": 0.0004, "model": "m", "decode": {}, "latency": {}}`
	result, err := stream.UnmarshalResult([]byte(line), stream.EncodingJSON)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Y.Segment, result.Verdict, *result.Energy, *result.PValue)
	// Output: lobby/42 breaks 0.83 0.0004
}

// A segment as a sender puts it onto the topic: only the key and the value are required.
func ExampleRecordFromSegment() {
	record := stream.RecordFromSegment(&stream.Segment{
		Stream: "lobby", Sequence: 42, Sequenced: true, Start: time.Date(2026, 11, 23, 17, 55, 0, 0, time.UTC), Payload: []byte("…"),
	})
	fmt.Println(string(record.Key))
	for _, header := range record.Headers {
		fmt.Println(header.Key, string(header.Value))
	}
	// Output:
	// lobby
	// ensue-version 1
	// ensue-sequence 42
	// ensue-start 2026-11-23T17:55:00Z
}

// The same X and Y, judged by the same model, have the same id, however often they are written.
func ExampleResultID() {
	fmt.Println(stream.ResultID("lobby", "lobby/41", "lobby/42", "pixels"))
	// Output: b7554b71579dfcc594b6e13a4810adc2
}
