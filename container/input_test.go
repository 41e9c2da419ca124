package container

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asticode/go-astiav"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// load reads a file of the test footage.
func load(tb testing.TB, elem ...string) []byte {
	tb.Helper()
	data, err := os.ReadFile(fixture.Shared(tb, append([]string{"video"}, elem...)...))
	require.NoError(tb, err)
	return data
}

func newInput(tb testing.TB) *Input {
	tb.Helper()
	in, err := NewInput()
	require.NoError(tb, err)
	tb.Cleanup(in.Free)
	return in
}

// count opens the bytes and counts the packets of the video.
func count(in *Input, data []byte) (int, error) {
	if err := in.OpenBytes(context.Background(), data); err != nil {
		return 0, err
	}
	defer in.Close()
	var packets Packets
	defer packets.Free()
	for {
		if err := packets.Read(in); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return len(packets.List), err
		}
	}
}

func TestAstiavValuesBeginWithTheirPointer(t *testing.T) {
	frame := astiav.AllocFrame()
	defer frame.Free()
	require.Equal(t, frame.UnsafePointer(), unwrap(frame))
	require.Equal(t, frame.UnsafePointer(), wrap[astiav.Frame](frame.UnsafePointer()).UnsafePointer())
}

func TestVersionIsToldAsTheCommandTellsIt(t *testing.T) {
	require.Regexp(t, `^n?\d+\.\d+`, Version())
}

// canary is a server that must not be asked for anything, and a file with its address in it.
func canary(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestListsOfReferencesAreRefusedAndNothingIsOpened(t *testing.T) {
	address, asked := canary(t)
	local := filepath.Join(t.TempDir(), "canary.ts")
	require.NoError(t, os.WriteFile(local, load(t, "robust", "exoplayer_sample_h265.ts"), 0o600))
	tests := map[string]string{
		"HLS of addresses": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + address + "/a.ts\n#EXT-X-ENDLIST\n",
		"HLS of files":     "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + local + "\n#EXT-X-ENDLIST\n",
		"HLS master":       "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1280000\n" + address + "/low.m3u8\n",
		"concat script":    "ffconcat version 1.0\nfile '" + local + "'\n",
		"SDP": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
			"m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
		"DASH": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>` +
			`<AdaptationSet><Representation id="1"><BaseURL>` + address + `/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		"PNG picture": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00",
		"WAV sound": "RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" +
			"\x44\xac\x00\x00\x88\x58\x01\x00\x02\x00\x10\x00data\x00\x00\x00\x00",
		"subtitles": "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
	}
	in := newInput(t)
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			err := in.OpenBytes(context.Background(), []byte(text))
			require.ErrorIs(t, err, ErrRefused)
			require.Zero(t, in.Refused(), "it was not even parsed")
		})
	}
	require.Zero(t, asked.Load())
}

// TestNothingIsOpenedEvenPastTheList lets a playlist past the list of formats: the locks behind it must hold.
func TestNothingIsOpenedEvenPastTheList(t *testing.T) {
	address, asked := canary(t)
	local := filepath.Join(t.TempDir(), "canary.ts")
	require.NoError(t, os.WriteFile(local, load(t, "robust", "exoplayer_sample_h265.ts"), 0o600))
	for format, text := range map[string]string{
		"hls":    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + address + "/a.ts\n#EXTINF:2,\n" + local + "\n#EXT-X-ENDLIST\n",
		"concat": "ffconcat version 1.0\nfile '" + local + "'\n",
		"dash": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"><Period>` +
			`<AdaptationSet contentType="video" mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>` + address +
			`/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`,
	} {
		t.Run(format, func(t *testing.T) {
			in := newInput(t)
			*in.src = source{ctx: context.Background(), reader: strings.NewReader(text), size: int64(len(text))}
			require.ErrorIs(t, in.openAs(format), ErrBroken)
		})
	}
	require.Zero(t, asked.Load())
}

func TestExternalTrackOfAnMP4IsNotFollowed(t *testing.T) {
	data := load(t, "robust", "mp4parse_minimal.mp4")
	outside := filepath.Join(t.TempDir(), "outside.mp4")
	require.NoError(t, os.WriteFile(outside, data, 0o600))
	in := newInput(t)
	n, err := count(in, data)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	n, err = count(in, withExternalTrack(t, data, outside))
	require.NoError(t, err)
	require.Zero(t, n, "the track's samples are in the other file")
	require.Zero(t, in.Refused())
}

// withExternalTrack replaces the data reference of every track by a Macintosh alias of an absolute path, which FFmpeg would follow with
// enable_drefs.
func withExternalTrack(t *testing.T, data []byte, path string) []byte {
	t.Helper()
	padded := append([]byte(path), 0)
	if len(padded)%2 != 0 {
		padded = append(padded, 0)
	}
	alias := make([]byte, 150)
	alias = binary.BigEndian.AppendUint16(alias, 2) // kind: absolute path
	alias = binary.BigEndian.AppendUint16(alias, uint16(len(padded)))
	alias = append(alias, padded...)
	alias = append(alias, 0xff, 0xff, 0, 0)
	entry := box("alis", append([]byte{0, 0, 0, 0}, alias...))
	dref := box("dref", append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, entry...))
	changed, found := replaceBox(data, []string{"moov", "trak", "mdia", "minf", "dinf", "dref"}, dref)
	require.True(t, found)
	return changed
}

