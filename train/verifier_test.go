package train

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// judged is a tiny training with a verifier, on textures that cross each other.
func judged(tb testing.TB) Config {
	tb.Helper()
	c := tiny(tb)
	c.Model.Family = Transformer
	c.Model.Transformer.Context, c.Model.Transformer.Ahead, c.Data.Frames = 8, 8, 24
	c.Objective.Verifier.Weight, c.Objective.Verifier.Width, c.Objective.Verifier.Heads, c.Objective.Verifier.Depth = 1, 24, 2, 1
	c.Budget.Steps = 4
	return c
}

func TestVerifierLossesAreThoseOfTheirFormulas(t *testing.T) {
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, device.Close()) }()
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	require.NoError(t, device.Run(func() error {
		tape := device.NewTape(nn.TapeConfig{Gradients: true})
		defer tape.Close()
		g, n := tape.Floats([]float32{-1, 0.5}, 2, 1), tape.Floats([]float32{2, 0.25}, 2, 1)
		want := (softplus(-1) + softplus(-2) + softplus(-3) + softplus(.5) + softplus(-.25) + softplus(.25)) / 2
		require.InDelta(t, want, VerifierLoss(tape, g, n).Item(), 1e-6)

		// Three genuine tokens together weigh as much as one that is not; the undecided one weighs nothing.
		labels := []int8{genuineToken, genuineToken, negativeToken, undecidedToken, genuineToken}
		logits := tape.Floats([]float32{-1, 0, 3, 50, 1}, 5)
		want = (softplus(-1)+softplus(0)+softplus(1))/3/2 + softplus(-3)/2
		require.InDelta(t, want, TokenLoss(tape, logits, labels).Item(), 1e-6)
		require.InDelta(t, softplus(1), TokenLoss(tape, tape.Floats([]float32{1}, 1), []int8{genuineToken}).Item()*2, 1e-6)
		return nil
	}))
	require.InDelta(t, 0.75, pairedOf([]float32{1, 2}, []float32{2, 2}), 1e-9)
	v := verified{labels: []int8{0, 0, 0, 0, 0, 1, 1, -1}}
	require.InDelta(t, 0.5, v.cellsOf([]float32{9, 9, 9, 9, 1, 0, 2, 7}), 1e-9)
	require.InDelta(t, 0.5, (&verified{labels: make([]int8, 4)}).cellsOf(make([]float32, 4)), 1e-9)
}

// TestVerifierLearnsToTellNegatives trains long enough to be better than chance on windows it has not seen.
func TestVerifierLearnsToTellNegatives(t *testing.T) {
	c := judged(t)
	c.Data.Batch, c.Budget.Steps, c.Telemetry.Every = 8, 150, 10
	var paired, cells []float64
	options := one()
	options.Progress = func(p Progress) {
		if p.Sample != nil {
			paired, cells = append(paired, p.Sample.Verifier.Paired), append(cells, p.Sample.Verifier.Cells)
		}
	}
	outcome, err := Run(t.Context(), c, options)
	require.NoError(t, err)
	require.Greater(t, mean(paired[len(paired)-5:]), 0.65)
	require.Greater(t, mean(cells[len(cells)-5:]), 0.6)
	text, err := os.ReadFile(filepath.Join(c.Output, TelemetryFile))
	require.NoError(t, err)
	require.Contains(t, string(text), ",term_verifier,term_verifier_tokens,")
	require.Contains(t, string(text), ",verifier_paired,verifier_cells,")

	// The judge that is read from the model directory finds a piece of another scene.
	w := openVerified(t, outcome.Model)
	genuine, spliced, box := splicedWindow(t, c)
	clean, _ := w.judge(t, genuine)
	energy, tokens := w.judge(t, spliced)
	require.Greater(t, energy, clean)
	var inside, outside []float64
	for i, e := range tokens {
		place := i % 16
		if place%4*8 >= box && place/4*8 >= box {
			inside = append(inside, float64(e))
		} else {
			outside = append(outside, float64(e))
		}
	}
	require.Greater(t, mean(inside), mean(outside))
}

// verifiedModel is a model directory with its verifier.
type verifiedModel struct {
	encoder   encoder.Encoder
	predictor *predictor.VJEPA2
	verifier  *predictor.Verifier
}

func openVerified(t *testing.T, dir string) *verifiedModel {
	t.Helper()
	device, err := nn.Open(nn.Config{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	m, err := model.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	enc, err := encoder.NewVJEPA2(m, device)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, enc.Close()) })
	pred, err := predictor.NewVJEPA2(m, enc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pred.Close()) })
	verifier, err := predictor.OpenVerifier(dir, m.Digest(), device)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, verifier.Close()) })
	return &verifiedModel{enc, pred, verifier}
}

