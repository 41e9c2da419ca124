package decode

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// refused is what is wrong with those of the robust files that give no clip.
var refused = map[string]stream.Code{
	"moviepy_doc_medias_result.webm":                   CodeEmpty,
	"derived_lfs_pointer.mp4":                          CodeNotVideo,
	"derived_random_bytes.mp4":                         CodeFormatRefused, // it happens to look like MP3
	"exoplayer_invalid-bitstream.webm":                 CodeCorrupt,
	"exoplayer_sample_ac3.ts":                          CodeNoVideoStream,
	"exoplayer_sample_opus.mp4":                        CodeNoVideoStream,
	"exoplayer_sample.text.mp4":                        CodeNoVideoStream,
	"exoplayer_full_blocks.mkv":                        CodeNoVideoStream,
	"exoplayer_sample_fragmented_sideloaded_track.mp4": CodeCorrupt,
	"exoplayer_sample_with_sdt.ts":                     CodeNoFrames,
	"mp4parse_invalid_userdata.mp4":                    CodeNoFrames,
	"mp4parse_zero_empty_stsc.mp4":                     CodeCorrupt,
	"mp4parse_av1-clearkey-cbcs-video.mp4":             CodeEncrypted,
	"derived_h264_midpacket_cut_missing_start.ts":      CodeCorrupt,
}

// believed1000 is how long those files last that declare 1000 frames a second, which their table believes.
var believed1000 = map[string]float64{"exoplayer_sample_with_htc_rotation_track_name.mkv": 1, "exoplayer_sample.flv": 1}

func TestEveryOddFileGivesAClipOrACode(t *testing.T) {
	codes := map[stream.Code]CodeInfo{}
	for _, info := range Codes() {
		codes[info.Code] = info
	}
	d := newDecoder(t, Default())
	table := manifest(t)
	require.Len(t, table, 60)
	for file, row := range table {
		t.Run(file, func(t *testing.T) {
			start := time.Now()
			clip, err := d.Decode(context.Background(), segment(load(t, "robust", file)), 0)
			require.Less(t, time.Since(start), 20*time.Second)
			if want, ok := refused[file]; ok {
				failure := stream.AsFailure(err, stage)
				require.Equal(t, want, failure.Code, "%v", err)
				require.True(t, failure.Permanent)
				require.True(t, codes[failure.Code].Permanent)
				return
			}
			require.NoError(t, err)
			defer clip.Release()
			frames, err := strconv.Atoi(row["frames"])
			require.NoError(t, err)
			require.Equal(t, frames, clip.Decoded)
			require.Positive(t, clip.T)
			requireLength(t, file, row, clip.End.Seconds())
		})
	}
}

func TestDamagedFilesNeitherCrashNorHang(t *testing.T) {
	config := Default()
	config.Limits.Timeout = 5 * time.Second
	d := newDecoder(t, config)
	random := rand.New(rand.NewPCG(1, 2))
	check := func(payload []byte) {
		clip, err := d.Decode(context.Background(), segment(payload), 0)
		if err == nil {
			clip.Release()
			return
		}
		require.True(t, stream.AsFailure(err, stage).Permanent, "%v", err)
	}
	for _, file := range []string{
		"derived_hevc_8bit.mp4", "exoplayer_sample_h265.ts", "exoplayer_sample_fragmented.mp4", "exoplayer_bear-vp9-odd-dimensions.webm",
		"exoplayer_sample.flv", "openh264_BA_MW_D.264", "torchcodec_av1_video.mkv", "exoplayer_sample_h262_mpeg_audio.ps",
		"exoplayer_video_desks.3gp", "derived_odd_size_161x91_444.mp4",
	} {
		data := load(t, "robust", file)
		for range 6 {
			check(data[:random.IntN(len(data))])
			flipped := bytes.Clone(data)
			for range 20 {
				flipped[random.IntN(len(flipped))] ^= 1 << random.IntN(8)
			}
			check(flipped)
			check(data[random.IntN(len(data)):])
		}
	}
	for range 30 {
		noise := make([]byte, 1+random.IntN(5000))
		for i := range noise {
			noise[i] = byte(random.IntN(256))
		}
		check(noise)
	}
}

