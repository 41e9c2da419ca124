package pipelines

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// writeRecurrent makes a recurrent model of random weights in a new directory.
func writeRecurrent(t *testing.T) string {
	t.Helper()
	config, dir := model.RecurrentConfig(), filepath.Join(t.TempDir(), "model")
	encoding, predicting := nn.NewParameters(1), nn.NewParameters(2)
	encoder.NewConvEncoder(encoding, config)
	predictor.NewRecurrentNet(predicting, config)
	all := append(model.Named("encoder.", encoding.All()), model.Named("predictor.", predicting.All())...)
	require.NoError(t, model.Write(dir, config, all...))
	return dir
}

// Invariant 7, with a model that remembers: whatever runs side by side, and however a stream is cut.
func TestARecurrentModelSaysTheSameWhateverTheConcurrencyAndTheCutting(t *testing.T) {
	dir := writeRecurrent(t)
	definition := func(workers int, segment time.Duration) *Definition {
		def := stockReplay(t, sample("shelf"), sample("yard"), sample("garden"))
		def.Encoder.Model, def.Encoder.Threads, def.Predictor.Model = dir, 1, predictor.Learned
		def.Decode.Workers, def.Ingest.Files.Segment = workers, segment
		return def
	}
	want := runs(t, definition(1, 2*time.Second))
	require.Empty(t, want.letters)
	require.NotEmpty(t, want.results)
	require.Equal(t, byID(t, want.results), byID(t, runs(t, definition(3, 2*time.Second)).results))

	short, long := windowsOf(want.results), windowsOf(runs(t, definition(2, 6*time.Second)).results)
	compared := 0
	for window, energy := range long {
		if other, ok := short[window]; ok { // the last windows of a segment may be cut elsewhere
			require.Equal(t, energy, other, "%+v", window)
			compared++
		}
	}
	require.Greater(t, compared, 10)
}

// span is where a window lies.
type span struct {
	stream     string
	start, end float64
}

// windowsOf are the energies of all windows that have a next one, which is where they end.
func windowsOf(results []*stream.Result) map[span]float64 {
	windows := map[string][]stream.Window{}
	for _, result := range results {
		windows[result.Stream] = append(windows[result.Stream], result.Windows...)
	}
	energies := map[span]float64{}
	for name, all := range windows {
		for i, window := range all[:len(all)-1] {
			energies[span{name, window.Start, all[i+1].Start}] = window.Energy
		}
	}
	return energies
}
