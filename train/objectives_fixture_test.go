package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// numbers is an array as the fixtures write it.
type numbers struct {
	Shape []int     `json:"shape"`
	Data  []float64 `json:"data"`
}

// part is a number or an array.
type part struct{ numbers }

func (p *part) UnmarshalJSON(data []byte) error {
	var single float64
	if json.Unmarshal(data, &single) == nil {
		p.Shape, p.Data = []int{1}, []float64{single}
		return nil
	}
	return json.Unmarshal(data, &p.numbers)
}

type lossCase struct {
	Name      string              `json:"name"`
	Inputs    map[string]numbers  `json:"inputs"`
	Value     float64             `json:"value"`
	Parts     map[string]part     `json:"parts"`
	Gradients map[string]*numbers `json:"gradients"`
}

type lossFile struct {
	Name      string     `json:"name"`
	Cases     []lossCase `json:"cases"`
	Tolerance struct {
		Float64 float64 `json:"float64"`
		Float32 float64 `json:"float32"`
	} `json:"tolerance"`
}

// objective computes a fixture's objective; parts are those whose names the fixture knows.
type objective func(t *nn.Tape, in map[string]*nn.Value, same []float64) (loss *nn.Value, parts map[string]*nn.Value)

// fixtureObjectives are by the names of the fixtures' files.
func fixtureObjectives() map[string]objective {
	return map[string]objective{
		"vicreg": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			r := VICReg(t, in["x"], in["y"], PublishedVICReg())
			return r.Loss, map[string]*nn.Value{"invariance": r.Invariance, "variance": r.Variance, "covariance": r.Covariance}
		},
		"barlow_twins": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			r := BarlowTwins(t, in["x"], in["y"], PublishedBarlow)
			return r.Loss, map[string]*nn.Value{"on_diagonal": r.OnDiagonal, "off_diagonal": r.OffDiagonal}
		},
		"info_nce": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			r := InfoNCE(t, in["x"], in["y"], 0.1)
			return r.Loss, map[string]*nn.Value{"x_to_y": r.XToY, "y_to_x": r.YToX}
		},
		"nt_xent": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return NTXent(t, in["x"], in["y"], 0.1), nil
		},
		"contrastive_margin": func(t *nn.Tape, in map[string]*nn.Value, same []float64) (*nn.Value, map[string]*nn.Value) {
			return Margin(t, in["x"], in["y"], same, 1.5), nil
		},
		"sigreg": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return SIGReg(t, in["x"], in["directions"].Dense()), nil
		},
		"l1_tokens": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return JEPA(t, in["pred"], in["target"]), nil
		},
		"smooth_l1_tokens": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return SmoothJEPA(t, in["pred"], in["target"], 1), nil
		},
		"smooth_l1_tokens_beta_0.25": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return SmoothJEPA(t, in["pred"], in["target"], 0.25), nil
		},
		"time_similarity": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return TimeSimilarity(t, in["z"]), nil
		},
		"effective_rank": func(t *nn.Tape, in map[string]*nn.Value, _ []float64) (*nn.Value, map[string]*nn.Value) {
			return EffectiveRankLoss(t, in["x"]), nil
		},
	}
}

func TestObjectivesAndTheirGradientsMatchTheFixtures(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(fixture.Shared(t, "fixtures", "losses"), "*.json"))
	require.NoError(t, err)
	known := fixtureObjectives()
	require.Len(t, paths, len(known), "a file of the fixtures without an objective, or the other way round")
	d := openDevice(t)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var file lossFile
		require.NoError(t, json.Unmarshal(data, &file))
		require.NotEmpty(t, file.Cases)
		require.Contains(t, known, file.Name)
		for _, c := range file.Cases {
			t.Run(file.Name+"/"+c.Name+"/float64", func(t *testing.T) {
				checkLoss(t, d, known[file.Name], c, tensor.Float64, file.Tolerance.Float64)
			})
			t.Run(file.Name+"/"+c.Name+"/float32", func(t *testing.T) {
				checkLoss(t, d, known[file.Name], c, tensor.Float32, file.Tolerance.Float32)
			})
		}
	}
}

func checkLoss(t *testing.T, d *nn.Device, f objective, c lossCase, dtype tensor.Dtype, tolerance float64) {
	t.Helper()
	require.NoError(t, d.Run(func() error {
		tape := d.NewTape(nn.TapeConfig{Gradients: true})
		defer tape.Close()
		in := map[string]*nn.Value{}
		for name, x := range c.Inputs {
			in[name] = tape.Variable(denseOf(x.Data, dtype, x.Shape...))
		}
		loss, parts := f(tape, in, c.Inputs["same"].Data)
		within(t, "value", []float64{c.Value}, read(loss.Dense()), tolerance)
		for name, got := range parts {
			within(t, name, c.Parts[name].Data, read(got.Dense()), tolerance)
		}
		tape.Backward(loss)
		for name, want := range c.Gradients {
			if want == nil {
				continue // none is defined there
			}
			got := make([]float64, len(want.Data))
			if g := in[name].Grad(); g != nil {
				got = read(g)
			}
			within(t, "gradient of "+name, want.Data, got, tolerance)
		}
		return nil
	}))
}

// within asks for |got - want| <= tolerance max(1, largest |want|), as the fixtures do.
func within(t *testing.T, what string, want, got []float64, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want), what)
	bound := tolerance
	for _, w := range want {
		bound = max(bound, tolerance*math.Abs(w))
	}
	for i, w := range want {
		require.InDeltaf(t, w, got[i], bound, "%s, element %d", what, i)
	}
}

func denseOf(data []float64, dtype tensor.Dtype, shape ...int) *tensor.Dense {
	x := tensor.New(tensor.Of(dtype), tensor.WithShape(shape...))
	write(x, slices.Clone(data))
	return x
}

func openDevice(tb testing.TB) *nn.Device {
	tb.Helper()
	d, err := nn.Open(nn.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, d.Close()) })
	return d
}
