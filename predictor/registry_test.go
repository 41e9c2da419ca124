package predictor

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

// unlearned are the predictors that need no model, sorted.
func unlearned() []string { return slices.Sorted(maps.Keys(constructors)) }

func TestEveryNameInTheTableMakesAPredictorOfThatName(t *testing.T) {
	require.Equal(t, []string{"auto", "flow", "learned", "linear", "persistence"}, Names())
	digests := map[string]bool{}
	for name := range constructors {
		predictor, err := New(Config{Model: name}, encoder.NewPixels())
		require.NoError(t, err)
		require.Equal(t, name, predictor.Info().Name)
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, predictor.Info().Digest)
		require.NoError(t, Close(predictor))
		digests[predictor.Info().Digest] = true
	}
	require.Len(t, digests, len(constructors))
	predictor, err := New(Config{}, encoder.NewPixels())
	require.NoError(t, err)
	require.Equal(t, "persistence", predictor.Info().Name, "pixels comes without a predictor")
}

func TestALearnedPredictorNeedsAModelThatHasOne(t *testing.T) {
	_, err := New(Config{Model: Learned}, encoder.NewPixels())
	failure := stream.AsFailure(err, "")
	require.Equal(t, stream.Code("predict.bad_model"), failure.Code)
	require.True(t, failure.Permanent)
	require.EqualError(t, err, "predictor.model: learned: the encoder pixels comes without a predictor; choose another one")
}

func TestAutoIsTheModelsOwnPredictor(t *testing.T) {
	m, err := model.Open(fixture.Shared(t, "fixtures", "vjepa2_tiny"))
	require.NoError(t, err)
	defer m.Close()
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	defer device.Close()
	enc, err := encoder.New(encoder.Config{Model: m.Where()}, encoder.WithModel(m), encoder.WithDevice(device))
	require.NoError(t, err)
	defer func() { require.NoError(t, encoder.Close(enc)) }()
	predictor, err := New(Config{}, enc, WithModel(m), WithDevice(device))
	require.NoError(t, err)
	require.Equal(t, model.FamilyVJEPA2, predictor.Info().Name)
	require.NoError(t, Close(predictor))
	predictor, err = New(Config{Model: "linear"}, enc, WithModel(m), WithDevice(device))
	require.NoError(t, err)
	require.Equal(t, "linear", predictor.Info().Name)
	_, err = New(Config{}, encoder.NewPixels(), WithModel(m), WithDevice(device))
	require.ErrorContains(t, err, "the encoder pixels is not the one of "+m.Where())
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
	base := Model(enc, pred, 8, Config{}, EnergyInfo{})
	require.Regexp(t, `^pixels\+linear@sha256:[0-9a-f]{64}$`, base)
	require.Equal(t, base, Model(enc, pred, 8, Config{}.Default(), EnergyInfo{}))
	elsewhere := Config{Map: true, Calibrate: CalibrateConfig{Warmup: 1, History: 99, FalseAlarmsPerDay: 5}}
	require.Equal(t, base, Model(enc, pred, 8, elsewhere, EnergyInfo{}))

	others := []string{
		Model(encoder.Info{Name: "pixels", Digest: "x"}, pred, 8, Config{}, EnergyInfo{}),
		Model(enc, Info{Name: "linear", Digest: "x"}, 8, Config{}, EnergyInfo{}),
		Model(enc, pred, 7.5, Config{}, EnergyInfo{}),
		Model(enc, pred, 8, Config{Context: time.Second}, EnergyInfo{}),
		Model(enc, pred, 8, Config{Horizons: []time.Duration{time.Second}}, EnergyInfo{}),
		Model(enc, pred, 8, Config{}, EnergyInfo{Name: "mix", Digest: "c"}),
		Model(enc, pred, 8, Config{}, EnergyInfo{Name: "mix", Digest: "d"}),
		Model(enc, pred, 8, Config{}, EnergyInfo{Name: "max", Digest: "c"}),
	}
	require.Regexp(t, `^pixels\+linear\+mix@sha256:`, others[len(others)-3])
	for i, other := range others {
		require.NotEqual(t, base, other, "%d", i)
	}
}
