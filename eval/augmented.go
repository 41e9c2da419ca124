package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/train"
)

// AugmentedConfig says on which varied windows a head learns.
type AugmentedConfig struct {
	// Windows is how many there are, Negatives how many kinds each gets, chosen at random of those that can be made.
	Windows, Negatives int
	Kinds              []negatives.Kind
	Augment            train.AugmentConfig
	Seed               uint64
}

// DefaultAugmented is the recipe's: 3,200 windows with 5 negatives each.
func DefaultAugmented() AugmentedConfig {
	return AugmentedConfig{Windows: 3200, Negatives: 5, Kinds: negatives.Kinds(), Augment: train.DefaultAugment()}
}

const (
	longestWeighed = 30.0 // seconds of a clip that count for how often it is drawn
	farther        = 40   // frames of a varied window where the clip is long enough for a Jump
	redraws        = 50   // how often a window with a cut is drawn again
)

// MeasureAugmented lets the sources judge varied windows of footage with negatives of random strength: what a head learns from.
func MeasureAugmented(
	ctx context.Context, footage *train.Footage, sources []*Source, config AugmentedConfig, progress func(done, total int),
) ([]Measured, error) {
	d, err := newDrawing(footage, config)
	if err != nil {
		return nil, fmt.Errorf("drawing varied windows: %w", err)
	}
	measured := make([]Measured, config.Windows)
	err = parallel(ctx, config.Windows, progress, func(ctx context.Context, i int) error {
		random := rand.New(rand.NewPCG(config.Seed, uint64(i)))
		window, clip, static, err := d.window(random)
		if err != nil {
			return err
		}
		kinds := applicable(config.Kinds, static)
		random.Shuffle(len(kinds), func(a, b int) { kinds[a], kinds[b] = kinds[b], kinds[a] })
		if window.Far == nil {
			kinds = slices.DeleteFunc(kinds, func(k negatives.Kind) bool { return k == negatives.Jump })
		}
		m, err := measure(ctx, random, window, sources, kinds[:min(len(kinds), config.Negatives)], negatives.Draw)
		if err != nil {
			return fmt.Errorf("measuring a window of %s: %w", footage.Clips()[clip].Name, err)
		}
		m.Unit, m.Static = clip, static
		measured[i] = m
		return nil
	})
	return measured, err
}

// drawing draws varied windows of footage.
type drawing struct {
	config AugmentedConfig
	clips  []*train.Clip
	index  []int     // of clips, in the footage
	upTo   []float64 // sums of the weights of the clips
}

func newDrawing(footage *train.Footage, config AugmentedConfig) (*drawing, error) {
	d := &drawing{config: config}
	sum := 0.0
	for i, clip := range footage.Clips() {
		if clip.Count < negatives.Span {
			continue
		}
		sum += math.Sqrt(min(clip.Seconds(), longestWeighed))
		d.clips, d.index, d.upTo = append(d.clips, clip), append(d.index, i), append(d.upTo, sum)
	}
	if len(d.clips) == 0 {
		return nil, fmt.Errorf("no clip has %d frames", negatives.Span)
	}
	return d, nil
}

// clip draws a clip, of another family than this one where it is not "".
func (d *drawing) clip(random *rand.Rand, not string) (int, bool) {
	for range redraws {
		at, _ := slices.BinarySearch(d.upTo, random.Float64()*d.upTo[len(d.upTo)-1])
		at = min(at, len(d.clips)-1)
		if not == "" || d.clips[at].Family != not {
			return at, true
		}
	}
	return 0, false
}

// window draws a varied window without cuts, and says of which clip of the footage, and whether nothing moves.
func (d *drawing) window(random *rand.Rand) (w negatives.Window, clip int, static bool, err error) {
	for range redraws {
		at, _ := d.clip(random, "")
		c := d.clips[at]
		frames := negatives.Span
		if c.Count/train.Stride(c, windowRate, 1) >= farther {
			frames = farther
		}
		pictures, err := d.augment(random, c, frames)
		if err != nil {
			return w, 0, false, err
		}
		differences := differencesOf(pictures[:2*negatives.Length], c.Side)
		if slices.Contains(findCuts(differences), true) {
			continue
		}
		w = negatives.Window{Side: c.Side, Frames: pictures[:negatives.Span], Other: func(random *rand.Rand) [][]byte {
			return d.other(random, c.Family)
		}}
		if frames == farther {
			w.Far = func(random *rand.Rand) [][]byte {
				start := negatives.Length + negatives.Apart + random.IntN(farther-2*negatives.Length-negatives.Apart+1)
				return pictures[start : start+negatives.Length]
			}
		}
		return w, d.index[at], isStatic(differences), nil
	}
	return w, 0, false, errors.New("all footage is full of cuts")
}

// augment draws frames of a clip, varied alike.
func (d *drawing) augment(random *rand.Rand, clip *train.Clip, frames int) ([][]byte, error) {
	size := clip.Side * clip.Side * 3
	pixels := make([]byte, frames*size)
	var patch *train.Clip
	if at, ok := d.clip(random, clip.Family); ok {
		patch = d.clips[at]
	}
	if err := train.Augment(random, d.config.Augment, clip, patch, windowRate, frames, clip.Side, pixels); err != nil {
		return nil, err
	}
	pictures := make([][]byte, frames)
	for i := range pictures {
		pictures[i] = pixels[i*size : (i+1)*size]
	}
	return pictures, nil
}

// other is varied frames of another family; nil where there is none.
func (d *drawing) other(random *rand.Rand, family string) [][]byte {
	at, ok := d.clip(random, family)
	if !ok {
		return nil
	}
	pictures, err := d.augment(random, d.clips[at], negatives.Length)
	if err != nil { // it has enough frames: newDrawing saw to it
		return nil
	}
	return pictures
}
