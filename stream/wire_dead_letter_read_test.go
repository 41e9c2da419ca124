package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func diedLetter() *DeadLetter {
	return &DeadLetter{
		Segment: SegmentID{Stream: "lobby/2", Sequence: 42}, Origin: Origin{Topic: "video", Partition: 3, Offset: 7},
		Failure: FailTransient("decode", "decode.timeout", "took longer than 20s"), Attempts: 3, Traceparent: "00-1-2-3",
		Record: Record{
			Key: []byte("lobby/2"), Value: []byte("a video"),
			Headers: []Header{{"ensue-sequence", []byte("42")}, {"traceparent", []byte("00-1-2-3")}, {"mine", []byte("kept")}},
		},
	}
}

func TestALetterComesBackAsItWasTold(t *testing.T) {
	want := diedLetter()
	record := RecordFromDeadLetter(want)
	record.Topic, record.Partition, record.Offset, record.Time = "dead", 1, 99, time.Unix(5, 0)
	got, err := LetterFromRecord(record)
	require.NoError(t, err)
	require.Equal(t, want.ID(), got.ID)
	require.Equal(t, Origin{Topic: "dead", Partition: 1, Offset: 99}, got.Place)
	require.Equal(t, want.Record, got.Record, "the record as it was")
	require.Equal(t, want.Failure.Error(), got.Failure.Error())
	got.Failure = want.Failure
	require.Equal(t, *want, got.DeadLetter)
	require.False(t, got.Truncated)
}

func TestATruncatedLetterTellsItsPayload(t *testing.T) {
	got, err := LetterFromRecord(TruncatedRecordFromDeadLetter(diedLetter(), false))
	require.NoError(t, err)
	require.True(t, got.Truncated)
	require.Equal(t, len("a video"), got.Bytes)
	require.Len(t, got.SHA256, 64)
	require.Empty(t, got.Record.Value)
}

func TestARetriedLetterThatFailsAgainIsTheRecordAsItWas(t *testing.T) {
	first, err := LetterFromRecord(RecordFromDeadLetter(diedLetter()))
	require.NoError(t, err)
	sent := first.RetryOf()
	require.Equal(t, "video", sent.Topic)
	require.Equal(t, 3, sent.Partition)
	segment := SegmentFromRecord(sent)
	require.True(t, segment.Retried)
	require.EqualValues(t, 42, segment.Sequence)
	require.NoError(t, segment.Problem)

	again := diedLetter()
	again.Origin.Offset, again.Record = 120, sent
	second, err := LetterFromRecord(RecordFromDeadLetter(again))
	require.NoError(t, err)
	require.NotEqual(t, first.ID, second.ID)
	of, _ := second.Record.Get(HeaderRetryOf)
	require.Equal(t, first.ID, of, "the trail back to the first")
	require.Equal(t, diedLetter().Record.Value, second.Record.Value)
}

func TestWhatSaysThatALetterWasSentAgainIsNoLetter(t *testing.T) {
	letter, err := LetterFromRecord(RecordFromDeadLetter(diedLetter()))
	require.NoError(t, err)
	at := time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC)
	mark := letter.RetriedRecord(at)
	id, when, ok := RetriedFromRecord(mark)
	require.True(t, ok)
	require.Equal(t, letter.ID, id)
	require.Equal(t, at, when)
	_, err = LetterFromRecord(mark)
	require.Equal(t, CodeUnreadableLetter, AsFailure(err, "sink").Code)
	_, _, ok = RetriedFromRecord(RecordFromDeadLetter(diedLetter()))
	require.False(t, ok)
}

func FuzzLetterFromRecord(f *testing.F) {
	f.Add("c1b1", "decode.timeout", "lobby/42", "3", "true")
	f.Fuzz(func(t *testing.T, id, code, segment, attempts, permanent string) {
		record := Record{Headers: []Header{
			{HeaderDeadID, []byte(id)},
			{HeaderErrorCode, []byte(code)},
			{HeaderSegment, []byte(segment)},
			{HeaderErrorAttempts, []byte(attempts)},
			{HeaderErrorPermanent, []byte(permanent)},
		}}
		letter, err := LetterFromRecord(record)
		if err == nil {
			require.NotEmpty(t, letter.ID)
			require.Empty(t, letter.Record.Headers)
		}
	})
}
