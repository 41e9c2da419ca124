package pipelines

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/otlp"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tracing"
)

const senderTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

// traced are segments whose sender began a trace, the third of them no video.
func traced(t *testing.T) []*stream.Segment {
	t.Helper()
	segments := segmentsFrom(t, sample("yard"))[:5]
	for _, segment := range segments {
		segment.Traceparent = "00-" + senderTrace + "-00f067aa0ba902b7-01"
	}
	segments[2].Payload = []byte("this is no video")
	return segments
}

func TestEverySegmentIsATraceAndResultsAndDeadLettersCarryItOn(t *testing.T) {
	collector := otlp.Start(t)
	def := stockReplay(t, "unused")
	def.Traces = &tracing.Config{OTLP: collector.URL}
	got := runs(t, def, WithSource(listed(traced(t))))

	stages, roots := map[string][]string{}, map[string]otlp.Span{} // by the id of the segment's span
	for _, span := range collector.Spans() {
		require.Equal(t, senderTrace, span.Trace)
		require.False(t, span.End.Before(span.Start))
		if span.Name == "segment" {
			require.Equal(t, "00f067aa0ba902b7", span.Parent)
			roots["00-"+senderTrace+"-"+span.ID+"-01"] = span
			continue
		}
		stages[span.Parent] = append(stages[span.Parent], span.Name)
	}
	require.Len(t, roots, 5)
	require.Len(t, got.results, 4)
	for _, result := range got.results {
		root := roots[result.Traceparent]
		require.Equal(t, result.Y.Segment, root.Attributes["ensue.segment"])
		require.Equal(t, string(result.Verdict), root.Attributes["ensue.verdict"])
		require.Equal(t, []string{"decode", "encode", "predict", "sink"}, stages[root.ID])
	}
	require.Len(t, got.letters, 1)
	root := roots[got.letters[0].Traceparent]
	require.True(t, root.Failed)
	require.Equal(t, string(got.letters[0].Failure.Code), root.Attributes["error.type"])
	require.Equal(t, []string{"decode", "sink"}, stages[root.ID])
}

func TestWithoutTracesATraceparentPassesThrough(t *testing.T) {
	segments := traced(t)
	got := runs(t, stockReplay(t, "unused"), WithSource(listed(segments)))
	for _, result := range got.results {
		require.Equal(t, segments[0].Traceparent, result.Traceparent)
		record, err := stream.RecordFromResult(result, stream.EncodingJSON)
		require.NoError(t, err)
		back, err := stream.ResultFromRecord(record)
		require.NoError(t, err)
		require.Equal(t, result, back)
	}
	require.Equal(t, segments[0].Traceparent, got.letters[0].Traceparent)
}
