package predictor

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
)

// tinyRecurrent is a configuration that is quick to check gradients of.
func tinyRecurrent() model.Config {
	config := model.RecurrentConfig()
	config.Ensue.Recurrent = model.Recurrent{Size: 16, Widths: [3]int{2, 3, 4}, Dim: 3, Hidden: 4, Ahead: []int{1, 3}}
	return config
}

// tinyGlancing is the same with heads that see the last tokens, too, behind a wider layer.
func tinyGlancing() model.Config {
	config := tinyRecurrent()
	config.Ensue.Recurrent.Glance, config.Ensue.Recurrent.Trunk = true, 5
	return config
}

func TestTheRecurrentNetHasTheTensorsOfItsModel(t *testing.T) {
	config := model.RecurrentConfig()
	ps := nn.NewParameters(1)
	NewRecurrentNet(ps, config)
	require.Equal(t, 373_536+102_440, ps.Count())
	requireTensors(t, config, ps)
	ps = nn.NewParameters(1)
	NewRecurrentNet(ps, tinyGlancing())
	requireTensors(t, tinyGlancing(), ps)
}

func requireTensors(t *testing.T, config model.Config, ps *nn.Parameters) {
	t.Helper()
	var want, got []model.Tensor
	for _, tensor := range config.Tensors() {
		if name, ok := strings.CutPrefix(tensor.Name, "predictor."); ok {
			want = append(want, model.Tensor{Name: name, Shape: tensor.Shape})
		}
	}
	for _, p := range ps.All() {
		got = append(got, model.Tensor{Name: p.Name, Shape: p.Shape()})
	}
	require.Equal(t, want, got)
}

// recurrentByHand are the formulas, one number at a time.
type recurrentByHand struct {
	config model.Recurrent
	ps     *nn.Parameters
}

// conv is output o of a convolution at (y, x) of an image [G, G, C], G being the grid.
func (r recurrentByHand) conv(name string, image []float64, channels, kernel, o, y, x int) float64 {
	weight := r.ps.Get(name + ".weight").Dense().Float64s()[o*kernel*kernel*channels:]
	grid, sum := r.config.Grid(), 0.0
	if bias := r.ps.Get(name + ".bias"); bias != nil {
		sum = bias.Dense().Float64s()[o]
	}
	for dy := range kernel {
		for dx := range kernel {
			row, column := y+dy-kernel/2, x+dx-kernel/2
			if row < 0 || row >= grid || column < 0 || column >= grid {
				continue
			}
			for c := range channels {
				sum += weight[(dy*kernel+dx)*channels+c] * image[(row*grid+column)*channels+c]
			}
		}
	}
	return sum
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// map is f(y, x, channel) of every place.
func (r recurrentByHand) places(channels int, f func(y, x, c int) float64) []float64 {
	var out []float64
	for y := range r.config.Grid() {
		for x := range r.config.Grid() {
			for c := range channels {
				out = append(out, f(y, x, c))
			}
		}
	}
	return out
}

func (r recurrentByHand) remember(h, tokens []float64) []float64 {
	n, d, grid := r.config.Hidden, r.config.Dim, r.config.Grid()
	gate := func(which int) []float64 {
		return r.places(n, func(y, x, c int) float64 {
			return logistic(r.conv("input", tokens, d, 3, which*n+c, y, x) + r.conv("gates", h, n, 3, which*n+c, y, x))
		})
	}
	reset, update := gate(0), gate(1)
	for i := range reset {
		reset[i] *= h[i]
	}
	return r.places(n, func(y, x, c int) float64 {
		u := update[(y*grid+x)*n+c]
		candidate := math.Tanh(r.conv("input", tokens, d, 3, 2*n+c, y, x) + r.conv("candidate", reset, n, 3, c, y, x))
		return u*h[(y*grid+x)*n+c] + (1-u)*candidate
	})
}

func (r recurrentByHand) expect(h, tokens, anchor []float64) (expected, scale []float64) {
	n, d, heads, grid := r.config.Hidden, r.config.Dim, len(r.config.Ahead), r.config.Grid()
	wide := r.config.TrunkWidth()
	trunk := r.places(wide, func(y, x, c int) float64 {
		v := r.conv("trunk", h, n, 3, c, y, x)
		if r.config.Glance {
			v += r.conv("glance", tokens, d, 3, c, y, x)
		}
		return 0.5 * v * (1 + math.Erf(v/math.Sqrt2))
	})
	expected = r.places(heads*d, func(y, x, c int) float64 {
		keep := logistic(r.conv("keep", trunk, wide, 1, c/d, y, x))
		return keep*anchor[(y*grid+x)*d+c%d] + r.conv("change", trunk, wide, 1, c, y, x)
	})
	return expected, r.places(heads, func(y, x, c int) float64 { return r.conv("scale", trunk, wide, 1, c, y, x) })
}

func TestTheRecurrentNetComputesItsFormulas(t *testing.T) {
	t.Run("memory alone", func(t *testing.T) { testFormulas(t, tinyRecurrent()) })
	t.Run("with a glance", func(t *testing.T) { testFormulas(t, tinyGlancing()) })
}

func testFormulas(t *testing.T, config model.Config) {
	t.Helper()
	ps := nn.NewParameters64(1)
	net := NewRecurrentNet(ps, config)
	for i, p := range ps.All() {
		copy(p.Dense().Float64s(), nntest.Normals(uint64(i), p.Size()))
	}
	byHand := recurrentByHand{config.Ensue.Recurrent, ps}
	const steps = 3
	tokens, anchors, before := nntest.Normal(50, steps, 1, 2, 2, 3), nntest.Normal(51, steps, 1, 2, 2, 3), nntest.Normal(52, 1, 2, 2, 4)
	nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		out := net.Forward(tape, tape.Input(tokens), tape.Input(anchors), tape.Input(before))
		require.Equal(t, tensor.Shape{steps, 1, 2, 2, 6}, out.Expected.Shape())
		require.Equal(t, tensor.Shape{steps, 1, 2, 2, 2}, out.LogScale.Shape())
		require.Equal(t, tensor.Shape{steps, 1, 2, 2, 4}, out.Memory.Shape())
		h := before.Float64s()
		for i := range steps {
			h = byHand.remember(h, tokens.Float64s()[i*12:(i+1)*12])
			expected, scale := byHand.expect(h, tokens.Float64s()[i*12:(i+1)*12], anchors.Float64s()[i*12:(i+1)*12])
			require.InDeltaSlice(t, h, out.Memory.Float64s()[i*16:(i+1)*16], 1e-12)
			require.InDeltaSlice(t, expected, out.Expected.Float64s()[i*24:(i+1)*24], 1e-12)
			require.InDeltaSlice(t, scale, out.LogScale.Float64s()[i*8:(i+1)*8], 1e-12)
		}
	})
}

