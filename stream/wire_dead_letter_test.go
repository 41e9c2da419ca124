package stream_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func kafkaLetter() *stream.DeadLetter {
	in := record("ensue-sequence", "42", "x-mine", "kept")
	in.Time = at(0)
	return &stream.DeadLetter{
		Segment: stream.SegmentID{Stream: "lobby", Sequence: 42},
		Origin:  stream.Origin{Topic: "video.segments", Partition: 3, Offset: 7},
		Failure: stream.Fail("decode", "decode.no_video", "no video stream in %q", "payload"), Attempts: 2,
		Record: in, Traceparent: validTrace,
	}
}

func fileLetter() *stream.DeadLetter {
	return &stream.DeadLetter{
		Segment: stream.SegmentID{Stream: "clip", Sequence: 1}, Origin: stream.Origin{File: "/data/clip.mp4"},
		Failure: stream.FailTransient("decode", "decode.timeout", "took longer than 20s"), Attempts: 1,
	}
}

func values(r stream.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

func TestDeadLetterKeepsTheRecordAndSaysWhatWentWrong(t *testing.T) {
	letter := kafkaLetter()
	out := stream.RecordFromDeadLetter(letter)
	require.Equal(t, letter.Record.Key, out.Key)
	require.Equal(t, letter.Record.Value, out.Value)
	require.Equal(t, letter.Record.Headers, out.Headers[:2])
	require.Equal(t, map[string]string{
		"ensue-sequence": "42", "x-mine": "kept", "traceparent": validTrace,
		"ensue-dead-id": letter.ID(), "ensue-segment": "lobby/42",
		"ensue-error-code": "decode.no_video", "ensue-error-stage": "decode", "ensue-error-message": `no video stream in "payload"`,
		"ensue-error-attempts": "2", "ensue-error-permanent": "true",
		"ensue-origin-topic": "video.segments", "ensue-origin-partition": "3", "ensue-origin-offset": "7",
	}, values(out))
	require.Len(t, letter.Record.Headers, 2, "the letter itself is untouched")
}

func TestDeadLetterOfAFile(t *testing.T) {
	out := stream.RecordFromDeadLetter(fileLetter())
	require.Equal(t, "clip", string(out.Key))
	require.Empty(t, out.Value)
	got := values(out)
	require.Equal(t, "/data/clip.mp4", got["ensue-origin-file"])
	require.Equal(t, "false", got["ensue-error-permanent"])
	require.NotContains(t, got, "ensue-origin-topic")
}

func TestDeadLetterReplaysAsTheRecordItWas(t *testing.T) {
	letter := kafkaLetter()
	want := stream.SegmentFromRecord(letter.Record)
	again := stream.RecordFromDeadLetter(letter)
	again.Topic, again.Partition, again.Offset = letter.Record.Topic, letter.Record.Partition, letter.Record.Offset
	got := stream.SegmentFromRecord(again)
	require.NoError(t, got.Problem)
	got.Traceparent = want.Traceparent
	require.Equal(t, normal(want), normal(got))
}

func TestDeadLetterKeepsNoKeyAndNoValue(t *testing.T) {
	letter := kafkaLetter()
	letter.Record.Key, letter.Record.Value = nil, nil
	out := stream.RecordFromDeadLetter(letter)
	require.Nil(t, out.Key)
	require.Nil(t, out.Value)
}

func TestDeadLetterIDTellsReplaysApart(t *testing.T) {
	one, again := kafkaLetter(), kafkaLetter()
	again.Attempts, again.Failure = 9, stream.Fail("decode", "decode.no_video", "in other words")
	require.Equal(t, one.ID(), again.ID())
	require.Len(t, one.ID(), 32)
	again.Origin.Offset++
	require.NotEqual(t, one.ID(), again.ID())
	require.NotEqual(t, one.ID(), fileLetter().ID())
}

func TestTruncatedDeadLetterStillTells(t *testing.T) {
	letter := kafkaLetter()
	digest := sha256.Sum256(letter.Record.Value)
	for _, bare := range []bool{false, true} {
		out := stream.TruncatedRecordFromDeadLetter(letter, bare)
		require.NotNil(t, out.Value, "nil would be a tombstone")
		require.Empty(t, out.Value)
		got := values(out)
		require.Equal(t, "true", got["ensue-truncated"])
		require.Equal(t, "7", got["ensue-payload-bytes"])
		require.Equal(t, hex.EncodeToString(digest[:]), got["ensue-payload-sha256"])
		require.Equal(t, "decode.no_video", got["ensue-error-code"])
		require.Equal(t, letter.ID(), got["ensue-dead-id"])
		require.Equal(t, !bare, got["x-mine"] == "kept")
		require.Equal(t, "lobby", string(out.Key))
	}
	require.Equal(t, "payload", string(letter.Record.Value), "the letter itself is untouched")
}

func TestDeadLetterMessageIsShortAndValid(t *testing.T) {
	for name, text := range map[string]string{
		"long": strings.Repeat("ü", 5000), "odd length": "a" + strings.Repeat("ü", 5000), "broken": "in \xff\xfe out",
	} {
		t.Run(name, func(t *testing.T) {
			letter := kafkaLetter()
			letter.Failure = &stream.Failure{Code: "decode.x", Stage: "decode", Err: errors.New(text)}
			message := values(stream.RecordFromDeadLetter(letter))["ensue-error-message"]
			require.True(t, utf8.ValidString(message))
			require.LessOrEqual(t, len(message), 2100)
		})
	}
}

func TestDeadLetterJSONHasNoPayload(t *testing.T) {
	digest := sha256.Sum256([]byte("payload"))
	data, err := json.Marshal(kafkaLetter())
	require.NoError(t, err)
	require.JSONEq(t, `{
		"id": "`+kafkaLetter().ID()+`", "segment": "lobby/42", "stream": "lobby", "sequence": 42,
		"error": {"code": "decode.no_video", "stage": "decode", "message": "no video stream in \"payload\"", "permanent": true},
		"attempts": 2, "origin": {"topic": "video.segments", "partition": 3, "offset": 7},
		"payload": {"bytes": 7, "sha256": "`+hex.EncodeToString(digest[:])+`"},
		"record_time": "2026-11-23T17:55:00Z", "traceparent": "`+validTrace+`"}`, string(data))

	data, err = json.Marshal(fileLetter())
	require.NoError(t, err)
	require.JSONEq(t, `{
		"id": "`+fileLetter().ID()+`", "segment": "clip/1", "stream": "clip", "sequence": 1,
		"error": {"code": "decode.timeout", "stage": "decode", "message": "took longer than 20s", "permanent": false},
		"attempts": 1, "origin": {"file": "/data/clip.mp4"}, "payload": {"bytes": 0}}`, string(data))
}

func TestDeadLetterWithoutFailureIsStillTold(t *testing.T) {
	letter := kafkaLetter()
	letter.Failure = nil
	require.Equal(t, "sink.internal", values(stream.RecordFromDeadLetter(letter))["ensue-error-code"])
	_, err := json.Marshal(letter)
	require.NoError(t, err)
}

func TestOffsetZeroIsToldInJSON(t *testing.T) {
	letter := kafkaLetter()
	letter.Origin.Offset, letter.Origin.Partition, letter.Record.Time = 0, 0, time.Time{}
	data, err := json.Marshal(letter)
	require.NoError(t, err)
	require.Contains(t, string(data), `"origin":{"topic":"video.segments","partition":0,"offset":0}`)
	require.NotContains(t, string(data), "record_time")
}
