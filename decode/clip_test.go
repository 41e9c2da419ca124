package decode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/container"
	"github.com/ensue-video/ensue/internal/fixture"
)

// sample is a file of every kind that matters for timing: B-frames, AVI with and without them, raw video, VP8 and VP9 with hidden
// frames, 10 bits, 29.83 and 29.97 fps, an edit list, milliseconds, transport stream.
var sample = []string{
	"dev/mdn_flower.mp4", "dev/mdn_flower.webm", "dev/intel_bottle-detection.mp4", "dev/exoplayer_roadtrip-vp92-10bit.webm",
	"dev/mmaction2_test.avi", "dev/lrs_shop.avi", "dev/bgslib_mfc_video.avi", "dev/decord_flipping_a_pancake.mkv",
	"dev/swm_pusht_fov.mp4", "dev/bridge64_ep15_cam0.avi", "dev/openh264_MR2_MW_A.264", "dev/openh264_MR1_BT_A.h264",
	"robust/exoplayer_sample_sef_slow_motion.mp4", "robust/exoplayer_sample_h265.ts", "robust/exoplayer_sample-with-key-frame-index.flv",
	"robust/derived_zeroed_60k_in_mdat.mp4", "robust/exoplayer_dolbyVision-hdr.MOV", "robust/mediamtx_offline_vp9.mp4",
	"robust/exoplayer_sample_h263.ts", "robust/rfinference_test_video.mp4", "dev/imageio_newtonscradle.mp4",
}

// TestPiecesShowWhatTheWholeShows cuts recordings, decodes the pieces where the sampling grid goes on from piece to piece, and compares
// with decoding at once: the same frames at the same times, bit for bit.
func TestPiecesShowWhatTheWholeShows(t *testing.T) {
	d := newDecoder(t, lenient())
	for _, file := range sample {
		for _, told := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/told=%v", file, told), func(t *testing.T) {
				data := load(t, file)
				whole := decodeFilm(t, d, segment(data), 0)
				joined, _ := decodePieces(t, d, data, 2*time.Second, told)
				requireSameTimes(t, whole, joined, told)
				require.Equal(t, whole.frames, joined.frames)
				require.Equal(t, whole.dropped, joined.dropped)
			})
		}
	}
}

// requireSameTimes allows a nanosecond for each of two roundings, and for pieces that nobody told the times of, in containers of
// milliseconds, a millisecond each.
func requireSameTimes(t *testing.T, want, got film, told bool) {
	t.Helper()
	slack := float64(2 * time.Nanosecond)
	if !told && (got.end-want.end).Abs() > 20*time.Nanosecond {
		slack = float64(8 * time.Millisecond)
	} else if !told {
		slack = float64(20 * time.Nanosecond)
	}
	require.Len(t, got.times, len(want.times))
	for i := range want.times {
		require.InDelta(t, want.times[i], got.times[i], slack)
	}
	require.InDelta(t, want.end, got.end, slack+1)
	require.InDelta(t, want.step, got.step, 1)
}

// TestGridGoesOnAcrossClosedGroups does the same with footage whose pieces do not begin on grid points: 29.97 fps, groups of 50
// frames, a step of 4.
func TestGridGoesOnAcrossClosedGroups(t *testing.T) {
	source := []string{"-f", "lavfi", "-i", "testsrc2=s=320x240:r=30000/1001:d=12"}
	closed := []string{
		"-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-bf", "3", "-flags", "+cgop",
	}
	for _, name := range []string{"closed.mp4", "closed.ts", "closed.mkv"} {
		t.Run(name, func(t *testing.T) {
			data := encode(t, name, append(append([]string{}, source...), closed...)...)
			d := newDecoder(t, lenient())
			whole := decodeFilm(t, d, segment(data), 0)
			require.InDelta(t, 12*1.001, whole.end.Seconds(), 0.001)
			require.InDelta(t, 4*1001.0/30000, whole.step.Seconds(), 1e-9)
			for _, told := range []bool{false, true} {
				joined, pieces := decodePieces(t, d, data, time.Second, told)
				require.Equal(t, 8, pieces)
				require.Zero(t, joined.dropped)
				require.Equal(t, 360, joined.decoded)
				requireSameTimes(t, whole, joined, told)
				require.Equal(t, whole.frames, joined.frames)
			}
		})
	}
}

// TestVideoWithoutAContainerHasItsOwnRate: raw video tells its rate in its own headers, or not at all.
func TestVideoWithoutAContainerHasItsOwnRate(t *testing.T) {
	source := []string{"-f", "lavfi", "-i"}
	tests := []struct {
		name, rate string
		step, end  float64
		arguments  []string
	}{
		{"a.264", "30", 4.0 / 30, 2, []string{"-c:v", "libx264", "-preset", "veryfast"}},
		{"a.264", "30000/1001", 4 * 1.001 / 30, 2 * 1.001, []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "3"}},
		{"a.264", "10", 0.1, 2, []string{"-c:v", "libx264", "-preset", "veryfast"}},
		{"a.hevc", "50", 6.0 / 50, 2, []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"}},
		{"a.m2v", "25", 3.0 / 25, 2, []string{"-c:v", "mpeg2video", "-bf", "2"}},
		{"a.m4v", "20", 3.0 / 20, 2, []string{"-c:v", "mpeg4", "-f", "m4v"}},
		{"a.mjpeg", "12", 3.0 / 25, 24.0 / 25, []string{"-c:v", "mjpeg"}},
	}
	d := newDecoder(t, lenient())
	for _, test := range tests {
		t.Run(test.name+" "+test.rate, func(t *testing.T) {
			input := append(append([]string{}, source...), "testsrc2=s=160x120:d=2:r="+test.rate)
			got := decodeFilm(t, d, segment(encode(t, test.name, append(input, test.arguments...)...)), 0)
			require.InDelta(t, test.step, got.step.Seconds(), 1e-6)
			require.InDelta(t, test.end, got.end.Seconds(), 0.001)
			require.Zero(t, got.dropped)
		})
	}
}

