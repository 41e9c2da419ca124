package tracing

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/otlp"
	"github.com/ensue-video/ensue/stream"
)

const (
	sampled   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func tracer(t *testing.T, config Config) *Tracer {
	t.Helper()
	made, err := New(config, About{Pipeline: "lobby", Model: "pixels@1", Version: "v1"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return made
}

func TestATraceGoesOnWhereTheSenderBeganIt(t *testing.T) {
	collector := otlp.Start(t)
	tracer := tracer(t, Config{OTLP: collector.URL, Sample: 0, Token: "a-token-for-this-test"})
	taken := time.Unix(1000, 0)
	energy := 1.25
	origin := stream.Origin{Topic: "video", Offset: 9}
	trail := tracer.Begin(&stream.Segment{Stream: "cam", Sequence: 7, Traceparent: sampled, Origin: origin}, taken)
	require.NotNil(t, trail)
	trail.Stage("decode", taken.Add(time.Second), taken.Add(2*time.Second), nil)
	trail.Stage("encode", taken.Add(2*time.Second), taken.Add(3*time.Second), stream.Fail("encode", "encode.panic", "it broke"))
	out := trail.Traceparent()
	trail.End(&stream.Result{ID: "r", Verdict: stream.Breaks, Energy: &energy}, nil)
	require.NoError(t, tracer.Close(t.Context()))

	spans := map[string]otlp.Span{}
	for _, span := range collector.Spans() {
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", span.Trace)
		spans[span.Name] = span
	}
	require.Len(t, spans, 3)
	root := spans["segment"]
	require.Equal(t, "00f067aa0ba902b7", root.Parent)
	require.Equal(t, "00-"+root.Trace+"-"+root.ID+"-01", out)
	require.Equal(t, "cam/7", root.Attributes["ensue.segment"])
	require.Equal(t, "breaks", root.Attributes["ensue.verdict"])
	require.True(t, root.Start.Equal(taken))
	require.Equal(t, root.ID, spans["decode"].Parent)
	require.Equal(t, time.Second, spans["decode"].End.Sub(spans["decode"].Start))
	require.False(t, spans["decode"].Failed)
	require.True(t, spans["encode"].Failed)
	require.Equal(t, "encode.panic", spans["encode"].Attributes["error.type"])
	resource, bearer := collector.Resource()
	require.Equal(t, "ensue", resource["service.name"])
	require.Equal(t, "lobby", resource["service.namespace"])
	require.Equal(t, "Bearer a-token-for-this-test", bearer)
}

func TestWhatIsNotSampledIsNotRecorded(t *testing.T) {
	collector := otlp.Start(t)
	never, always := tracer(t, Config{OTLP: collector.URL, Sample: 0}), tracer(t, Config{OTLP: collector.URL, Sample: 1})
	require.Nil(t, never.Begin(&stream.Segment{Stream: "cam"}, time.Now()))
	require.Nil(t, always.Begin(&stream.Segment{Stream: "cam", Traceparent: unsampled}, time.Now()), "the sender decides")
	require.NotNil(t, never.Begin(&stream.Segment{Stream: "cam", Traceparent: sampled}, time.Now()), "the sender decides")
	require.Nil(t, always.Begin(&stream.Segment{Stream: "cam", ContextOnly: true}, time.Now()), "it was traced when it was scored")
	require.NotNil(t, always.Begin(&stream.Segment{Stream: "cam"}, time.Now()))
	require.Nil(t, (*Tracer)(nil).Begin(&stream.Segment{}, time.Now()))
	require.Empty(t, (*Trail)(nil).Traceparent())
	require.NoError(t, errors.Join(never.Close(t.Context()), always.Close(t.Context())))
}

// TestACollectorThatIsAwayHoldsNobodyUp: invariant 1.
func TestACollectorThatIsAwayHoldsNobodyUp(t *testing.T) {
	collector := otlp.Start(t)
	collector.Answer(http.StatusForbidden)
	var log bytes.Buffer
	tracer, err := New(Config{OTLP: collector.URL, Sample: 1}, About{}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	begin := time.Now()
	for range 3 * maxWaiting {
		trail := tracer.Begin(&stream.Segment{Stream: "cam"}, begin)
		trail.Stage("decode", begin, begin, nil)
		trail.End(nil, nil)
	}
	require.Less(t, time.Since(begin), 5*time.Second)
	require.NoError(t, tracer.Close(t.Context()))
	require.Equal(t, 1, strings.Count(log.String(), "traces cannot be sent"), "it is logged once")
	require.Empty(t, collector.Spans())
}

func TestTheConfigurationIsChecked(t *testing.T) {
	for address, want := range map[string]string{
		"http://localhost:4318": "http://localhost:4318/v1/traces", "https://x/": "https://x/v1/traces",
		"http://x/otlp/v1/traces": "http://x/otlp/v1/traces",
	} {
		got, err := Endpoint(address)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, address := range []string{"", "localhost:4318", "grpc://x:4317", "http://", "http://me:secret@x"} {
		failure := (*stream.Failure)(nil)
		require.ErrorAs(t, Config{OTLP: address}.Validate(), &failure)
		require.Equal(t, CodeConfig, failure.Code)
	}
	require.Error(t, Config{OTLP: "http://x", Sample: 1.5}.Validate())
}