func TestGradientsOfTheRecurrentNetAgreeWithFiniteDifferences(t *testing.T) {
	t.Run("memory alone", func(t *testing.T) { testGradients(t, tinyRecurrent()) })
	t.Run("with a glance", func(t *testing.T) { testGradients(t, tinyGlancing()) })
}

func testGradients(t *testing.T, config model.Config) {
	t.Helper()
	ps := nn.NewParameters64(1)
	net := NewRecurrentNet(ps, config)
	for i, p := range ps.All() {
		copy(p.Dense().Float64s(), nntest.Normals(uint64(i), p.Size()))
	}
	inputs := map[string]*tensor.Dense{
		"tokens": nntest.Normal(50, 3, 2, 2, 2, 3), "anchors": nntest.Normal(51, 3, 2, 2, 2, 3), "memory": nntest.Normal(52, 2, 2, 2, 4),
	}
	weights := nntest.Normals(53, 3*2*4*6)
	nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		loss := func() (in map[string]*nn.Value, total float64) {
			tape.Reset()
			ps.ZeroGrad()
			in = map[string]*nn.Value{}
			for _, name := range []string{"tokens", "anchors", "memory"} {
				in[name] = tape.Variable(inputs[name])
			}
			out := net.Forward(tape, in["tokens"], in["anchors"], in["memory"])
			up := tensor.New(tensor.WithShape(out.Expected.Shape()...), tensor.WithBacking(weights))
			y := tape.Sum(tape.Mul(out.Expected, tape.Input(up)))
			tape.Backward(y)
			return in, y.Item()
		}
		in, _ := loss()
		leaves := map[string][2][]float64{}
		for name, v := range in {
			leaves[name] = [2][]float64{inputs[name].Float64s(), slices.Clone(v.Grad().Float64s())}
		}
		for _, p := range ps.All() {
			if strings.HasPrefix(p.Name, "scale.") {
				require.Nil(t, p.Grad(), "what is expected does not depend on the scale")
				continue
			}
			leaves[p.Name] = [2][]float64{p.Dense().Float64s(), slices.Clone(p.Grad().Float64s())}
		}
		for name, leaf := range leaves {
			for i, v := range leaf[0] {
				const h = 1e-5
				leaf[0][i] = v + h
				_, above := loss()
				leaf[0][i] = v - h
				_, below := loss()
				leaf[0][i] = v
				slope := (above - below) / (2 * h)
				require.InDelta(t, slope, leaf[1][i], 1e-6*max(1, math.Abs(slope)), "%s at %d", name, i)
			}
		}
	})
}

func TestTheGradientOfTheScaleStopsBeforeItsHead(t *testing.T) {
	ps := nn.NewParameters64(1)
	net := NewRecurrentNet(ps, tinyRecurrent())
	nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		out := net.Forward(tape, tape.Variable(nntest.Normal(1, 2, 1, 2, 2, 3)), nil, nil)
		tape.Backward(tape.Sum(tape.Square(out.LogScale)))
		for _, p := range ps.All() {
			if strings.HasPrefix(p.Name, "scale.") {
				require.NotNil(t, p.Grad(), p.Name)
			} else {
				require.Nil(t, p.Grad(), p.Name)
			}
		}
	})
}
