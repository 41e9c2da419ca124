package pipelines

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestEveryEnergyRule(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "energy.safetensors")
	require.NoError(t, os.WriteFile(broken, []byte("this is no energy"), 0o600))
	for _, test := range []struct {
		code stream.Code
		path string
		good string
		bad  string
	}{
		{"definition.energy_missing", "predictor.energy", "{energy: distance}", "{energy: mix}"},
		{"definition.energy_missing", "predictor.energy", "{energy: distance}", "{energy: ./nowhere/energy.safetensors}"},
		{"definition.energy_broken", "predictor.energy", "{energy: distance}", "{energy: " + broken + "}"},
	} {
		t.Run(string(test.code)+" "+test.bad, func(t *testing.T) {
			require.NotContains(t, pathsOf(t, "pixels", test.good), test.code)
			require.Equal(t, test.path, pathsOf(t, "pixels", test.bad)[test.code])
		})
	}
	t.Run("definition.energy_window", func(t *testing.T) {
		require.NotContains(t, pathsOf(t, "builtin", "{horizons: [1s, 2s]}"), stream.Code("definition.energy_window"))
		require.Equal(t, "predictor.horizons[0]", pathsOf(t, "builtin", "{horizons: [500ms, 1s]}")["definition.energy_window"])
	})
}

// pathsOf are the findings of a definition with this encoder and predictor: code and key.
func pathsOf(t *testing.T, encoder, predictor string) map[stream.Code]string {
	t.Helper()
	text := minimal + "encoder: {model: " + encoder + "}\npredictor: " + predictor + "\n"
	paths := map[stream.Code]string{}
	for _, f := range Lint("test.yaml", []byte(text), testEnv) {
		paths[f.Code] = f.Path
	}
	return paths
}
