package pipelines

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/sink"
)

// TestWhatAReceiverRefusesBecomesADeadLetterAndTheOthersGoOn refuses the third result of a recording.
func TestWhatAReceiverRefusesBecomesADeadLetterAndTheOthersGoOn(t *testing.T) {
	var requests atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 3 {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	defer receiver.Close()
	folder := t.TempDir()
	def := stockReplay(t, sample("garden"))
	hook, table := sink.DefaultWebhook(), sink.DefaultParquet()
	hook.URL, hook.Verdicts, table.Path = receiver.URL, sink.Verdicts(), filepath.Join(folder, "tables")
	dead := filepath.Join(folder, "dead.jsonl")
	def.Sink = sink.Config{Webhook: &hook, Parquet: &table, DeadLetter: sink.DeadLetterConfig{JSONL: &sink.JSONLConfig{Path: dead}}}
	engine, err := New(def)
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	want := len(runs(t, stockReplay(t, sample("garden"))).results)

	require.Equal(t, int64(want-1), engine.Counts().Results.Load())
	require.Equal(t, int64(1), engine.Counts().Dead.Load())
	letters, err := os.ReadFile(dead)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(letters, []byte("\n")))
	require.Contains(t, string(letters), `"sink.rejected"`)
	paths, err := resultfile.Expand([]string{table.Path})
	require.NoError(t, err)
	stored, err := resultfile.OpenAll(paths)
	require.NoError(t, err)
	rows := 0
	for _, err := range stored {
		require.NoError(t, err)
		rows++
	}
	require.Equal(t, want, rows, "the other sink has them all")
}