// TestFootageIsAsLongAsItsTableTells compares with the footage's own table: how many frames, how long.
func TestFootageIsAsLongAsItsTableTells(t *testing.T) {
	table := readTable(t, fixture.Shared(t, "video", "manifest.csv"), "file")
	d := newDecoder(t, lenient())
	for file, row := range table {
		if row["split"] != "dev" {
			continue
		}
		t.Run(file, func(t *testing.T) {
			got := decodeFilm(t, d, segment(load(t, "dev", file)), 0)
			frames, err := strconv.Atoi(row["frames"])
			require.NoError(t, err)
			require.InDelta(t, frames, got.decoded, 1)
			requireLength(t, file, row, got.end.Seconds())
		})
	}
}

func TestPassingOverFramesChangesNothing(t *testing.T) {
	brief, full := newDecoder(t, lenient()), newDecoder(t, lenient())
	full.exhaustive = true
	for _, folder := range []string{"dev", "robust"} {
		files, err := filepath.Glob(filepath.Join(fixture.Shared(t, "video", folder), "*"))
		require.NoError(t, err)
		for i, file := range files {
			if folder == "dev" && i%4 != 0 { // they are many of a kind
				continue
			}
			payload, err := os.ReadFile(file)
			require.NoError(t, err)
			want, wantErr := full.Decode(context.Background(), segment(payload), time.Second/3)
			got, gotErr := brief.Decode(context.Background(), segment(payload), time.Second/3)
			require.Equal(t, wantErr == nil, gotErr == nil, file)
			if wantErr != nil {
				continue
			}
			require.Equal(t, want.Times, got.Times, file)
			require.Equal(t, want.Frames, got.Frames, file)
			require.Equal(t, want.Decoded, got.Decoded, file)
			require.Equal(t, want.Dropped, got.Dropped, file)
			want.Release()
			got.Release()
		}
	}
}

func TestSameBytesSameClipWhoeverDecodes(t *testing.T) {
	pool := NewPool(retain)
	a, b := newDecoder(t, lenient(), WithPool(pool)), newDecoder(t, lenient(), WithPool(pool))
	for _, file := range []string{
		"dev/mdn_flower.webm", "dev/swm_pusht_fov.mp4",
		"robust/derived_zeroed_60k_in_mdat.mp4", "robust/derived_h264_lost_packets.ts",
	} {
		s := segment(load(t, file))
		want := decodeFilm(t, a, s, 0)
		films := make([]film, 4)
		var wait sync.WaitGroup
		for i, d := range []*Decoder{a, b} {
			wait.Go(func() {
				films[2*i] = decodeFilm(t, d, s, 0)
				films[2*i+1] = decodeFilm(t, d, s, 0)
			})
		}
		wait.Wait()
		for _, got := range films {
			require.Equal(t, want, got, file)
		}
	}
	clips, bytes := pool.Outstanding()
	require.Zero(t, clips)
	require.Zero(t, bytes)
}

func TestNothingGrows(t *testing.T) {
	before := container.Live()
	d, err := New(lenient(), Size{Width: 128, Height: 128})
	require.NoError(t, err)
	payloads := [][]byte{
		load(t, "robust", "astiav_video.mp4"), load(t, "robust", "derived_h264_lost_packets.ts"), load(t, "robust",
			"exoplayer_invalid-bitstream.webm"),
		load(t, "robust", "exoplayer_bear-vp9-odd-dimensions.webm"), load(t, "robust", "derived_odd_size_161x91_444.mp4"),
	}
	round := func(n int) {
		for i := range n {
			clip, err := d.Decode(context.Background(), segment(payloads[i%len(payloads)]), 0)
			if err == nil {
				clip.Release()
			}
		}
	}
	round(50)
	objects, resident := container.Live(), residentBytes(t)
	round(100)
	require.Equal(t, objects, container.Live())
	require.Less(t, residentBytes(t)-resident, int64(24<<20))
	clips, bytes := d.pool.Outstanding()
	require.Zero(t, clips)
	require.Zero(t, bytes)
	d.Close()
	require.Equal(t, before, container.Live())
}

func residentBytes(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("needs /proc/self/statm")
	}
	var total, resident int64
	_, err = fmt.Sscan(string(text), &total, &resident)
	require.NoError(t, err)
	return resident * int64(os.Getpagesize())
}

func BenchmarkDecode(b *testing.B) {
	for _, file := range []string{"mdn_flower.mp4", "sam2_01_dog.mp4", "bridge64_ep15_cam0.avi", "ucsd_ped2_test_test01.mp4"} {
		b.Run(file, func(b *testing.B) {
			d := newDecoder(b, lenient())
			s := segment(load(b, "dev", file))
			b.ReportAllocs()
			b.SetBytes(int64(len(s.Payload)))
			frames := 0
			for b.Loop() {
				clip, err := d.Decode(context.Background(), s, 0)
				require.NoError(b, err)
				frames += clip.T
				clip.Release()
			}
			b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "samples/s")
		})
	}
}
