package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/report"
)

// checkReport tells before anything is replayed what could not be written at the end.
func (f replayFlags) checkReport() error {
	if _, ok := report.PlotFormat(f.plot); f.plot != "" && !ok {
		return inputError("flags.value", fmt.Errorf("--plot %q: no format is known by that ending", f.plot),
			"end the name in ."+strings.Join(report.PlotFormats(), " or ."))
	}
	for name, path := range map[string]string{"--report": f.report, "--plot": f.plot} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return inputError("flags.value", fmt.Errorf("%s %q is a folder", name, path), "name a file")
		}
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return inputError("flags.value", fmt.Errorf("%s %q: %w", name, path, err), "make the folder first")
		}
	}
	return nil
}

// recorder gathers what the report and the plot show; nil where neither is wanted.
func (a *app) recorder(flags replayFlags, def *pipelines.Definition) *report.Recorder {
	if flags.report == "" && flags.plot == "" {
		return nil
	}
	options := report.Options{
		Made: time.Now(), Alpha: def.Predictor.Alpha(), Decode: def.Decode, Log: a.logger(),
		Versions: []report.Fact{
			{Name: "ensue", Text: strings.TrimSpace(version + " " + commit())},
			{Name: "FFmpeg", Text: container.Version()},
			{Name: "OpenCV", Text: gocv.OpenCVVersion()},
			{Name: "Go", Text: runtime.Version()},
		},
	}
	options.NoPictures = flags.report == ""
	for _, value := range pipelines.Explain(def).Values { // secrets are left out there
		options.Values = append(options.Values, report.Value{Path: value.Path, Value: value.Value, Origin: value.Origin})
	}
	return report.New(options)
}

// writeReport writes what was asked for, once everything is replayed.
func (f replayFlags) writeReport(recorder *report.Recorder) error {
	if f.report != "" {
		if err := writeFile(f.report, recorder.WriteHTML); err != nil {
			return err
		}
	}
	if f.plot == "" {
		return nil
	}
	format, _ := report.PlotFormat(f.plot)
	return writeFile(f.plot, func(w io.Writer) error { return recorder.WritePlot(w, format) })
}

// writeFile writes a file whole or not at all: it is moved to its place once it is written.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("moving the file to %s: %w", path, err)
	}
	return nil
}
