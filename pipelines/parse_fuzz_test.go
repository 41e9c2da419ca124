package pipelines

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParse: whatever the text, reading it ends, does not panic, is bounded, gives a definition exactly when there is no
// error, and prints no secret.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "stock/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range []string{
		"", "a: &a [*a]", "*a", "? [a]: b", "- - - -", "%YAML 1.2\n---\n", "version: !!binary eA==", "name: |\n  ${SECRET}\n",
		minimal + "decode: {fps: ${SECRET}}\n", strings.ReplaceAll(minimal, "video.segments", `"${SECRET}"`),
		strings.ReplaceAll(minimal, "results.jsonl", `"${file:/run/secrets/x}"`), "\xef\xbb\xbf" + minimal,
	} {
		f.Add([]byte(text))
	}
	const word, quotedWord = "kaboodle7531", `kaboodle"7532`
	env := func(name string) (string, bool) {
		if strings.Contains(name, "SECRET") {
			return word, true
		}
		return "", false
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "kaboodle") {
			t.Skip()
		}
		p := newParser("fuzz.yaml", env)
		p.subst.file = func(string) (string, error) { return quotedWord, nil }
		begin := time.Now()
		def, findings := parseAndCheck(p, data)
		if took := time.Since(begin); took > 10*time.Second {
			t.Fatalf("reading %d bytes took %s", len(data), took)
		}
		if len(findings) > maxFindings+1+10*len(rules()) {
			t.Fatalf("%d findings", len(findings))
		}
		if def == nil && !HasErrors(findings) {
			t.Fatal("there is neither a definition nor an error")
		}
		printed := render(findings)
		if def != nil && !HasErrors(findings) {
			explanation := Explain(def)
			encoded, err := json.Marshal(explanation)
			if err != nil {
				t.Fatal(err)
			}
			printed += explanation.Text() + string(encoded)
		}
		encoded, err := json.Marshal(findings)
		if err != nil {
			t.Fatal(err)
		}
		if printed += string(encoded); strings.Contains(printed, "kaboodle") {
			t.Fatalf("a secret prints:\n%s", printed)
		}
	})
}
