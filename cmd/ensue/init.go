package main

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/pipelines"
)

//go:embed init/*.tmpl
var initTemplates embed.FS

// composeKafka is the Apache Kafka that a new compose file starts; a test holds it against docker-compose.yml.
const composeKafka = "4.1.1"

// sampleClip is the sample stream that a new pipeline is tried on where no clip is given: something happens in it.
const sampleClip = "yard.mp4"

// beginning is what a new pipeline is made of: flags, or what was answered.
type beginning struct {
	Name, Source, Files, Brokers, Topic, Results, Dead, State, Model, Clip string
	FalseAlarms                                                            float64
	KafkaVersion                                                           string
	// Sample says that the clip is one that comes with the program.
	Sample bool

	force, yes, ask bool
}

func (a *app) initCommand() *cobra.Command {
	b := beginning{KafkaVersion: composeKafka}
	command := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "begin a pipeline: write a definition, a test for it, a compose file and a README",
		Long: "Init asks a few questions on a terminal, unless --yes or flags answer them, and writes NAME.yaml, NAME_test.yaml,\n" +
			"docker-compose.yml and README.md into the folder. The test's expectations are measured on the clip. Nothing is overwritten\n" +
			"without --force.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, folders []string) error {
			folder := "."
			if len(folders) == 1 {
				folder = folders[0]
			}
			return a.begin(command, folder, &b)
		},
	}
	f := command.Flags()
	f.StringVar(&b.Name, "name", "", "name of the pipeline (default: that of the folder)")
	f.StringVar(&b.Source, "source", "", "where video comes from: kafka or files (default kafka)")
	f.StringVar(&b.Files, "files", "video", "with --source files: the folder that is watched")
	f.StringVar(&b.Brokers, "brokers", "localhost:9092", "with --source kafka: the broker that is the default of ${KAFKA}")
	f.StringVar(&b.Topic, "topic", "video.segments", "topic of the segments")
	f.StringVar(&b.Results, "results", "video.energy", "topic of the results")
	f.StringVar(&b.Dead, "dead-letters", "video.dead", "topic of what cannot be processed")
	f.StringVar(&b.State, "state", "video.state", "topic of what is known of streams")
	f.StringVar(&b.Model, "model", "", "encoder: builtin or pixels (default builtin)")
	f.Float64Var(&b.FalseAlarms, "false-alarms", 1, "false alarms to accept a day, for every stream")
	f.StringVar(&b.Clip, "clip", "", "a clip for the test; it stays where it is (default: a sample, written to clips/)")
	f.BoolVar(&b.force, "force", false, "overwrite files that are there")
	f.BoolVarP(&b.yes, "yes", "y", false, "ask nothing")
	f.BoolVar(&b.ask, "ask", false, "ask although the input is no terminal")
	completeFlag(command, "source", "kafka", "files")
	completeFlag(command, "model", "pixels", "builtin")
	return command
}

// begun is what init says.
type begun struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
	// Test is what the test measured, and now expects.
	Test *pipelines.Trial `json:"test"`
}

func (a *app) begin(command *cobra.Command, folder string, b *beginning) error {
	if err := a.complete(command, folder, b); err != nil {
		return err
	}
	files, err := b.render()
	if err != nil {
		return err
	}
	definition := b.Name + ".yaml"
	if findings := pipelines.Lint(filepath.Join(folder, definition), files[definition], a.env); pipelines.HasErrors(findings) {
		return a.refuse(definition, findings)
	}
	if err := writeAll(folder, files, b.force); err != nil {
		return err
	}
	trial, err := a.measure(command, folder, b)
	if err != nil {
		return fmt.Errorf("trying the new pipeline: %w", err)
	}
	said := begun{Folder: folder, Test: trial}
	for name := range files {
		said.Files = append(said.Files, filepath.Join(folder, name))
	}
	slices.Sort(said.Files)
	return a.say(command, said, func(out io.Writer) error {
		for _, name := range said.Files {
			fmt.Fprintln(out, "wrote", name)
		}
		_, err := fmt.Fprintf(out, "next: ensue explain %s\n", filepath.Join(folder, definition))
		return err
	})
}

// complete asks for what flags do not say, where there is somebody to ask, and fills in the rest.
func (a *app) complete(command *cobra.Command, folder string, b *beginning) error {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return fmt.Errorf("finding the folder: %w", err)
	}
	q := &questions{in: bufio.NewReader(a.in), out: a.err, silent: !a.mayAsk(b), set: command.Flags().Changed}
	q.text("name", "Name of the pipeline", &b.Name, pipelines.NameFrom(filepath.Base(absolute)))
	q.choice("source", "Where does video come from", &b.Source, "kafka", "files")
	if b.Source == "files" {
		q.text("files", "Which folder is watched", &b.Files, b.Files)
	} else {
		q.text("brokers", "Kafka broker", &b.Brokers, b.Brokers)
		q.text("topic", "Topic of the segments", &b.Topic, b.Topic)
	}
	q.choice("model", "Encoder (builtin is learned, pixels is smaller and faster)", &b.Model, "builtin", "pixels")
	q.text("clip", "A clip to test with (empty: a sample)", &b.Clip, b.Clip)
	if q.err != nil {
		return inputError("init.answers", q.err, "answer the questions, or use flags and --yes")
	}
	if !slices.Contains([]string{"kafka", "files"}, b.Source) {
		return inputError("flags.value", fmt.Errorf("--source %q is not known", b.Source), "it is kafka or files")
	}
	if !slices.Contains(encoder.Names(), b.Model) {
		return inputError("flags.value", fmt.Errorf("--model %q is not known", b.Model), "it is pixels or builtin")
	}
	return b.resolveClip(absolute)
}

