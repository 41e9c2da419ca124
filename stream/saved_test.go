package stream

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// segmentAt is a segment of the stream "cam" at an offset, taken a second after the one before it.
func segmentAt(offset, sequence int64) *Segment {
	at := time.Unix(1_700_000_000+offset, 0).UTC()
	return &Segment{
		Stream: "cam", Sequence: sequence, Sequenced: true, Origin: Origin{Topic: "video", Partition: 3, Offset: offset},
		Record: Record{Time: at}, Group: "ensue", Generation: 7, Epoch: time.Unix(1_700_000_000, 0).UTC(),
	}
}

// passed is what is known after these (offset, sequence), in the order of the stream.
func passed(pairs ...[2]int64) *Saved {
	s := NewSaved("cam", "model")
	for _, p := range pairs {
		s.Pass(segmentAt(p[0], p[1]))
	}
	return s
}

func TestWhatIsCoveredIsDoneWhateverTheOrderOfTheRecords(t *testing.T) {
	type places [][2]int64
	for name, test := range map[string]struct {
		done            places // in the order of the stream
		covered, beyond places
	}{
		"nothing":             {nil, nil, places{{0, 0}, {5, 5}}},
		"in order":            {places{{10, 1}, {12, 2}, {15, 3}}, places{{10, 1}, {12, 2}, {15, 3}, {9, 0}}, places{{16, 4}, {17, 2}}},
		"overtaken":           {places{{10, 1}, {13, 2}}, places{{10, 1}, {13, 2}}, places{{12, 3}, {14, 4}}},
		"counted anew":        {places{{10, 500}, {20, 0}}, places{{10, 500}, {9, 499}, {20, 0}}, places{{21, 1}, {19, 1}, {11, 501}}},
		"anew and overtaken":  {places{{10, 500}, {22, 0}}, places{{10, 500}, {22, 0}}, places{{21, 1}, {23, 2}}},
		"anew from unordered": {places{{10, 5}, {9, 6}, {20, 0}}, places{{9, 6}, {10, 5}, {20, 0}}, places{{11, 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := passed(test.done...)
			for _, at := range test.covered {
				require.True(t, s.Covers(segmentAt(at[0], at[1])), "offset %d, sequence %d", at[0], at[1])
			}
			for _, at := range test.beyond {
				require.False(t, s.Covers(segmentAt(at[0], at[1])), "offset %d, sequence %d", at[0], at[1])
			}
		})
	}
}

func TestWhatCameLaterOrElsewhereIsNotCovered(t *testing.T) {
	s := passed([2]int64{10, 1})
	for name, change := range map[string]func(*Segment){
		"a topic that was made anew": func(s *Segment) { s.Record.Time = s.Record.Time.Add(time.Hour) },
		"another topic":              func(s *Segment) { s.Origin.Topic = "other" },
		"another partition":          func(s *Segment) { s.Origin.Partition = 4 },
	} {
		again := segmentAt(10, 1)
		require.True(t, s.Covers(again))
		change(again)
		require.False(t, s.Covers(again), name)
	}
}

func TestALateSegmentSaysNothingAboutItsStream(t *testing.T) {
	s := passed([2]int64{10, 5})
	late := segmentAt(30, 2)
	late.Alone = true
	s.Pass(late)
	require.Equal(t, passed([2]int64{10, 5}), s)
}

func TestSavedComesBackBitForBit(t *testing.T) {
	s := passed([2]int64{10, 500}, [2]int64{20, 0}, [2]int64{21, 1})
	s.Result, s.Needed, s.From, s.End, s.Torn = "5ef8", 0, 123456789*time.Nanosecond, 7*time.Hour+1, true
	s.Calibration, s.Memory = []byte{1, 0, 255}, []byte{0, 0, 128, 63}
	for _, want := range []*Saved{s, NewSaved("cam", "model"), {Stream: "a/b\nc", Offset: 3, Since: -1, Ended: true}} {
		data, err := MarshalSaved(want)
		require.NoError(t, err)
		got, err := UnmarshalSaved(data)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, "ensue/video/cam", s.Key())
}

func TestWhatIsNoStateIsRefused(t *testing.T) {
	whole, err := MarshalSaved(passed([2]int64{10, 5}))
	require.NoError(t, err)
	for name, change := range map[string]func(map[string]any){
		"a later version":        func(m map[string]any) { m["version"] = 2 },
		"no version":             func(m map[string]any) { delete(m, "version") },
		"no stream":              func(m map[string]any) { m["stream"] = "" },
		"offsets out of order":   func(m map[string]any) { m["since"] = 11 },
		"an offset that is none": func(m map[string]any) { m["offset"] = -2 },
		"a calibration of text":  func(m map[string]any) { m["calibration"] = "§" },
	} {
		var fields map[string]any
		require.NoError(t, json.Unmarshal(whole, &fields))
		change(fields)
		data, err := json.Marshal(fields)
		require.NoError(t, err)
		_, err = UnmarshalSaved(data)
		require.Error(t, err, name)
		require.Equal(t, CodeUnreadableSaved, AsFailure(err, "ingest").Code)
	}
}

func FuzzUnmarshalSaved(f *testing.F) {
	whole, err := MarshalSaved(passed([2]int64{10, 5}))
	require.NoError(f, err)
	f.Add(whole)
	f.Add([]byte(`{"version":1,"stream":"x","offset":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		saved, err := UnmarshalSaved(data)
		if err != nil {
			return
		}
		again, err := MarshalSaved(saved)
		require.NoError(t, err)
		same, err := UnmarshalSaved(again)
		require.NoError(t, err)
		require.Equal(t, saved, same)
	})
}
