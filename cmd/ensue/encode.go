package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/clips"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tokenfile"
)

// nameMark in --out stands for a file's name.
const nameMark = "{name}"

type encodeFlags struct {
	model         string
	out           string
	frames        string
	contextFrames int
	clipFrames    int
	fps           float64
	attention     string
	precision     string
	threads       int
}

func (a *app) encodeCommand() *cobra.Command {
	var flags encodeFlags
	command := &cobra.Command{
		Use:   "encode [FILE...] --out FILE",
		Short: "write the tokens of video, the tokens expected of what comes next, and the energies",
		Long: "Encode makes tokens of recorded video (files, globs, folders), or of frames that are prepared already (--frames), and writes\n" +
			"them to a file; its extension says which kind: " + strings.Join(tokenfile.Kinds(), ", ") + ". A recording is cut into clips\n" +
			"of --clip-frames, each encoded on its own. With --context-frames N it also writes which tokens are expected after the first N\n" +
			"frames of each clip, and the energy of those that came. See docs/encode.md.",
		Example: "  ensue encode lobby.mp4 --model vjepa2-vitl --out lobby.safetensors\n" +
			"  ensue encode *.mp4 --model vjepa2-vitl --context-frames 32 --out '{name}.parquet'\n" +
			"  ensue encode --frames batch.safetensors --model vjepa2-vitl --out tokens.npz",
		RunE: func(command *cobra.Command, files []string) error { return a.encode(command, files, flags) },
	}
	f := command.Flags()
	f.StringVarP(&flags.model, "model", "m", encoder.DefaultModel,
		"builtin, pixels, or a directory as transformers' save_pretrained writes it")
	f.StringVarP(&flags.out, "out", "o", "", "file to write; "+nameMark+" in it stands for the name of each video: a file for each")
	f.StringVar(&flags.frames, "frames", "", "safetensors file with a tensor pixel_values_videos [B, T, C, H, W], already normalised")
	f.IntVar(&flags.contextFrames, "context-frames", 0, "frames at the start of each clip after which tokens are expected; 0 expects none")
	f.IntVar(&flags.clipFrames, "clip-frames", -1, "frames of a clip; 0 is the whole recording; default: what the model was made for")
	f.Float64Var(&flags.fps, "fps", 8, "frames to take per second of video, as near as the video's own rate allows")
	f.StringVar(&flags.attention, "attention", "", "use this attention instead of the model's: full, block_causal, tubelet")
	f.StringVar(&flags.precision, "precision", "f32", "compute in f32 or bf16")
	f.IntVar(&flags.threads, "threads", 0, "threads to compute on; 0: as many as there are processors")
	return command
}

// encodeData is what encode says at the end.
type encodeData struct {
	Model         string              `json:"model"`
	Digest        string              `json:"digest"`
	Attention     string              `json:"attention,omitempty"`
	Precision     string              `json:"precision,omitempty"`
	ContextFrames int                 `json:"context_frames"`
	Clips         int                 `json:"clips"`
	Frames        int                 `json:"frames"`
	Seconds       float64             `json:"seconds"`
	Files         []*encodedFile      `json:"files"`
	Refused       []refusedFile       `json:"refused,omitempty"`
	Written       []tokenfile.Written `json:"written"`
}

// encodedFile is what is said about one video.
type encodedFile struct {
	File  string `json:"file"`
	Clips int    `json:"clips"`
}

// encoding is one run of the command.
type encoding struct {
	*app
	flags  encodeFlags
	model  clips.Model
	writer tokenfile.Writer
	bar    *encodeBar
	data   encodeData
}

func (a *app) encode(command *cobra.Command, files []string, flags encodeFlags) error {
	if err := flags.check(files); err != nil {
		return err
	}
	model, err := clips.Open(clips.Config{
		Model: flags.model, Attention: flags.attention, Precision: flags.precision, Threads: flags.threads,
	})
	if err != nil {
		return openError(err)
	}
	e := &encoding{app: a, flags: flags, model: model}
	begun := time.Now()
	err = errors.Join(e.run(command.Context(), files), model.Close())
	e.data.Seconds = time.Since(begun).Seconds()
	if err != nil {
		return e.fail(command.Context(), err)
	}
	return a.say(command, e.data, e.print)
}