// judge takes sixteen frames, half of them the past.
func (m *verifiedModel) judge(t *testing.T, frames []byte) (float64, []float32) {
	t.Helper()
	const side = 32
	clip := stream.NewClip(frames, 16, side, side, nil)
	clip.Step, clip.End = time.Second/8, 2*time.Second
	for i := range 16 {
		clip.Times = append(clip.Times, time.Duration(i)*clip.Step)
	}
	tokens, err := m.encoder.Encode(t.Context(), clip, m.encoder.NewState())
	require.NoError(t, err)
	past := &stream.Tokens{Shape: tokens.Shape, Data: tokens.Data[:tokens.Len()/2], Spans: tokens.Spans[:4]}
	past.T = 4
	expected := make([]float32, past.Len())
	require.NoError(t, m.predictor.Expect(t.Context(), predictor.Past{Tokens: past}, 0, 4, expected))
	x, y := *past, *past
	x.Data, y.Data = make([]float32, past.Len()), make([]float32, past.Len())
	require.NoError(t, m.predictor.Target(t.Context(), past, 0, x.Data))
	require.NoError(t, m.predictor.Target(t.Context(), tokens, 4, y.Data))
	energy, energies, err := m.verifier.Judge(t.Context(), &x, &y, expected)
	require.NoError(t, err)
	return energy, energies
}

// splicedWindow is a window that was not learned from, and the same with the lower right corner of its future from another one; box is
// where that begins.
func splicedWindow(t *testing.T, c Config) (genuine, spliced []byte, box int) {
	t.Helper()
	const side, size = 32, 32 * 32 * 3
	genuine, other := make([]byte, 16*size), make([]byte, 16*size)
	require.NoError(t, SpriteSource{}.Window(randomOf(c.Seed+1, 1, 0), 16, side, genuine))
	require.NoError(t, SpriteSource{}.Window(randomOf(c.Seed+1, 2, 0), 16, side, other))
	spliced = append([]byte(nil), genuine...)
	for i := 8; i < 16; i++ {
		for y := side / 2; y < side; y++ {
			row := i*size + (y*side+side/2)*3
			copy(spliced[row:row+side/2*3], other[row:])
		}
	}
	return genuine, spliced, side / 2
}

func TestTrainingWithAVerifierGoesOnBitForBit(t *testing.T) {
	whole, parts := judged(t), judged(t)
	_, err := Run(t.Context(), whole, one())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	options := one()
	options.Progress = func(p Progress) {
		if p.Step == 2 {
			cancel()
		}
	}
	_, err = Run(ctx, parts, options)
	require.ErrorIs(t, err, context.Canceled)
	options = one()
	options.Resume = true
	_, err = Run(t.Context(), parts, options)
	require.NoError(t, err)
	for _, file := range []string{"model.safetensors", predictor.VerifierFile} {
		a, err := os.ReadFile(filepath.Join(whole.Output, ModelFolder, file))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(parts.Output, ModelFolder, file))
		require.NoError(t, err)
		require.Equal(t, a, b, file)
	}
}

func TestVerifierIsRefusedWhereItCannotLearn(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"a recurrent model":        {func(c *Config) { c.Model.Family = Recurrent }, "model.family transformer"},
		"full attention":           {func(c *Config) { c.Model.Transformer.Attention = model.Full }, "attention tubelet"},
		"another length of future": {func(c *Config) { c.Model.Transformer.Ahead = 4 }, "model.transformer.ahead"},
		"heads that do not divide": {func(c *Config) { c.Objective.Verifier.Heads = 5 }, "heads"},
		"ahead of the window":      {func(c *Config) { c.Model.Transformer.Ahead = 18 }, "ahead is 18"},
	} {
		t.Run(name, func(t *testing.T) {
			c := judged(t)
			test.change(&c)
			_, err := Run(t.Context(), c, one())
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestNegativesOfAWindowAreLabelled: what is shown as a negative differs from what came, and its tokens are labelled where it does.
func TestNegativesOfAWindowAreLabelled(t *testing.T) {
	c := judged(t)
	c.fill()
	l := newTransformer(&c)
	b := newBatch(LoaderConfig{Batch: c.Data.Batch, Frames: c.Data.Frames, Side: 32})
	size := c.Data.Frames * 32 * 32 * 3
	for i := range c.Data.Batch {
		require.NoError(t, SpriteSource{}.Window(randomOf(1, 1, i), c.Data.Frames, 32, b.Pixels[i*size:(i+1)*size]))
	}
	w := &looking{transformer: l, batch: c.Data.Batch, all: b, random: rand.New(rand.NewPCG(1, 2))}
	labels := make([]int8, negatives.Length/2*16)
	differ := 0
	for i := range 40 {
		item := i % c.Data.Batch
		genuine, negative := w.future(item), w.negative(item)
		require.Len(t, negative, negatives.Length)
		w.label(labels, genuine, negative)
		if slices.Contains(labels, negativeToken) {
			differ++
		}
	}
	require.Greater(t, differ, 30)
	require.True(t, isStill([][]byte{genuineFrame(3), genuineFrame(3), genuineFrame(3), genuineFrame(3)}, 32))
	w.label(labels, w.future(0), w.future(0))
	require.Equal(t, make([]int8, len(labels)), labels)
}

func genuineFrame(value byte) []byte {
	frame := make([]byte, 32*32*3)
	for i := range frame {
		frame[i] = value
	}
	return frame
}
