//go:build matprofile

package decode

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"
)

// TestEveryMatIsClosed needs gocv's own count: go test -tags matprofile.
func TestEveryMatIsClosed(t *testing.T) {
	for _, fit := range []Fit{Squash, Crop} {
		t.Run(fit.String(), func(t *testing.T) { requireEveryMatClosed(t, fit) })
	}
}

func requireEveryMatClosed(t *testing.T, fit Fit) {
	t.Helper()
	before := gocv.MatProfile.Count()
	d, err := New(lenient(), Size{Width: 128, Height: 128}, WithFit(fit))
	require.NoError(t, err)
	payloads := [][]byte{
		load(t, "robust", "exoplayer_video_1.mp4"), load(t, "robust", "exoplayer_dolbyVision-hdr.MOV"), load(t, "robust", "astiav_video.mp4"),
		load(t, "robust", "exoplayer_invalid-bitstream.webm"), load(t, "dev", "bridge64_ep15_cam0.avi"),
	}
	round := func() {
		for _, payload := range payloads {
			if clip, err := d.Decode(context.Background(), segment(payload), 0); err == nil {
				clip.Release()
			}
		}
	}
	round()
	warm := gocv.MatProfile.Count()
	round()
	require.Equal(t, warm, gocv.MatProfile.Count())
	d.Close()
	require.Equal(t, before, gocv.MatProfile.Count())
}