// check tells what is wrong with the flags before anything is opened.
func (f encodeFlags) check(files []string) error {
	switch {
	case f.frames == "" && len(files) == 0:
		return inputError("encode.no_files", errors.New("nothing to encode"), "name a video file, or give --frames FILE.safetensors")
	case f.frames != "" && len(files) > 0:
		return inputError("flags.value", errors.New("--frames and video files at once"), "encode them one after the other")
	case f.out == "":
		return inputError("flags.value", errors.New("--out is missing"), "as in --out tokens.safetensors")
	case f.precision != encoder.PrecisionF32 && f.precision != encoder.PrecisionBF16:
		return inputError("flags.value", fmt.Errorf("--precision %q is not known", f.precision), "it is f32 or bf16")
	case f.contextFrames < 0 || f.clipFrames < -1 || f.threads < 0:
		return inputError("flags.value", errors.New("--context-frames, --clip-frames and --threads are not negative"), "")
	case !(f.fps > 0 && f.fps <= 240):
		return inputError("flags.value", fmt.Errorf("--fps is %v", f.fps), "give a rate above 0 and up to 240 frames per second")
	}
	if err := tokenfile.Known(f.out); err != nil {
		return inputError("flags.value", fmt.Errorf("--out %w", err), "")
	}
	folder := filepath.Dir(f.out)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return inputError("flags.value", fmt.Errorf("--out %s: there is no folder %s", f.out, folder), "make it first")
	}
	return nil
}

// openError tells a model that is wrong from a machine that cannot.
func openError(err error) error {
	if errors.Is(err, clips.ErrOpen) {
		return inputError("encode.model", err, "--model is pixels, or a directory with config.json and model.safetensors")
	}
	return err
}

// fail says what went wrong; nothing that was begun is left.
func (e *encoding) fail(ctx context.Context, err error) error {
	if e.writer != nil {
		e.writer.Abort()
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return &exitError{exit: exitRuntime, code: "encode.interrupted", err: errors.New("stopped before the file was whole; it was not written")}
	}
	if shape, ok := errors.AsType[*tokenfile.ShapeError](err); ok {
		return inputError("encode.shape", shape,
			"clips of one file have one shape: write a file for each video (--out '"+nameMark+".npz'), or .parquet, which has a row a token")
	}
	if failure, ok := errors.AsType[*stream.Failure](err); ok && failure.Stage == "encode" {
		return inputError(string(failure.Code), err, "")
	}
	return err
}

func (e *encoding) run(ctx context.Context, files []string) error {
	info := e.model.Info()
	if e.flags.clipFrames < 0 {
		e.flags.clipFrames = info.FramesPerClip
	}
	e.data.Model, e.data.Digest, e.data.Attention, e.data.Precision = info.Name, info.Digest, info.Attention, info.Precision
	e.data.ContextFrames = e.flags.contextFrames
	if e.flags.frames != "" {
		return e.encodeFrames(ctx)
	}
	if err := info.CheckContext(e.flags.clipFrames, e.flags.contextFrames); err != nil {
		return err
	}
	paths, err := ingest.ExpandPaths(files)
	if err != nil {
		return err
	}
	return e.encodeVideos(ctx, paths)
}

// about is what is written into the file.
func (e *encoding) about() map[string]string {
	info := e.model.Info()
	about := map[string]string{
		"encoder": info.Name, "model": info.Digest, "context_frames": strconv.Itoa(e.flags.contextFrames), "ensue": version,
	}
	if info.Attention != "" {
		about["attention"], about["precision"] = info.Attention, info.Precision
	}
	if e.flags.frames == "" {
		about["fps"] = strconv.FormatFloat(e.flags.fps, 'g', -1, 64)
		about["clip_frames"] = strconv.Itoa(e.flags.clipFrames)
	}
	return about
}

// begin begins the output for a file of that name, unless one output takes all.
func (e *encoding) begin(name string) (err error) {
	if e.writer == nil {
		e.writer, err = tokenfile.Create(strings.ReplaceAll(e.flags.out, nameMark, name), e.about())
	}
	return err
}

// finish ends the output.
func (e *encoding) finish() error {
	if e.writer == nil {
		return nil
	}
	written, err := e.writer.Close()
	if len(written.Files) > 0 {
		e.data.Written = append(e.data.Written, written)
	}
	e.writer = nil
	return err
}

