package encoder

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

func TestAPatchIsItsMeansDeviationsAndGradients(t *testing.T) {
	const slope = 2
	flat := func(int, int) (r, g, b int) { return 255, 51, 0 }
	grey := func(value int) (r, g, b int) { return value, value, value }
	tests := []struct {
		name   string
		colour func(x, y int) (r, g, b int)
		means  [3]float64
		spread float64 // standard deviation in grey levels
		bin    int     // the only direction with votes; -1 for none
		length float64 // mean votes in grey levels per pixel
	}{
		{"a flat colour", flat, [3]float64{1, 0.2, 0}, 0, -1, 0},
		{"brighter to the right", func(x, _ int) (int, int, int) { return grey(slope * x) }, same(47), 9.22, 0, slope},
		{"brighter downwards", func(_, y int) (int, int, int) { return grey(slope * y) }, same(47), 9.22, 1, slope},
		{"brighter to the left", func(x, _ int) (int, int, int) { return grey(254 - slope*x) }, same(207), 9.22, 2, slope},
		{"brighter upwards", func(_, y int) (int, int, int) { return grey(254 - slope*y) }, same(207), 9.22, 3, slope},
		{"to the lower right", func(x, y int) (int, int, int) { return grey(x + y) }, same(47), 6.52, 4, math.Sqrt2},
		{"to the lower left", func(x, y int) (int, int, int) { return grey(127 - x + y) }, same(127), 6.52, 5, math.Sqrt2},
		{"to the upper left", func(x, y int) (int, int, int) { return grey(254 - x - y) }, same(207), 6.52, 6, math.Sqrt2},
		{"to the upper right", func(x, y int) (int, int, int) { return grey(127 + x - y) }, same(127), 6.52, 7, math.Sqrt2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			token := encode(t, drawn(1, func(_, x, y int) (int, int, int) { return test.colour(x, y) })).At(0)
			token = token[(1*pixelsGrid+1)*pixelsDim:][:pixelsDim] // the patch from (16, 16) to (31, 31)
			for channel := range 3 {
				require.InDelta(t, test.means[channel], token[channel], 1e-6)
				require.InDelta(t, test.spread*deviationWeight, token[3+channel], 1e-4)
			}
			for bin, votes := range token[6:] {
				want := 0.0
				if bin == test.bin {
					want = test.length * gradientWeight
				}
				// The grey picture is rounded down, which moves single gradients by a level: up to 0.5 in the mean.
				require.InDelta(t, want, votes, 0.02*gradientWeight, "direction %d", bin)
			}
		})
	}
}

func same(level float64) [3]float64 { return [3]float64{level / 255, level / 255, level / 255} }

func TestAVoteMovesNoMoreThanThePixels(t *testing.T) {
	for across := int32(-255); across <= 255; across += 5 {
		for down := int32(-255); down <= 255; down++ {
			var before, after [8]uint64
			vote(&before, across, down)
			vote(&after, across, min(down+1, 255))
			require.LessOrEqual(t, votesApart(before, after), 2.5, "at (%d, %d)", across, down)
		}
	}
}

// votesApart is the L1 distance of the eight directions that two octant tables stand for.
func votesApart(a, b [8]uint64) float64 {
	var bins [pixelsBins]float64
	for octant := range a {
		bins[octantAxis[octant]] += float64(a[octant]>>32) - float64(b[octant]>>32)
		bins[octantDiagonal[octant]] += math.Sqrt2 * (float64(a[octant]&math.MaxUint32) - float64(b[octant]&math.MaxUint32))
	}
	sum := 0.0
	for _, difference := range bins {
		sum += math.Abs(difference)
	}
	return sum
}

// Invariant 5.
func TestNoTokenDependsOnALaterFrame(t *testing.T) {
	clip := noiseClip(6, 1)
	before := encode(t, clip)
	for changed := 1; changed < clip.T; changed++ {
		other := noiseClip(6, 1)
		copy(other.Frame(changed), noiseClip(1, 2).Frames)
		after := encode(t, other)
		for step := range changed {
			require.Equal(t, bits(before.At(step)), bits(after.At(step)), "frame %d changed, step %d too", changed, step)
		}
		require.NotEqual(t, bits(before.At(changed)), bits(after.At(changed)))
	}
}

// Invariant 7.
func TestTokensDoNotDependOnHowTheStreamIsCut(t *testing.T) {
	whole := noiseClip(12, 3)
	want := encode(t, whole)
	for _, length := range []int{1, 5, 8} {
		encoder := NewPixels()
		state := encoder.NewState()
		got := &stream.Tokens{}
		for from := 0; from < whole.T; from += length {
			piece, err := encoder.Encode(t.Context(), part(whole, from, min(from+length, whole.T)), state)
			require.NoError(t, err)
			got.Data = append(got.Data, piece.Data...)
			got.Spans = append(got.Spans, piece.Spans...)
		}
		require.Equal(t, want.Spans, got.Spans)
		require.Equal(t, bits(want.Data), bits(got.Data))
	}
}

