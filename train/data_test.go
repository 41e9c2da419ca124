package train

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// clipOf is a clip whose frames are made by a function of frame and pixel.
func clipOf(name string, count, side int, value func(frame, x, y, channel int) byte) *Clip {
	c := &Clip{Name: name, Path: name, Count: count, Side: side, Step: time.Second / 8, release: func() error { return nil }}
	for t := range count {
		for y := range side {
			for x := range side {
				for k := range 3 {
					c.pixels = append(c.pixels, value(t, x, y, k))
				}
			}
		}
	}
	return c
}

func ramp(name string, count, side int) *Clip {
	return clipOf(name, count, side, func(t, x, y, k int) byte { return byte(t*3 + x*5 + y*2 + 40*k) })
}

func TestWindowsAreTheSameForTheSameRandomNumbers(t *testing.T) {
	clip, other := ramp("a", 60, 40), ramp("b", 30, 40)
	sources := []Source{SceneSource{}, SpriteSource{}, digits(t, 3)}
	footage, err := NewFootageSource(&Footage{clips: []*Clip{clip, other}}, DefaultAugment(), 8, 12)
	require.NoError(t, err)
	mixture := &Mixture{}
	for _, s := range append(sources, footage) {
		mixture.Add(s, 1)
	}
	for _, s := range append(sources, footage, mixture) {
		t.Run(s.Name(), func(t *testing.T) {
			a, b, c := make([]byte, 12*32*32*3), make([]byte, 12*32*32*3), make([]byte, 12*32*32*3)
			require.NoError(t, s.Window(randomOf(1, 5, 2), 12, 32, a))
			b[0] = 99 // what was there does not matter
			require.NoError(t, s.Window(randomOf(1, 5, 2), 12, 32, b))
			require.NoError(t, s.Window(randomOf(1, 5, 3), 12, 32, c))
			require.Equal(t, a, b)
			require.NotEqual(t, a, c)
		})
	}
}

// digits are some pictures with a gradient.
func digits(tb testing.TB, count int) *DigitSource {
	tb.Helper()
	s := &DigitSource{side: 28}
	for i := range count {
		image := make([]byte, 28*28)
		for j := range image {
			image[j] = byte(i*50 + j)
		}
		s.images = append(s.images, image)
	}
	return s
}

func TestWindowWithoutVariationIsTheFootageItself(t *testing.T) {
	clip := ramp("a", 30, 16)
	out := make([]byte, 5*16*16*3)
	require.NoError(t, Augment(randomOf(1, 1, 1), AugmentConfig{}, clip, nil, 4, 5, 16, out)) // 4 of 8 frames a second
	size := 16 * 16 * 3
	start := int(out[0]) / 3
	for i := range 5 {
		require.Equal(t, clip.Frame(start+2*i), out[i*size:(i+1)*size])
	}
}

