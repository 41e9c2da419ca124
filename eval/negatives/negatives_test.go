package negatives

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const side = 12

// frame is a picture whose every byte tells which frame, and where in a row it is.
func frame(number int) []byte {
	f := make([]byte, side*side*3)
	for i := range f {
		f[i] = byte(number*10 + i/3%side%10)
	}
	return f
}

func window(frames int) Window {
	w := Window{Side: side}
	for i := range frames {
		w.Frames = append(w.Frames, frame(i))
	}
	w.Far = func(*rand.Rand) [][]byte { return [][]byte{frame(20)} }
	w.Other = func(*rand.Rand) [][]byte {
		other := make([][]byte, Length)
		for i := range other {
			other[i] = make([]byte, side*side*3)
			for k := range other[i] {
				other[i][k] = 255
			}
		}
		return other
	}
	return w
}

// numbers are the frames a negative is made of.
func numbers(frames [][]byte) []int {
	var found []int
	for _, f := range frames {
		found = append(found, int(f[0])/10)
	}
	return found
}

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestKindsOfOrderTakeTheFramesTheySay(t *testing.T) {
	for kind, want := range map[Kind][]int{
		Skip:    {12, 13, 14, 15, 16, 17, 18, 19},
		Reverse: {15, 14, 13, 12, 11, 10, 9, 8},
		Rewind:  {7, 6, 5, 4, 3, 2, 1, 0},
		Freeze:  {7, 7, 7, 7, 7, 7, 7, 7},
		Speed2:  {9, 11, 13, 15, 17, 19, 21, 23},
		Jump:    {20},
	} {
		t.Run(string(kind), func(t *testing.T) {
			got, ok := Make(random(), kind, window(Span))
			require.True(t, ok)
			require.Equal(t, kind, got.Kind)
			require.Equal(t, want, numbers(got.Frames))
		})
	}
}

func TestShortClipsLackTheKindsThatNeedMore(t *testing.T) {
	short := window(2 * Length)
	short.Far, short.Other = nil, nil
	for _, kind := range Kinds() {
		_, ok := Make(random(), kind, short)
		_, drawn := Draw(random(), kind, short)
		needsMore := kind == Skip || kind == Speed2 || kind == Jump || kind == Other || kind == Splice
		require.Equal(t, !needsMore, ok, kind)
		require.Equal(t, !needsMore, drawn, kind)
	}
	_, ok := Make(random(), Skip, window(2*Length+4))
	require.True(t, ok)
}

func TestShuffleKeepsFramesButNotTheirOrder(t *testing.T) {
	r := random()
	for range 200 {
		got, _ := Make(r, Shuffle, window(Span))
		order := numbers(got.Frames)
		require.ElementsMatch(t, []int{8, 9, 10, 11, 12, 13, 14, 15}, order)
		kept := 0
		for i := 1; i < len(order); i++ {
			if order[i] == order[i-1]+1 {
				kept++
			}
		}
		require.LessOrEqual(t, kept, 2)
	}
}

// TestCodedFramesAreNearlyTheSameAndNeverTwice: of a kind that shows one frame again and again, too.
func TestCodedFramesAreNearlyTheSameAndNeverTwice(t *testing.T) {
	smooth := window(Span)
	for i, frame := range smooth.Frames {
		for at := range frame {
			frame[at] = byte(60 + 4*i + at%side)
		}
	}
	for kind, of := range map[Kind]func(i int) int{
		Coded: func(i int) int { return Length + i }, FreezeCoded: func(int) int { return Length - 1 },
		RewindCoded: func(i int) int { return Length - 1 - i }, LoopCoded: func(i int) int { return i },
	} {
		got, ok := Make(random(), kind, smooth)
		require.True(t, ok)
		require.Len(t, got.Frames, Length)
		again, _ := Make(random(), kind, smooth)
		require.Equal(t, again, got, "the same from the same random numbers")
		same := 0
		for i, frame := range got.Frames {
			off := 0
			for at, value := range frame {
				off += max(int(value)-int(smooth.Frames[of(i)][at]), int(smooth.Frames[of(i)][at])-int(value))
			}
			require.NotEqual(t, smooth.Frames[of(i)], frame)
			require.Less(t, off, 12*len(frame), "%s, frame %d", kind, i)
			if i > 0 && bytes.Equal(frame, got.Frames[i-1]) {
				same++
			}
		}
		require.Less(t, same, 3, kind)
	}
}

func TestMirrorTurnsEveryRow(t *testing.T) {
	w := window(Span)
	got, _ := Make(random(), Mirror, w)
	for x := range side {
		require.Equal(t, w.Y()[3][x*3], got.Frames[3][(side-1-x)*3])
		require.Equal(t, w.Y()[3][(side+x)*3+2], got.Frames[3][(side+side-1-x)*3+2])
	}
}

func TestSpliceReplacesItsBoxOnly(t *testing.T) {
	r := random()
	for range 50 {
		w := window(Span)
		got, ok := Make(r, Splice, w)
		require.True(t, ok)
		require.Equal(t, image.Pt(side/3, side/3), got.Box.Size())
		require.True(t, got.Box.In(image.Rect(0, 0, side, side)))
		for y := range side {
			for x := range side {
				at := (y*side + x) * 3
				if image.Pt(x, y).In(got.Box) {
					require.Equal(t, byte(255), got.Frames[5][at])
				} else {
					require.Equal(t, w.Y()[5][at], got.Frames[5][at])
				}
			}
		}
	}
	require.Equal(t, 43, func() int {
		wide := Window{Side: 128, Other: w128(), Frames: w128()(nil)}
		wide.Frames = append(wide.Frames, wide.Frames...)
		n, _ := Make(r, Splice, wide)
		return n.Box.Dx()
	}())
}

func w128() func(*rand.Rand) [][]byte {
	return func(*rand.Rand) [][]byte {
		frames := make([][]byte, Length)
		for i := range frames {
			frames[i] = make([]byte, 128*128*3)
		}
		return frames
	}
}

func TestBrightnessClips(t *testing.T) {
	w := window(Span)
	got, _ := Make(random(), Brightness, w)
	require.Equal(t, byte(120), got.Frames[0][0]) // 80
	require.Equal(t, byte(225), got.Frames[7][0]) // 150
	table := make([]byte, side*side*3)
	table[0] = 200
	w.Frames[8] = table
	got, _ = Make(random(), Brightness, w)
	require.Equal(t, byte(255), got.Frames[0][0])
}

func TestNegativesComeFromTheSeedAndChangeNothing(t *testing.T) {
	for _, kind := range append(Kinds(), Brightness) {
		w, untouched := window(Span), window(Span)
		a, _ := Draw(random(), kind, w)
		b, _ := Draw(random(), kind, w)
		require.Equal(t, a, b)
		require.Equal(t, untouched.Frames, w.Frames)
	}
}

func TestOnlyKindsOfMotionAreLeftOutWhereNothingMoves(t *testing.T) {
	var still []Kind
	for _, kind := range Kinds() {
		if !kind.Motion() {
			still = append(still, kind)
		}
	}
	require.Equal(t, []Kind{Other, Mirror, Splice}, still)
}
