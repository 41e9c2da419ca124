package encoder

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestEveryNameInTheTableMakesAnEncoderOfThatName(t *testing.T) {
	require.Contains(t, Names(), DefaultModel)
	for _, name := range Names() {
		encoder, err := New(Config{Model: name})
		require.NoError(t, err)
		info := encoder.Info()
		require.Equal(t, name, info.Name)
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, info.Digest)
		require.Positive(t, min(info.Width, info.Height, info.GridHeight, info.GridWidth, info.Dim, info.FramesPerStep))
	}
	encoder, err := New(Config{})
	require.NoError(t, err)
	require.Equal(t, DefaultModel, encoder.Info().Name)
}

func TestAnUnknownNameComesBackWithWhatWasMeant(t *testing.T) {
	tests := []struct{ name, suggestion string }{
		{"pixel", "pixels"},
		{"pixles", "pixels"},
		{"PIXELS", "pixels"},
		{"vjepa", ""},
	}
	for _, test := range tests {
		_, err := New(Config{Model: test.name})
		failure := stream.AsFailure(err, "")
		require.Equal(t, stream.Code("encode.unknown_model"), failure.Code)
		require.True(t, failure.Permanent)
		var unknown *UnknownModel
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, UnknownModel{Key: "encoder.model", Name: test.name, Known: Names()}, *unknown)
		require.Equal(t, test.suggestion, unknown.Suggestion())
		require.ErrorContains(t, err, `encoder.model: there is no model "`+test.name+`"`)
	}
}

func TestDigestsTellModelsApart(t *testing.T) {
	digests := map[string]bool{}
	for _, digest := range []string{
		Digest("a", "1"), Digest("a", "2"), Digest("b", "1"), Digest("a1", ""), Digest("a", "1", ""), Digest("a", "1", "x", "y"),
		Digest("a", "1", "xy"), Digest("a", "1", "x", "y", ""),
	} {
		require.False(t, digests[digest])
		digests[digest] = true
	}
	first, second := Digest("a", "1", "x"), Digest("a", "1", "x")
	require.Equal(t, first, second)
}
