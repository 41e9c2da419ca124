package train

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

func sampleAt(step int) *Sample {
	return &Sample{
		Step: step, Loss: 1 / float64(step), Terms: []Term{{"jepa", 2}}, GradientNorm: 3, Deviation: 0.9, EncoderRank: 10 + float64(step%7),
		PredictorRank: 8, Horizons: []Horizon{
			{Seconds: 0.125, Prediction: 0.5, Persistence: 0.75, Moving: &Horizon{Prediction: 0.6, Persistence: 0.9}},
			{Seconds: 0.25, Prediction: 0.6, Persistence: 0.7},
		}, WindowsPerSecond: 30,
	}
}

func TestTelemetryGoesOnWhereTheCheckpointIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), TelemetryFile)
	r, err := openRecord(path, 0)
	require.NoError(t, err)
	for step := 10; step <= 50; step += 10 {
		require.NoError(t, r.add(sampleAt(step)))
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("60,0.1,0.") // a process died here
	require.NoError(t, err)
	require.NoError(t, file.Close())

	r, err = openRecord(path, 30)
	require.NoError(t, err)
	require.NoError(t, r.add(sampleAt(40)))
	steps, ok := r.column("step")
	require.True(t, ok)
	require.Equal(t, []float64{10, 20, 30, 40}, steps)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Len(t, lines, 5)
	require.Equal(t, "step,seconds,rate,momentum,loss,term_jepa,gradient_norm,deviation,covariance,rank_encoder,rank_predictor,"+
		"prediction_0.125s,persistence_0.125s,moving_prediction_0.125s,moving_persistence_0.125s,prediction_0.25s,persistence_0.25s,"+
		"windows_per_second", lines[0])

	r, err = openRecord(path, 0)
	require.NoError(t, err)
	require.Empty(t, r.rows)
	require.NoFileExists(t, path, "a new training begins a new file")
}

func TestPageNeedsNothingElseAndShowsEveryCurve(t *testing.T) {
	r, err := openRecord(filepath.Join(t.TempDir(), TelemetryFile), 0)
	require.NoError(t, err)
	for step := 1; step <= 900; step++ {
		s := sampleAt(step)
		if step == 5 {
			s.GradientNorm = math.Inf(1)
		}
		require.NoError(t, r.add(s))
	}
	c := Default()
	c.Name = "<lobby>"
	s := state{Step: 900, Elapsed: time.Minute, Last: sampleAt(900), Watch: watch{Told: &Collapse{Step: 5, Reason: "it is <flat>"}}}
	page, err := r.page(&c, &s, 48)
	require.NoError(t, err)
	text := string(page)
	require.NotRegexp(t, `(?i)(src|href)=|https?://|@import|url\(`, text)
	require.Equal(t, 11, strings.Count(text, "<svg "))
	require.Contains(t, text, "&lt;lobby&gt;")
	require.Contains(t, text, "it is &lt;flat&gt;")
	require.NotContains(t, text, "NaN")
	require.NotContains(t, text, "Inf")
	for _, label := range []string{"jepa", "prediction 0.25s", "persistence 0.125s", "rank encoder", "windows per second"} {
		require.Contains(t, text, ">"+label+"<")
	}
	for line := range strings.SplitSeq(text, "<polyline") {
		require.LessOrEqual(t, strings.Count(line, ","), 3*chartPoints)
	}
	empty, err := (&record{}).page(&c, &state{}, 48)
	require.NoError(t, err)
	require.Contains(t, string(empty), "nothing yet")
}

func TestCollapseIsToldOnceAndAgainAfterARecovery(t *testing.T) {
	c := CollapseConfig{Deviation: 0.1, Rank: 0.1, Fall: 0.5, Patience: 2, After: 10}
	good, flat, thin, fallen := Sample{Deviation: 1, EncoderRank: 30}, Sample{Deviation: 0.01, EncoderRank: 30},
		Sample{Deviation: 1, EncoderRank: 3}, Sample{Deviation: 1, EncoderRank: 14}
	for name, test := range map[string]struct {
		looks []Sample
		told  []int
		why   string
	}{
		"healthy":             {[]Sample{good, good, good}, nil, ""},
		"all the same":        {[]Sample{good, flat, flat, flat}, []int{2}, "standard deviation is 0.01"},
		"one look is chance":  {[]Sample{good, flat, good, flat, good}, nil, ""},
		"dimensional":         {[]Sample{thin, thin}, []int{1}, "effective rank is 3.0 of 48"},
		"falling":             {[]Sample{good, fallen, fallen}, []int{2}, "fell from 30.0 to 14.0"},
		"again after a while": {[]Sample{flat, flat, good, flat, flat}, []int{1, 4}, "standard deviation"},
	} {
		t.Run(name, func(t *testing.T) {
			w, told := &watch{}, []int(nil)
			for i, s := range test.looks {
				s.Step = 10 + i
				if collapse := w.see(c, &s, 48); collapse != nil {
					told = append(told, i)
					require.ErrorContains(t, collapse, test.why)
				}
			}
			require.Equal(t, test.told, told)
		})
	}
	early := &watch{}
	for step := range 9 {
		flat.Step = step
		require.Nil(t, early.see(c, &flat, 48), "before it has begun to learn")
	}
}

