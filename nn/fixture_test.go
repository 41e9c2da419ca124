package nn

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
)

// layerCase is one layer of the fixtures: how to build it, and how its parameters are called there.
type layerCase struct {
	name string
	x    string
	// run puts the layer on the tape and returns y.
	run func(t *Tape, ps *Parameters, x *Value) *Value
}

// fixtureLayers holds what the known numbers of one type are compared with.
type fixtureLayers struct {
	file  *Safetensors
	dtype tensor.Dtype
}

func (f fixtureLayers) read(tb testing.TB, name string) *tensor.Dense {
	tb.Helper()
	x, err := f.file.Float64(name)
	require.NoError(tb, err)
	if f.dtype == tensor.Float32 {
		return narrowed(x)
	}
	return x
}

func (f fixtureLayers) param(tb testing.TB, ps *Parameters, prefix, name string) *Parameter {
	tb.Helper()
	p := NewParameter(name, f.read(tb, prefix+".param."+name))
	ps.Add(p)
	return p
}

// stacked joins the parameters that the fixtures keep apart and the layer keeps together.
func (f fixtureLayers) stacked(tb testing.TB, ps *Parameters, prefix, name string, parts ...string) *Parameter {
	tb.Helper()
	arrays := []*tensor.Dense{}
	for _, part := range parts {
		arrays = append(arrays, f.read(tb, prefix+".param."+part))
	}
	all, err := StackRows(arrays...)
	require.NoError(tb, err)
	p := NewParameter(name, all)
	ps.Add(p)
	return p
}

func (f fixtureLayers) attention(tb testing.TB, ps *Parameters, prefix, in string) *SelfAttention {
	tb.Helper()
	return &SelfAttention{
		QKV: &Linear{
			Weight: f.stacked(tb, ps, prefix, in+"qkv.weight", in+"query.weight", in+"key.weight", in+"value.weight"),
			Bias:   f.stacked(tb, ps, prefix, in+"qkv.bias", in+"query.bias", in+"key.bias", in+"value.bias"),
		},
		Out:   &Linear{Weight: f.param(tb, ps, prefix, in+"proj.weight"), Bias: f.param(tb, ps, prefix, in+"proj.bias")},
		Heads: 2,
	}
}

func (f fixtureLayers) norm(tb testing.TB, ps *Parameters, prefix, name string, eps float64) *LayerNorm {
	tb.Helper()
	return &LayerNorm{Weight: f.param(tb, ps, prefix, name+"weight"), Bias: f.param(tb, ps, prefix, name+"bias"), Eps: eps}
}

func (f fixtureLayers) block(tb testing.TB, ps *Parameters) *Block {
	tb.Helper()
	const p = "block"
	return &Block{
		Norm1: f.norm(tb, ps, p, "norm1.", 1e-6), Norm2: f.norm(tb, ps, p, "norm2.", 1e-6), Attention: f.attention(tb, ps, p, "attention."),
		MLP: &MLP{
			In:  &Linear{Weight: f.param(tb, ps, p, "mlp.fc1.weight"), Bias: f.param(tb, ps, p, "mlp.fc1.bias")},
			Out: &Linear{Weight: f.param(tb, ps, p, "mlp.fc2.weight"), Bias: f.param(tb, ps, p, "mlp.fc2.bias")},
		},
	}
}

// vjepaRotary are the tables of V-JEPA 2 for heads of 12: three axes of 2*((12/3)/2) = 4 features.
func (f fixtureLayers) vjepaRotary(tb testing.TB) *Rotary {
	tb.Helper()
	positions, err := f.file.Float64("block.positions", 12, 3)
	require.NoError(tb, err)
	return NewRotary(RotaryConfig{Widths: []int{4, 4, 4}, Base: 10000, Tiled: true}, 12, positions.Float64s())
}

func (f fixtureLayers) cases(tb testing.TB) []layerCase {
	tb.Helper()
	causal := Mask{Block: 4}
	return []layerCase{
		{"linear", "linear.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return t.Linear(x, f.param(tb, ps, "linear", "weight"), f.param(tb, ps, "linear", "bias"))
		}},
		{"layer_norm", "layer_norm.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.norm(tb, ps, "layer_norm", "", 1e-6).Forward(t, x)
		}},
		{"layer_norm_eps_1e-5", "layer_norm.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.norm(tb, ps, "layer_norm", "", 1e-5).Forward(t, x)
		}},
		{"gelu", "gelu.x", func(t *Tape, _ *Parameters, x *Value) *Value { return t.GELU(x) }},
		{"attention", "attention.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.attention(tb, ps, "attention", "").Forward(t, x, Place{})
		}},
		{"attention_block_causal", "attention.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.attention(tb, ps, "attention", "").Forward(t, x, Place{Mask: causal})
		}},
		{"block", "block.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.block(tb, ps).Forward(t, x, Place{Rotary: f.vjepaRotary(tb)})
		}},
		{"block_block_causal", "block.x", func(t *Tape, ps *Parameters, x *Value) *Value {
			return f.block(tb, ps).Forward(t, x, Place{Rotary: f.vjepaRotary(tb), Mask: causal})
		}},
	}
}