func TestVariationsDoWhatTheySay(t *testing.T) {
	size := 16 * 16 * 3
	still := clipOf("still", 30, 20, func(_, x, y, k int) byte { return byte(x*9 + y*3 + 20*k) })
	for name, test := range map[string]struct {
		config AugmentConfig
		clip   *Clip
		check  func(t *testing.T, out []byte)
	}{
		"a crop of what stands still stands still": {AugmentConfig{MinArea: 0.4, Aspect: 0.25, Flip: 0.5}, still, func(t *testing.T, out []byte) {
			t.Helper()
			require.Equal(t, out[:size], out[7*size:8*size])
		}},
		"colours change alike in every frame": {AugmentConfig{Colour: 1}, still, func(t *testing.T, out []byte) {
			t.Helper()
			require.Equal(t, out[:size], out[7*size:8*size])
		}},
		"a virtual camera moves what stands still": {
			AugmentConfig{MinArea: 0.5, Camera: 1, Pan: 3, Zoom: 0.01}, still, func(t *testing.T, out []byte) {
				t.Helper()
				require.NotEqual(t, out[:size], out[7*size:8*size])
			},
		},
		"a pasted patch moves": {AugmentConfig{Paste: 1}, still, func(t *testing.T, out []byte) {
			t.Helper()
			require.NotEqual(t, out[:size], out[7*size:8*size])
		}},
		"played backwards, later frames come first": {
			AugmentConfig{Reverse: 1},
			clipOf("clock", 30, 16, func(f, _, _, _ int) byte { return byte(f) }),
			func(t *testing.T, out []byte) {
				t.Helper()
				for i := range 7 {
					require.Equal(t, out[i*size]-1, out[(i+1)*size])
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := make([]byte, 8*size)
			patch := clipOf("patch", 9, 20, func(_, _, _, _ int) byte { return 255 })
			for seed := range 5 {
				require.NoError(t, Augment(randomOf(uint64(seed)+3, 1, 1), test.config, test.clip, patch, 8, 8, 16, out))
				test.check(t, out)
			}
		})
	}
}

func TestStrideKeepsToTheClipsOwnFrames(t *testing.T) {
	clip := ramp("a", 100, 8)
	clip.Step = time.Second / 25
	require.Equal(t, 3, Stride(clip, 8, 1))
	require.Equal(t, 5, Stride(clip, 8, 1.6))
	require.Equal(t, 1, Stride(clip, 60, 1))

	// A clip too short for the stride is taken with the longest that fits, down to frame by frame.
	short := ramp("b", 17, 8)
	short.Step = time.Second / 30
	w, err := drawWindow(randomOf(1, 1, 1), AugmentConfig{}, short, 8, 9)
	require.NoError(t, err)
	require.Equal(t, 2, w.stride)
	require.Zero(t, w.start)
	_, err = drawWindow(randomOf(1, 1, 1), AugmentConfig{}, short, 8, 18)
	require.ErrorContains(t, err, "b has 17")
}

func TestLongClipsAreDrawnMoreOftenButNotInProportion(t *testing.T) {
	long, short := ramp("long", 8*120, 4), ramp("short", 8*4, 4) // 120 s count as 30: sqrt(30/4) = 2.74
	s, err := NewFootageSource(&Footage{clips: []*Clip{long, short, ramp("too short", 3, 4)}}, AugmentConfig{}, 8, 8)
	require.NoError(t, err)
	require.Equal(t, 2, s.Clips())
	counts := map[string]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		counts[s.draw(random).Name]++
	}
	require.InDelta(t, 2.74, float64(counts["long"])/float64(counts["short"]), 0.25)

	_, err = NewFootageSource(&Footage{clips: []*Clip{ramp("too short", 3, 4)}}, AugmentConfig{}, 8, 8)
	require.ErrorContains(t, err, "none of 1 clips has the 8 frames")
}

// constant fills windows with one value.
type constant byte

func (constant) Name() string { return "constant" }
func (c constant) Window(_ *rand.Rand, _, _ int, out []byte) error {
	if c == 0 {
		return errors.New("nothing to see")
	}
	for i := range out {
		out[i] = byte(c)
	}
	return nil
}

func TestMixtureDrawsInProportion(t *testing.T) {
	m := &Mixture{}
	require.Error(t, m.Check())
	m.Add(constant(1), 3)
	m.Add(constant(2), 0)
	m.Add(constant(3), 1)
	require.NoError(t, m.Check())
	require.Len(t, m.Names(), 2)
	counts, out := map[byte]int{}, make([]byte, 1)
	for i := range 4000 {
		require.NoError(t, m.Window(randomOf(1, i, 0), 1, 1, out))
		counts[out[0]]++
	}
	require.Zero(t, counts[2])
	require.InDelta(t, 3, float64(counts[1])/float64(counts[3]), 0.3)
}

func TestLoaderGivesTheSameBatchesHoweverManyWork(t *testing.T) {
	read := func(workers, ahead, first int) [][]byte {
		l := NewLoader(t.Context(), SpriteSource{}, LoaderConfig{
			Batch: 3, Frames: 4, Side: 16, Seed: 9, Workers: workers, Ahead: ahead, Grid: 2,
		}, first)
		defer l.Close()
		var all [][]byte
		for step := first; step < 8; step++ {
			b, err := l.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, step, b.Step)
			all = append(all, bytes.Clone(b.Pixels))
			l.Release(b)
		}
		return all
	}
	want := read(1, 0, 1)
	require.Equal(t, want, read(4, 3, 1))
	require.Equal(t, want[4:], read(2, 1, 5), "a later start")
}

