package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/ingest"
)

// FootageConfig says which video is decoded, and how.
type FootageConfig struct {
	// Paths are files, folders and globs.
	Paths []string `yaml:"paths"`
	// Side is the width and the height in pixels of the cached frames; the whole picture is squashed to it.
	Side int `yaml:"side"`
	// FPS is how many frames a second are kept at most; 0: every frame of the file. The effective rate is the file's own divided by a
	// whole number.
	FPS float64 `yaml:"fps"`
	// Cache is the folder that keeps decoded frames.
	Cache string `yaml:"cache"`
	// Manifest is a CSV file with families, licences and what may be passed on (see Manifest); empty: there is none.
	Manifest string `yaml:"manifest"`
	// RedistributableOnly leaves out what the manifest does not say may be passed on.
	RedistributableOnly bool `yaml:"redistributable_only"`
}

// Clip is a decoded file: its frames at one rate, mapped from the cache.
type Clip struct {
	// Name is the file's base name, Path where it lies.
	Name, Path string
	// Credit is what the manifest says; without one, Family is the name without its extension.
	Credit
	// Count is the number of frames, Side their width and height.
	Count, Side int
	// Step is the time from frame to frame, the mean of it where the file's frames come irregularly.
	Step time.Duration

	pixels  []byte
	release func() error
}

// Frame is frame i, [Side, Side, 3] RGB. It is the cache's own memory, valid until the Footage is closed: never write to it.
func (c *Clip) Frame(i int) []byte {
	n := c.Side * c.Side * 3
	return c.pixels[i*n : (i+1)*n : (i+1)*n]
}

// FPS is frames per second.
func (c *Clip) FPS() float64 { return float64(time.Second) / float64(c.Step) }

// Seconds is how long the clip is.
func (c *Clip) Seconds() float64 { return float64(c.Count) * c.Step.Seconds() }

// Unusable is a file that gave no frames, or not all of them, and why.
type Unusable struct {
	Path string
	// Frames is how many were kept.
	Frames int
	Err    error
}

// Footage is decoded video. Close it when nobody reads its frames any more.
type Footage struct {
	clips    []*Clip
	unusable []Unusable
	withheld int
}

// Clips are the usable files, in the order of their paths.
func (f *Footage) Clips() []*Clip { return f.clips }

// Unusable are the files that could not be decoded, or not to their end.
func (f *Footage) Unusable() []Unusable { return f.unusable }

// Withheld is how many files were left out because they may not be passed on.
func (f *Footage) Withheld() int { return f.withheld }

// Seconds is how long all clips are together.
func (f *Footage) Seconds() (sum float64) {
	for _, c := range f.clips {
		sum += c.Seconds()
	}
	return sum
}

// Close ends the mapping of all clips.
func (f *Footage) Close() error {
	var errs []error
	for _, c := range f.clips {
		errs = append(errs, c.release())
	}
	f.clips = nil
	return errors.Join(errs...)
}

// FootageProgress is told after each file.
type FootageProgress struct {
	// Files of Total are done; Path is the last one, Cached says that nothing had to be decoded.
	Files, Total int
	Path         string
	Cached       bool
}

// OpenFootage decodes what is not in the cache yet and maps all of it. A cache that was interrupted is gone on with. A file that cannot
// be decoded does not keep the others from being used: see Footage.Unusable. It fails where no file is usable. progress may be nil;
// calls to it do not overlap.
func OpenFootage(ctx context.Context, config FootageConfig, progress func(FootageProgress)) (*Footage, error) {
	f, err := openFootage(ctx, config, progress)
	if err != nil {
		return nil, fmt.Errorf("opening footage: %w", err)
	}
	return f, nil
}