func (e *encoding) encodeVideos(ctx context.Context, paths []string) error {
	reader, err := clips.NewReader(e.model.Info(), e.flags.clipFrames, e.flags.fps)
	if err != nil {
		return err
	}
	defer reader.Close()
	e.bar = e.encodeBar(paths)
	defer e.bar.end()
	reader.OnSegment = e.bar.step
	reader.OnProblem = e.refuse
	names := ingest.StreamNames(paths)
	for i, path := range paths {
		if err := e.begin(names[i]); err != nil {
			return err
		}
		e.data.Files = append(e.data.Files, &encodedFile{File: path})
		if err := reader.Read(ctx, path, func(clip *stream.Clip) error { return e.clip(ctx, path, clip) }); err != nil {
			return err
		}
		if strings.Contains(e.flags.out, nameMark) {
			if err := e.finish(); err != nil {
				return err
			}
		}
	}
	if err := e.finish(); err != nil || e.data.Clips > 0 {
		return err
	}
	e.bar.end()
	e.printRefused(e.err)
	return &exitError{
		exit: exitInput, code: "encode.nothing_encoded", data: e.data, hint: "ensue doctor shows what this machine can decode",
		err: fmt.Errorf("none of %d files could be encoded", len(paths)),
	}
}

// clip encodes a clip of a video. One that is too short for its context is refused; others go on.
func (e *encoding) clip(ctx context.Context, path string, clip *stream.Clip) error {
	made, err := e.model.Encode(ctx, clip, e.flags.contextFrames)
	if failure, ok := errors.AsType[*stream.Failure](err); ok && failure.Code == clips.CodeContext {
		e.refuse(failure)
		return nil
	}
	if err != nil {
		return err
	}
	made.File = path
	e.data.Files[len(e.data.Files)-1].Clips++
	return e.add(made, clip.T)
}

// add writes what was made of a clip.
func (e *encoding) add(clip *tokenfile.Clip, frames int) error {
	e.data.Clips++
	e.data.Frames += frames
	return e.writer.Add(clip)
}

func (e *encoding) refuse(failure *stream.Failure) {
	file := e.data.Files[len(e.data.Files)-1].File
	e.data.Refused = append(e.data.Refused, refusedFile{File: file, Code: failure.Code, Message: failure.Error()})
}

func (e *encoding) encodeFrames(ctx context.Context) error {
	model, ok := e.model.(clips.FrameModel)
	if !ok {
		return inputError("encode.frames", fmt.Errorf("--frames holds normalised frames, which %s does not take", e.data.Model),
			"give video files, or a model that transformers can load")
	}
	frames, err := tokenfile.OpenFrames(e.flags.frames)
	if err != nil {
		return inputError("encode.frames", err, "a safetensors file with what a transformers video processor gives: pixel_values_videos")
	}
	defer frames.Close() //nolint:errcheck // only read
	if err := e.begin(ingest.StreamNames([]string{e.flags.frames})[0]); err != nil {
		return err
	}
	e.bar = e.countBar(frames.B)
	defer e.bar.end()
	for i := range frames.B {
		clip := clips.Frames{T: frames.T, C: frames.C, H: frames.H, W: frames.W, Values: frames.Clip(i)}
		made, err := model.EncodeFrames(ctx, clip, e.flags.contextFrames)
		if err != nil {
			return fmt.Errorf("encoding clip %d of %s: %w", i, e.flags.frames, err)
		}
		if err := e.add(made, frames.T); err != nil {
			return err
		}
		e.bar.one()
	}
	return e.finish()
}

func (e *encoding) printRefused(out io.Writer) {
	for _, refused := range e.data.Refused {
		fmt.Fprintf(out, "refused %s: %s [%s]\n", refused.File, refused.Message, refused.Code)
	}
}

// print says what was written, a line a file.
func (e *encoding) print(out io.Writer) error {
	e.printRefused(e.err)
	if e.quiet {
		return nil
	}
	for _, written := range e.data.Written {
		what := fmt.Sprintf("%d rows", written.Rows)
		if written.Rows == 0 {
			parts := make([]string, 0, len(written.Arrays))
			for _, array := range written.Arrays {
				parts = append(parts, fmt.Sprintf("%s %v", array.Name, array.Shape))
			}
			what = strings.Join(parts, ", ")
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", strings.Join(written.Files, " "), what); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s, %d frames in %.1f s by %s@%.19s\n",
		look.Plural(e.data.Clips, "clip"), e.data.Frames, e.data.Seconds, e.data.Model, e.data.Digest)
	return err
}
