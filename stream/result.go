package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Version is the version of the wire format, of records in and of results out.
const Version = 1

// Verdict says in a word how Y continues X.
type Verdict string

const (
	// WarmingUp: there is an energy, but not enough past to judge it.
	WarmingUp Verdict = "warming_up"
	// Continues: Y ensues from X.
	Continues Verdict = "continues"
	// Breaks: the energy is surprisingly high (a cut, a fall, a tampered camera).
	Breaks Verdict = "breaks"
	// Stalls: the energy is surprisingly low (a frozen or looped stream).
	Stalls Verdict = "stalls"
	// Unscored: there is no energy; Reason says why.
	Unscored Verdict = "unscored"
)

// Reason says why a segment is unscored.
type Reason string

const (
	// ReasonFirst: nothing came before it.
	ReasonFirst Reason = "first_segment"
	// ReasonGap: what came before it is missing.
	ReasonGap Reason = "gap"
	// ReasonEnd: the stream ended.
	ReasonEnd Reason = "end_of_stream"
	// ReasonShort: it has too few frames.
	ReasonShort Reason = "too_short"
	// ReasonAlone: it came too late for its place.
	ReasonAlone Reason = "late"
	// ReasonDropped: the pipeline could not keep up and gave it up (queues.full: drop_oldest).
	ReasonDropped Reason = "dropped"
)

// Result is what is said about one (X, Y). Its JSON is the wire format (result.proto is the same schema).
type Result struct {
	// ID is deterministic in stream, X, Y and model (invariant 2); see ResultID.
	ID     string `json:"id"`
	Stream string `json:"stream"`
	// X is the past it was judged by; nil where there was none.
	X *Extent `json:"x,omitempty"`
	Y Extent  `json:"y"`

	Verdict Verdict `json:"verdict"`
	Reason  Reason  `json:"reason,omitempty"`
	// Energy is the mean of the windows' energies; nil when unscored.
	Energy *float64 `json:"energy,omitempty"`
	// PValue is that of the most surprising window, two-sided; nil while warming up or unscored.
	PValue *float64 `json:"p_value,omitempty"`
	// Expected is the band the stream's own past makes likely.
	Expected *Expected `json:"expected,omitempty"`
	Windows  []Window  `json:"windows,omitempty"`
	Horizons []Horizon `json:"horizons,omitempty"`
	// Map is the energy of every token of Y.
	Map *Array `json:"map,omitempty"`
	// Next is the embedding of what has not come yet, per horizon.
	Next []Next `json:"next,omitempty"`
	// Model names encoder and predictor by digest.
	Model   string  `json:"model"`
	Decode  Decode  `json:"decode"`
	Latency Latency `json:"latency"`
	// Traceparent is the W3C trace context of Y, a header of the record: no part of the result itself.
	Traceparent string `json:"-"`
}

// Extent is a stretch of video: a segment and its time.
type Extent struct {
	Segment string `json:"segment"`
	// Start and End are absolute where the sender told the time, else counted from 1970-01-01T00:00:00Z.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Expected is the median and the two-sided band of energies that the calibration expects at the asked rate of false alarms.
type Expected struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Window is the energy of one stretch of Y, one (the shortest) horizon long.
type Window struct {
	// Start is in seconds since the first frame of the stream.
	Start  float64  `json:"start"`
	Energy float64  `json:"energy"`
	PValue *float64 `json:"p_value,omitempty"`
}

// Horizon is the mean energy of what was predicted this far ahead: of the time between the previous horizon and this one.
type Horizon struct {
	Seconds float64 `json:"seconds"`
	Energy  float64 `json:"energy"`
}

// Array is numbers with a shape: [T', H', W'] for the map.
type Array struct {
	Shape []int32 `json:"shape"`
	// Encoding is "float16-base64": little-endian IEEE halves, base64 in JSON, the bytes themselves in Protobuf.
	Encoding string `json:"encoding"`
	Data     []byte `json:"data"`
}

// Next is the embedding of the stretch that has not come yet.
type Next struct {
	Seconds float64 `json:"seconds"`
	Dim     int32   `json:"dim"`
	// Encoding is "float32-base64".
	Encoding string `json:"encoding"`
	Data     []byte `json:"data"`
}

// Decode says what the decoder saw of Y.
type Decode struct {
	// Frames is how many were sampled, Dropped how many the decoder could not make out.
	Frames  int32 `json:"frames"`
	Dropped int32 `json:"dropped"`
	// FPS is the effective sampling rate.
	FPS float64 `json:"fps"`
}

// Latency is where the time went, in seconds. It is no part of the result's identity.
type Latency struct {
	Queue   float64 `json:"queue"`
	Decode  float64 `json:"decode"`
	Encode  float64 `json:"encode"`
	Predict float64 `json:"predict"`
}

// ResultID is the id of the result on y following x, by the model: the first 16 bytes of a SHA-256, in hex.
// x is empty where there was no past. Invariant 2: nothing that differs between a live run and its replay goes in.
func ResultID(stream, x, y, model string) string {
	hash := sha256.New()
	for _, part := range []string{stream, x, y, model} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