func box(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, kind...), body...)
}

// replaceBox puts another box in the place of the one at the path, in every parent.
func replaceBox(data []byte, path []string, with []byte) (changed []byte, found bool) {
	for len(data) >= 8 {
		size := int(binary.BigEndian.Uint32(data))
		if size < 8 || size > len(data) {
			break
		}
		current := data[:size]
		if string(data[4:8]) == path[0] {
			if len(path) == 1 {
				current, found = with, true
			} else if body, ok := replaceBox(data[8:size], path[1:], with); ok {
				current, found = box(path[0], body), true
			}
		}
		changed = append(changed, current...)
		data = data[size:]
	}
	return append(changed, data...), found
}

func TestWhatIsWrongIsTold(t *testing.T) {
	tests := []struct {
		file string
		want error
	}{
		{"derived_lfs_pointer.mp4", ErrUnknown},
		{"moviepy_doc_medias_result.webm", ErrUnknown},
		{"derived_random_bytes.mp4", ErrRefused},
		{"exoplayer_sample_opus.mp4", ErrNoVideo},
		{"exoplayer_full_blocks.mkv", ErrNoVideo},
		{"mp4parse_av1-clearkey-cbcs-video.mp4", ErrEncrypted},
		{"exoplayer_sample_fragmented_sideloaded_track.mp4", ErrBroken},
	}
	in := newInput(t)
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			_, err := count(in, load(t, "robust", test.file))
			require.ErrorIs(t, err, test.want)
		})
	}
}

// faulty fails, panics or cancels after some reads.
type faulty struct {
	*bytes.Reader
	left int
	do   func() error
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		if err := f.do(); err != nil {
			return 0, err
		}
	}
	return f.Reader.Read(p)
}

func TestReaderAndContextEndReading(t *testing.T) {
	data := load(t, "dev", "mdn_flower.mp4")
	broken := errors.New("the disk is gone")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	expired, cancelExpired := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelExpired()
	tests := []struct {
		name string
		ctx  context.Context
		do   func() error
		want error
	}{
		{"the reader fails", context.Background(), func() error { return broken }, broken},
		{"the reader panics", context.Background(), func() error { panic("no") }, ErrReader},
		{"the context ends", ctx, func() error { cancel(); return nil }, context.Canceled},
		{"the deadline passes", expired, func() error { return nil }, ErrDeadline},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := newInput(t)
			err := in.Open(test.ctx, &faulty{Reader: bytes.NewReader(data), left: 12, do: test.do})
			var packets Packets
			defer packets.Free()
			for err == nil {
				err = packets.Read(in)
			}
			require.ErrorIs(t, err, test.want)
			in.Close()
			n, err := count(in, data)
			require.NoError(t, err, "the input is as good as new")
			require.Equal(t, 150, n)
		})
	}
}

func TestMessagesStayWithTheirInputAndNothingIsPrinted(t *testing.T) {
	broken, fine := load(t, "robust", "exoplayer_sample_fragmented_sideloaded_track.mp4"), load(t, "robust", "astiav_video.mp4")
	a, b := newInput(t), newInput(t)
	printed := standardError(t, func() {
		_, err := count(a, broken)
		require.Error(t, err)
		_, err = count(b, fine)
		require.NoError(t, err)
	})
	require.NotEmpty(t, a.Message())
	require.Empty(t, b.Message())
	require.Empty(t, printed)
}

// standardError is what C code writes to the process's standard error meanwhile.
func standardError(t *testing.T, do func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer file.Close()
	saved, err := syscall.Dup(2)
	require.NoError(t, err)
	defer syscall.Close(saved)
	require.NoError(t, syscall.Dup3(int(file.Fd()), 2, 0))
	defer func() { require.NoError(t, syscall.Dup3(saved, 2, 0)) }()
	do()
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(text)
}

func TestNothingGrows(t *testing.T) {
	files := [][]byte{
		load(t, "robust", "astiav_video.mp4"), load(t, "robust", "exoplayer_sample_h265.ts"),
		load(t, "robust", "exoplayer_sample_fragmented_sideloaded_track.mp4"), load(t, "robust", "derived_lfs_pointer.mp4"),
	}
	before := Live()
	in, err := NewInput()
	require.NoError(t, err)
	round := func(n int) {
		for i := range n {
			_, _ = count(in, files[i%len(files)]) // some of them fail, which must not leak either
		}
	}
	round(400)
	resident, live := residentBytes(t), Live()
	round(2000)
	require.Equal(t, live, Live())
	require.Less(t, residentBytes(t)-resident, int64(8<<20))
	in.Free()
	require.Equal(t, before, Live())
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

func FuzzOpen(f *testing.F) {
	f.Add([]byte("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/\n"))
	for _, name := range []string{
		"mp4parse_minimal.mp4", "exoplayer_sample_with_sdt.ts", "derived_single_frame.mp4", "exoplayer_sample_h265_rps_pred.ts",
	} {
		f.Add(load(f, "robust", name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := NewInput()
		require.NoError(t, err)
		defer in.Free()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if in.OpenBytes(ctx, data) != nil {
			return
		}
		var packets Packets
		defer packets.Free()
		for packets.Read(in) == nil {
		}
		require.Zero(t, in.Refused())
	})
}
