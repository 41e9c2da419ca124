package train

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/model"
)

func TestDefinitionIsReadOverTheDefaults(t *testing.T) {
	c, err := Parse("train.yaml", []byte(`
version: 1
name: lobby
output: out
model: {family: transformer, transformer: {depth: 6, predictor: {depth: 2}}}
data:
  batch: 8
  footage: {paths: [clips, "more/*.mp4"], weight: 2, redistributable_only: true}
  scenes: {weight: 0.5}
objective: {target: online, sigreg: {weight: 0.1}}
budget: {time: 15m}
`))
	require.NoError(t, err)
	d := Default()
	require.Equal(t, "lobby", c.Name)
	require.Equal(t, 6, c.Model.Transformer.Depth)
	require.Equal(t, 2, c.Model.Transformer.Predictor.Depth)
	require.Equal(t, d.Model.Transformer.Width, c.Model.Transformer.Width)
	require.Equal(t, []string{"clips", "more/*.mp4"}, c.Data.Footage.Paths)
	require.True(t, c.Data.Footage.RedistributableOnly)
	require.Equal(t, 2.0, c.Data.Footage.Weight)
	require.Equal(t, BudgetConfig{Time: 15 * time.Minute}, c.Budget, "a time alone is not cut short by a default of steps")
	require.Equal(t, d.Objective.JEPA, c.Objective.JEPA)
	require.Equal(t, d.Objective.SIGReg.Rows, c.Objective.SIGReg.Rows)
}

func TestDefinitionWrittenOutReadsTheSame(t *testing.T) {
	c := Default()
	c.Data.Footage.Paths = []string{"a"}
	text, err := c.Encode()
	require.NoError(t, err)
	again, err := Parse("x", text)
	require.NoError(t, err)
	require.Equal(t, c, again)
}

func TestDefinitionsThatCannotBeReadAreToldByLine(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":         {"", "t.yaml: it is empty"},
		"no YAML":       {"a: [", "t.yaml: yaml"},
		"misspelt":      {"version: 1\ndata:\n  bach: 4\n", "t.yaml: line 3: unknown key data.bach; did you mean batch?"},
		"unknown":       {"objective:\n  zzzzz: {}\n", "t.yaml: line 2: unknown key objective.zzzzz; known here: barlow_twins, "},
		"deeper":        {"data:\n  footage:\n    pahts: [a]\n", "line 3: unknown key data.footage.pahts; did you mean paths?"},
		"wrong form":    {"data: {batch: many}\n", "t.yaml: line 1: cannot unmarshal !!str `many` into int"},
		"wrong time":    {"budget: {time: soon}\n", "t.yaml: line 1: cannot unmarshal !!str `soon` into time.Duration"},
		"two at once":   {"nam: x\nbudgt: {}\n", "line 2: unknown key budgt; did you mean budget?"},
		"list for keys": {"model: [1]\n", "line 1: cannot unmarshal !!seq into train.ModelConfig"},
		"too large":     {strings.Repeat("#\n", maxDefinition), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("t.yaml", []byte(test.text))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("version: 1\nmodel: {family: recurrent}\n")
	f.Add("data: {footage: {paths: [a]}}\nbudget: {time: 5m, steps: 3}\n")
	f.Add("a: &x [*x]\n")
	f.Add("objective: {jepa: {weight: .nan}}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("fuzz", []byte(text))
		if err != nil {
			require.Contains(t, err.Error(), "fuzz")
			return
		}
		_ = c.Validate() // whatever it says, it says it
	})
}

