package main

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/stream"
)

// world is a run that went well, to be disturbed: two streams, the second of them with poison and a hole.
type world struct{ sent, results, letters []*kgo.Record }

func good(t *testing.T) world {
	t.Helper()
	var w world
	send := func(name string, sequence int, poison string) {
		record := &kgo.Record{Topic: "in", Key: []byte(name), Offset: int64(len(w.sent)), Value: []byte("video")}
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: "ensue-sequence", Value: []byte(strconv.Itoa(sequence))})
		if poison != "" {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: headerPoison, Value: []byte(poison)})
		}
		w.sent = append(w.sent, record)
	}
	for i := range 5 {
		send("a", i, "")
	}
	for _, i := range []int{0, 1, 2, 3, 5} {
		send("b", i, map[int]string{2: "decode.not_video"}[i])
	}
	for _, pair := range [][3]string{
		{"a", "a/0", "a/0"},
		{"a", "a/0", "a/1"},
		{"a", "a/1", "a/2"},
		{"a", "a/2", "a/3"},
		{"a", "a/3", "a/4"},
		{"b", "b/0", "b/0"},
		{"b", "b/0", "b/1"},
		{"b", "b/3", "b/3"},
		{"b", "b/5", "b/5"},
	} {
		w.result(t, pair[0], pair[1], pair[2], 0.5)
	}
	// The letter is made by the program itself, so that the checker's idea of it is compared with what there really is.
	letter := &stream.DeadLetter{
		Segment: stream.SegmentID{Stream: "b", Sequence: 2}, Origin: stream.Origin{Topic: "in", Offset: 7}, Attempts: 1,
		Failure: stream.Fail("decode", "decode.not_video", "no video"), Record: stream.Record{Key: []byte("b"), Value: []byte("video")},
	}
	w.letters = append(w.letters, plain(stream.RecordFromDeadLetter(letter)))
	return w
}

// result adds a result as the program writes it.
func (w *world) result(t *testing.T, name, x, y string, energy float64) {
	t.Helper()
	at := time.Unix(0, 0)
	record, err := stream.RecordFromResult(&stream.Result{
		ID: stream.ResultID(name, x, y, "m"), Stream: name, Verdict: stream.WarmingUp, Energy: &energy, Model: "m",
		X: &stream.Extent{Segment: x, Start: at, End: at}, Y: stream.Extent{Segment: y, Start: at, End: at},
		Latency: stream.Latency{Queue: float64(len(w.results))},
	}, stream.EncodingJSON)
	require.NoError(t, err)
	out := plain(record)
	out.Offset = int64(len(w.results))
	w.results = append(w.results, out)
}

func plain(record stream.Record) *kgo.Record {
	out := &kgo.Record{Key: record.Key, Value: record.Value}
	for _, header := range record.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	return out
}

