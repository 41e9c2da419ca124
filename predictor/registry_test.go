package predictor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

func TestEveryNameInTheTableMakesAPredictorOfThatName(t *testing.T) {
	require.Equal(t, []string{"flow", "linear", "persistence"}, Names())
	digests := map[string]bool{}
	for _, name := range Names() {
		predictor, err := New(Config{Model: name}, encoder.NewPixels())
		require.NoError(t, err)
		require.Equal(t, name, predictor.Info().Name)
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, predictor.Info().Digest)
		digests[predictor.Info().Digest] = true
	}
	require.Len(t, digests, len(Names()))
	predictor, err := New(Config{}, encoder.NewPixels())
	require.NoError(t, err)
	require.Equal(t, DefaultModel, predictor.Info().Name)
}

func TestAnUnknownNameComesBackWithWhatWasMeant(t *testing.T) {
	_, err := New(Config{Model: "persistance"}, encoder.NewPixels())
	failure := stream.AsFailure(err, "")
	require.Equal(t, stream.Code("predict.unknown_model"), failure.Code)
	require.True(t, failure.Permanent)
	var unknown *encoder.UnknownModel
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "predictor.model", unknown.Key)
	require.Equal(t, "persistence", unknown.Suggestion())
}

func TestTheModelNamesAllThatDeterminesEnergiesAndNothingElse(t *testing.T) {
	enc, pred := encoder.Info{Name: "pixels", Digest: "a"}, Info{Name: "linear", Digest: "b"}
	base := Model(enc, pred, 8, Config{})
	require.Regexp(t, `^pixels\+linear@sha256:[0-9a-f]{64}$`, base)
	require.Equal(t, base, Model(enc, pred, 8, Config{}.Default()))
	require.Equal(t, base, Model(enc, pred, 8, Config{Map: true, Calibrate: CalibrateConfig{Warmup: 1, History: 99, FalseAlarmsPerDay: 5}}))

	others := []string{
		Model(encoder.Info{Name: "pixels", Digest: "x"}, pred, 8, Config{}),
		Model(enc, Info{Name: "linear", Digest: "x"}, 8, Config{}),
		Model(enc, pred, 7.5, Config{}),
		Model(enc, pred, 8, Config{Context: time.Second}),
		Model(enc, pred, 8, Config{Horizons: []time.Duration{time.Second}}),
	}
	for i, other := range others {
		require.NotEqual(t, base, other, "%d", i)
	}
}