// The digest was taken on amd64; any other machine must give the same.
func TestTokensAreTheSameOnEveryMachine(t *testing.T) {
	hash := sha256.New()
	require.NoError(t, binary.Write(hash, binary.LittleEndian, encode(t, noiseClip(3, 4)).Data))
	require.Equal(t, "a689280e2245dc998d39305ca6aae0d9addea8625253174c20bfa348a8ce7e0f", hex.EncodeToString(hash.Sum(nil)))
}

func TestAClipThatDoesNotFitIsRefused(t *testing.T) {
	tests := []struct {
		name string
		clip *stream.Clip
		code stream.Code
	}{
		{"another size", stream.NewClip(make([]byte, 64*64*3), 1, 64, 64, nil), "encode.frame_size"},
		{"no times", stream.NewClip(make([]byte, 128*128*3), 1, 128, 128, nil), "encode.clip"},
		{"too few bytes", part(stream.NewClip(make([]byte, 128), 1, 128, 128, nil), 0, 0), "encode.clip"},
	}
	tests[2].clip.T, tests[2].clip.Times = 1, make([]time.Duration, 1)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewPixels().Encode(t.Context(), test.clip, nil)
			var failure *stream.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.code, failure.Code)
			require.True(t, failure.Permanent)
		})
	}
}

func TestAClipWithoutFramesHasNoTokens(t *testing.T) {
	tokens, err := NewPixels().Encode(t.Context(), stream.NewClip(nil, 0, 0, 0, nil), nil)
	require.NoError(t, err)
	require.Equal(t, 0, tokens.T)
	require.Empty(t, tokens.Data)
}

func TestEncodingStopsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewPixels().Encode(ctx, noiseClip(1, 1), nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestEncodingAllocatesOnlyTheTokens(t *testing.T) {
	clip := noiseClip(16, 1)
	encoder := NewPixels()
	allocations := testing.AllocsPerRun(10, func() {
		if _, err := encoder.Encode(t.Context(), clip, nil); err != nil {
			t.Fatal(err)
		}
	})
	require.LessOrEqual(t, allocations, 3.0, "tokens, their data and their spans")
}

func TestNoGroupDominatesTheDistance(t *testing.T) {
	files := []string{
		"intel_worker-zone-detection.mp4", "davis2016val_car-roundabout.mp4", "lrs_shop.avi", "mdn_flower.mp4",
		"physion_0006_img.mp4", "ucsd_ped2_train_train08.mp4", "swm_swingup.mp4", "bridge64_ep15_cam0.avi",
	}
	var shares [3]float64
	for _, file := range files {
		footage := fixture.Decode(t, fixture.Shared(t, "video", "dev", file), 128, 8)
		clip := stream.NewClip(footage.Frames, footage.Count, 128, 128, nil)
		clip.Times = make([]time.Duration, footage.Count)
		for group, share := range groupShares(encode(t, clip)) {
			shares[group] += share / float64(len(files))
		}
	}
	t.Logf("means %.2f, deviations %.2f, gradients %.2f", shares[0], shares[1], shares[2])
	require.Less(t, slices.Max(shares[:]), 0.5)
	require.Greater(t, slices.Min(shares[:]), 0.2)
}

// groupShares is how much of the distance between neighbouring steps each group of channels makes up.
func groupShares(tokens *stream.Tokens) [3]float64 {
	var sums [3]float64
	for step := 1; step < tokens.T; step++ {
		before := tokens.At(step - 1)
		for i, value := range tokens.At(step) {
			sums[min(i%pixelsDim/3, 2)] += math.Abs(float64(value - before[i]))
		}
	}
	total := sums[0] + sums[1] + sums[2]
	return [3]float64{sums[0] / total, sums[1] / total, sums[2] / total}
}

func encode(t *testing.T, clip *stream.Clip) *stream.Tokens {
	t.Helper()
	encoder := NewPixels()
	tokens, err := encoder.Encode(t.Context(), clip, encoder.NewState())
	require.NoError(t, err)
	return tokens
}

// drawn is t frames with the colour of every pixel.
func drawn(t int, colour func(t, x, y int) (r, g, b int)) *stream.Clip {
	clip := noiseClip(t, 0)
	for i := range clip.Frames[:len(clip.Frames)/3] {
		r, g, b := colour(i/(128*128), i%128, i/128%128)
		clip.Frames[3*i], clip.Frames[3*i+1], clip.Frames[3*i+2] = byte(r), byte(g), byte(b)
	}
	return clip
}

// part is the frames [from, to) of a clip.
func part(clip *stream.Clip, from, to int) *stream.Clip {
	size := clip.H * clip.W * 3
	piece := stream.NewClip(clip.Frames[from*size:to*size], to-from, clip.H, clip.W, nil)
	piece.Step = clip.Step
	if len(clip.Times) > 0 {
		piece.Times = clip.Times[from:to]
	}
	return piece
}

func bits(values []float32) []uint32 {
	out := make([]uint32, len(values))
	for i, value := range values {
		out[i] = math.Float32bits(value)
	}
	return out
}
