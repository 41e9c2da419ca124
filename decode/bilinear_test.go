package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/nn"
)

// imageNet are the mean and the deviation that the processor normalises with, as shares of 255.
var imageNet = [2][3]float32{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}

// TestCropIsTheProcessors compares with what transformers' VJEPA2VideoProcessor made of the same frames: every byte of the picture, and
// the numbers once they are normalised as an encoder does. The frames go the whole way, through a lossless file.
func TestCropIsTheProcessors(t *testing.T) {
	cases, err := nn.OpenSafetensors(fixture.Shared(t, "fixtures", "preprocess", "cases.safetensors"))
	require.NoError(t, err)
	defer cases.Close()
	const side = 32
	for _, name := range []string{"wide", "square", "odd_crop", "tall", "enlarge", "same"} {
		t.Run(name, func(t *testing.T) {
			video, err := cases.Float32(name + ".video")
			require.NoError(t, err)
			shape := video.Shape()
			frames := make([]byte, shape.TotalSize())
			for i, v := range video.Float32s() {
				frames[i] = byte(v)
			}
			d, err := New(lenient(), Size{side, side}, WithFit(Crop))
			require.NoError(t, err)
			defer d.Close()
			clip, err := d.Decode(context.Background(), segment(lossless(t, frames, shape[2], shape[1], 8)), 0)
			require.NoError(t, err)
			defer clip.Release()
			require.Equal(t, shape[0], clip.T)
			want, err := cases.Float32(name+".pixel_values", clip.T, 3, side, side)
			require.NoError(t, err)
			for i, w := range want.Float32s() {
				at, channel, pixel := i/(3*side*side), i/(side*side)%3, i%(side*side)
				level := float32(clip.Frame(at)[pixel*3+channel])
				mean, deviation := 255*imageNet[0][channel], 255*imageNet[1][channel]
				require.InDelta(t, w, (level-mean)/deviation, 1e-5, "frame %d, channel %d, pixel %d", at, channel, pixel)
			}
		})
	}
}

// lossless is a file whose frames are exactly these, [T, H, W, 3] RGB.
func lossless(tb testing.TB, frames []byte, width, height, fps int) []byte {
	tb.Helper()
	raw := filepath.Join(tb.TempDir(), "raw.rgb")
	require.NoError(tb, os.WriteFile(raw, frames, 0o644))
	return encode(tb, "lossless.mkv", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", fmt.Sprintf("%dx%d", width, height),
		"-r", fmt.Sprint(fps), "-i", raw, "-c:v", "ffv1", "-pix_fmt", "gbrp")
}

// torchvision resizes each plane of noise and says what it made: rows of width, height, target width, target height in, pictures out.
const torchvision = `
import sys, numpy, torch
from torchvision.transforms.v2 import functional as F
data, out = open(sys.argv[1], "rb").read(), open(sys.argv[2], "wb")
at = 0
while at < len(data):
    w, h, tw, th = numpy.frombuffer(data, "<i4", 4, at).tolist()
    plane = numpy.frombuffer(data, "u1", w * h, at + 16).reshape(1, h, w).copy()
    at += 16 + w * h
    three = torch.from_numpy(plane).repeat(3, 1, 1)
    small = F.resize(three, [th, tw], interpolation=F.InterpolationMode.BILINEAR, antialias=True)
    out.write(small[0].contiguous().numpy().tobytes())
`