// mayAsk says whether there is somebody who can answer.
func (a *app) mayAsk(b *beginning) bool {
	if b.yes || a.json {
		return false
	}
	file, ok := a.in.(*os.File)
	return b.ask || ok && term.IsTerminal(int(file.Fd()))
}

// resolveClip makes the clip's path relative to the new test, so that the folder can move with it.
func (b *beginning) resolveClip(folder string) error {
	if b.Sample = b.Clip == ""; b.Sample {
		b.Clip = "clips/" + sampleClip
		return nil
	}
	if info, err := os.Stat(b.Clip); err != nil || info.IsDir() {
		return inputError("init.no_clip", fmt.Errorf("--clip %q is no file", b.Clip), "name a video, or leave it out for a sample")
	}
	absolute, err := filepath.Abs(b.Clip)
	if err == nil {
		b.Clip, err = filepath.Rel(folder, absolute)
	}
	if err != nil {
		return fmt.Errorf("finding the clip: %w", err)
	}
	b.Clip = quoted(filepath.ToSlash(b.Clip))
	return nil
}

// quoted is a path as YAML takes it in brackets.
func quoted(path string) string {
	if strings.ContainsAny(path, " ,:[]{}#'\"&*!|>%@`") {
		return "'" + strings.ReplaceAll(path, "'", "''") + "'"
	}
	return path
}

// render is the files to write, by name.
func (b *beginning) render() (map[string][]byte, error) {
	templates, err := template.ParseFS(initTemplates, "init/*.tmpl")
	if err != nil {
		return nil, err
	}
	b.Files = quoted(b.Files)
	files := map[string][]byte{}
	for template, name := range map[string]string{
		"definition.yaml.tmpl": b.Name + ".yaml", "test.yaml.tmpl": b.Name + pipelines.ExpectationsSuffix,
		"docker-compose.yml.tmpl": "docker-compose.yml", "README.md.tmpl": "README.md",
	} {
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, template, b); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		files[name] = text.Bytes()
	}
	if b.Sample {
		if files[b.Clip], err = fs.ReadFile(video.FS(), sampleClip); err != nil {
			return nil, fmt.Errorf("reading the sample: %w", err)
		}
	}
	return files, nil
}

// writeAll writes all files or, where one of them is there already, none.
func writeAll(folder string, files map[string][]byte, force bool) error {
	var there []string
	for name := range files {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil && !force {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		slices.Sort(there)
		return inputError("init.exists", fmt.Errorf("%s: already there in %s", strings.Join(there, ", "), folder),
			"take another folder or name, or --force to overwrite them")
	}
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// measure runs the new test and writes into it what came out.
func (a *app) measure(command *cobra.Command, folder string, b *beginning) (*pipelines.Trial, error) {
	read, err := a.expectations([]string{filepath.Join(folder, b.Name+pipelines.ExpectationsSuffix)})
	if err != nil {
		return nil, err
	}
	trial, findings, err := read[0].Try(command.Context(), read[0].def, pipelines.WithLogger(a.logger()))
	if err != nil {
		return nil, err
	}
	if len(findings) > 0 {
		return nil, a.refuseTest(findings)
	}
	text, _ := trial.Updated(read[0].text)
	if err := os.WriteFile(read[0].file, text, 0o644); err != nil {
		return nil, fmt.Errorf("writing what was measured: %w", err)
	}
	return trial, nil
}

// questions asks for values, one line each; an empty line takes the default. After the first error it asks nothing more.
type questions struct {
	in     *bufio.Reader
	out    io.Writer
	silent bool
	// set says whether a flag was given; what it says is not asked for.
	set func(flag string) bool
	err error
}

func (q *questions) text(flag, question string, value *string, fallback string) {
	if q.set(flag) || q.err != nil {
		return
	}
	*value = fallback
	if q.silent {
		return
	}
	if fallback != "" {
		question += " [" + fallback + "]"
	}
	fmt.Fprintf(q.out, "%s: ", question)
	line, err := q.in.ReadString('\n')
	if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
		q.err = fmt.Errorf("reading the answer: %w", err)
		return
	}
	if line = strings.TrimSpace(line); line != "" {
		*value = line
	}
}

// choice asks until one of the words is answered, or what one of them begins with.
func (q *questions) choice(flag, question string, value *string, words ...string) {
	if q.set(flag) || q.err != nil {
		return
	}
	for {
		q.text(flag, question+" ("+strings.Join(words, ", ")+")", value, words[0])
		for _, word := range words {
			if q.err != nil || strings.HasPrefix(word, strings.ToLower(*value)) {
				*value = word
				return
			}
		}
		fmt.Fprintf(q.out, "  it is %s\n", strings.Join(words, " or "))
	}
}