func TestSettingsThatCannotWorkAreToldByKey(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"version":           {func(c *Config) { c.Version = 2 }, "version is 2"},
		"no output":         {func(c *Config) { c.Output = "" }, "output is empty"},
		"family":            {func(c *Config) { c.Model.Family = "mamba" }, `model.family is "mamba"`},
		"side":              {func(c *Config) { c.Model.Recurrent.Side = 30 }, "model.recurrent.size: 30"},
		"too few frames":    {func(c *Config) { c.Data.Frames = 5 }, "data.frames is 5"},
		"batch":             {func(c *Config) { c.Data.Batch = 1 }, "data.batch is 1"},
		"rate":              {func(c *Config) { c.Optimiser.Rate = 0 }, "optimiser.rate is 0"},
		"target":            {func(c *Config) { c.Objective.Target = "oracle" }, `objective.target is "oracle"`},
		"distance":          {func(c *Config) { c.Objective.JEPA.Distance = "l7" }, `objective.jepa.distance is "l7"`},
		"nothing predicted": {func(c *Config) { c.Objective.JEPA.Weight = 0 }, "no term with a weight compares a prediction"},
		"rows":              {func(c *Config) { c.Objective.Spread.Rows = 2 }, "objective.spread.rows is 2"},
		"negative weight":   {func(c *Config) { c.Objective.SIGReg.Weight = -1 }, "objective.sigreg.weight is -1"},
		"nothing to see":    {func(c *Config) { c.Data.Scenes.Weight = 0 }, "there is nothing to learn from"},
		"digits":            {func(c *Config) { c.Data.Digits.Weight = 1 }, "data.digits.path is empty"},
		"negative budget":   {func(c *Config) { c.Budget.Time = -time.Second }, "budget: steps 1000 and time -1s cannot be negative"},
		"telemetry":         {func(c *Config) { c.Telemetry.Every = 0 }, "telemetry.every is 0"},
		"manifest": {func(c *Config) {
			c.Data.Footage.Paths, c.Data.Footage.RedistributableOnly = []string{"a"}, true
		}, "data.footage.manifest"},
		"tubelets": {func(c *Config) { c.Model.Family, c.Data.Frames = Transformer, 15 }, "data.frames is 15; give a multiple of the tubelet"},
		"masks":    {func(c *Config) { c.Model.Family, c.Model.Transformer.Mode = Transformer, Masked }, "needs attention full"},
		"context":  {func(c *Config) { c.Model.Family, c.Model.Transformer.Context = Transformer, 24 }, "model.transformer.context is 24"},
		"attention": {func(c *Config) {
			c.Model.Family, c.Model.Transformer.Attention = Transformer, "none"
		}, `model.transformer.attention is "none"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Data.Scenes.Weight = 1
			c.fill()
			require.NoError(t, c.Validate())
			test.change(&c)
			require.ErrorContains(t, c.Validate(), test.want)
		})
	}
}

func TestModelsOfTheDefaultsAreValid(t *testing.T) {
	c := Default()
	require.NoError(t, c.Model.Recurrent.model().Check())
	for _, attention := range []string{model.Tubelet, model.BlockCausal, model.Full} {
		c.Model.Transformer.Attention = attention
		require.NoError(t, c.Model.Transformer.model(16).Check())
	}
}

func TestScheduleRisesAndFalls(t *testing.T) {
	o := OptimiserConfig{Rate: 1, Final: 0.1, Warmup: 10}
	require.InDelta(t, 0.3, o.rate(3, 0.01), 1e-12)
	require.InDelta(t, 1, o.rate(10, 0), 1e-12)
	require.InDelta(t, 0.55, o.rate(50, 0.5), 1e-12)
	require.InDelta(t, 0.1, o.rate(100, 1), 1e-12)

	m := MomentumConfig{Start: 0.99, End: 0.999, Settle: 20}
	require.InDelta(t, 0.9, m.of(20, 0.1), 1e-12)
	require.InDelta(t, 0.9945, m.of(21, 0.5), 1e-12)

	b := BudgetConfig{Steps: 100, Time: time.Minute}
	require.InDelta(t, 0.5, b.progress(10, 30*time.Second), 1e-12, "time sets the pace")
	require.True(t, b.spent(100, 0))
	require.True(t, b.spent(1, time.Minute))
	require.False(t, b.spent(99, 59*time.Second))
	require.Equal(t, 10*time.Second, b.left(90, 20*time.Second, time.Second))
	require.Equal(t, 5*time.Second, b.left(10, 55*time.Second, time.Second))
	require.InDelta(t, 0.25, BudgetConfig{Steps: 8}.progress(2, time.Hour), 1e-12)
	require.Equal(t, 6*time.Second, BudgetConfig{Steps: 8}.left(2, 0, time.Second))
}