// TestResizingIsTorchvisions compares with torchvision itself, on noise of many sizes, byte for byte.
func TestResizingIsTorchvisions(t *testing.T) {
	python := fixture.Python(t, "torch", "torchvision", "numpy")
	sizes := [][3]int{ // width, height, side of the crop
		{1920, 1080, 256},
		{1280, 720, 224},
		{640, 360, 256},
		{854, 480, 256},
		{161, 91, 224},
		{91, 161, 64},
		{33, 31, 32},
		{320, 240, 128},
		{7, 5, 32},
		{1, 1, 32},
		{3, 200, 32},
		{1000, 9, 32},
		{2048, 1536, 384},
		{292, 292, 256},
		{300, 2000, 48},
		{2000, 1, 8},
		{161, 91, 3},
	}
	random := rand.New(rand.NewPCG(5, 6))
	var input []byte
	var planes [][]byte
	for _, s := range sizes {
		c := newCut(s[0], s[1], s[2], orientation{})
		plane := make([]byte, s[0]*s[1])
		for i := range plane {
			plane[i] = byte(random.IntN(256))
		}
		for _, n := range []int{s[0], s[1], c.x.whole, c.y.whole} {
			input = binary.LittleEndian.AppendUint32(input, uint32(n))
		}
		input, planes = append(input, plane...), append(planes, plane)
	}
	folder := t.TempDir()
	from, to := filepath.Join(folder, "in"), filepath.Join(folder, "out")
	require.NoError(t, os.WriteFile(from, input, 0o644))
	said, err := exec.CommandContext(t.Context(), python, "-c", torchvision, from, to).CombinedOutput()
	require.NoError(t, err, string(said))
	pictures, err := os.ReadFile(to)
	require.NoError(t, err)
	for i, s := range sizes {
		c := newCut(s[0], s[1], s[2], orientation{})
		want := pictures[:c.x.whole*c.y.whole]
		pictures = pictures[len(want):]
		got := resample(planes[i], s[0], s[1], c)
		for y := range c.y.keep {
			row := want[(c.y.begin+y)*c.x.whole+c.x.begin:][:c.x.keep]
			require.Equal(t, row, got[y*c.x.keep:][:c.x.keep], "%dx%d to %dx%d, row %d", s[0], s[1], c.x.whole, c.y.whole, y)
		}
	}
}

// resample cuts a plane of bytes that fills its picture.
func resample(source []byte, width, height int, c cut) []byte {
	from := part{covers: [2]float64{float64(width), float64(height)}}
	from.plane = plane{data: unsafe.Pointer(&source[0]), width: width, height: height, stride: width}
	dst := make([]byte, c.x.keep*c.y.keep)
	new(resampler).cut(from, c, dst)
	return dst
}

// TestCropsOfTurnedPicturesAreTurnedCrops: what is cut out is the middle of the picture as it is shown, rounded towards its start.
func TestCropsOfTurnedPicturesAreTurnedCrops(t *testing.T) {
	tests := []struct {
		name       string
		o          orientation
		x, y       int // where the cut begins in the picture as it lies in memory, of 84 by 40, 75 by 36 resized
		swapsSides bool
	}{
		{"upright", orientation{}, 21, 2, false},
		{"half a turn", orientation{flipX: true, flipY: true}, 22, 2, false},
		{"mirrored", orientation{flipX: true}, 22, 2, false},
		{"a quarter clockwise", orientation{swap: true, flipX: true}, 21, 2, true},
		{"a quarter counterclockwise", orientation{swap: true, flipY: true}, 22, 2, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCut(84, 40, 32, test.o)
			require.Equal(t, cut{x: span{84, 75, test.x, 32}, y: span{40, 36, test.y, 32}}, c)
		})
	}
}

// TestCropUnderstandsEveryLayout makes the same picture in many pixel formats, and turned, and compares with the RGB one.
func TestCropUnderstandsEveryLayout(t *testing.T) {
	source := []string{"-f", "lavfi", "-i", "testsrc2=s=322x241:r=5:d=0.2"}
	d := newDecoder(t, lenient(), WithFit(Crop))
	want := decodeFilm(t, d, segment(encode(t, "want.mkv", append(source, "-c:v", "ffv1", "-pix_fmt", "gbrp")...)), 0)
	tests := []struct {
		codec, format, name string
		within              float64
	}{
		{"ffv1", "yuv444p", "a.mkv", 1.5},
		{"ffv1", "yuv422p", "a.mkv", 2},
		{"ffv1", "yuv420p", "a.mkv", 2},
		{"ffv1", "yuv420p10le", "a.mkv", 2},
		{"ffv1", "yuv444p12le", "a.mkv", 1.5},
		{"ffv1", "yuv422p16le", "a.mkv", 2},
		{"ffv1", "gbrp10le", "a.mkv", 1.5},
		{"ffv1", "bgra", "a.mkv", 0.01},
		{"png", "rgb24", "a.mkv", 0.01},
		{"rawvideo", "bgr24", "a.avi", 0.01},
		{"rawvideo", "yuyv422", "a.avi", 2},
	}
	for _, test := range tests {
		t.Run(test.codec+" "+test.format, func(t *testing.T) {
			got := decodeFilm(t, d, segment(encode(t, test.name, append(source, "-c:v", test.codec, "-pix_fmt", test.format)...)), 0)
			require.Less(t, meanDifference(t, want.frames, got.frames), test.within)
		})
	}
}

