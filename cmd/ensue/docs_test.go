package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// block is what stands between fences in a document.
type block struct {
	document string
	line     int
	info     string
	text     string
}

// documents are the Markdown files of the repository, by path from its root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := fixture.Repository()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", ".cache", "bin", "out", "node_modules"}, entry.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" || !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		all[filepath.ToSlash(name)] = string(text)
		return err
	}))
	require.Contains(t, all, "README.md")
	return all
}

// blocks are the fenced blocks of a document.
func blocks(name, text string) []block {
	var all []block
	var open *block
	for i, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			open = &block{document: name, line: i + 1, info: strings.TrimPrefix(trimmed, "```")}
		case open != nil && trimmed == "```":
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	return all
}

// TestDefinitionsInTheDocumentsAreGood lints every definition, and every piece of one, that a document shows, and reads every test.
func TestDefinitionsInTheDocumentsAreGood(t *testing.T) {
	whole, pieces, tests := 0, 0, 0
	top := map[string]bool{}
	for _, field := range pipelines.Spec() {
		top[field.Path] = !strings.Contains(field.Path, ".")
	}
	for name, text := range documents(t) {
		for _, b := range blocks(name, text) {
			if b.info != "yaml" {
				continue
			}
			var keys map[string]any
			require.NoErrorf(t, yaml.Unmarshal([]byte(b.text), &keys), "%s:%d", name, b.line)
			known := 0
			for key := range keys {
				if top[key] {
					known++
				}
			}
			_, isTest := keys["clips"]
			switch {
			case isTest && keys["version"] != nil:
				tests++
				_, findings := pipelines.ParseExpectations(name, []byte(b.text), noVariables)
				require.Emptyf(t, findings, "%s:%d", name, b.line)
			case known < len(keys) || known == 0: // of something else: a training, a compose file
			case keys["version"] != nil && keys["name"] != nil:
				whole++
				for _, finding := range pipelines.Lint(name, []byte(b.text), noVariables) {
					require.Equalf(t, pipelines.SeverityNote, finding.Severity, "%s:%d: %s", name, b.line, finding)
				}
			default:
				pieces++
				for _, finding := range pipelines.Lint(name, []byte(completed(keys, b.text)), noVariables) {
					if slices.Contains(elsewhere, finding.Code) {
						continue
					}
					require.NotEqualf(t, pipelines.SeverityError, finding.Severity, "%s:%d: %s", name, b.line, finding)
				}
			}
		}
	}
	require.Greater(t, whole, 1)
	require.Greater(t, pieces, 2)
	require.Positive(t, tests)
}

// elsewhere is what a definition in a document may miss: files, variables and models of the reader's machine.
var elsewhere = []stream.Code{"definition.missing_file", "definition.missing_variable", "definition.model_missing"}

// completed is a piece of a definition with what every definition needs.
func completed(keys map[string]any, text string) string {
	for key, value := range map[string]string{
		"version": "1", "name": "piece", "ingest": "{kafka: {topic: video.segments}}",
		"sink": "{kafka: {topic: video.energy}, dead_letter: {kafka: {topic: video.dead}}}",
	} {
		if _, there := keys[key]; !there {
			text = key + ": " + value + "\n" + text
		}
	}
	return text
}

func noVariables(string) (string, bool) { return "", false }

// prompted are the lines of a text that stand after a prompt.
func prompted(text string) string {
	var b strings.Builder
	for _, step := range steps(text) {
		b.WriteString(step.command + "\n")
	}
	return b.String()
}

// commandLines are the command lines of ensue in a text, without what a shell makes of the rest.
func commandLines(text string) []string {
	text = regexp.MustCompile(`\s*\\\n\s*`).ReplaceAllString(text, " ")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		line = regexp.MustCompile(`\s#.*$`).ReplaceAllString(line, "")
		for _, part := range regexp.MustCompile(`\s*(?:\||&&|;)\s+`).Split(line, -1) {
			part = regexp.MustCompile(`\s*(?:2?>|<|&$).*$`).ReplaceAllString(part, "")
			part = regexp.MustCompile(`^(?:\w+=\S*\s+)+`).ReplaceAllString(part, "")
			part = strings.TrimPrefix(part, "bin/")
			if strings.HasPrefix(part, "ensue ") {
				lines = append(lines, part)
			}
		}
	}
	return lines
}

