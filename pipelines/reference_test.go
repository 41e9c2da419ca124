package pipelines

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestReferenceIsUpToDate(t *testing.T) {
	golden(t, fixture.Repository("docs", "definition.md"), Reference())
}

func TestReferenceNamesEveryKeyAndCode(t *testing.T) {
	text := string(Reference())
	for _, field := range Spec() {
		want := "## " + field.Path
		if field.leaf() {
			want = "| `" + field.Path + "` |"
		}
		require.Equal(t, 1, strings.Count(text, want+"\n")+strings.Count(text, want+" "), want)
	}
	for _, c := range Codes() {
		require.Contains(t, text, "`"+string(c.Code)+"`")
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDefinitionsInTheDocumentsLint reads every whole definition that a document shows.
func TestDefinitionsInTheDocumentsLint(t *testing.T) {
	documents := []string{"README.md", "docs/definition.md", "docs/architecture.md", "docs/sinks.md", "docs/library.md"}
	found := 0
	for _, name := range documents {
		data, err := os.ReadFile(fixture.Repository(name))
		if err != nil {
			continue // not written yet
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(string(data), -1) {
			if !strings.Contains(block[1], "version: 1") {
				continue
			}
			found++
			require.Empty(t, findingCodes(Lint(name, []byte(block[1]), noEnv), SeverityError, SeverityWarning))
		}
	}
	require.Positive(t, found)
}
