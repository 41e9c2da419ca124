package pipelines

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

func TestOpenTellsEveryFinding(t *testing.T) {
	def, err := Open("replay")
	require.NoError(t, err)
	require.Equal(t, "replay", def.Name)

	path := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(path, []byte("version: 1\nname: a\ningest: {kafka: {topik: x}}\nsink: {}\n"), 0o600))
	_, err = Open(path)
	var invalid *InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Greater(t, len(invalid.Findings), 1)
	require.ErrorContains(t, err, `did you mean "topic"?`)
	_, err = Open("nowhere.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestScoreIsWhatAPipelineSays takes two segments of a sample out of a pipeline, and scores them alone.
func TestScoreIsWhatAPipelineSays(t *testing.T) {
	var segments []*stream.Segment
	every := stockReplay(t).Ingest.Files.Segment
	require.NoError(t, ingest.SegmentsOf(t.Context(), sample("garden"), "garden", every, func(s *stream.Segment) error {
		segments = append(segments, s)
		return nil
	}))
	x, y := segments[0].Payload, segments[1].Payload
	want := runs(t, stockReplay(t, sample("garden"))).results[1]
	got, err := Score(t.Context(), stockReplay(t), x, y)
	require.NoError(t, err)
	require.Equal(t, *want.Energy, *got.Energy)
	require.Equal(t, want.Next, got.Next)

	_, err = Score(t.Context(), stockReplay(t), x, []byte("no video"))
	require.ErrorContains(t, err, "reading the video y: ")
	var failure *stream.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, stream.Code("decode.not_video"), failure.Code)
}
