package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/pipelines"
)

type trialFlags struct {
	update bool
	junit  string
}

func (a *app) testCommand() *cobra.Command {
	var flags trialFlags
	command := &cobra.Command{
		Use:   "test TEST_test.yaml|FOLDER...",
		Short: "try definitions on clips and compare what comes out with what is expected",
		Long: "Test runs the clips of a *_test.yaml through the definition beside it, as replay does, and shows where verdicts, " +
			"counts, energies\n" +
			"or dead letters are not as expected; folders are searched for tests. Exit code 1 where an expectation is not met, 2 where a test\n" +
			"is wrong. docs/testing.md describes every key of a test.",
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(command *cobra.Command, names []string) error { return a.test(command, names, flags) },
	}
	f := command.Flags()
	f.BoolVar(&flags.update, "update", false, "write what was measured into the tests, in the place of what they expected")
	f.StringVar(&flags.junit, "junit", "", "also write what came out to this file, in the XML that CI systems read")
	return command
}

func (a *app) test(command *cobra.Command, names []string, flags trialFlags) error {
	files, err := testsIn(names)
	if err != nil {
		return err
	}
	// Every test is read before the first one runs, so that what is wrong with one is told at once.
	expectations, err := a.expectations(files)
	if err != nil {
		return err
	}
	trials := []*pipelines.Trial{}
	failed := 0
	for _, expected := range expectations {
		trial, err := a.try(command, expected, flags)
		if err != nil {
			return err
		}
		trials = append(trials, trial)
		failed += trial.Failed
	}
	if flags.junit != "" {
		if err := writeJUnit(flags.junit, trials); err != nil {
			return fmt.Errorf("writing %s: %w", flags.junit, err)
		}
	}
	if failed > 0 {
		return &exitError{
			exit: exitRuntime, code: "test.failed", data: trials, told: !a.json,
			err:  fmt.Errorf("%d expectations are not met", failed),
			hint: "where the new values are right, --update writes them into the test",
		}
	}
	return a.say(command, trials, func(io.Writer) error { return nil })
}

// testsIn is the tests among files and in folders.
func testsIn(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, inputError("test.no_such_file", fmt.Errorf("reading the test: %w", err), "name a *_test.yaml, or a folder that holds some")
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, pipelines.ExpectationsSuffix) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("looking for tests: %w", err)
		}
		if len(files) == before {
			return nil, inputError("test.none", fmt.Errorf("there is no *_test.yaml in %s", name), "ensue init makes a definition and a test for it")
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// expectation is a test that was read, with the definition it is about.
type expectation struct {
	*pipelines.Expectations
	file string
	text []byte
	def  *pipelines.Definition
}

func (a *app) expectations(files []string) ([]*expectation, error) {
	var all []*expectation
	var bad []pipelines.Finding
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, inputError("test.no_such_file", fmt.Errorf("reading the test: %w", err), "name a *_test.yaml")
		}
		read, findings := pipelines.ParseExpectations(file, text, a.env)
		if read == nil {
			bad = append(bad, findings...)
			continue
		}
		def, err := a.load(besides(file, read.Definition))
		if err != nil {
			return nil, err
		}
		all = append(all, &expectation{Expectations: read, file: file, text: text, def: def})
	}
	if len(bad) > 0 {
		return nil, a.refuseTest(bad)
	}
	return all, nil
}

func (a *app) refuseTest(findings []pipelines.Finding) error {
	if !a.json {
		printFindings(a.err, findings)
	}
	return &exitError{
		exit: exitInput, code: "test.invalid", data: findings, told: !a.json, hint: "docs/testing.md describes every key of a test",
		err: errors.New("the test has errors"),
	}
}

// besides is the definition that a test names: a file beside the test, else the name of a stock definition.
func besides(test, definition string) string {
	if filepath.IsAbs(definition) {
		return definition
	}
	path := filepath.Join(filepath.Dir(test), definition)
	if _, err := os.Stat(path); err != nil {
		if _, stock := pipelines.Stock(definition); stock {
			return definition
		}
	}
	return path
}

func (a *app) try(command *cobra.Command, expected *expectation, flags trialFlags) (*pipelines.Trial, error) {
	trial, findings, err := expected.Try(command.Context(), expected.def, pipelines.WithLogger(a.logger()))
	if err != nil {
		return nil, err
	}
	if len(findings) > 0 {
		return nil, a.refuseTest(findings)
	}
	if flags.update {
		updated, left := trial.Updated(expected.text)
		if err := os.WriteFile(expected.file, updated, 0o644); err != nil {
			return nil, fmt.Errorf("updating the test: %w", err)
		}
		trial = settled(trial, left)
	}
	if !a.json {
		printTrial(a.out, trial, flags.update && len(expected.text) != 0, a.quiet)
	}
	return trial, nil
}

// settled is a trial of which only the differences are left that could not be written into the test.
func settled(trial *pipelines.Trial, left []pipelines.Difference) *pipelines.Trial {
	trial.Failed = len(left)
	for _, clip := range trial.Clips {
		clip.Differences = slices.DeleteFunc(clip.Differences, func(d pipelines.Difference) bool {
			return !slices.ContainsFunc(left, func(l pipelines.Difference) bool { return l.Path == d.Path && l.Measured == d.Measured })
		})
	}
	return trial
}

// printTrial writes what came out of a test: a line a clip, and for what differs what was expected and what was measured.
func printTrial(out io.Writer, trial *pipelines.Trial, updated, quiet bool) {
	for _, clip := range trial.Clips {
		sign := "ok  "
		if len(clip.Differences) > 0 {
			sign = "FAIL"
		}
		if sign == "FAIL" || !quiet {
			fmt.Fprintf(out, "%s  %s: %s (%.1f s)\n", sign, trial.Test, filepath.Base(clip.File), clip.Seconds)
		}
		for _, d := range clip.Differences {
			fmt.Fprintf(out, "      %s:%d:%d: %s\n      - %s\n      + %s\n", trial.Test, d.Line, d.Column, d.Path, d.Expected, d.Measured)
		}
	}
	if quiet {
		return
	}
	what := fmt.Sprintf("%s met, %d not", look.Plural(trial.Passed, "expectation"), trial.Failed)
	if updated {
		what = fmt.Sprintf("written; %d are for you to settle", trial.Failed)
	}
	fmt.Fprintf(out, "%s: %s, %s, in %.1f s\n", trial.Test, look.Plural(len(trial.Clips), "clip"), what, trial.Seconds)
}

// The XML that CI systems read.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a suite a test and a case a clip.
func writeJUnit(path string, trials []*pipelines.Trial) error {
	var all junitSuites
	for _, trial := range trials {
		suite := junitSuite{Name: trial.Test, Tests: len(trial.Clips), Time: fmt.Sprintf("%.3f", trial.Seconds)}
		for _, clip := range trial.Clips {
			tried := junitCase{Class: trial.Test, Name: filepath.Base(clip.File)}
			if n := len(clip.Differences); n > 0 {
				suite.Failures++
				tried.Failure = &junitFailure{Message: fmt.Sprintf("%d expectations are not met", n)}
				for _, d := range clip.Differences {
					tried.Failure.Text += fmt.Sprintf("%s:%d:%d: %s\n- %s\n+ %s\n", trial.Test, d.Line, d.Column, d.Path, d.Expected, d.Measured)
				}
			}
			suite.Cases = append(suite.Cases, tried)
		}
		all.Suites = append(all.Suites, suite)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}
