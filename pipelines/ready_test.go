package pipelines

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
)

const readyToken = "a-token-for-these-tests"

// serving runs a pipeline on a broker of its own with `serve` until the test ends.
func serving(t *testing.T, more string) (*Engine, *broker.Embedded) {
	t.Helper()
	embedded, err := broker.StartEmbedded(t.Context(), broker.Options{})
	require.NoError(t, err)
	t.Cleanup(embedded.Close)
	require.NoError(t, broker.CreateTopics(t.Context(), embedded.Addrs(), []broker.Topic{
		{Name: "in", Partitions: 1}, {Name: "out", Partitions: 1}, {Name: "dead", Partitions: 1},
	}))
	def, findings := Parse("test", fmt.Appendf(nil, `
version: 1
name: lobby
ingest: {kafka: {brokers: ["%s"], topic: in}}
sink: {kafka: {topic: out}, dead_letter: {kafka: {topic: dead}}}
serve: {address: "127.0.0.1:0", token: %s%s}
`, embedded.Addrs()[0], readyToken, more), nil)
	require.NotNil(t, def, "%v", findings)
	engine, err := New(def, WithVersion("v1.2.3"))
	require.NoError(t, err)
	return engine, embedded
}

// start runs the engine until the test ends, or stop is called.
func start(t *testing.T, engine *Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			require.NoError(t, <-ended)
		}
		stopped = true
	}
	t.Cleanup(stop)
	require.Eventually(t, func() bool { return engine.phase.Load() == phaseRunning }, 20*time.Second, 10*time.Millisecond)
	return stop
}

// get asks the engine's listener, with the token or without.
func get(t *testing.T, engine *Engine, path, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, engine.Page().URL()+path, nil)
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(data)
}

func TestReadyNamesEveryDependency(t *testing.T) {
	engine, embedded := serving(t, "")
	for _, check := range engine.Ready(t.Context()) {
		require.Equal(t, check.Name != "pipeline", check.OK, "%v: it has not started", check)
	}
	stop := start(t, engine)

	status, body := get(t, engine, "readyz", readyToken)
	require.Equal(t, http.StatusOK, status, body)
	var ready readyData
	require.NoError(t, json.Unmarshal([]byte(body), &ready))
	require.Equal(t, "lobby", ready.Pipeline)
	var names []string
	for _, check := range ready.Dependencies {
		require.NotEmpty(t, check.Detail)
		names = append(names, check.Name)
	}
	require.Equal(t, []string{
		"pipeline", "model", fmt.Sprintf("brokers %v", embedded.Addrs()[:1]), "topic in", "topic out", "topic dead", "sinks",
	}, names)

	// A write that takes too long, and a broker that is gone.
	engine.meter.writing.Store(time.Now().Add(-time.Minute).UnixNano())
	status, body = get(t, engine, "readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, `{"name":"sinks","ok":false}`, "without the token nobody is told why")
	engine.meter.writing.Store(0)
	embedded.Close()
	engine.readiness.mu.Lock()
	engine.readiness.at = time.Time{}
	engine.readiness.mu.Unlock()
	status, body = get(t, engine, "readyz", readyToken)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NoError(t, json.Unmarshal([]byte(body), &ready))
	require.False(t, ready.Ready)
	require.False(t, ready.Dependencies[2].OK, body)
	require.NotEmpty(t, ready.Dependencies[2].Detail)
	stop()
	require.Equal(t, "stopped", engine.Ready(t.Context())[0].Detail)
}

func TestWhatNeedsTheToken(t *testing.T) {
	engine, _ := serving(t, "")
	start(t, engine)
	for path, want := range map[string][2]int{
		"healthz": {200, 200}, "readyz": {200, 200}, "metrics": {401, 200}, "version": {401, 200}, "debug/pprof/": {401, 404},
	} {
		status, _ := get(t, engine, path, "")
		require.Equal(t, want[0], status, path)
		status, _ = get(t, engine, path, readyToken)
		require.Equal(t, want[1], status, path)
	}
	_, body := get(t, engine, "version", readyToken)
	require.Contains(t, body, `"version":"v1.2.3"`)
	_, body = get(t, engine, "metrics", readyToken)
	require.Contains(t, body, `ensue_build_info{commit="`)
	require.Contains(t, body, `ensue_queue_segments{pipeline="lobby",stage="decode"}`)
}

func TestProfilesAreServedWhereTheDefinitionWantsThem(t *testing.T) {
	engine, _ := serving(t, ", pprof: true")
	start(t, engine)
	for _, path := range []string{"debug/pprof/", "debug/pprof/goroutine", "debug/pprof/cmdline"} {
		status, _ := get(t, engine, path, "")
		require.Equal(t, http.StatusUnauthorized, status, path)
		status, body := get(t, engine, path, readyToken)
		require.Equal(t, http.StatusOK, status, path)
		require.NotEmpty(t, body)
	}
}