func openFootage(ctx context.Context, config FootageConfig, progress func(FootageProgress)) (*Footage, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	paths, err := expand(config.Paths)
	if err != nil {
		return nil, err
	}
	var manifest *Manifest
	if config.Manifest != "" {
		if manifest, err = OpenManifest(config.Manifest); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(config.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	o := &opening{config: config, manifest: manifest, progress: progress}
	f, err := o.all(ctx, paths)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if len(f.clips) == 0 {
		return nil, f.nothing(len(paths))
	}
	return f, nil
}

// Validate tells all that is wrong at once, naming the keys.
func (c FootageConfig) Validate() error {
	var problems []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	complain(len(c.Paths) == 0, "data.footage.paths is empty; name files, folders or globs")
	complain(c.Side < 8 || c.Side > 1024, "data.footage.side is %d; give a size from 8 to 1024 pixels", c.Side)
	complain(!(c.FPS >= 0 && c.FPS <= maxFPS), "data.footage.fps is %v; give up to %d frames per second, or 0 for all", c.FPS, maxFPS)
	complain(c.Cache == "", "data.footage.cache is empty; name a folder for decoded frames")
	complain(c.RedistributableOnly && c.Manifest == "",
		"data.footage.redistributable_only needs data.footage.manifest, which says what may be passed on")
	return errors.Join(problems...)
}

// maxFPS is the highest rate the decoder samples at.
const maxFPS = 240

// expand finds the files that paths name.
func expand(paths []string) ([]string, error) {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
			return nil, fmt.Errorf("data.footage.paths: %q matches no file or folder", path)
		}
	}
	files, err := ingest.ExpandPaths(paths)
	if err != nil {
		return nil, fmt.Errorf("data.footage.paths: %w", err)
	}
	return files, nil
}

// nothing is the error of footage without a usable clip.
func (f *Footage) nothing(files int) error {
	if len(f.unusable) > 0 {
		return fmt.Errorf("none of %d files can be used; the first, %s: %w", files, f.unusable[0].Path, f.unusable[0].Err)
	}
	return fmt.Errorf("none of %d files may be used: the manifest does not say of any that it may be passed on", files)
}

// opening is OpenFootage at work.
type opening struct {
	config   FootageConfig
	manifest *Manifest

	mu       sync.Mutex
	done     int
	progress func(FootageProgress)
}

// opened is what became of one file.
type opened struct {
	clip *Clip
	bad  *Unusable
}

func (o *opening) all(ctx context.Context, paths []string) (*Footage, error) {
	f := &Footage{}
	credits := make([]Credit, 0, len(paths))
	wanted := paths[:0:0]
	for _, path := range paths {
		credit, known := o.manifest.Of(path)
		if o.config.RedistributableOnly && !credit.Redistributable {
			f.withheld++
			continue
		}
		if !known || credit.Family == "" {
			credit.Family = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		}
		wanted, credits = append(wanted, path), append(credits, credit)
	}
	results := make([]opened, len(wanted))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, path := range wanted {
		group.Go(func() error { return o.one(working, path, len(wanted), &results[i]) })
	}
	err := group.Wait()
	for i, r := range results {
		if r.bad != nil {
			f.unusable = append(f.unusable, *r.bad)
		}
		if r.clip != nil {
			r.clip.Credit = credits[i]
			f.clips = append(f.clips, r.clip)
		}
	}
	return f, err
}

func (o *opening) one(ctx context.Context, path string, total int, result *opened) error {
	entry, err := entryOf(path, o.config)
	if err != nil {
		result.bad = &Unusable{Path: path, Err: err}
		return o.tell(FootageProgress{Total: total, Path: path})
	}
	cached := entry.ready()
	if !cached {
		if err := entry.decode(ctx); err != nil {
			return err // the cache cannot be written, or ctx is done
		}
	}
	result.clip, result.bad = entry.open()
	return o.tell(FootageProgress{Total: total, Path: path, Cached: cached})
}

// tell reports a file that is done.
func (o *opening) tell(p FootageProgress) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done++
	p.Files = o.done
	if o.progress != nil {
		o.progress(p)
	}
	return nil
}

// Families are the families of all clips, sorted.
func (f *Footage) Families() []string {
	var names []string
	for _, c := range f.clips {
		names = append(names, c.Family)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