func TestLoaderTellsWhatItsSourceCannot(t *testing.T) {
	l := NewLoader(t.Context(), constant(0), LoaderConfig{Batch: 2, Frames: 2, Side: 4, Workers: 2, Ahead: 1}, 3)
	defer l.Close()
	_, err := l.Next(t.Context())
	require.ErrorContains(t, err, "making the windows of step 3")
	require.ErrorContains(t, err, "nothing to see")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	idle := NewLoader(ctx, constant(1), LoaderConfig{Batch: 2, Frames: 2, Side: 4, Workers: 1}, 1)
	idle.Close()
	_, err = idle.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPlacesThatMoveAreThoseUnlikeTheBackground(t *testing.T) {
	clip := clipOf("walker", 8, 32, func(f, x, y, _ int) byte {
		if x/8 == f/2 && y/8 == 1 { // a place to the right every second frame
			return 200
		}
		return byte(90 + (x+y)%3)
	})
	moving := make([]bool, 8*4*4)
	markMoving(moving, clip.pixels, 8, 32, 4)
	for i, m := range moving {
		frame, y, x := i/16, i/4%4, i%4
		require.Equal(t, y == 1 && x == frame/2, m, "frame %d, place %d %d", frame, x, y)
	}
}

// TestEmergingPlacesAreWhereSomethingComesFromNowhere: what walks on emerges only where it came from behind something.
func TestEmergingPlacesAreWhereSomethingComesFromNowhere(t *testing.T) {
	const frames, grid = 24, 4
	moving, emerging := make([]bool, frames*grid*grid), make([]bool, frames*grid*grid)
	at := func(frame, y, x int) int { return (frame*grid+y)*grid + x }
	for frame := range frames {
		moving[at(frame, 0, frame/6)] = true // from the first frame on, to the right
		if frame >= 10 {
			moving[at(frame, 3, 3)] = true // out of nothing
		}
	}
	markEmerging(emerging, moving, frames, grid)
	for i, e := range emerging {
		frame, y, x := i/(grid*grid), i/grid%grid, i%grid
		require.Equal(t, y == 3 && x == 3 && frame >= 10-awaited && frame <= 11+awaited, e, "frame %d, place %d %d", frame, x, y)
	}
}

func TestDigitsAreReadFromFilesAndFolders(t *testing.T) {
	file := idx(3, 28)
	folder := t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(file)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(filepath.Join(folder, "train-images-idx3-ubyte.gz"), packed.Bytes(), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "dev-images-idx3-ubyte"), idx(5, 28), 0o600))
	s, err := OpenDigits(folder)
	require.NoError(t, err)
	require.Len(t, s.images, 3, "of a folder, the training part")
	s, err = OpenDigits(filepath.Join(folder, "dev-images-idx3-ubyte"))
	require.NoError(t, err)
	require.Len(t, s.images, 5)

	for name, data := range map[string][]byte{
		"empty": {}, "other magic": append([]byte{9}, file[1:]...), "cut short": file[:len(file)-1], "no squares": withRows(file, 27),
	} {
		_, _, err := ParseImages(data)
		require.Error(t, err, name)
	}
	_, err = OpenDigits(t.TempDir())
	require.ErrorContains(t, err, "data.digits.path")
}

func TestRealDigitsMove(t *testing.T) {
	s, err := OpenDigits(fixture.Shared(t, "video", "digits"))
	require.NoError(t, err)
	require.Len(t, s.images, 8000)
	out := make([]byte, 6*64*64*3)
	require.NoError(t, s.Window(randomOf(1, 1, 1), 6, 64, out))
	size := 64 * 64 * 3
	require.NotEqual(t, out[:size], out[5*size:])
}

// idx is a file of grey pictures.
func idx(count, side uint32) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, []uint32{idxImages, count, side, side}) // a buffer does not fail
	for i := range count * side * side {
		b.WriteByte(byte(i))
	}
	return b.Bytes()
}

func withRows(file []byte, rows uint32) []byte {
	file = bytes.Clone(file)
	binary.BigEndian.PutUint32(file[8:], rows)
	return file
}

func FuzzParseImages(f *testing.F) {
	f.Add(idx(2, 3))
	f.Add(idx(1, 1)[:15])
	f.Add([]byte{0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 1, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		images, side, err := ParseImages(data)
		if err != nil {
			require.Empty(t, images)
			return
		}
		require.Len(t, data, 16+len(images)*side*side)
		for _, image := range images {
			require.Len(t, image, side*side)
		}
	})
}

func TestMasksDivideTheTokens(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		m := drawMask(random, 3, 2, 5)
		for item := range 3 {
			require.Len(t, m.shown[item], len(m.shown[0]))
			require.Len(t, m.hidden[item], len(m.hidden[0]))
			require.NotEmpty(t, m.shown[item])
			require.NotEmpty(t, m.hidden[item])
			seen := map[int]bool{}
			for _, id := range append(append([]int{}, m.shown[item]...), m.hidden[item]...) {
				require.False(t, seen[id], "a token is shown and hidden")
				require.Less(t, id, 2*5*5)
				seen[id] = true
			}
			for _, id := range m.hidden[item] {
				require.Contains(t, m.hidden[item], (id+25)%50, "a place is hidden at every step")
			}
		}
	}
}