var inlineCode = regexp.MustCompile("`((?:bin/)?ensue [^`\n]+)`")

// TestCommandsInTheDocumentsParse holds every command line that a document shows against the commands and flags there are.
func TestCommandsInTheDocumentsParse(t *testing.T) {
	found := 0
	for name, text := range documents(t) {
		if name == "CHANGELOG.md" {
			continue // tells of the past, too
		}
		for _, b := range blocks(name, text) {
			if slices.Contains([]string{"", "sh", "console", "bash"}, b.info) {
				text := b.text
				if prompts := prompted(text); prompts != "" {
					text = prompts // the other lines are what is printed
				}
				for _, line := range commandLines(text) {
					found++
					require.NoErrorf(t, parses(line, true), "%s:%d: %s", name, b.line, line)
				}
			}
		}
		for _, match := range inlineCode.FindAllStringSubmatch(text, -1) {
			for _, line := range commandLines(match[1]) {
				found++
				require.NoErrorf(t, parses(line, false), "%s: %s", name, line)
			}
		}
	}
	require.Greater(t, found, 100)
}

// parses says what is wrong with a command line; arguments are only counted where it is whole.
func parses(line string, whole bool) error {
	var words []string
	for _, word := range regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(line, -1) {
		if word = strings.Trim(word, `"'`); !strings.ContainsAny(word, "…") && word != "..." {
			words = append(words, word)
		} else {
			whole = false
		}
	}
	root := newRoot(newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, noVariables))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	command, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if command == root {
		return root.ParseFlags(rest)
	}
	if err := command.ParseFlags(rest); err != nil {
		// A flag that is only mentioned has no value.
		if !whole && strings.Contains(err.Error(), "flag needs an argument") {
			return nil
		}
		return err
	}
	if !whole || !command.Runnable() {
		return nil
	}
	return command.ValidateArgs(command.Flags().Args())
}

func TestWrongCommandsInDocumentsWouldBeFound(t *testing.T) {
	for line, wants := range map[string]string{
		"ensue replya my.mp4": "unknown command", "ensue replay my.mp4 --rapport out.html": "unknown flag: --rapport",
		"ensue lint": "requires at least 1 arg", "ensue explain live --format": "flag needs an argument",
	} {
		require.ErrorContains(t, parses(line, true), wants, line)
	}
	require.Equal(t, []string{"ensue explain live --format dot", "ensue run a.yaml"},
		commandLines("$ KAFKA=a:1 bin/ensue explain live \\\n   --format dot | dot -Tsvg >a.svg   # draws it\nensue run a.yaml &\n"))
}

// TestConsolesInTheDocumentsSayWhatTheyShow runs the commands of every ```console block, the blocks of a document one after another in one
// folder that has the samples, and compares what is printed with what is shown. … in a line stands for anything that varies from run to run
// and machine to machine; a line that is … alone for any number of lines.
func TestConsolesInTheDocumentsSayWhatTheyShow(t *testing.T) {
	if testing.Short() {
		t.Skip("runs what the documents show")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	consoles := 0
	for name, text := range documents(t) {
		var shown []block
		for _, b := range blocks(name, text) {
			if b.info == "console" {
				shown = append(shown, b)
			}
		}
		if len(shown) == 0 {
			continue
		}
		consoles += len(shown)
		t.Run(name, func(t *testing.T) {
			place := playground(t)
			for _, b := range shown {
				for _, step := range steps(b.text) {
					got := shell(t, bash, place, step.command)
					require.Regexpf(t, pattern(step.output), got, "%s:%d: $ %s\nprinted:\n%s\nshown:\n%s", name, b.line, step.command, got, step.output)
				}
			}
		})
	}
	require.Greater(t, consoles, 5)
}

// step is a command of a console and what it shows to be printed.
type consoleStep struct{ command, output string }

func steps(text string) []consoleStep {
	var all []consoleStep
	for line := range strings.SplitAfterSeq(text, "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, consoleStep{command: strings.TrimSuffix(command, "\n")})
		} else if n := len(all); n > 0 && strings.HasSuffix(all[n-1].command, "\\") {
			all[n-1].command += "\n" + strings.TrimSuffix(line, "\n")
		} else if n > 0 {
			all[n-1].output += line
		}
	}
	return all
}