func openLayers(tb testing.TB) *Safetensors {
	tb.Helper()
	s, err := OpenSafetensors(fixture.Shared(tb, "fixtures", "layers", "layers.safetensors"))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func TestLayersAndGradientsMatchTheFixtures(t *testing.T) {
	s := openLayers(t)
	for _, kind := range []struct {
		name      string
		dtype     tensor.Dtype
		tolerance float64
	}{{"float64", tensor.Float64, 1e-9}, {"float32", tensor.Float32, 1e-5}} {
		f := fixtureLayers{s, kind.dtype}
		for _, c := range f.cases(t) {
			t.Run(kind.name+"/"+c.name, func(t *testing.T) {
				onTape(t, TapeConfig{Gradients: true}, func(tape *Tape) { f.compare(t, tape, c, kind.tolerance) })
			})
		}
	}
}

func (f fixtureLayers) compare(t *testing.T, tape *Tape, c layerCase, tolerance float64) {
	t.Helper()
	ps := NewParameters(0)
	x := tape.Variable(f.read(t, c.x))
	y := c.run(tape, ps, x)
	near(t, "y", f.want(t, c.name+".y"), numbers(y.Dense()), tolerance)
	tape.BackwardFrom(y, f.read(t, c.name+".upstream"))
	near(t, "gradient of x", f.want(t, c.name+".grad.x"), numbers(x.Grad()), tolerance)
	for _, p := range ps.All() {
		near(t, "gradient of "+p.Name, f.wantGradient(t, c.name, p.Name), numbers(p.Grad()), tolerance)
	}
}

func (f fixtureLayers) want(t *testing.T, name string) []float64 {
	t.Helper()
	x, err := f.file.Float64(name)
	require.NoError(t, err)
	return x.Float64s()
}

// wantGradient joins the three gradients of what the layer keeps together.
func (f fixtureLayers) wantGradient(t *testing.T, layer, name string) []float64 {
	t.Helper()
	var before, after string
	for i := range len(name) - 3 {
		if name[i:i+4] == "qkv." {
			before, after = name[:i], name[i+4:]
		}
	}
	if after == "" {
		return f.want(t, layer+".grad."+name)
	}
	all := []float64{}
	for _, part := range []string{"query.", "key.", "value."} {
		all = append(all, f.want(t, layer+".grad."+before+part+after)...)
	}
	return all
}

func TestPatchEmbeddingMatchesTheFixtures(t *testing.T) {
	s := openLayers(t)
	for _, kind := range []struct {
		dtype     tensor.Dtype
		tolerance float64
	}{{tensor.Float64, 1e-9}, {tensor.Float32, 1e-5}} {
		f := fixtureLayers{s, kind.dtype}
		onTape(t, TapeConfig{Gradients: true}, func(tape *Tape) {
			e := &PatchEmbed{
				Weight: NewParameter("weight", TubeletWeight(f.read(t, "patch_embed.param.weight"))),
				Bias:   NewParameter("bias", f.read(t, "patch_embed.param.bias")), Tubelet: 2, Patch: 4,
			}
			x := tape.Variable(channelsToLast(f.read(t, "patch_embed.x")))
			y := e.Forward(tape, x)
			require.Equal(t, tensor.Shape{1, 2, 2, 2, 6}, y.Shape())
			near(t, "y", f.want(t, "patch_embed.y"), numbers(y.Dense()), kind.tolerance)
			up := f.read(t, "patch_embed.upstream")
			require.NoError(t, up.Reshape(1, 2, 2, 2, 6))
			tape.BackwardFrom(y, up)
			want := fixtureLayers{s, tensor.Float64}
			near(t, "gradient of x", channelsToLast(want.read(t, "patch_embed.grad.x")).Float64s(), numbers(x.Grad()), kind.tolerance)
			near(t, "gradient of the weight", TubeletWeight(want.read(t, "patch_embed.grad.weight")).Float64s(),
				numbers(e.Weight.Grad()), kind.tolerance)
			near(t, "gradient of the bias", f.want(t, "patch_embed.grad.bias"), numbers(e.Bias.Grad()), kind.tolerance)
		})
	}
}

// channelsToLast turns [B, T, C, H, W] into [B, T, H, W, C].
func channelsToLast(x *tensor.Dense) *tensor.Dense {
	s := x.Shape()
	out := tensor.New(tensor.Of(x.Dtype()), tensor.WithShape(s[0], s[1], s[3], s[4], s[2]))
	if x.Dtype() == tensor.Float64 {
		channelsLast(out.Float64s(), x.Float64s(), s[2], s[3]*s[4])
	} else {
		channelsLast(out.Float32s(), x.Float32s(), s[2], s[3]*s[4])
	}
	return out
}

type optimArray struct {
	Shape []int
	Data  []float64
}

func (a optimArray) dense(dtype tensor.Dtype) *tensor.Dense {
	return denseOf(append([]float64(nil), a.Data...), dtype, a.Shape)
}

type optimFixture struct {
	AdamW struct {
		Betas     [2]float64
		Eps       float64
		Decay     float64   `json:"weight_decay"`
		Rates     []float64 `json:"lr_per_step"`
		Start     map[string]optimArray
		Gradients []map[string]optimArray
		After     []struct {
			Parameters map[string]optimArray
			First      map[string]optimArray `json:"first_moment"`
			Second     map[string]optimArray `json:"second_moment"`
		}
	}
	Cosine struct {
		Cases []struct {
			Warmup, Total, FirstStep int
			Start, Peak, Final       float64
			Rates                    []float64
		}
	} `json:"cosine_schedule"`
	EMA struct {
		Start  optimArray
		Online []optimArray
		Cases  []struct {
			Momentum float64
			After    []optimArray
		}
	}
	Clip struct {
		Cases []struct {
			Name      string
			MaxNorm   float64 `json:"max_norm"`
			Norm      float64
			Gradients map[string]optimArray
			Clipped   map[string]optimArray
		}
	} `json:"clip_global_norm"`
}

func readOptim(tb testing.TB) (f optimFixture) {
	tb.Helper()
	raw, err := os.ReadFile(fixture.Shared(tb, "fixtures", "layers", "optim.json"))
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(raw, &f))
	return f
}