func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	whole := Count{Expected: 9}
	one := Count{Expected: 1}
	for name, test := range map[string]struct {
		disturb func(*world)
		results func(*Count)
		letters func(*Count)
		least   bool // still good for at least once
	}{
		"nothing":      {disturb: func(*world) {}, least: true},
		"a loss":       {disturb: func(w *world) { w.results = slices.Delete(w.results, 2, 3) }, results: func(c *Count) { c.Missing = 1 }},
		"a repetition": {disturb: func(w *world) { w.result(t, "a", "a/3", "a/4", 0.5) }, results: func(c *Count) { c.Repeats = 1 }, least: true},
		"a conflict": {
			disturb: func(w *world) { w.result(t, "a", "a/3", "a/4", 0.6) }, results: func(c *Count) { c.Repeats, c.Conflicts = 1, 1 },
		},
		"another past": {
			disturb: func(w *world) { w.results = slices.Delete(w.results, 4, 5); w.result(t, "a", "a/4", "a/4", 0.5) },
			results: func(c *Count) { c.Missing, c.Unexpected = 1, 1 },
		},
		"disorder": {
			disturb: func(w *world) { w.results[2], w.results[3] = w.results[3], w.results[2] }, results: func(c *Count) { c.OutOfOrder = 1 },
		},
		"a repetition of earlier ones": {
			disturb: func(w *world) {
				for i := range 4 {
					w.result(t, "a", fmt.Sprintf("a/%d", i), fmt.Sprintf("a/%d", i+1), 0.5)
				}
			},
			results: func(c *Count) { c.Repeats = 4 }, least: true,
		},
		"two partitions": {disturb: func(w *world) { w.results[4].Partition = 1 }, results: func(c *Count) { c.Strayed = 1 }},
		"another id in the header": {
			disturb: func(w *world) { w.results[4].Headers[1].Value = []byte("x") }, results: func(c *Count) { c.Wrong, c.Missing = 1, 1 },
		},
		"a lost letter": {disturb: func(w *world) { w.letters = nil }, letters: func(c *Count) { c.Missing = 1 }},
		"a repeated letter": {
			disturb: func(w *world) { w.letters = append(w.letters, w.letters[0]) },
			letters: func(c *Count) { c.Repeats = 1 }, least: true,
		},
		"a letter too many": {
			disturb: func(w *world) { w.sent[7].Headers = w.sent[7].Headers[:1] },
			results: func(c *Count) { *c = Count{Expected: 10, Missing: 2, Unexpected: 1} },
			letters: func(c *Count) { *c = Count{Unexpected: 1} },
		},
		"another code": {
			disturb: func(w *world) { w.sent[7].Headers[1].Value = []byte("decode.corrupt") },
			letters: func(c *Count) { c.Wrong = 1 },
		},
		"another payload": {disturb: func(w *world) { w.letters[0].Value = []byte("half") }, letters: func(c *Count) { c.Wrong = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			w := good(t)
			test.disturb(&w)
			wantResults, wantLetters := whole, one
			if test.results != nil {
				test.results(&wantResults)
			}
			if test.letters != nil {
				test.letters(&wantLetters)
			}
			verdict := check(w.sent, w.results, w.letters)
			require.Equal(t, wantResults, verdict.Results, verdict.Examples)
			require.Equal(t, wantLetters, verdict.DeadLetters, verdict.Examples)
			require.Equal(t, test.least, verdict.OK(false))
			require.Equal(t, test.least && wantResults.Repeats == 0, verdict.OK(true))
		})
	}
}

func TestThePlanFollowsFromTheSeed(t *testing.T) {
	first, again, other := makePlan(1, 20*time.Minute, true), makePlan(1, 20*time.Minute, true), makePlan(2, 20*time.Minute, true)
	require.Equal(t, first, again)
	require.NotEqual(t, first, other)
	count := map[kind]int{}
	for i, e := range first {
		count[e.kind]++
		require.Less(t, e.at, 20*time.Minute)
		require.True(t, i == 0 || e.at >= first[i-1].at)
	}
	for _, k := range []kind{killMember, endMember, stopMember, joinMember, restartBroker, killBroker} {
		require.Positive(t, count[k], k)
	}
	for _, e := range makePlan(1, 20*time.Minute, false) {
		require.NotContains(t, []kind{restartBroker, killBroker}, e.kind)
	}
	churn := makeChurn(1, 5*time.Minute)
	require.Len(t, churn, 59)
	require.Equal(t, []kind{joinMember, leaveMember, joinMember}, []kind{churn[0].kind, churn[1].kind, churn[2].kind})
}

func TestFlagsAreRead(t *testing.T) {
	s, err := parse([]string{"--minutes", "2", "--poison", "5%", "--seed", "42", "--broker", "embedded"})
	require.NoError(t, err)
	require.InDelta(t, 0.05, s.poison, 1e-9)
	require.EqualValues(t, 42, s.seed)
	for _, wrong := range [][]string{
		{"--broker", "x"},
		{"--delivery", "x"},
		{"--minutes", "0"},
		{"--poison", "60%"},
		{"--poison", "x"},
		{"--sabotage", "x"},
		{"more"},
	} {
		require.Equal(t, 2, command(wrong), wrong)
	}
	require.Equal(t, 3, command([]string{"--ensue", "/nowhere", "--broker", "embedded"}))
}
