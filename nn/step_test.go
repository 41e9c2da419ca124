package nn

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// smallModel is a ViT small enough for tests and big enough to use everything.
type smallModel struct {
	params *Parameters
	embed  *PatchEmbed
	blocks []*Block
	norm   *LayerNorm
	head   *Linear
	place  Place
}

type smallSize struct {
	batch, frames, side, patch, size, heads, depth int
}

func newSmallModel(seed uint64, s smallSize) *smallModel {
	ps := NewParameters(seed)
	m := &smallModel{params: ps, embed: NewPatchEmbed(ps, "embed", 3, s.size, 1, s.patch)}
	for i := range s.depth {
		m.blocks = append(m.blocks, NewBlock(ps, fmt.Sprint("block.", i), BlockConfig{Size: s.size, Heads: s.heads, Hidden: 4 * s.size}))
	}
	m.norm, m.head = NewLayerNorm(ps, "norm", s.size, 1e-6), NewLinear(ps, "head", s.size, s.size, true)
	per := s.side / s.patch * s.side / s.patch
	positions := []float64{}
	for t := range s.frames {
		for i := range per {
			positions = append(positions, float64(t), float64(i/(s.side/s.patch)), float64(i%(s.side/s.patch)))
		}
	}
	w := s.size / s.heads / 3 / 2 * 2
	m.place = Place{
		Mask:   Mask{Block: per},
		Rotary: NewRotary(RotaryConfig{Widths: []int{w, w, w}, Base: 10000, Tiled: true}, s.size/s.heads, positions),
	}
	return m
}

func (m *smallModel) forward(t *Tape, clip *Value) *Value {
	x := m.embed.Forward(t, clip)
	s := x.Shape()
	tokens := t.Reshape(x, s[0], s[1]*s[2]*s[3], s[4])
	for _, b := range m.blocks {
		y := b.Forward(t, tokens, m.place)
		t.Release(tokens)
		tokens = y
	}
	return m.head.Forward(t, m.norm.Forward(t, tokens))
}

func (m *smallModel) matrices() []*Parameter {
	all := append(m.embed.Matrices(), m.head.Matrices()...)
	for _, b := range m.blocks {
		all = append(all, b.Matrices()...)
	}
	return all
}

// trainer is one training step, ready to be repeated.
type trainer struct {
	model  *smallModel
	tape   *Tape
	adamw  *AdamW
	ema    *EMA
	clip   *tensor.Dense
	target *tensor.Dense
	loss   float64
	run    func() error
}

func newTrainer(tb testing.TB, d *Device, s smallSize) *trainer {
	tb.Helper()
	r := &trainer{model: newSmallModel(1, s), tape: d.NewTape(TapeConfig{Gradients: true})}
	tb.Cleanup(r.tape.Close)
	r.adamw = NewAdamW(r.model.params.All(), AdamWConfig{Decay: 0.05})
	ema, err := NewEMA(newSmallModel(1, s).params, r.model.params)
	require.NoError(tb, err)
	r.ema = ema
	r.clip = dense32(3, s.batch, s.frames, s.side, s.side, 3)
	r.target = dense32(4, s.batch, s.frames*s.side/s.patch*s.side/s.patch, s.size)
	r.run = func() error {
		t := r.tape
		t.Reset()
		loss := t.SmoothL1(r.model.forward(t, t.Input(r.clip)), t.Input(r.target), 1)
		t.Backward(loss)
		ClipGradients(d, r.model.params.All(), 1)
		r.adamw.Step(d, 1e-3)
		r.ema.Update(d, 0.99)
		r.loss = loss.Item()
		return nil
	}
	return r
}

var tinySize = smallSize{batch: 2, frames: 2, side: 16, patch: 4, size: 48, heads: 4, depth: 2}

func TestTrainingLowersTheLoss(t *testing.T) {
	d := newDevice(t, Config{})
	r := newTrainer(t, d, tinySize)
	require.NoError(t, d.Run(r.run))
	first := r.loss
	for range 40 {
		require.NoError(t, d.Run(r.run))
	}
	require.Less(t, r.loss, 0.9*first)
}

// Invariant 5, and the seeds: two runs are the same, bit for bit.
func TestTrainingIsReproducible(t *testing.T) {
	losses := [2][]float64{}
	for i := range losses {
		d := newDevice(t, Config{})
		r := newTrainer(t, d, tinySize)
		for range 5 {
			require.NoError(t, d.Run(r.run))
			losses[i] = append(losses[i], r.loss)
		}
	}
	require.Equal(t, losses[0], losses[1])
}

// Invariant 4.
func TestAStepInSteadyStateAllocatesNothing(t *testing.T) {
	d := newDevice(t, Config{})
	r := newTrainer(t, d, tinySize)
	for range 3 {
		require.NoError(t, d.Run(r.run))
	}
	bytes := r.tape.Bytes()
	require.Zero(t, testing.AllocsPerRun(5, func() { _ = d.Run(r.run) }))
	require.Equal(t, bytes, r.tape.Bytes(), "the tape took no more memory from the system")
}

