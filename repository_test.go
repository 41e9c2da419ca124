// Package ensue_test holds the tests of the repository itself: what is written in two places must agree.
package ensue_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/internal/fixture"
)

func TestMain(m *testing.M) { fixture.Main(m) }

func TestEveryDirectDependencyHasALine(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	require.NoError(t, err)
	var module struct {
		Go      string
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	require.NoError(t, json.Unmarshal(out, &module))

	want := map[string]string{}
	for _, dependency := range module.Require {
		if !dependency.Indirect {
			want[dependency.Path] = dependency.Version
		}
	}
	got := map[string]string{}
	line := regexp.MustCompile("(?m)^\\| `([^`]+\\.[^`]+/[^`]+)` \\| (v\\S+) \\| (.+) \\|$")
	for _, match := range line.FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		require.NotContainsf(t, got, match[1], "two lines")
		got[match[1]] = match[2]
	}
	require.Equal(t, want, got, "docs/dependencies.md and go.mod differ")
}

// TestVersionsAgree: a version that is written in several files is the same in all.
func TestVersionsAgree(t *testing.T) {
	dependencies := read(t, "docs/dependencies.md")
	for what, test := range map[string]struct {
		source, pattern string
		others          map[string]string
	}{
		"Go": {"go.mod", `(?m)^go (1\.\d+)`, map[string]string{
			"Dockerfile":       "FROM golang:%s-bookworm",
			"scripts/setup.sh": "Go %s",
		}},
		"Apache Kafka": {"internal/apachekafka/pom.xml", `<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)<`, map[string]string{
			"docker-compose.yml":           "image: apache/kafka:%s\n",
			"internal/apachekafka/pom.xml": "<artifactId>kafka-tools</artifactId>\n      <version>%s<",
		}},
		"golangci-lint": {"Makefile", `GOLANGCI_VERSION := (\S+)`, nil},
	} {
		t.Run(what, func(t *testing.T) {
			found := regexp.MustCompile(test.pattern).FindStringSubmatch(read(t, test.source))
			require.Len(t, found, 2, "no version in %s", test.source)
			require.Regexp(t, `(?m)^\| `+what+` \| `+regexp.QuoteMeta(found[1])+`\b`, dependencies, "docs/dependencies.md")
			for file, text := range test.others {
				require.Contains(t, read(t, file), strings.ReplaceAll(text, "%s", found[1]), file)
			}
		})
	}
}

// TestEveryPackageIsExplainedAndWatched: a package says what it is for in doc.go, and its tests fail when a goroutine is left.
func TestEveryPackageIsExplainedAndWatched(t *testing.T) {
	folders := map[string][]string{}
	for _, path := range files(t) {
		if filepath.Ext(path) == ".go" && filepath.Dir(path) != "." {
			folders[filepath.Dir(path)] = append(folders[filepath.Dir(path)], filepath.Base(path))
		}
	}
	require.NotEmpty(t, folders)
	for folder, names := range folders {
		t.Run(folder, func(t *testing.T) {
			written := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
				return strings.HasSuffix(name, "_test.go") || strings.Contains(read(t, filepath.Join(folder, name)), "\n// Code generated ") ||
					strings.HasPrefix(read(t, filepath.Join(folder, name)), "// Code generated ")
			})
			if len(written) > 0 {
				require.Contains(t, names, "doc.go")
				require.Regexp(t, `(?m)^// (Package|Command) \w+ `, read(t, filepath.Join(folder, "doc.go")))
			}
			tested := slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
			if tested {
				require.Contains(t, names, "main_test.go")
				require.Contains(t, read(t, filepath.Join(folder, "main_test.go")), "fixture.Main(m)")
			}
		})
	}
}

