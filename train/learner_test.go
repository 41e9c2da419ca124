package train

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// lookAt makes views of a batch of random windows.
func lookAt(t *testing.T, c *Config, check func(tape *nn.Tape, l learner, b *Batch, v *views)) {
	t.Helper()
	d := openDevice(t)
	require.NoError(t, d.Run(func() error {
		l, err := newLearner(c)
		require.NoError(t, err)
		_, err = nn.NewEMA(l.target(), l.online())
		require.NoError(t, err)
		tape, fixed := d.NewTape(nn.TapeConfig{Gradients: true}), d.NewTape(nn.TapeConfig{})
		defer tape.Close()
		defer fixed.Close()
		grid := 0
		if c.Model.Family == Recurrent {
			grid = c.Side() / 8
		}
		b := newBatch(LoaderConfig{Batch: c.Data.Batch, Frames: c.Data.Frames, Side: c.Side(), Grid: grid})
		fillAtRandom(b)
		check(tape, l, b, l.look(tape, fixed, b, rand.New(rand.NewPCG(1, 1))))
		return nil
	}))
}

// row is a row of a matrix.
func row(v *nn.Value, i int) []float32 {
	d := v.Shape()[1]
	return slices.Clone(v.Float32s()[i*d : (i+1)*d])
}

// patchOf are the normalised pixels of a patch, frame by frame.
func patchOf(b *Batch, c *Config, item, frame, frames, place, stride int) []float32 {
	side, grid := c.Side(), c.Side()/stride
	var values []float32
	for f := frame; f < frame+frames; f++ {
		for y := range stride {
			for x := range stride * 3 {
				at := (((item*c.Data.Frames+f)*side+place/grid*stride+y)*side+place%grid*stride)*3 + x
				values = append(values, float32((float64(b.Pixels[at])/255-0.45)/0.25))
			}
		}
	}
	return values
}

func TestRecurrentPredictionsStandBesideWhatCame(t *testing.T) {
	c := tiny(t)
	c.Objective.Pixels.Weight, c.Objective.VICReg.Weight = 1, 1
	first, places, batch := c.Model.Recurrent.First, 16, c.Data.Batch
	lookAt(t, &c, func(tape *nn.Tape, l learner, b *Batch, v *views) {
		require.Len(t, v.predictions, 2)
		for head, ahead := range c.Model.Recurrent.Ahead {
			p := v.predictions[head]
			count := c.Data.Frames - ahead - first
			require.Equal(t, []int{count * batch * places, 12}, []int(p.predicted.Shape()))
			for _, at := range [][3]int{{0, 0, 0}, {1, 2, 5}, {count - 1, batch - 1, places - 1}} { // frame from the first on, window, place
				i := (at[0]*batch+at[1])*places + at[2]
				came := first + at[0] + ahead
				require.InDeltaSlice(t, patchOf(b, &c, at[1], came, 1, at[2], 8), row(p.patches, i), 1e-5)
				require.Equal(t, b.Moving[(at[1]*c.Data.Frames+came)*places+at[2]], p.moving[i])
				own := (came*batch+at[1])*places + at[2]
				require.Equal(t, row(v.tokens, own), row(p.online, i))
				require.InDeltaSlice(t, row(v.tokens, own), row(p.target, i), 1e-5, "both copies begin alike")
			}
		}
		require.Equal(t, len(v.moving), rowsOf(v.tokens))
		net := l.(*recurrent)
		shape := []int{c.Data.Frames, batch, 4, 4, 12}
		out := net.predictor.Forward(tape, tape.Reshape(v.tokens, shape...), nil, nil)
		expected := tape.Reshape(out.Expected, c.Data.Frames*batch*places, 24)
		at := ((first+2)*batch + 1) * places
		require.InDeltaSlice(t, row(expected, at)[12:], row(v.predictions[1].predicted, (2*batch+1)*places), 1e-4)
	})
}

