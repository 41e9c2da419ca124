package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// minFiles is how many open files a pipeline with many partitions may need.
const minFiles = 1024

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "say what this machine offers and what is missing: processors, FFmpeg, OpenCV, oneDNN, codecs, limits",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			checks := []pipelines.Checked{
				machine(), openFiles(), writable(),
				{Name: "ffmpeg", OK: true, Detail: container.Version()},
				{Name: "opencv", OK: true, Detail: gocv.OpenCVVersion()},
				{Name: "onednn", OK: true, Detail: orNone(nn.OneDNN())},
				{Name: "formats", OK: true, Detail: strings.Join(container.Formats(), " ")},
				{Name: "codecs", OK: true, Detail: strings.Join(container.Codecs(), " ")},
				{Name: "encoders", OK: true, Detail: strings.Join(encoder.Names(), " ")},
				decodes(command), computes(),
			}
			return a.sayChecks(command, checks)
		},
	}
}

func machine() pipelines.Checked {
	return pipelines.Checked{
		Name: "machine", OK: true,
		Detail: fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version()),
	}
}

func openFiles() pipelines.Checked {
	check := pipelines.Checked{Name: "open files", OK: true}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		check.OK, check.Detail = false, err.Error()
		return check
	}
	check.Detail = fmt.Sprintf("up to %d", limit.Cur)
	if limit.Cur < minFiles {
		check.Hint = fmt.Sprintf("raise it to %d or more (ulimit -n) for many partitions", minFiles)
	}
	return check
}

func writable() pipelines.Checked {
	check := pipelines.Checked{Name: "temporary folder", OK: true, Detail: os.TempDir()}
	file, err := os.CreateTemp("", "ensue-doctor-")
	if err != nil {
		check.OK, check.Detail, check.Hint = false, err.Error(), "set TMPDIR to a folder that can be written; only ensue demo needs it"
		return check
	}
	_ = file.Close()
	_ = os.Remove(file.Name())
	return check
}

func orNone(text string) string {
	if text == "" {
		return "none: this program computes without it"
	}
	return text
}

// computes multiplies a small matrix: what learned models run on is not only there, it works.
func computes() pipelines.Checked {
	check := pipelines.Checked{Name: "computing"}
	device, err := nn.Open(nn.Config{})
	if err != nil {
		check.Detail, check.Hint = err.Error(), "learned models need it; pixels does not"
		return check
	}
	check.Detail = device.Describe()
	err = device.Run(func() error {
		tape := device.NewTape(nn.TapeConfig{})
		defer tape.Close()
		product := tape.MatMul(tape.Floats([]float32{1, 2}, 1, 2), tape.Floats([]float32{3, 4}, 2, 1), false, false)
		if got := product.Item(); got != 11 {
			return fmt.Errorf("1x3 + 2x4 came out as %v", got)
		}
		return nil
	})
	if err = errors.Join(err, device.Close()); err != nil {
		check.Detail, check.Hint = err.Error(), "the oneDNN this program runs with may not be the one it was built with"
		return check
	}
	check.OK = true
	return check
}

// decodes decodes a sample that is part of the program: the libraries are not only there, they work.
func decodes(command *cobra.Command) pipelines.Checked {
	check := pipelines.Checked{Name: "decoding"}
	fail := func(err error) pipelines.Checked {
		check.Detail, check.Hint = err.Error(), "the FFmpeg this program runs with may not be the one it was built with"
		return check
	}
	samples, err := video.Streams()
	if err != nil {
		return fail(err)
	}
	payload, err := fs.ReadFile(video.FS(), samples[0].File)
	if err != nil {
		return fail(err)
	}
	decoder, err := decode.New(decode.Default(), decode.Size{Width: 128, Height: 128})
	if err != nil {
		return fail(err)
	}
	defer decoder.Close()
	clip, err := decoder.Decode(command.Context(), &stream.Segment{Stream: samples[0].Name, Payload: payload}, 0)
	if err != nil {
		return fail(err)
	}
	defer clip.Release()
	check.OK, check.Detail = true, fmt.Sprintf("%d of %d frames of the sample %s at %.2f a second",
		clip.T, clip.Decoded, samples[0].File, 1/clip.Step.Seconds())
	return check
}