// TestCommandsAndLinksInTheDocumentsExist: every `make target` that a document mentions is a target, every relative link a file, and
// every anchor a heading.
func TestCommandsAndLinksInTheDocumentsExist(t *testing.T) {
	targets := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z-]+):.*## .+$`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[match[1]] = true
	}
	require.Contains(t, targets, "demo")
	require.Contains(t, targets, "test")

	command := regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)")
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]*))?\)`)
	documents := 0
	for _, path := range files(t) {
		if filepath.Ext(path) != ".md" && path != "llms.txt" {
			continue
		}
		documents++
		text := read(t, path)
		for _, match := range command.FindAllStringSubmatch(text, -1) {
			require.Truef(t, targets[match[1]], "%s: there is no `make %s`", path, match[1])
		}
		for _, match := range link.FindAllStringSubmatch(withoutCode(text), -1) {
			target := path
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(match[1]))
			}
			info, err := os.Stat(target)
			require.NoErrorf(t, err, "%s links to %s", path, match[1])
			if match[2] != "" && !info.IsDir() && filepath.Ext(target) == ".md" {
				require.Containsf(t, anchors(read(t, target)), match[2], "%s links to a heading of %s", path, target)
			}
		}
	}
	require.Positive(t, documents)
}

var (
	fenced    = regexp.MustCompile("(?s)(?m:^) *```.*?(?m:^) *```\\s*?(?m:$)") //nolint:gocritic // a line begins in the midst, too
	quoted    = regexp.MustCompile("`[^`\n]*`")
	heading   = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	linked    = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	notAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]+`)
)

// withoutCode is a document without what is in fences and between backquotes: what looks like a link there is none.
func withoutCode(text string) string {
	return quoted.ReplaceAllString(fenced.ReplaceAllString(text, ""), "")
}

// anchors are what headings of a document may be linked by, made as GitHub makes them.
func anchors(text string) []string {
	var all []string
	times := map[string]int{}
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := linked.ReplaceAllString(match[1], "$1")
		name = strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(name), ""), " ", "-")
		if n := times[name]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", name, n))
		} else {
			all = append(all, name)
		}
		times[name]++
	}
	return all
}

// TestTheIndexNamesEveryDocument: whoever begins at docs/README.md finds all of it, and llms.txt knows the same pages.
func TestTheIndexNamesEveryDocument(t *testing.T) {
	index, machines := read(t, "docs/README.md"), read(t, "llms.txt")
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			require.Contains(t, index, "]("+name+")")
			require.Contains(t, machines, "](docs/"+name+")")
		}
	}
}

// compose is the part of docker-compose.yml that the tests look at.
type compose struct {
	Services map[string]struct {
		Image           string
		Build           any
		Command         []string
		User            string
		Environment     map[string]string
		Volumes         []string
		Ports           []string
		HealthCheck     *struct{ Test []string }
		StopGracePeriod time.Duration `yaml:"stop_grace_period"`
		Restart         string
		DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Volumes map[string]any
}

// TestComposeFileHangsTogether checks what can be checked without an engine: health, users, order of start, time to drain, and
// that the definition it runs fits the broker it starts.
func TestComposeFileHangsTogether(t *testing.T) {
	var file compose
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &file))
	require.Contains(t, file.Services, "ensue")
	require.Contains(t, file.Services, "kafka")

	for name, service := range file.Services {
		require.Truef(t, service.Image != "" || service.Build != nil, "%s has neither an image nor a build", name)
		require.NotEmptyf(t, service.User, "%s runs as root", name)
		require.NotContains(t, []string{"root", "0"}, service.User)
		if service.Restart == "no" {
			require.Nilf(t, service.HealthCheck, "%s runs once", name)
		} else {
			require.NotNilf(t, service.HealthCheck, "%s has no health check", name)
			require.GreaterOrEqual(t, service.StopGracePeriod, 30*time.Second)
		}
		for on, how := range service.DependsOn {
			require.Containsf(t, file.Services, on, "%s depends on it", name)
			if file.Services[on].Restart == "no" {
				require.Equal(t, "service_completed_successfully", how.Condition)
			} else {
				require.Equal(t, "service_healthy", how.Condition)
			}
		}
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if strings.HasPrefix(source, ".") {
				_, err := os.Stat(source)
				require.NoErrorf(t, err, "%s mounts it", name)
			} else {
				require.Contains(t, file.Volumes, source)
			}
		}
		for _, port := range service.Ports {
			require.Truef(t, strings.HasPrefix(port, "127.0.0.1:"), "%s is open to the network at %s", name, port)
		}
	}

	var definition struct {
		Ingest struct {
			Kafka struct {
				Topic        string
				DrainTimeout time.Duration `yaml:"drain_timeout"`
			}
		}
		Sink struct {
			Kafka      struct{ Topic string }
			DeadLetter struct{ Kafka struct{ Topic string } } `yaml:"dead_letter"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/ensue.yaml")), &definition))
	require.Positive(t, definition.Ingest.Kafka.DrainTimeout)
	require.Greater(t, file.Services["ensue"].StopGracePeriod, definition.Ingest.Kafka.DrainTimeout, "killed while it drains")
	topics := strings.Join(file.Services["topics"].Command, "\n")
	for _, topic := range []string{definition.Ingest.Kafka.Topic, definition.Sink.Kafka.Topic, definition.Sink.DeadLetter.Kafka.Topic} {
		require.NotEmpty(t, topic)
		require.Contains(t, topics, "create --topic "+topic+" ")
	}
	require.Contains(t, file.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "//"+file.Services["ensue"].Environment["KAFKA"])
	require.Equal(t, file.Services["kafka"].Image, file.Services["topics"].Image)
}

