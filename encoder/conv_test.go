package encoder

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/nn/nntest"
)

// tinyRecurrent is a configuration that is quick to check gradients of.
func tinyRecurrent() model.Config {
	config := model.RecurrentConfig()
	config.Ensue.Recurrent = model.Recurrent{Size: 8, Widths: [3]int{2, 3, 4}, Dim: 3, Hidden: 4, Ahead: []int{1, 3}}
	return config
}

func TestTheConvEncoderHasTheTensorsOfItsModel(t *testing.T) {
	config := model.RecurrentConfig()
	ps := nn.NewParameters(1)
	NewConvEncoder(ps, config)
	require.Equal(t, 83_200, ps.Count())
	var want, got []model.Tensor
	for _, tensor := range config.Ensue.Recurrent.Tensors() {
		if name, ok := strings.CutPrefix(tensor.Name, "encoder."); ok {
			want = append(want, model.Tensor{Name: name, Shape: tensor.Shape})
		}
	}
	for _, p := range ps.All() {
		got = append(got, model.Tensor{Name: p.Name, Shape: p.Shape()})
	}
	require.ElementsMatch(t, want, got)
}

func TestTheConvEncoderMakesNormalTokensOfAPlaceForEightPixels(t *testing.T) {
	for _, size := range []int{64, 128} {
		config := model.RecurrentConfig()
		config.Ensue.Recurrent.Size = size
		c := NewConvEncoder(nn.NewParameters(1), config)
		nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{}, func(tape *nn.Tape) {
			pixels := make([]byte, 2*size*size*3)
			for i := range pixels {
				pixels[i] = byte(i * i / 7)
			}
			x := tape.Zeros(2, size, size, 3)
			c.Normalize(pixels, x.Float32s())
			require.InDelta(t, (float64(pixels[5])/255-.45)/.25, x.Float32s()[5], 1e-6)
			y := c.Forward(tape, x)
			require.Equal(t, tensor.Shape{2, size / 8, size / 8, 48}, y.Shape())
			for token := range slices.Chunk(y.Float32s(), 48) {
				sum, squares := 0.0, 0.0
				for _, v := range token {
					sum += float64(v)
					squares += float64(v) * float64(v)
				}
				require.InDelta(t, 0, sum/48, 1e-5)
				require.InDelta(t, 1, squares/48, 1e-2)
			}
		})
	}
}

func TestTheConvEncoderNormalizesEachColourByItsOwn(t *testing.T) {
	config := tinyRecurrent()
	config.Ensue.Mean, config.Ensue.Std = [3]float64{0, .5, 1}, [3]float64{1, .5, .25}
	out := make([]float32, 6)
	NewConvEncoder(nn.NewParameters(1), config).Normalize([]byte{0, 0, 0, 255, 255, 255}, out)
	require.Equal(t, []float32{0, -1, -4, 1, 1, 0}, out)
}

func TestGradientsOfTheConvEncoderAgreeWithFiniteDifferences(t *testing.T) {
	ps := nn.NewParameters64(1)
	c := NewConvEncoder(ps, tinyRecurrent())
	for i, p := range ps.All() {
		copy(p.Dense().Float64s(), nntest.Normals(uint64(i), p.Size()))
	}
	x := tensor.New(tensor.WithShape(2, 8, 8, 3), tensor.WithBacking(nntest.Normals(100, 2*8*8*3)))
	nntest.OnTape(t, nntest.OpenDevice(t), nn.TapeConfig{Gradients: true}, func(tape *nn.Tape) {
		up := tensor.New(tensor.WithShape(2, 1, 1, 3), tensor.WithBacking(nntest.Normals(101, 6)))
		loss := func() (in *nn.Value, total float64) {
			tape.Reset()
			in = tape.Variable(x)
			y := c.Forward(tape, in)
			for i, v := range y.Float64s() {
				total += v * up.Float64s()[i]
			}
			ps.ZeroGrad()
			tape.BackwardFrom(y, up)
			return in, total
		}
		in, _ := loss()
		leaves := map[string][2][]float64{"pixels": {x.Float64s(), slices.Clone(in.Grad().Float64s())}}
		for _, p := range ps.All() {
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
				require.InDelta(t, slope, leaf[1][i], 1e-5*max(1, math.Abs(slope)), "%s at %d", name, i)
			}
		}
	})
}

// BenchmarkConv is the encoder's net, forward and backward.
func BenchmarkConv(b *testing.B) {
	for _, size := range []int{64, 128} {
		for _, frames := range []int{1, 16, 384} {
			for _, threads := range []int{1, 2} {
				for _, name := range []string{"forward", "training"} {
					b.Run(fmt.Sprintf("%d/%dx%d/%d-threads", frames, size, size, threads)+"/"+name, func(b *testing.B) {
						benchmarkConv(b, size, frames, threads, name == "training")
					})
				}
			}
		}
	}
}

func benchmarkConv(b *testing.B, size, frames, threads int, training bool) {
	b.Helper()
	device, err := nn.Open(nn.Config{Threads: threads})
	require.NoError(b, err)
	defer func() { require.NoError(b, device.Close()) }()
	config := model.RecurrentConfig()
	config.Ensue.Recurrent.Size = size
	c := NewConvEncoder(nn.NewParameters(1), config)
	tape := device.NewTape(nn.TapeConfig{Gradients: training})
	defer tape.Close()
	x := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(frames, size, size, 3))
	step := func() error {
		tape.Reset()
		y := c.Forward(tape, tape.Input(x))
		if training {
			tape.Backward(tape.Mean(y))
		}
		return nil
	}
	require.NoError(b, device.Run(step))
	best := time.Hour
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		_ = device.Run(step)
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Nanoseconds())/1e3/float64(frames), "µs/frame-best")
}
