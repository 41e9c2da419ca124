package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// ClipFormat is how small clips are.
type ClipFormat struct {
	Width, Height, FPS int
	Length             time.Duration
}

// Clip is a piece of video in a container of its own.
type Clip struct {
	Data   []byte
	Length time.Duration
}

// Clips encodes the file anew, small, and cuts it into clips of exactly the length.
func Clips(ctx context.Context, dir, file string, format ClipFormat) ([]Clip, error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, fmt.Errorf("making small clips needs the ffmpeg command: %w", err)
	}
	small := filepath.Join(dir, "small-"+filepath.Base(file))
	group := strconv.Itoa(int(format.Length.Seconds() * float64(format.FPS)))
	made := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-y", "-i", file, "-an",
		"-vf", fmt.Sprintf("fps=%d,scale=%d:%d:flags=area", format.FPS, format.Width, format.Height),
		"-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", group, "-keyint_min", group, "-sc_threshold", "0",
		"-pix_fmt", "yuv420p", small)
	if out, err := made.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making small clips of %s: %w\n%s", file, err, out)
	}
	var clips []Clip
	err = ingest.SegmentsOf(ctx, small, "clips", format.Length, func(segment *stream.Segment) error {
		if segment.Duration == format.Length { // the last one may be shorter
			clips = append(clips, Clip{Data: segment.Payload, Length: format.Length})
		}
		return segment.Problem
	})
	if err == nil && len(clips) == 0 {
		err = errors.New("it gave no clip")
	}
	if err = errors.Join(err, os.Remove(small)); err != nil {
		return nil, fmt.Errorf("cutting small clips of %s: %w", file, err)
	}
	return clips, nil
}
