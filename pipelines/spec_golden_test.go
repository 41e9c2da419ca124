package pipelines

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// golden compares with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to write it")
	wanted, has := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range min(len(wanted), len(has)) {
		require.Equal(t, wanted[i], has[i], "%s is out of date in line %d: run go test ./pipelines -update", path, i+1)
	}
	require.Len(t, has, len(wanted), "%s is out of date: run go test ./pipelines -update", path)
}

// testEnv is the environment of every test.
func testEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"FPS": "fast", "EMPTY": "", "WORKERS_TOKEN": "hunter2", "KAFKA_LIST": "a:9092, b:9092", "DB_PASSWORD": "hunter2",
		"RATE": "12.5", "NESTED": "${RATE}",
	}[name]
	return value, ok
}

func noEnv(string) (string, bool) { return "", false }

// cases are the definitions in a folder of testdata, by file name.
func cases(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	all := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		all[filepath.Base(path)] = data
	}
	return all
}

func render(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}