func TestSpreadOfRowsIsThatOfTheObjective(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	rows := make([]float32, 40*6)
	for i := range rows {
		rows[i] = float32(random.NormFloat64()) * 0.4
	}
	deviation, covariance := spreadOf(rows, 6)
	d := openDevice(t)
	require.NoError(t, d.Run(func() error {
		tape := d.NewTape(nn.TapeConfig{})
		defer tape.Close()
		hinge, c := Spread(tape, tape.Floats(rows, 40, 6))
		require.InDelta(t, c.Item(), covariance, 1e-6)
		require.InDelta(t, 1-hinge.Item(), deviation, 1e-3) // but for the eps under the root
		return nil
	}))
	deviation, covariance = spreadOf(make([]float32, 12), 6)
	require.Zero(t, deviation)
	require.Zero(t, covariance)
}

// TestGradientsOfTheOtherObjectivesAreThoseOfTheirValues compares with central differences what no fixture pins.
func TestGradientsOfTheOtherObjectivesAreThoseOfTheirValues(t *testing.T) {
	weights := []float32{1, 5, 0, 2, 1, 1}
	for name, test := range map[string]struct {
		shapes [][]int
		f      func(t *nn.Tape, in []*nn.Value) *nn.Value
	}{
		"weighted L1": {[][]int{{6, 4}, {6, 4}}, func(t *nn.Tape, in []*nn.Value) *nn.Value { return WeightedL1(t, in[0], in[1], weights) }},
		"weighted L2": {[][]int{{6, 4}, {6, 4}}, func(t *nn.Tape, in []*nn.Value) *nn.Value { return WeightedL2(t, in[0], in[1], weights) }},
		"pixels":      {[][]int{{6, 4}}, func(t *nn.Tape, in []*nn.Value) *nn.Value { return Pixels(t, in[0], t.Input(normal(99, 6, 4))) }},
		"expected error": {[][]int{{6}}, func(t *nn.Tape, in []*nn.Value) *nn.Value {
			return ExpectedError(t, t.Input(normal(5, 6, 3)), t.Input(normal(6, 6, 3)), in[0])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDevice(t)
			inputs := make([]*tensor.Dense, len(test.shapes))
			for i, shape := range test.shapes {
				inputs[i] = normal(uint64(i), shape...)
			}
			value := func() (v float64) {
				require.NoError(t, d.Run(func() error {
					tape := d.NewTape(nn.TapeConfig{})
					defer tape.Close()
					v = test.f(tape, variables(tape, inputs)).Item()
					return nil
				}))
				return v
			}
			var gradients [][]float64
			require.NoError(t, d.Run(func() error {
				tape := d.NewTape(nn.TapeConfig{Gradients: true})
				defer tape.Close()
				in := variables(tape, inputs)
				tape.Backward(test.f(tape, in))
				for _, v := range in {
					gradients = append(gradients, append([]float64(nil), v.Grad().Float64s()...))
				}
				return nil
			}))
			for i, x := range inputs {
				for j := range x.Float64s() {
					const h = 1e-6
					at := &x.Float64s()[j]
					*at += h
					above := value()
					*at -= 2 * h
					below := value()
					*at += h
					require.InDelta(t, (above-below)/(2*h), gradients[i][j], 1e-6)
				}
			}
		})
	}
}

func variables(t *nn.Tape, inputs []*tensor.Dense) (in []*nn.Value) {
	for _, x := range inputs {
		in = append(in, t.Variable(x))
	}
	return in
}

// normal is an array of normal numbers.
func normal(seed uint64, shape ...int) *tensor.Dense {
	x := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(shape...))
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range x.Float64s() {
		x.Float64s()[i] = random.NormFloat64()
	}
	return x
}

func TestObjectivesThatGetNoGradientLeaveTheOthersAlone(t *testing.T) {
	d := openDevice(t)
	require.NoError(t, d.Run(func() error {
		tape := d.NewTape(nn.TapeConfig{Gradients: true})
		defer tape.Close()
		p, y, s := tape.Variable(normal(1, 6, 3)), tape.Variable(normal(2, 6, 3)), tape.Variable(normal(3, 6))
		tape.Backward(ExpectedError(tape, p, y, s))
		require.Nil(t, p.Grad(), "knowing how wrong it is must not make it less right")
		require.Nil(t, y.Grad())
		require.NotNil(t, s.Grad())
		return nil
	}))
}

func TestDirectionsAreOfUnitLength(t *testing.T) {
	x := directions(rand.New(rand.NewPCG(1, 2)), 5, 30).Float32s()
	for column := range 30 {
		sum := 0.0
		for row := range 5 {
			sum += float64(x[row*30+column]) * float64(x[row*30+column])
		}
		require.InDelta(t, 1, sum, 1e-5)
	}
}

func TestEffectiveRankOfWhatIsBrokenIsNone(t *testing.T) {
	require.Zero(t, EffectiveRank([]float32{1, float32(math.NaN()), 2, 3}, 2))
	require.Zero(t, EffectiveRank(nil, 2))
	require.InDelta(t, 1, EffectiveRank([]float32{1, 2, 2, 4, 3, 6}, 2), 1e-5)
}
