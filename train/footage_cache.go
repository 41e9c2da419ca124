package train

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// cacheVersion changes when the same file would give other frames.
const cacheVersion = 1

// pieceLength is how much video is decoded at a time.
const pieceLength = 2 * time.Second

// entry is a file's place in the cache: raw frames, and beside them a description that is written last.
type entry struct {
	source, frames, about string
	side                  int
	fps                   float64
}

// about describes the frames of an entry.
type about struct {
	Source string        `json:"source"`
	Count  int           `json:"count"`
	Side   int           `json:"side"`
	Step   time.Duration `json:"step_ns"`
	// Problem is why the file could not be decoded, or not to its end.
	Problem string `json:"problem,omitempty"`
}

// entryOf names an entry by everything its frames depend on: the file by path, size and time of change, and the settings.
func entryOf(path string, config FootageConfig) (*entry, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s\x00%d\x00%d\x00%d\x00%v",
		cacheVersion, absolute, info.Size(), info.ModTime().UnixNano(), config.Side, config.FPS))
	name := filepath.Join(config.Cache, filepath.Base(path)+"-"+hex.EncodeToString(key[:8]))
	return &entry{source: path, frames: name + ".rgb", about: name + ".json", side: config.Side, fps: config.FPS}, nil
}

// ready says that the entry is complete.
func (e *entry) ready() bool {
	about, err := e.read()
	if err != nil {
		return false
	}
	info, err := os.Stat(e.frames)
	return err == nil && info.Size() == int64(about.Count)*int64(e.side)*int64(e.side)*3
}

func (e *entry) read() (about, error) {
	var a about
	data, err := os.ReadFile(e.about)
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(data, &a)
	return a, err
}

// open maps the frames. A file without frames is unusable; one that ends early is both.
func (e *entry) open() (*Clip, *Unusable) {
	a, err := e.read()
	if err != nil {
		return nil, &Unusable{Path: e.source, Err: err}
	}
	var bad *Unusable
	if a.Problem != "" {
		bad = &Unusable{Path: e.source, Frames: a.Count, Err: errors.New(a.Problem)}
	}
	if a.Count == 0 {
		return nil, bad
	}
	pixels, release, err := mapFile(e.frames)
	if err != nil {
		return nil, &Unusable{Path: e.source, Err: err}
	}
	return &Clip{
		Name: filepath.Base(e.source), Path: e.source, Count: a.Count, Side: a.Side, Step: a.Step, pixels: pixels, release: release,
	}, bad
}

// decode fills the entry. What is wrong with the file goes into its description; errors are those of the cache, or of ctx.
func (e *entry) decode(ctx context.Context) (err error) {
	file, err := os.CreateTemp(filepath.Dir(e.frames), ".decoding-*")
	if err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // what matters is why it is not wanted
		}
	}()
	out := bufio.NewWriterSize(file, 1<<20)
	a, err := e.decodeTo(ctx, out)
	if err := errors.Join(err, out.Flush(), file.Close()); err != nil {
		return fmt.Errorf("caching %s: %w", e.source, err)
	}
	if err := os.Rename(file.Name(), e.frames); err != nil {
		return fmt.Errorf("caching %s: %w", e.source, err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return writeAtomically(e.about, text)
}

func (e *entry) decodeTo(ctx context.Context, out *bufio.Writer) (about, error) {
	d := &decoding{out: out}
	config := decode.Default()
	config.FPS = e.fps
	if e.fps == 0 {
		config.FPS = maxFPS
	}
	// One's own footage, decoded once: patience is cheaper than leaving a long recording out.
	config.Limits = decode.Limits{
		Bytes: 256 << 20, Pixels: decode.Size{Width: 8192, Height: 8192}, Frames: 40_000, Duration: time.Hour, Timeout: 15 * time.Minute,
	}
	decoder, err := decode.New(config, decode.Size{Width: e.side, Height: e.side})
	if err != nil {
		return about{}, err
	}
	defer decoder.Close()
	d.decoder = decoder
	err = ingest.SegmentsOf(ctx, e.source, filepath.Base(e.source), pieceLength, func(s *stream.Segment) error { return d.segment(ctx, s) })
	a := about{Source: e.source, Count: d.count, Side: e.side, Step: d.step()}
	if err == nil && d.broken == nil && d.count == 0 {
		d.broken = errors.New("there is no frame in it")
	}
	if d.broken != nil {
		a.Problem = d.broken.Error()
	}
	return a, err
}

// decoding turns the segments of one file into frames.
type decoding struct {
	decoder  *decode.Decoder
	out      *bufio.Writer
	timeline decode.Timeline
	count    int
	grid     time.Duration
	first    time.Duration
	last     time.Duration
	broken   error
}

// segment appends the frames of a segment. After one that is broken nothing is appended: frames with a hole between them are no window.
func (d *decoding) segment(ctx context.Context, s *stream.Segment) error {
	if d.broken == nil {
		d.broken = s.Problem
	}
	if d.broken != nil || len(s.Payload) == 0 {
		return nil
	}
	clip, err := d.decoder.Decode(ctx, s, d.timeline.Offset(s))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.broken = err
		return nil // it is told as the file's problem
	}
	defer clip.Release()
	d.timeline.Advance(clip)
	d.grid = clip.Step
	if clip.T > 0 {
		if d.count == 0 {
			d.first = clip.Times[0]
		}
		d.last = clip.Times[clip.T-1]
		d.count += clip.T
	}
	_, err = d.out.Write(clip.Frames)
	return err
}

// step is the decoder's grid where frames kept to it, else their mean distance: a grid finer than the frames says nothing.
func (d *decoding) step() time.Duration {
	if d.count < 2 {
		return d.grid
	}
	mean := (d.last - d.first) / time.Duration(d.count-1)
	if difference := (mean - d.grid).Abs(); difference*100 <= d.grid {
		return d.grid
	}
	return mean
}

// writeAtomically puts a file in its place as a whole: a reader, or a process that was killed, never sees half of it.
func writeAtomically(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".writing-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // what matters is why it is not wanted
		}
	}()
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
