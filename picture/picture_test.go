package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// grid is a map of halves: every value must be one of those that a half holds exactly.
func grid(shape [3]int32, values ...float32) *stream.Array {
	halves := map[float32]uint16{0: 0, 0.25: 0x3400, 0.5: 0x3800, 1: 0x3c00, 2: 0x4000, 4: 0x4400}
	array := &stream.Array{Shape: shape[:], Encoding: "float16-base64"}
	for _, value := range values {
		array.Data = binary.LittleEndian.AppendUint16(array.Data, halves[value])
	}
	return array
}

func TestHalvesAreReadAsTheyAreDefined(t *testing.T) {
	for half, want := range map[uint16]float32{
		0: 0, 0x3c00: 1, 0xbc00: -1, 0x3555: 0.33325195, 0x7bff: 65504, 0x0001: 5.9604645e-08, 0x8001: -5.9604645e-08,
		0x03ff: 6.097555e-05, 0x0400: 6.1035156e-05, 0x7c00: float32(math.Inf(1)),
	} {
		require.Equal(t, want, widen(half), "%#x", half)
	}
	require.True(t, math.IsNaN(float64(widen(0x7e00))))
}

func TestHeatIsTransparentWhereTheEnergyIsExpected(t *testing.T) {
	result := &stream.Result{Map: grid([3]int32{1, 2, 2}, 0.5, 0.25, 0.5, 4)}
	data, err := HeatAt(result, 0, 0.5).Overlay(image.Pt(40, 40))
	require.NoError(t, err)
	overlay, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 40, 40), overlay.Bounds())
	_, _, _, calm := overlay.At(2, 2).RGBA()
	_, _, _, hot := overlay.At(38, 38).RGBA()
	require.Zero(t, calm)
	require.InDelta(t, opaque*0xffff, hot, 0x200)
	require.Nil(t, HeatAt(result, 1, 0), "there is one step only")
}

func TestACalmMapStaysCool(t *testing.T) {
	result := &stream.Result{Map: grid([3]int32{1, 1, 3}, 0.25, 0.25, 0.25)}
	data, err := HeatAt(result, 0, 0).Overlay(image.Pt(3, 1))
	require.NoError(t, err)
	overlay, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	for x := range 3 {
		_, _, _, alpha := overlay.At(x, 0).RGBA()
		require.Zero(t, alpha)
	}
}

func TestWhatIsUsualFollowsTheStream(t *testing.T) {
	var usual Usual
	require.Zero(t, usual.Level())
	for range 3 {
		usual.Observe(&stream.Result{Verdict: stream.WarmingUp, Map: grid([3]int32{1, 1, 2}, 0.25, 1)})
	}
	usual.Observe(&stream.Result{Verdict: stream.Breaks, Map: grid([3]int32{1, 1, 1}, 4)})
	usual.Observe(&stream.Result{Verdict: stream.Continues})
	require.InDelta(t, 0.625, usual.Level(), 1e-9, "a break is not usual")
	for range 200 {
		usual.Observe(&stream.Result{Verdict: stream.Continues, Map: grid([3]int32{1, 1, 1}, 2)})
	}
	require.InDelta(t, 2, usual.Level(), 0.01)
}

func TestPicturesHaveTheShapeThatPeopleSee(t *testing.T) {
	for name, c := range map[string]struct {
		clip *stream.Clip
		want image.Point
	}{
		"wide":                    {&stream.Clip{W: 128, H: 128, ShownWidth: 1920, ShownHeight: 1080}, image.Pt(320, 180)},
		"high":                    {&stream.Clip{W: 128, H: 128, ShownWidth: 1080, ShownHeight: 1920}, image.Pt(180, 320)},
		"cropped to a square":     {&stream.Clip{W: 256, H: 256, ShownWidth: 1920, ShownHeight: 1080, Cropped: true}, image.Pt(320, 320)},
		"nobody knows":            {&stream.Clip{W: 128, H: 64}, image.Pt(320, 160)},
		"claims to be a hairline": {&stream.Clip{W: 128, H: 128, ShownWidth: 1 << 40, ShownHeight: 2}, image.Pt(320, 40)},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, shown(c.clip, 320)) })
	}
}

func TestAFrameBecomesAJPEGWithTheHeatOverIt(t *testing.T) {
	frame := Frame{Pixels: bytes.Repeat([]byte{0, 0, 200}, 16*16), Width: 16, Height: 16, Shown: image.Pt(64, 32)} // blue
	heat := HeatAt(&stream.Result{Map: grid([3]int32{1, 1, 2}, 0.25, 4)}, 0, 0)
	heat.Low, heat.High = 0.25, 4
	data, err := JPEG(frame, heat, 95)
	require.NoError(t, err)
	drawn, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, image.Rect(0, 0, 64, 32), drawn.Bounds())
	red, _, blue, _ := drawn.At(4, 16).RGBA()
	require.Less(t, red, blue/4, "the calm side stays blue")
	red, green, _, _ := drawn.At(60, 16).RGBA()
	require.Greater(t, min(red, green), uint32(0x8000), "the hot side is yellow")

	_, err = JPEG(Frame{Pixels: []byte{1}, Width: 4, Height: 4}, nil, 90)
	require.Error(t, err)
}