var optimKinds = []struct {
	name      string
	dtype     tensor.Dtype
	tolerance float64
}{{"float64", tensor.Float64, 1e-12}, {"float32", tensor.Float32, 1e-5}}

var optimNames = []string{"matrix", "vector"}

func onDevice(tb testing.TB, f func(d *Device)) {
	tb.Helper()
	d := newDevice(tb, Config{})
	require.NoError(tb, d.Run(func() error {
		f(d)
		return nil
	}))
}

func TestAdamWMatchesTheFixtures(t *testing.T) {
	f := readOptim(t).AdamW
	for _, kind := range optimKinds {
		onDevice(t, func(d *Device) {
			ps := NewParameters(0)
			for _, name := range optimNames {
				p := NewParameter(name, f.Start[name].dense(kind.dtype))
				p.Decay = true
				ps.Add(p)
			}
			o := NewAdamW(ps.All(), AdamWConfig{Beta1: f.Betas[0], Beta2: f.Betas[1], Eps: f.Eps, Decay: f.Decay})
			for step, rate := range f.Rates {
				for i, name := range optimNames {
					setGradient(ps.All()[i], f.Gradients[step][name].dense(kind.dtype))
				}
				o.Step(d, rate)
				for i, name := range optimNames {
					after := f.After[step]
					first, second := o.Moments(i)
					near(t, name, after.Parameters[name].Data, numbers(ps.Get(name).Dense()), kind.tolerance)
					near(t, name+" m", after.First[name].Data, numbers(first), kind.tolerance)
					near(t, name+" v", after.Second[name].Data, numbers(second), kind.tolerance)
				}
			}
		})
	}
}

func setGradient(p *Parameter, g *tensor.Dense) { p.grad, p.set = g, true }

func TestCosineScheduleMatchesTheFixtures(t *testing.T) {
	for _, c := range readOptim(t).Cosine.Cases {
		s := CosineSchedule{Start: c.Start, Peak: c.Peak, Final: c.Final, Warmup: c.Warmup, Total: c.Total}
		for i, want := range c.Rates {
			require.InDelta(t, want, s.Rate(i+1), 1e-12, "warm-up %d, total %d, step %d", c.Warmup, c.Total, i+1)
		}
	}
}

func TestEMAMatchesTheFixtures(t *testing.T) {
	f := readOptim(t).EMA
	for _, kind := range optimKinds {
		for _, c := range f.Cases {
			onDevice(t, func(d *Device) {
				target, online := NewParameters(0), NewParameters(0)
				target.Add(NewParameter("p", f.Start.dense(kind.dtype)))
				online.Add(NewParameter("p", f.Start.dense(kind.dtype)))
				e, err := NewEMA(target, online)
				require.NoError(t, err)
				for step, after := range c.After {
					require.NoError(t, online.Get("p").Set(f.Online[step].dense(kind.dtype)))
					e.Update(d, c.Momentum)
					near(t, "target", after.Data, numbers(target.Get("p").Dense()), kind.tolerance)
				}
			})
		}
	}
}

func TestClippingMatchesTheFixtures(t *testing.T) {
	for _, kind := range optimKinds {
		for _, c := range readOptim(t).Clip.Cases {
			onDevice(t, func(d *Device) {
				params := []*Parameter{}
				for _, name := range optimNames {
					g := c.Gradients[name].dense(kind.dtype)
					p := NewParameter(name, g)
					setGradient(p, g)
					params = append(params, p)
				}
				require.InDelta(t, c.Norm, ClipGradients(d, params, c.MaxNorm), kind.tolerance*max(1, c.Norm))
				for _, p := range params {
					near(t, c.Name, c.Clipped[p.Name].Data, numbers(p.Grad()), kind.tolerance)
				}
			})
		}
	}
}
