package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/train"
)

func (a *app) evalCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "eval",
		Short: "measure how well energies tell what continues a video from what does not",
		Long: "Eval measures models and baselines by fixed protocols, on video of your own or on generated scenes, and prints tables with\n" +
			"95 % confidence intervals. Baselines that need no learning stand in every table.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(a.evalContinuationCommand(), a.evalVOECommand(), a.evalRetrievalCommand(), a.evalObjectivesCommand(),
		a.evalPed2Command())
	return command
}

// evalFlags are those of every evaluation.
type evalFlags struct {
	models    []string
	seeds     bool
	predictor string
	threads   int
	seed      uint64
	plot      string
	cache     string
	manifest  string
}

// addSeeds defines --seeds.
func (f *evalFlags) addSeeds(command *cobra.Command) {
	command.Flags().BoolVar(&f.seeds, "seeds", false,
		"the models are one recipe trained from several seeds: tell their mean, and draw seeds, too")
}

// add defines the flags; footage says whether video is read, seed is the usual one.
func (f *evalFlags) add(command *cobra.Command, footage bool, seed uint64) {
	flags := command.Flags()
	flags.StringArrayVarP(&f.models, "model", "m", nil, "model directory to judge beside the baselines; may be given several times")
	flags.StringVar(&f.predictor, "predictor", "", "predictor of the models' tokens; default: the model's own, else persistence")
	flags.IntVar(&f.threads, "threads", 0, "threads to compute on; 0: as many as there are processors")
	flags.Uint64Var(&f.seed, "seed", seed, "seed of everything that is drawn")
	flags.StringVar(&f.plot, "plot", "", "also draw the table to this file: .svg, or .html with the text")
	if footage {
		flags.StringVar(&f.cache, "cache", "", "folder for decoded frames; default: in the user's cache folder")
		flags.StringVar(&f.manifest, "manifest", "",
			"CSV file with the families of the footage; default: manifest.csv in or beside the first folder, where there is one")
	}
}

func (f *evalFlags) check() error {
	switch ext := filepath.Ext(f.plot); {
	case f.plot != "" && ext != ".svg" && ext != ".html":
		return inputError("flags.value", fmt.Errorf("--plot %s: its extension is %q", f.plot, ext), "it is .svg or .html")
	case f.threads < 0:
		return inputError("flags.value", errors.New("--threads is not negative"), "")
	}
	return nil
}

// judging is what an evaluation holds while it runs.
type judging struct {
	device  *nn.Device
	closers []func() error
	bar     *mpb.Progress
	app     *app
	bars    map[string]*mpb.Bar
}

func (a *app) judge(flags evalFlags) (*judging, error) {
	if err := flags.check(); err != nil {
		return nil, err
	}
	device, err := nn.Open(nn.Config{Threads: flags.threads})
	if err != nil {
		return nil, environmentError("eval.device", err, "")
	}
	j := &judging{device: device, app: a, bars: map[string]*mpb.Bar{}}
	j.closers = append(j.closers, device.Close)
	if a.progress() {
		j.bar = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(64))
	}
	return j, nil
}

// close frees everything, the newest first.
func (j *judging) close() error {
	var errs []error
	for _, closer := range slices.Backward(j.closers) {
		errs = append(errs, closer())
	}
	if j.bar != nil {
		for _, bar := range j.bars {
			bar.Abort(false)
		}
		j.bar.Wait()
	}
	return errors.Join(errs...)
}