// sample is the first segments of a sample stream, decoded as pixels does.
func sample(t *testing.T, name string, count int) ([]*stream.Segment, []*stream.Clip) {
	t.Helper()
	path := fixture.Repository("examples", "video", name+".mp4")
	_, err := os.Stat(path)
	require.NoError(t, err)
	var segments []*stream.Segment
	err = ingest.SegmentsOf(t.Context(), path, name, 2*time.Second, func(s *stream.Segment) error {
		segments = append(segments, s)
		return nil
	})
	require.NoError(t, err)
	decoder, err := decode.New(decode.Default(), decode.Size{Width: 128, Height: 128})
	require.NoError(t, err)
	defer decoder.Close()
	var clips []*stream.Clip
	var timeline decode.Timeline
	for _, segment := range segments[:count] {
		clip, err := decoder.Decode(t.Context(), segment, timeline.Offset(segment))
		require.NoError(t, err)
		timeline.Advance(clip)
		t.Cleanup(clip.Release)
		clips = append(clips, clip)
	}
	return segments[:count], clips
}

func TestGrabFindsTheSameMomentLarger(t *testing.T) {
	segments, clips := sample(t, "yard", 2)
	clip := clips[1]
	at := clip.Times[clip.T/2]
	large, err := Grab(t.Context(), decode.Default(), segments[1], clip, at+time.Millisecond, 320)
	require.NoError(t, err)
	require.Equal(t, at, large.At)
	require.Equal(t, 320, max(large.Width, large.Height))
	require.NotEqual(t, large.Width, large.Height, "the sample is no square")
	small := FrameOf(clip, clip.T/2, 320)
	require.Equal(t, large.Shown, small.Shown)
	// The two are the same picture: their mean differs by less than a grey level in each colour.
	require.InDeltaSlice(t, means(small), means(large), 1)
}

func means(f Frame) []float64 {
	sums := make([]float64, 3)
	for i, value := range f.Pixels {
		sums[i%3] += float64(value) / float64(f.Width*f.Height)
	}
	return sums
}

func TestGrabSaysWhyThereIsNoFrame(t *testing.T) {
	_, clips := sample(t, "yard", 1)
	_, err := Grab(t.Context(), decode.Default(), &stream.Segment{Stream: "x"}, clips[0], 0, 320)
	require.ErrorContains(t, err, "no payload")
	_, err = Grab(t.Context(), decode.Default(), &stream.Segment{Stream: "x", Payload: []byte("no video")}, clips[0], 0, 320)
	require.ErrorContains(t, err, "segment x/0")
}

func TestTheMomentIsTheMostTellingOne(t *testing.T) {
	p := func(value float64) *float64 { return &value }
	clip := &stream.Clip{Start: 10 * time.Second, End: 14 * time.Second}
	windows := []stream.Window{{Start: 10, Energy: 1, PValue: p(0.5)}, {Start: 12, Energy: 0.5, PValue: p(0.01)}}
	// Four steps of a second, one place each.
	steps := grid([3]int32{4, 1, 1}, 4, 0.25, 1, 0.5)
	for name, c := range map[string]struct {
		result *stream.Result
		want   Moment
	}{
		"the smallest p wins, the hottest step of its window": {
			&stream.Result{Verdict: stream.Breaks, Windows: windows, Map: steps}, Moment{Window: 1, Step: 2, At: 12875 * time.Millisecond},
		},
		"of a stall the calmest step": {
			&stream.Result{Verdict: stream.Stalls, Windows: windows, Map: steps}, Moment{Window: 1, Step: 3, At: 13875 * time.Millisecond},
		},
		"without a p the energy decides": {
			&stream.Result{Verdict: stream.WarmingUp, Map: steps, Windows: []stream.Window{{Start: 10, Energy: 2}, {Start: 12, Energy: 1}}},
			Moment{Window: 0, Step: 0, At: 10875 * time.Millisecond},
		},
		"without a map it is the middle of the window": {
			&stream.Result{Verdict: stream.Breaks, Windows: windows}, Moment{Window: 1, At: 13 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Most(c.result, clip)
			require.True(t, ok)
			require.Equal(t, c.want, got)
		})
	}
	_, ok := Most(&stream.Result{}, clip)
	require.False(t, ok)
}

func TestNearestIsTheLastFrameNotAfter(t *testing.T) {
	clip := &stream.Clip{Times: []time.Duration{10, 20, 30}}
	for at, want := range map[time.Duration]int{5: 0, 10: 0, 19: 0, 20: 1, 99: 2} {
		require.Equal(t, want, Nearest(clip, at), at)
	}
}

func FuzzHeatAt(f *testing.F) {
	f.Add(int32(1), int32(2), int32(2), []byte{0, 0x3c, 0, 0x40, 0, 0, 0, 0x7c})
	f.Add(int32(1<<30), int32(1<<30), int32(1<<30), []byte{})
	f.Fuzz(func(t *testing.T, steps, height, width int32, data []byte) {
		result := &stream.Result{Map: &stream.Array{Shape: []int32{steps, height, width}, Encoding: "float16-base64", Data: data}}
		heat := HeatAt(result, 0, 0)
		if heat == nil {
			return
		}
		require.Len(t, heat.Values, heat.Width*heat.Height)
		_, err := heat.Overlay(image.Pt(8, 8))
		require.NoError(t, err)
	})
}