func TestTransformerPredictionsStandBesideWhatCame(t *testing.T) {
	for _, attention := range []string{model.Tubelet, model.BlockCausal, model.Full} {
		t.Run(attention, func(t *testing.T) {
			c := tiny(t)
			c.Model.Family, c.Model.Transformer.Attention = Transformer, attention
			c.Objective.Pixels.Weight, c.Objective.VICReg.Weight = 1, 1
			const places, steps, known = 16, 4, 2
			lookAt(t, &c, func(tape *nn.Tape, l learner, b *Batch, v *views) {
				p := v.predictions[0]
				require.Equal(t, []int{c.Data.Batch * (steps - known) * places, 24}, []int(p.predicted.Shape()))
				net := l.(*transformer)
				whole := tape.LayerNorm(net.encoder.Forward(tape, tape.Input(net.whole.dense)), nil, nil, targetEps)
				for _, at := range [][3]int{{0, 0, 0}, {1, 1, 7}, {3, 1, 15}} { // window, step after the known ones, place
					i := (at[0]*(steps-known)+at[1])*places + at[2]
					came := (at[0]*steps+known+at[1])*places + at[2]
					require.InDeltaSlice(t, row(whole, came), row(p.target, i), 1e-4)
					require.InDeltaSlice(t, row(whole, came), row(p.online, i), 1e-4)
					require.InDeltaSlice(t, patchOf(b, &c, at[0], 2*(known+at[1]), 2, at[2], 8), row(p.patches, i), 1e-5)
				}
				require.Equal(t, c.Data.Batch*known*places, rowsOf(v.tokens))
			})
		})
	}
}

func TestSeriesFollowAPlaceThroughTime(t *testing.T) {
	c := tiny(t)
	c.Objective.TimeSimilarity.Weight = 1
	lookAt(t, &c, func(_ *nn.Tape, _ learner, _ *Batch, v *views) {
		const places = 16
		batch := c.Data.Batch
		require.Equal(t, []int{batch * places, c.Data.Frames, 12}, []int(v.series.Shape()))
		item, place, frame := 2, 9, 5
		series := v.series.Float32s()[((item*places+place)*c.Data.Frames+frame)*12:][:12]
		require.Equal(t, row(v.tokens, (frame*batch+item)*places+place), slices.Clone(series))
	})
	c.Model.Family = Transformer
	lookAt(t, &c, func(_ *nn.Tape, _ learner, _ *Batch, v *views) {
		const places, known = 16, 2
		require.Equal(t, []int{c.Data.Batch * places, known, 24}, []int(v.series.Shape()))
		item, place, step := 1, 9, 1
		series := v.series.Float32s()[((item*places+place)*known+step)*24:][:24]
		require.Equal(t, row(v.tokens, (item*known+step)*places+place), slices.Clone(series))
	})
}

// TestContextKnowsNothingOfWhatComes: what a prediction is made from does not change with what it is compared with (invariant 5).
func TestContextKnowsNothingOfWhatComes(t *testing.T) {
	for _, attention := range []string{model.Tubelet, model.BlockCausal, model.Full} {
		c := tiny(t)
		c.Model.Family, c.Model.Transformer.Attention = Transformer, attention
		c.Objective.VICReg.Weight = 1
		var before []float32
		lookAt(t, &c, func(_ *nn.Tape, _ learner, _ *Batch, v *views) {
			before = slices.Clone(v.predictions[0].predicted.Float32s())
		})
		d := openDevice(t)
		require.NoError(t, d.Run(func() error {
			l, err := newLearner(&c)
			require.NoError(t, err)
			tape, fixed := d.NewTape(nn.TapeConfig{Gradients: true}), d.NewTape(nn.TapeConfig{})
			defer tape.Close()
			defer fixed.Close()
			b := newBatch(LoaderConfig{Batch: c.Data.Batch, Frames: c.Data.Frames, Side: c.Side()})
			fillAtRandom(b)
			size := c.Side() * c.Side() * 3
			for item := range c.Data.Batch {
				clear(b.Pixels[(item*c.Data.Frames+c.Model.Transformer.Context)*size : (item+1)*c.Data.Frames*size])
			}
			v := l.look(tape, fixed, b, rand.New(rand.NewPCG(1, 1)))
			require.Equal(t, before, v.predictions[0].predicted.Float32s())
			return nil
		}))
	}
}