// pattern is what is shown as a regular expression.
func pattern(shown string) string {
	var b strings.Builder
	b.WriteString(`(?s)^`)
	for line := range strings.SplitSeq(strings.TrimRight(shown, "\n"), "\n") {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		for i, part := range strings.Split(line, "…") {
			if i > 0 {
				b.WriteString(`[^\n]*`)
			}
			b.WriteString(regexp.MustCompile(`\s+`).ReplaceAllString(regexp.QuoteMeta(part), `\s+`))
		}
		b.WriteString(`\s*\n`)
	}
	if strings.TrimSpace(shown) == "" {
		return `^\s*$`
	}
	return b.String() + `$`
}

// playground is a folder with the samples where the repository has them, and with the program as ensue and bin/ensue.
func playground(t *testing.T) string {
	t.Helper()
	place := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(place, "bin"), 0o755))
	for _, name := range []string{"examples", "pipelines", "deploy"} {
		require.NoError(t, os.Symlink(fixture.Repository(name), filepath.Join(place, name)))
	}
	program, err := os.Executable()
	require.NoError(t, err)
	script := "#!/bin/sh\n" + beEnsue + "=1 exec '" + program + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(place, "bin", "ensue"), []byte(script), 0o755))
	return place
}

func shell(t *testing.T, bash, place, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, bash, "-c", command)
	run.Dir = place
	run.Env = append(os.Environ(), "PATH="+filepath.Join(place, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_COLOR=1")
	out, err := run.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // as it is returned
		require.NoError(t, err)
	}
	return string(out)
}

func TestManPagesAreThereForEveryCommand(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "man1")
	got := ensue(t, "man", folder)
	require.Zero(t, got.code, got.err)
	root := newRoot(newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, noVariables))
	var each func(*cobra.Command)
	each = func(command *cobra.Command) {
		for _, child := range command.Commands() {
			if child.Hidden || !child.IsAvailableCommand() {
				continue
			}
			page, err := os.ReadFile(filepath.Join(folder, strings.ReplaceAll(child.CommandPath(), " ", "-")+".1"))
			require.NoError(t, err)
			require.Contains(t, string(page), ".SH SYNOPSIS")
			each(child)
		}
	}
	each(root)
}

func TestCompletionKnowsDefinitionsAndTheValuesOfFlags(t *testing.T) {
	for line, wants := range map[string][]string{
		"explain ":               {"demo", "live", "replay"},
		"explain li":             {"live"},
		"run ":                   {"demo", "live", "replay"},
		"lint l":                 {"live"},
		"replay --definition ":   {"demo", "live", "replay"},
		"explain live --format ": {"dot", "json", "mermaid", "text"},
		"init --source ":         {"files", "kafka"},
		"schema ":                {"definition", "envelope", "result", "test"},
		"--log ":                 {"debug", "info", "warn", "error"},
		"replay --predictor ":    {"learned", "persistence", "linear", "flow"},
	} {
		t.Run(line, func(t *testing.T) {
			got := ensue(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
			require.Zero(t, got.code, got.err)
			for _, want := range wants {
				require.Regexp(t, `(?m)^`+want+`(\t|$)`, got.out)
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := ensue(t, "completion", shell)
		require.Zero(t, got.code)
		require.Contains(t, got.out, "ensue")
	}
}
