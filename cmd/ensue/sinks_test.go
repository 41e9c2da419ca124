package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/postgres"
	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/search"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// TestNothingIsLostInTablesAndWebhooksWhenRunIsKilled: tables have every result, each once, and so has a receiver that keeps one of an id.
func TestNothingIsLostInTablesAndWebhooksWhenRunIsKilled(t *testing.T) {
	var mutex sync.Mutex
	received := map[string]*stream.Result{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Data *stream.Result }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Data.ID != r.Header.Get("webhook-id") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mutex.Lock()
		defer mutex.Unlock()
		received[body.Data.ID] = body.Data
	}))
	defer receiver.Close()
	folder := filepath.Join(t.TempDir(), "tables")
	replayed := killInMidStream(t, embedded(t), nil, fmt.Sprintf("  parquet: {path: %q, size: 256KiB}\n"+
		"  webhook: {url: %q, verdicts: [breaks, stalls, continues, warming_up, unscored]}", folder, receiver.URL))

	paths, err := resultfile.Expand([]string{folder})
	require.NoError(t, err)
	require.NotEmpty(t, paths, "a journal of a killed process becomes a table")
	all, err := resultfile.OpenAll(paths)
	require.NoError(t, err)
	stored, rows := map[string]*stream.Result{}, 0
	for result, err := range all {
		require.NoError(t, err)
		stored[result.ID] = result
		rows++
	}
	requireSame(t, replayed, stored)
	t.Logf("%d rows of %d results in %d tables", rows, len(replayed), len(paths))
	mutex.Lock()
	defer mutex.Unlock()
	requireSame(t, replayed, received)
}

func TestNothingIsLostInPostgresWhenRunIsKilled(t *testing.T) {
	server := postgres.Start(t)
	replayed := killInMidStream(t, embedded(t), nil, fmt.Sprintf("  postgres: {url: %q}", server.URL()))
	store, err := search.OpenPostgres(t.Context(), server.URL(), sink.DefaultPostgresTable)
	require.NoError(t, err)
	defer store.Close(t.Context())
	streams, err := store.Streams(t.Context())
	require.NoError(t, err)
	rows := 0
	for _, known := range streams {
		rows += known.Results
	}
	require.Equal(t, len(replayed), rows, "a row a result")
	for _, result := range replayed {
		if len(result.Next) == 0 {
			continue
		}
		found, err := store.At(t.Context(), result.Stream, result.Y.Start.Add(result.Y.End.Sub(result.Y.Start)/2))
		require.NoError(t, err)
		require.Equal(t, result.ID, found.ID)
		want, err := resultfile.Embedding(result.Next[0])
		require.NoError(t, err)
		require.Equal(t, want, found.Vectors[0], "bit for bit")
	}
}
