package pipelines

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// awkward has a name in every place that quotes, brackets and signs could break.
const awkward = `version: 1
name: lobby
ingest:
  files: {paths: ['a "b" <c> #d [e] {f} | g \ h.mp4']}
sink:
  jsonl: {path: 'out "1" | <2> #3.jsonl'}
  dead_letter: {jsonl: {path: 'dead [x] (y).jsonl'}}
`

func graphed(t *testing.T) map[string]Explanation {
	t.Helper()
	all := map[string]Explanation{"awkward": explained(t, awkward)}
	for _, name := range StockNames() {
		data, _ := Stock(name)
		def, _ := Parse(name, data, noEnv)
		all[name] = explain(def, 2)
	}
	return all
}

func TestExplainDrawsWhatGraphvizReads(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("needs graphviz: apt-get install graphviz")
	}
	for name, e := range graphed(t) {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), dot, "-Tsvg")
			command.Stdin = strings.NewReader(e.Dot())
			var complaints bytes.Buffer
			command.Stderr = &complaints
			svg, err := command.Output()
			require.NoError(t, err, "%s\n%s", complaints.String(), e.Dot())
			require.Empty(t, complaints.String())
			require.Contains(t, string(svg), "<svg")
			for _, stage := range e.Stages {
				require.Contains(t, string(svg), ">"+stage.Stage)
			}
			require.Equal(t, len(e.Stages)+len(e.Results)+1, strings.Count(string(svg), `class="node"`))
		})
	}
}

// TestExplainDrawsWhatMermaidReads holds every line against the part of Mermaid's grammar that is used.
func TestExplainDrawsWhatMermaidReads(t *testing.T) {
	label := `"[^"<>` + "`" + `]*(?:<br/>[^"<>` + "`" + `]*)*"`
	node := regexp.MustCompile(`^  [a-z]+\d*(?:\[` + label + `\]|\[\(` + label + `\)\])$`)
	edge := regexp.MustCompile(`^  ([a-z]+\d*) (?:-->|-\.->)\|` + label + `\| ([a-z]+\d*)$`)
	for name, e := range graphed(t) {
		t.Run(name, func(t *testing.T) {
			lines := strings.Split(strings.TrimSuffix(e.Mermaid(), "\n"), "\n")
			require.Equal(t, "flowchart TB", lines[0])
			known := map[string]bool{}
			edges := 0
			for _, line := range lines[1:] {
				if match := edge.FindStringSubmatch(line); match != nil {
					require.True(t, known[match[1]] && known[match[2]], "an edge between nodes that are there: %s", line)
					edges++
					continue
				}
				require.Regexp(t, node, line)
				known[regexp.MustCompile(`[a-z]+\d*`).FindString(line)] = true
			}
			require.Equal(t, len(known)-1, edges, "a chain that ends in every place")
		})
	}
}

func TestExplainDrawingsAreStable(t *testing.T) {
	data, _ := Stock("live")
	def, _ := Parse("live", data, noEnv)
	golden(t, filepath.Join("testdata", "explain", "live.dot"), []byte(explain(def, 2).Dot()))
	golden(t, filepath.Join("testdata", "explain", "live.mermaid"), []byte(explain(def, 2).Mermaid()))
}

func TestDrawingsHideSecrets(t *testing.T) {
	env := func(name string) (string, bool) { return "hunter2-hunter2", name == "STORE_TOKEN" }
	def, findings := Parse("test.yaml", []byte(strings.Replace(awkward, `'out "1" | <2> #3.jsonl'`, `"${STORE_TOKEN}.jsonl"`, 1)), env)
	require.Empty(t, render(findings))
	for _, text := range []string{explain(def, 2).Dot(), explain(def, 2).Mermaid(), explain(def, 2).Text()} {
		require.NotContains(t, text, "hunter2")
	}
}