// progress draws a bar for everything that is done one after another.
func (j *judging) progress(what string, done, total int) {
	if j.bar == nil {
		return
	}
	bar, ok := j.bars[what]
	if !ok {
		bar = j.bar.AddBar(int64(total), mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d / %d")),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
		j.bars[what] = bar
	}
	bar.SetCurrent(int64(done))
}

func (j *judging) count(what string) func(done, total int) {
	return func(done, total int) { j.progress(what, done, total) }
}

// untrained is the untrained encoder, whatever seed the rest has: it is a fixed baseline.
func (j *judging) untrained(horizon int) (*eval.Source, error) {
	const seed = 7
	u, err := eval.NewUntrained(j.device, seed, horizon)
	if err != nil {
		return nil, err
	}
	j.closers = append(j.closers, u.Close)
	return &u.Source, nil
}

// models opens the models that flags name.
func (j *judging) models(flags evalFlags) ([]*eval.Source, error) {
	var sources []*eval.Source
	for _, dir := range flags.models {
		source, err := j.model(dir, flags.predictor)
		if err != nil {
			return nil, inputError("eval.model", fmt.Errorf("--model %s: %w", dir, err),
				"a directory with config.json and model.safetensors, as ensue train or save_pretrained writes it")
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func (j *judging) model(dir, name string) (*eval.Source, error) {
	m, err := openModel(dir)
	if err != nil {
		return nil, err
	}
	j.closers = append(j.closers, m.Close)
	enc, err := encoder.New(encoder.Config{Model: dir}, encoder.WithModel(m), encoder.WithDevice(j.device))
	if err != nil {
		return nil, err
	}
	j.closers = append(j.closers, func() error { return encoder.Close(enc) })
	if name == "" {
		name = predictor.Auto
	}
	pred, err := predictor.New(predictor.Config{Model: name}, enc, predictor.WithModel(m), predictor.WithDevice(j.device))
	if err != nil {
		return nil, err
	}
	j.closers = append(j.closers, func() error { return predictor.Close(pred) })
	source := &eval.Source{Name: filepath.Base(filepath.Clean(dir)), Encoder: enc, Predictor: pred}
	if predictor.Resolve(name, m) != predictor.Learned {
		return source, nil
	}
	source.Live, source.Model = predictor.SourceModel, m.Digest()
	if source.Verifier, err = openVerifier(m, j.device); err != nil || source.Verifier == nil {
		return source, err
	}
	j.closers = append(j.closers, source.Verifier.Close)
	return source, nil
}

// footage decodes video, or takes it from the cache.
func (j *judging) footage(command *cobra.Command, flags evalFlags, what string, paths []string, side int, redistributable bool,
) (*train.Footage, error) {
	cache, err := flags.cacheFolder()
	if err != nil {
		return nil, err
	}
	footage, err := train.OpenFootage(command.Context(), train.FootageConfig{
		Paths: paths, Side: side, Cache: cache, Manifest: flags.manifestOf(paths), RedistributableOnly: redistributable,
	}, func(p train.FootageProgress) { j.progress("decode "+what, p.Files, p.Total) })
	if err != nil {
		if command.Context().Err() != nil {
			return nil, err
		}
		return nil, inputError("eval.footage", err, "name a video file, or a folder of them")
	}
	j.closers = append(j.closers, footage.Close)
	for _, bad := range footage.Unusable() {
		j.app.logger().Warn("not used, or not to its end", "file", bad.Path, "frames", bad.Frames, "why", bad.Err)
	}
	return footage, nil
}

// cacheFolder is where decoded frames are kept.
func (f *evalFlags) cacheFolder() (string, error) {
	if f.cache != "" {
		return f.cache, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", environmentError("eval.cache", err, "name a folder with --cache")
	}
	return filepath.Join(user, "ensue", "footage"), nil
}

// manifestOf is the manifest that was named, else one in or beside the first folder.
func (f *evalFlags) manifestOf(paths []string) string {
	if f.manifest != "" || len(paths) == 0 {
		return f.manifest
	}
	for _, folder := range []string{paths[0], filepath.Dir(filepath.Clean(paths[0]))} {
		candidate := filepath.Join(folder, "manifest.csv")
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return candidate
		}
	}
	return ""
}

// widest is the size that footage must be decoded at for sources that see different sizes.
func widest(sources []*eval.Source) int {
	side := 0
	for _, source := range sources {
		side = max(side, source.Encoder.Info().Width)
	}
	return side
}

// evaluation is a table that can be told and drawn.
type evaluation interface {
	WriteText(w io.Writer) error
	Plot() eval.Plot
}

// evalData is what --json tells.
type evalData struct {
	Seconds float64    `json:"seconds"`
	Table   evaluation `json:"table"`
	Plot    string     `json:"plot,omitempty"`
	Saved   []string   `json:"saved,omitempty"`
}

// report prints the table and draws it.
func (a *app) report(
	command *cobra.Command, flags evalFlags, begun time.Time, table evaluation, saved []string, pictures ...eval.Picture,
) error {
	if err := draw(flags.plot, table, pictures); err != nil {
		return err
	}
	data := evalData{Seconds: time.Since(begun).Seconds(), Table: table, Plot: flags.plot, Saved: saved}
	return a.say(command, data, func(out io.Writer) error {
		if a.quiet {
			return nil
		}
		err := table.WriteText(out)
		for _, path := range append(saved, flags.plot) {
			if path != "" {
				fmt.Fprintf(out, "written: %s\n", path)
			}
		}
		return err
	})
}

func draw(path string, table evaluation, pictures []eval.Picture) (err error) {
	if path == "" {
		return nil
	}
	var page bytes.Buffer
	if filepath.Ext(path) == ".svg" {
		err = table.Plot().WriteSVG(&page)
	} else {
		var text strings.Builder
		err = errors.Join(table.WriteText(&text), eval.WriteHTML(&page, table.Plot(), text.String(), pictures...))
	}
	if err == nil {
		err = os.WriteFile(path, page.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("drawing the table: %w", err)
	}
	return nil
}