func TestAForwardPassInSteadyStateAllocatesNothing(t *testing.T) {
	for _, of := range []struct {
		device    Config
		precision Precision
	}{{Config{}, Float32}, {Config{WidenHalf: true}, BFloat16}, {Config{NativeHalf: true}, BFloat16}} {
		d := newDevice(t, of.device)
		m := newSmallModel(1, tinySize)
		tape := d.NewTape(TapeConfig{Precision: of.precision})
		t.Cleanup(tape.Close)
		clip := dense32(3, 2, 2, 16, 16, 3)
		run := func() error {
			tape.Reset()
			m.forward(tape, tape.Input(clip))
			return nil
		}
		for range 3 {
			require.NoError(t, d.Run(run))
		}
		bytes := tape.Bytes()
		require.Zero(t, testing.AllocsPerRun(5, func() { _ = d.Run(run) }))
		require.Equal(t, bytes, tape.Bytes())
	}
}

func TestBFloat16IsCloseToFloat32(t *testing.T) {
	m := newSmallModel(1, tinySize)
	clip := dense32(3, 2, 2, 16, 16, 3)
	outputs := map[string][]float64{}
	for name, c := range map[string]struct {
		device Config
		tape   TapeConfig
	}{
		"float32": {Config{}, TapeConfig{}},
		"widened": {Config{WidenHalf: true}, TapeConfig{Precision: BFloat16}},
		"native":  {Config{NativeHalf: true}, TapeConfig{Precision: BFloat16}},
	} {
		d := newDevice(t, c.device)
		tape := d.NewTape(c.tape)
		require.NoError(t, d.Run(func() error {
			outputs[name] = numbers(m.forward(tape, tape.Input(clip)).Dense())
			return nil
		}), name)
		tape.Close()
	}
	near(t, "widened", outputs["float32"], outputs["widened"], 0.01)
	near(t, "native", outputs["float32"], outputs["native"], 0.02)
}

func TestPackedWeightsGiveTheSameResultAndFreeTheirSource(t *testing.T) {
	for _, precision := range []Precision{Float32, BFloat16} {
		d := newDevice(t, Config{})
		m := newSmallModel(1, tinySize)
		clip := dense32(3, 2, 2, 16, 16, 3)
		tape := d.NewTape(TapeConfig{Precision: precision})
		forward := func() (y []float64) {
			require.NoError(t, d.Run(func() error {
				tape.Reset()
				y = numbers(m.forward(tape, tape.Input(clip)).Dense())
				return nil
			}))
			return y
		}
		want := forward()
		require.NoError(t, d.Pack(precision, m.matrices()...))
		require.Equal(t, want, forward())
		require.Panics(t, func() { m.head.Weight.Dense() })
		tape.Close()
		require.NoError(t, d.Forget(m.matrices()...))
		require.Empty(t, d.packs)
	}
}

// A stream fed frame by frame through the caches gives what one pass over all frames gives.
func TestAStreamThroughTheCacheEqualsOnePass(t *testing.T) {
	const frames, per, size = 6, 16, 24
	ps := NewParameters(1)
	b := NewBlock(ps, "block", BlockConfig{Size: size, Heads: 2, Hidden: 48})
	for i, p := range ps.All() {
		assign(p.Dense(), randoms64(uint64(50+i), p.Size()))
	}
	rotary := testRotary(frames*per, 12, Neighbours, true)
	x := dense32(5, 1, frames*per, size)
	for _, window := range []int{0, 2} {
		onTape(t, TapeConfig{}, func(tape *Tape) {
			whole := numbers(b.Forward(tape, tape.Input(x), Place{Mask: Mask{Block: per, Window: window}, Rotary: rotary}).Dense())
			keep := frames * per
			if window > 0 {
				keep = window * per
			}
			cache := NewCache(size, keep)
			defer cache.Close()
			for f := range frames {
				part := tensor.New(tensor.WithShape(1, per, size), tensor.WithBacking(x.Float32s()[f*per*size:(f+1)*per*size]))
				p := Place{Mask: Mask{Block: per, Window: window}, Rotary: rotary.Slice(f*per, (f+1)*per)}
				y := numbers(b.ForwardCached(tape, tape.Input(part), cache, p).Dense())
				near(t, fmt.Sprint("frame ", f), whole[f*per*size:(f+1)*per*size], y, 2e-6)
			}
			require.LessOrEqual(t, cache.Len(), 2*keep)
		})
	}
}

// No token depends on a later frame: changing one leaves the tokens before it as they were, bit for bit.
func TestNoTokenDependsOnALaterFrame(t *testing.T) {
	m := newSmallModel(1, tinySize)
	clip := dense32(3, 1, 2, 16, 16, 3)
	onTape(t, TapeConfig{}, func(tape *Tape) {
		before := numbers(m.forward(tape, tape.Input(clip)).Dense())
		tape.Reset()
		for i := 16 * 16 * 3; i < 2*16*16*3; i++ {
			clip.Float32s()[i] += 5
		}
		after := numbers(m.forward(tape, tape.Input(clip)).Dense())
		half := len(before) / 2
		require.Equal(t, before[:half], after[:half])
		require.NotEqual(t, before[half:], after[half:])
	})
}

func TestReleasedMemoryIsUsedAgain(t *testing.T) {
	onTape(t, TapeConfig{}, func(tape *Tape) {
		a := tape.Zeros(1000)
		at := a.data
		tape.Release(a)
		require.Equal(t, at, tape.Zeros(1000).data)
	})
}