func TestLimitsEachHaveACode(t *testing.T) {
	flower, raw := load(t, "dev", "mdn_flower.mp4"), load(t, "robust", "openh264_BA_MW_D.264")
	tests := []struct {
		name    string
		limit   func(*Limits)
		segment stream.Segment
		want    stream.Code
	}{
		{"bytes", func(l *Limits) { l.Bytes = int64(len(flower)) - 1 }, stream.Segment{Payload: flower}, CodeTooLarge},
		{"pixels told by the header", func(l *Limits) { l.Pixels = Size{959, 540} }, stream.Segment{Payload: flower}, CodeTooManyPixels},
		{"pixels told by the video alone", func(l *Limits) { l.Pixels = Size{175, 144} }, stream.Segment{Payload: raw}, CodeTooManyPixels},
		{"frames", func(l *Limits) { l.Frames = 149 }, stream.Segment{Payload: flower}, CodeTooManyFrames},
		{"duration", func(l *Limits) { l.Duration = 5 * time.Second }, stream.Segment{Payload: flower}, CodeTooLong},
		{"timeout", func(l *Limits) { l.Timeout = time.Millisecond }, stream.Segment{Payload: flower}, CodeTimeout},
		{"nothing", func(*Limits) {}, stream.Segment{}, CodeEmpty},
		{"checksum", func(*Limits) {}, stream.Segment{Payload: flower, SHA256: "00"}, CodeChecksum},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := Default()
			test.limit(&config.Limits)
			d := newDecoder(t, config)
			_, err := d.Decode(context.Background(), &test.segment, 0)
			failure := stream.AsFailure(err, "none")
			require.Equal(t, test.want, failure.Code, "%v", err)
			require.Equal(t, test.want != CodeTimeout, failure.Permanent)
			clips, _ := d.pool.Outstanding()
			require.Zero(t, clips)
		})
	}
	t.Run("at the limits", func(t *testing.T) {
		config := Default()
		config.Limits = Limits{
			Bytes: int64(len(flower)), Pixels: Size{960, 540}, Frames: 150,
			Duration: 5005 * time.Millisecond, Timeout: time.Minute,
		}
		good := stream.Segment{Payload: flower, SHA256: "9A0E"}
		_, err := newDecoder(t, config).Decode(context.Background(), &good, 0)
		require.Equal(t, CodeChecksum, stream.AsFailure(err, "none").Code)
		good.SHA256 = ""
		decodeFilm(t, newDecoder(t, config), &good, 0)
	})
}

func TestABombOfAFrameSizeIsRefusedBeforeItIsMade(t *testing.T) {
	d := newDecoder(t, Default())
	bomb := []byte("YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420\nFRAME\n")
	bomb = append(bomb, make([]byte, 1000)...)
	_, err := d.Decode(context.Background(), segment(bomb), 0)
	require.Contains(t, []stream.Code{CodeTooManyPixels, CodeCorrupt, CodeNoFrames, CodeNotVideo}, stream.AsFailure(err,
		stage).Code, "%v", err)

	// A small JPEG, said to be 65,500 pixels wide and high, in an AVI that says it is small.
	data := bytes.Clone(load(t, "dev", "bridge64_ep15_cam0.avi"))
	changed := 0
	for at := 0; ; {
		next := bytes.Index(data[at:], []byte{0xff, 0xc0, 0x00, 0x11, 0x08})
		if next < 0 {
			break
		}
		at += next + 5
		copy(data[at:], []byte{0xff, 0xdc, 0xff, 0xdc})
		changed++
	}
	require.Equal(t, 10, changed)
	_, err = d.Decode(context.Background(), segment(data), 0)
	require.Equal(t, CodeTooManyPixels, stream.AsFailure(err, stage).Code, "%v", err)
}

func TestPlaylistsAreRefused(t *testing.T) {
	d := newDecoder(t, Default())
	for _, text := range []string{
		"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
		"ffconcat version 1.0\nfile '/etc/passwd'\n",
	} {
		_, err := d.Decode(context.Background(), segment([]byte(text)), 0)
		require.Equal(t, CodeFormatRefused, stream.AsFailure(err, stage).Code)
	}
}

func TestTheCallersOwnEndIsNoFailureOfTheSegment(t *testing.T) {
	d := newDecoder(t, Default())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := d.Decode(ctx, segment(load(t, "dev", "mdn_flower.mp4")), 0)
	require.ErrorIs(t, err, context.Canceled)
	var failure *stream.Failure
	require.NotErrorAs(t, err, &failure)
}

func TestEveryCodeIsExplained(t *testing.T) {
	seen := map[stream.Code]bool{}
	for _, info := range Codes() {
		require.False(t, seen[info.Code], "%s is listed twice", info.Code)
		seen[info.Code] = true
		require.Regexp(t, `^decode\.[a-z_]+$`, string(info.Code))
		require.Regexp(t, `\.$`, info.Meaning)
		require.Regexp(t, `\.$`, info.Action)
	}
	for _, problem := range problems {
		require.True(t, seen[problem.code])
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range []string{
		"mp4parse_minimal.mp4", "derived_single_frame.mp4", "exoplayer_sample_with_sdt.ts", "exoplayer_sample_h265_rps_pred.ts",
		"openh264_QCIF_2P_I_allIPCM.264", "torchcodec_av1_video.mkv", "torchcodec_h265_video.mp4", "derived_odd_size_161x91_444.mp4",
	} {
		f.Add(load(f, "robust", file))
	}
	f.Add([]byte("#EXTM3U\n"))
	f.Add([]byte("YUV4MPEG2 W4 H4 F25:1 Ip A1:1 C420\nFRAME\n123456789012345678901234"))
	config := Default()
	config.Limits.Pixels, config.Limits.Frames, config.Limits.Timeout = Size{1024, 1024}, 100, 10*time.Second
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder(t, config)
		clip, err := d.Decode(context.Background(), segment(data), time.Hour)
		if err != nil {
			require.NotEqual(t, CodeInternal, stream.AsFailure(err, "none").Code, "%v", err)
			return
		}
		defer clip.Release()
		require.Len(t, clip.Times, clip.T)
		require.Len(t, clip.Frames, clip.T*clip.H*clip.W*3)
		require.LessOrEqual(t, clip.Start, clip.End)
	})
}
