package stream

import (
	"slices"
	"time"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is a message as a broker carries it; ingest and sink translate it to and from their client's own type.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Time      time.Time
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Origin is where the record lies.
func (r *Record) Origin() Origin {
	return Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// Get is the value of the last header of that name, and whether there is one.
func (r *Record) Get(key string) (string, bool) {
	for _, header := range slices.Backward(r.Headers) {
		if header.Key == key {
			return string(header.Value), true
		}
	}
	return "", false
}
