package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/stream"
)

// A process is killed and another takes its streams over: with `state` its verdicts and p-values are those of a replay that ran through.

func TestVerdictsSurviveAKillOnTheEmbeddedBroker(t *testing.T) {
	killedAndTakenOver(t, embedded(t))
}

func TestVerdictsSurviveAKillOnApacheKafka(t *testing.T) {
	killedAndTakenOver(t, apachekafka.Start(t).Addr())
}

// killedAndTakenOver kills a pipeline twice in mid-stream, and once while another member takes part, whose partitions move.
func killedAndTakenOver(t *testing.T, addr string) {
	t.Helper()
	replayed := replay(t, samples())
	topics(t, addr)
	// The calibration of the stock replay, which the results are held against.
	text := textOf(t, definition(t, addr, "state: {topic: video.state}"))
	path := write(t, "test.yaml", strings.Replace(text, "warmup: 5s", "warmup: 8s", 1))
	publisher := start(t, append([]string{"publish", "--brokers", addr, "--pace", "x6"}, samples()...)...)
	var last *process
	for _, after := range []int{len(replayed) / 4, len(replayed) / 2, 3 * len(replayed) / 4} {
		pipeline := start(t, "run", path)
		if last != nil {
			require.NoError(t, last.Process.Kill()) // with two members the partitions of one move to the other
			require.Equal(t, -1, last.end(t))
		}
		tailed(t, addr, after, pipeline)
		last = pipeline
	}
	published := tailed(t, addr, len(replayed), last)
	require.Zero(t, publisher.end(t), publisher.err.String())
	require.NoError(t, last.Process.Signal(syscall.SIGTERM))
	require.Zero(t, last.end(t), last.err.String())
	require.Len(t, published, len(replayed))
	judged := 0
	for id, want := range replayed {
		got, ok := published[id]
		require.True(t, ok, "the result on %s is missing", want.Y.Segment)
		want.Latency, got.Latency = stream.Latency{}, stream.Latency{}
		require.Equal(t, want, got, want.Y.Segment)
		if want.PValue != nil {
			judged++
		}
	}
	require.Greater(t, judged, len(replayed)/2)
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
