package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ensue-video/ensue/stream"
)

// The limits of what waits for the collector (invariant 1).
const (
	maxWaiting = 4096
	sendEvery  = 2 * time.Second
	sendTime   = 5 * time.Second
	farewell   = 5 * time.Second
)

// About names the program and the pipeline.
type About struct{ Pipeline, Model, Version string }

// Tracer makes traces. A nil Tracer makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New makes a Tracer; it connects to nothing before there is something to send. Close frees it.
func New(config Config, about About, log *slog.Logger) (*Tracer, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("making the tracer: %w", err)
	}
	endpoint, _ := Endpoint(config.OTLP)
	headers := map[string]string{}
	if config.Token != "" {
		headers["Authorization"] = "Bearer " + config.Token
	}
	client, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithTimeout(sendTime), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("making the tracer: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&quiet{SpanExporter: client, log: log, to: endpoint},
			sdktrace.WithMaxQueueSize(maxWaiting), sdktrace.WithBatchTimeout(sendEvery), sdktrace.WithExportTimeout(2*sendTime)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "ensue"), attribute.String("service.namespace", about.Pipeline),
			attribute.String("service.version", about.Version), attribute.String("ensue.model", about.Model),
		)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/ensue-video/ensue")}, nil
}

// Close sends what waits, for a few seconds at most.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// Trail is the trace of one segment on its way. A nil Trail records nothing.
type Trail struct {
	tracer trace.Tracer
	span   trace.Span
	inside context.Context //nolint:containedctx // names the span that the stages' spans lie in
}

// Begin begins the trace of a segment that was taken in at a time; nil where it is not to be recorded.
func (t *Tracer) Begin(segment *stream.Segment, taken time.Time) *Trail {
	if t == nil || segment.ContextOnly || segment.Mark == stream.MarkForget {
		return nil
	}
	parent := context.Background()
	if segment.Traceparent != "" {
		parent = propagation.TraceContext{}.Extract(parent, propagation.MapCarrier{stream.HeaderTraceparent: segment.Traceparent})
	}
	inside, span := t.tracer.Start(parent, "segment", trace.WithTimestamp(taken), trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return nil
	}
	span.SetAttributes(attribute.String("ensue.stream", segment.Stream), attribute.String("ensue.segment", segment.ID().String()),
		attribute.Int("messaging.message.body.size", len(segment.Payload)))
	if origin := segment.Origin; origin.Topic != "" {
		span.SetAttributes(attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", origin.Topic),
			attribute.Int("messaging.destination.partition.id", origin.Partition), attribute.Int64("messaging.kafka.offset", origin.Offset))
	}
	return &Trail{tracer: t.tracer, span: span, inside: inside}
}

// Traceparent is what results and dead letters carry on; empty for a nil Trail.
func (t *Trail) Traceparent() string {
	if t == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(t.inside, carrier)
	return carrier[stream.HeaderTraceparent]
}

// Stage records one attempt of a stage, once it is over; failure may be nil.
func (t *Trail) Stage(name string, begin, end time.Time, failure error) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(t.inside, name, trace.WithTimestamp(begin))
	fail(span, failure)
	span.End(trace.WithTimestamp(end))
}

// End ends the trace once the result or the dead letter (either may be nil) is durable.
func (t *Trail) End(result *stream.Result, failure *stream.Failure) {
	if t == nil {
		return
	}
	if result != nil {
		t.span.SetAttributes(attribute.String("ensue.verdict", string(result.Verdict)), attribute.String("ensue.result", result.ID))
		if result.Energy != nil {
			t.span.SetAttributes(attribute.Float64("ensue.energy", *result.Energy))
		}
		if result.PValue != nil {
			t.span.SetAttributes(attribute.Float64("ensue.p_value", *result.PValue))
		}
	}
	if failure != nil {
		fail(t.span, failure)
	}
	t.span.End()
}

// fail marks a span; the code of the failure is its status.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	failure := stream.AsFailure(err, "pipeline")
	span.SetAttributes(attribute.String("error.type", string(failure.Code)))
	span.SetStatus(codes.Error, failure.Error())
}

// quiet is an exporter that logs an outage when it begins and when it ends, and tells nobody else: nothing waits for traces.
type quiet struct {
	sdktrace.SpanExporter
	log *slog.Logger
	to  string

	mu   sync.Mutex
	away bool
	lost int
}

// ExportSpans implements sdktrace.SpanExporter.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil:
		q.lost += len(spans)
		if !q.away {
			q.log.Warn("traces cannot be sent; they are left out until it works again", "to", q.to, "error", err)
		}
		q.away = true
	case q.away:
		q.log.Info("traces can be sent again", "to", q.to, "lost_spans", q.lost)
		q.away, q.lost = false, 0
	}
	return nil
}