// TestCropOfRealFootageShowsItsMiddle: the middle of a squashed picture is the crop, but for its size. It holds for all footage, whatever
// its format, and shows that no plane is cut elsewhere than the others.
func TestCropOfRealFootageShowsItsMiddle(t *testing.T) {
	for _, file := range []string{
		"robust/astiav_video.mp4", "robust/derived_odd_size_161x91_444.mp4", "robust/exoplayer_bear-vp9-odd-dimensions.webm",
		"robust/decord_video_180.mov", "dev/exoplayer_roadtrip-vp92-10bit.webm", "dev/bridge64_ep15_cam0.avi",
	} {
		t.Run(file, func(t *testing.T) {
			payload := load(t, file)
			got := decodeFilm(t, newDecoder(t, lenient(), WithFit(Crop)), segment(payload), 0)
			width, height := shownSize(t, payload)
			c := newCut(width, height, 128, orientation{})
			d, err := New(lenient(), Size{c.x.whole, c.y.whole})
			require.NoError(t, err)
			defer d.Close()
			whole, err := d.Decode(context.Background(), segment(payload), 0)
			require.NoError(t, err)
			defer whole.Release()
			middle := make([]byte, 0, 128*128*3)
			for y := range 128 {
				middle = append(middle, whole.Frame(0)[((c.y.begin+y)*c.x.whole+c.x.begin)*3:][:128*3]...)
			}
			require.Less(t, meanDifference(t, middle, got.frames[:len(middle)]), 4.0)
		})
	}
}

// shownSize is the size of a video's pictures as they are shown.
func shownSize(t *testing.T, payload []byte) (width, height int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "video")
	require.NoError(t, os.WriteFile(path, payload, 0o644))
	ppm, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-frames:v", "1",
		"-f", "image2pipe", "-c:v", "ppm", "-").Output()
	if err != nil {
		t.Skipf("needs the ffmpeg command: %v", err)
	}
	_, err = fmt.Fscanf(bytes.NewReader(ppm), "P6\n%d %d", &width, &height)
	require.NoError(t, err)
	return width, height
}

func TestOnlySquaresAreCropped(t *testing.T) {
	_, err := New(lenient(), Size{128, 96}, WithFit(Crop))
	require.EqualError(t, err, "making a decoder: frames of 128x96 pixels; a crop is a square")
}

// TestCropStaysWithinThePicture asks for cuts of pictures of every small size, from memory that ends where they end.
func TestCropStaysWithinThePicture(t *testing.T) {
	for width := 1; width <= 20; width++ {
		for height := 1; height <= 20; height++ {
			source := bytes.Repeat([]byte{200}, width*height)
			for _, v := range resample(source, width, height, newCut(width, height, 8, orientation{})) {
				require.Equal(t, byte(200), v)
			}
		}
	}
}

func TestCroppingAgainAllocatesNothing(t *testing.T) {
	source := make([]byte, 640*360*2)
	for _, deep := range []bool{false, true} {
		from := part{covers: [2]float64{640, 360}, deep: deep, scale: 0.25}
		from.plane = plane{data: unsafe.Pointer(&source[0]), width: 640, height: 360, stride: 640}
		if deep {
			from.stride *= 2
		}
		c, dst := newCut(640, 360, 256, orientation{}), make([]byte, 256*256)
		var r resampler
		r.cut(from, c, dst)
		require.Zero(t, testing.AllocsPerRun(10, func() { r.cut(from, c, dst) }))
	}
}

func BenchmarkCrop(b *testing.B) {
	for _, size := range []Size{{360, 240}, {960, 540}, {1280, 720}, {1920, 1080}} {
		b.Run(fmt.Sprintf("%dx%d", size.Width, size.Height), func(b *testing.B) {
			source := make([]byte, size.Width*size.Height)
			from := part{covers: [2]float64{float64(size.Width), float64(size.Height)}}
			from.plane = plane{data: unsafe.Pointer(&source[0]), width: size.Width, height: size.Height, stride: size.Width}
			c, dst := newCut(size.Width, size.Height, 256, orientation{}), make([]byte, 256*256)
			var r resampler
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				r.cut(from, c, dst)
			}
		})
	}
}