// TestSetupSaysWhatIsMissingAndHow runs the set-up script as a person who may not install anything, on a machine without OpenCV.
func TestSetupSaysWhatIsMissingAndHow(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	for name, test := range map[string]struct {
		tools map[string]string
		says  []string
	}{
		"not root on Debian": {
			map[string]string{
				"go": "echo go1.26.8", "id": "echo 1000", "apt-get": "exit 1",
				"dpkg-query": `case "${!#}" in libopencv-*) exit 1 ;; *) printf installed ;; esac`,
			},
			[]string{"missing packages: libopencv-dev libopencv-contrib-dev\n", "sudo apt-get install -y --no-install-recommends libopencv-dev"},
		},
		"root whose install fails": {
			map[string]string{
				"go": "echo go1.26.8", "id": "echo 0", "apt-get": "exit 1",
				"dpkg-query": `case "${!#}" in libopencv-dev) exit 1 ;; *) printf installed ;; esac`,
			},
			[]string{"installing libopencv-dev\n"},
		},
		"no Debian": {
			map[string]string{"go": "echo go1.26.8", "pkg-config": `[ "$2" != opencv4 ]`},
			[]string{"pkg-config does not find: opencv4\n", "OpenCV 4.6"},
		},
		"another FFmpeg": {
			map[string]string{"go": "echo go1.26.8", "pkg-config": `case $1 in --exists) ;; *) echo 61.3.100 ;; esac`},
			[]string{"libavcodec is 61.3.100, but FFmpeg 5.1"},
		},
		"old Go": {map[string]string{"go": "echo go1.20.1"}, []string{"go1.20.1 is too old", "Go 1.26"}},
		"no Go":  {nil, []string{"Go is missing", "https://go.dev/dl/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			for tool, body := range test.tools {
				require.NoError(t, os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/bash\n"+body+"\n"), 0o700))
			}
			setup := exec.CommandContext(t.Context(), "/bin/bash", "scripts/setup.sh")
			setup.Env = []string{"PATH=" + bin}
			out, err := setup.CombinedOutput()
			require.Errorf(t, err, "%s", out)
			for _, text := range test.says {
				require.Contains(t, string(out), text)
			}
		})
	}
}

// TestWhatOnlyTestsUseIsNoReasonToFail: `make test` goes on where it cannot be had, and says what will be skipped.
func TestWhatOnlyTestsUseIsNoReasonToFail(t *testing.T) {
	for name, tools := range map[string]map[string]string{
		"a bare machine": nil,
		"root without a network": {
			"id": "echo 0", "dpkg-query": "exit 1", "apt-get": "exit 100", "python3": "exit 1", "npm": "exit 1", "mkdir": `/bin/mkdir "$@"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, bin := t.TempDir(), t.TempDir()
			for tool, body := range tools {
				require.NoError(t, os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/bash\n"+body+"\n"), 0o700))
			}
			require.NoError(t, os.Mkdir(filepath.Join(root, "scripts"), 0o755))
			script := filepath.Join(root, "scripts", "setup.sh")
			require.NoError(t, os.WriteFile(script, []byte(read(t, "scripts/setup.sh")), 0o600))
			setup := exec.CommandContext(t.Context(), "/bin/bash", script, "tests")
			setup.Env = []string{"PATH=" + bin}
			out, err := setup.CombinedOutput()
			require.NoErrorf(t, err, "%s", out)
			for _, text := range []string{"no Chromium: the tests", "no Prometheus: the tests"} {
				require.Contains(t, string(out), text)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// files are the files of the tree, without what git does not keep.
func files(t *testing.T) []string {
	t.Helper()
	skipped := []string{".git", ".cache", "bin", "out"}
	var found []string
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains(skipped, path) {
			return fs.SkipDir
		}
		if entry.Type().IsRegular() {
			found = append(found, path)
		}
		return nil
	}))
	return found
}

func TestEveryCodeIsInTheDocuments(t *testing.T) {
	codes := regexp.MustCompile(`"((?:ingest|decode|encode|predict|sink|result|publish|tail|broker|replay|flags|command)\.[a-z_]+)"`)
	// Keys of a definition look like codes.
	keys := []string{
		"decode.fps", "decode.limits", "decode.workers", "ingest.files", "ingest.kafka", "ingest.order",
		"sink.dead_letter", "sink.jsonl", "sink.kafka", "sink.parquet", "sink.postgres", "sink.webhook",
	}
	documented := read(t, "docs/errors.md")
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path == "internal" {
			return fs.SkipDir // only tests see what is there
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, match := range codes.FindAllStringSubmatch(read(t, path), -1) {
			if slices.Contains(keys, match[1]) {
				continue
			}
			found++
			require.Contains(t, documented, "`"+match[1]+"`", "docs/errors.md lacks a code of %s", path)
		}
		return nil
	}))
	require.Greater(t, found, 50)
}
