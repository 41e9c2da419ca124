package eval

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/scenes"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

func scenePixels(t *testing.T) encoder.Encoder {
	t.Helper()
	patches, err := encoder.NewPatchesOf(scenes.Side, 8)
	require.NoError(t, err)
	return patches
}

// prophet knows the possible scene: it is right about it and surprised by its twin.
type prophet struct {
	predictor.Persistence
	future func(past predictor.Past) []float32
}

func (p *prophet) Expect(_ context.Context, past predictor.Past, _, _ int, out []float32) error {
	copy(out, p.future(past))
	return nil
}

func TestWhoKnowsTheFutureIsAlwaysRight(t *testing.T) {
	patches := scenePixels(t)
	for i, kind := range scenes.Kinds() {
		pair := scenes.DrawPair(kind, 40, uint64(i))
		clip := newWindowClip(scenes.Frames, scenes.Side)
		pair.Possible.Render(clip.Frames)
		tokens, err := patches.Encode(t.Context(), clip, patches.NewState())
		require.NoError(t, err)
		knows := &prophet{future: func(past predictor.Past) []float32 { return tokens.Data[past.Tokens.Len():] }}
		s := &Source{Name: "prophet", Encoder: patches, Predictor: knows}
		got, err := s.surprise(t.Context(), &pair)
		require.NoError(t, err)
		require.Greater(t, got.Impossible, got.Possible, kind)
	}
}

// TestWhatIsTheSameIsNotJudgedTwice: energies before the event are copied, and are what would have been computed.
func TestWhatIsTheSameIsNotJudgedTwice(t *testing.T) {
	s := &Source{Name: "damped", Encoder: scenePixels(t), Predictor: predictor.NewDamped(VOEHorizon)}
	pair := scenes.DrawPair(scenes.Freeze, 41, 1)
	possible, err := s.energies(t.Context(), &pair.Possible, 0)
	require.NoError(t, err)
	impossible, err := s.energies(t.Context(), &pair.Impossible, 0)
	require.NoError(t, err)
	require.Len(t, possible, 17) // after frames 3 to 19
	same := pair.Event - VOEHorizon - voeFirst
	require.Equal(t, possible[:same], impossible[:same])
	require.NotEqual(t, possible[same], impossible[same], "frame %d is seen by the past that ends at %d", pair.Event, same+voeFirst)
	got, err := s.surprise(t.Context(), &pair)
	require.NoError(t, err)
	require.Equal(t, Surprise{slices.Max(possible), slices.Max(impossible)}, got)
}

// TestScoreInClosedForm: one step ahead, places with errors 5, 4, 3, 2, 1 and persistence 1 each.
func TestScoreInClosedForm(t *testing.T) {
	shape := stream.Shape{T: 2, H: 1, W: 5, D: 1}
	seen := []float32{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}
	expected := []float32{6, 5, 4, 3, 2}
	require.InDelta(t, (9.0+7+5+3)/4, voeScore(shape, 1, expected, seen), 1e-9)
}

func TestVOETableCountsPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	config := VOEConfig{Pairs: 50}
	right, chance := Surprises{}, Surprises{}
	for _, kind := range scenes.Kinds() {
		for range config.Pairs {
			base := random.Float64()
			right[kind] = append(right[kind], Surprise{base, base + 1e-9})
			chance[kind] = append(chance[kind], Surprise{random.Float64(), random.Float64()})
		}
	}
	for i := range right[scenes.VanishHidden] {
		right[scenes.VanishHidden][i] = Surprise{1, 1} // ties
	}
	v := NewVOE(config, []string{"model", "chance"}, [][]Surprises{{right}, {chance}}, 0)
	model := v.Models[0]
	require.InDelta(t, 0.5, model.Value("vanish_hid").Value, 1e-12)
	require.InDelta(t, 1, model.Value("appear_hid").Value, 1e-12)
	require.InDelta(t, 0.75, model.Value("permanence").Value, 1e-12)
	require.InDelta(t, 1, model.Value("timing").Value, 1e-12)
	require.InDelta(t, 13.5/14, model.Value("mean of 14").Value, 1e-12)
	require.InDelta(t, 11.5/12, model.Value("mean of 12").Value, 1e-12)
	gain := model.Gains[1][slices.Index(VOERows(), "mean of 14")]
	require.InDelta(t, model.Value("mean of 14").Value-v.Models[1].Value("mean of 14").Value, gain.Value, 1e-12)
	require.True(t, gain.Excludes(0))
	require.InDelta(t, 0, model.Gains[0][3].High, 0, "no gain over itself")
	require.InDelta(t, 0.5, model.AUROC[1].Value, 0.05, "no threshold fits all scenes")

	var text strings.Builder
	require.NoError(t, v.WriteText(&text))
	require.Contains(t, text.String(), "model - chance")
	require.Contains(t, text.String(), "pass_wall")
	require.Len(t, v.Plot().Series, 2)
}

// TestVersionsOfAModelAreToldAsTheirMean: two that are always right and one that never is.
func TestVersionsOfAModelAreToldAsTheirMean(t *testing.T) {
	config := VOEConfig{Pairs: 20}
	right, wrong := Surprises{}, Surprises{}
	for _, kind := range scenes.Kinds() {
		for i := range config.Pairs {
			right[kind] = append(right[kind], Surprise{0, 1 + float64(i)})
			wrong[kind] = append(wrong[kind], Surprise{1 + float64(i), 0})
		}
	}
	v := NewVOE(config, []string{"model", "wrong"}, [][]Surprises{{right, wrong, right}, {wrong}}, 0)
	got := v.Models[0].Value("mean of 14")
	require.InDelta(t, 2.0/3, got.Value, 1e-12)
	require.InDelta(t, 0, got.Low, 1e-12, "all three drawn may be the wrong one")
	require.InDelta(t, 1, got.High, 1e-12)
	require.InDelta(t, 2.0/3, v.Models[0].Gains[1][0].Value, 1e-12)
}

func TestVOERefusesOtherSizes(t *testing.T) {
	s := &Source{Name: "large", Encoder: encoder.NewPatches(), Predictor: predictor.NewPersistence()}
	_, err := MeasureVOE(t.Context(), s, VOEConfig{Pairs: 1}, nil)
	require.ErrorContains(t, err, "128")
}

// TestUntrainedEncoderIsAsDrawn runs the baseline of learned models: all kinds are judged, the same from the same seed.
func TestUntrainedEncoderIsAsDrawn(t *testing.T) {
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	var runs []Surprises
	for range 2 {
		u, err := NewUntrained(device, 7, VOEHorizon)
		require.NoError(t, err)
		s, err := MeasureVOE(t.Context(), &u.Source, VOEConfig{Seed: 1, Pairs: 1}, nil)
		require.NoError(t, err)
		require.NoError(t, u.Close())
		runs = append(runs, s)
	}
	require.Equal(t, runs[0], runs[1])
	require.Len(t, runs[0], 14)
}

func TestPicturesShowAPairOfEachKind(t *testing.T) {
	pictures, err := ScenePictures(1)
	require.NoError(t, err)
	require.Len(t, pictures, 14)
	require.Contains(t, pictures[0].Caption, "vanish_hid")
	require.NotEmpty(t, pictures[13].PNG)
}
