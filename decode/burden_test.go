package decode

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What FFmpeg holds is told while a segment is decoded, about as much as it is, and given back whatever becomes of the segment.
func TestWhatFFmpegHoldsIsToldAndGivenBack(t *testing.T) {
	const width, height = 1280, 720
	source := []string{"-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=1"}
	for name, test := range map[string]struct {
		arguments []string
		pictures  float64 // at most; of 12 bits a pixel
		least     float64
	}{
		"three references": {[]string{"-c:v", "libx264", "-preset", "veryfast", "-refs", "3", "-bf", "2"}, 12, 5},
		"nine":             {[]string{"-c:v", "libx264", "-preset", "veryfast", "-refs", "9", "-bf", "2"}, 20, 10},
		"no other":         {[]string{"-c:v", "mjpeg", "-q:v", "8", "-pix_fmt", "yuvj420p"}, 5, 2},
	} {
		t.Run(name, func(t *testing.T) {
			payload := encode(t, "video.mkv", append(append([]string{}, source...), test.arguments...)...)
			held, most := int64(0), int64(0)
			d, err := New(lenient(), Size{Width: 64, Height: 64}, WithBurden(func(more int64) {
				held += more
				most = max(most, held)
			}))
			require.NoError(t, err)
			defer d.Close()
			clip, err := d.Decode(t.Context(), segment(payload), 0)
			require.NoError(t, err)
			clip.Release()
			require.Zero(t, held)
			pictures := float64(most-int64(len(payload))) / (width * height * 1.5)
			require.Greater(t, pictures, test.least)
			require.Less(t, pictures, test.pictures)

			_, err = d.Decode(t.Context(), segment(payload[:len(payload)/8]), 0)
			_ = err // whatever it is
			_, err = d.Decode(t.Context(), segment([]byte("no video")), 0)
			require.Error(t, err)
			require.Zero(t, held)
		})
	}
}
