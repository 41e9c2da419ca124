package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// listed is what `ensue dead list` says of the topic of a broker.
func listedDead(t *testing.T, addr string, flags ...string) deadTable {
	t.Helper()
	said, got := envelopeOf(t, append([]string{"dead", "list", "--brokers", addr}, flags...)...)
	require.Zero(t, got.code, got.err)
	var table deadTable
	data, err := json.Marshal(said.Data)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &table))
	return table
}

// The pipeline had a limit that was too low: everything died. With the limit mended the letters are sent again and scored.
func TestDeadLettersThatAreSentAgainAreScored(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	require.Zero(t, ensue(t, "publish", "--brokers", addr, samples()[0]).code)
	path := definition(t, addr)
	tight := write(t, "tight.yaml", strings.Replace(textOf(t, path), "limits: {", "limits: {bytes: 2KiB, ", 1))
	strict := start(t, "run", tight)
	count := len(replay(t, samples()[:1]))
	require.Eventually(t, func() bool { return len(listedDead(t, addr).Letters) == count }, patience, patience/100, strict.err.String())
	require.NoError(t, strict.Process.Signal(syscall.SIGTERM))
	require.Zero(t, strict.end(t), strict.err.String())

	table := listedDead(t, addr)
	require.Equal(t, map[string]int{"decode.too_large": count}, table.Codes)
	first := table.Letters[0]
	require.Equal(t, "shelf/0", first.Segment)
	require.Equal(t, 1, first.Attempts)
	require.Contains(t, first.Message, "decode.limits.bytes")
	require.Regexp(t, `^video\.segments\[\d\]@0$`, first.Origin)

	shown := ensue(t, "dead", "show", "--brokers", addr, first.ID[:10], "--payload", filepath.Join(t.TempDir(), "shelf.mp4"))
	require.Zero(t, shown.code, shown.err)
	require.Regexp(t, `(?m)^code +decode\.too_large$`, shown.out)
	require.Regexp(t, `(?m)^header +ensue-sequence: 0$`, shown.out)

	require.Equal(t, exitInput, ensue(t, "dead", "retry", "--brokers", addr).code, "nobody sends everything by mistake")
	dry := ensue(t, "dead", "retry", "--brokers", addr, "--all", "--dry-run")
	require.Contains(t, dry.out, fmt.Sprintf("%d dead letters would be sent again", count))
	require.Zero(t, listedDead(t, addr).Retried)
	sent := ensue(t, "dead", "retry", "--brokers", addr, "--code", "decode.too_large")
	require.Zero(t, sent.code, sent.err)
	require.Contains(t, sent.out, fmt.Sprintf("%d dead letters sent again, 0 failed", count))
	require.Equal(t, count, listedDead(t, addr).Retried)
	require.Empty(t, listedDead(t, addr, "--fresh").Letters)
	again := ensue(t, "dead", "retry", "--brokers", addr, first.ID)
	require.Equal(t, exitInput, again.code)
	require.Contains(t, again.err, "--again")

	mended := start(t, "run", path)
	for _, result := range tailed(t, addr, count, mended) {
		require.Equal(t, "shelf", result.Stream)
		require.NotEqual(t, stream.Breaks, result.Verdict, "each is scored by itself")
	}
	require.NoError(t, mended.Process.Signal(syscall.SIGTERM))
	require.Zero(t, mended.end(t), mended.err.String())
	require.Len(t, listedDead(t, addr).Letters, count, "none died again")
}

func TestADeadLetterThatIsNotThereIsTold(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	require.Contains(t, ensue(t, "dead", "list", "--brokers", addr).out, "no dead letters")
	for _, c := range []struct {
		args []string
		exit int
		code string
	}{
		{[]string{"dead", "show", "--brokers", addr, "c1b1"}, exitInput, "dead.no_such_letter"},
		{[]string{"dead", "retry", "--brokers", addr, "c1b1"}, exitInput, "dead.no_such_letter"},
		{[]string{"dead", "list", "--brokers", addr, "--topic", "video.nowhere"}, exitEnvironment, "dead.topic_missing"},
		{[]string{"dead", "list", "--brokers", "127.0.0.1:1"}, exitEnvironment, "dead.broker_unreachable"},
		{[]string{"dead", "list", "--file", "/nowhere/dead.jsonl"}, exitInput, "dead.no_such_file"},
	} {
		said, got := envelopeOf(t, c.args...)
		require.Equal(t, c.exit, got.code, strings.Join(c.args, " "))
		require.Equal(t, c.code, said.Error.Code)
	}
}

func TestAPipelineWhereEverythingFailsEndsWithAnErrorThatSaysWhatToDo(t *testing.T) {
	addr := embedded(t)
	topics(t, addr)
	poison(t, addr)
	said, got := envelopeOf(t, "run", definition(t, addr, "breaker: {failed: 3, of: 5}"))
	require.Equal(t, exitRuntime, got.code)
	require.Equal(t, "breaker.open", said.Error.Code)
	require.Contains(t, said.Error.Message, "ensue dead retry")
	require.GreaterOrEqual(t, len(listedDead(t, addr).Letters), 3)
}
