//go:build matprofile

package picture

import (
	"bytes"
	"image"
	"testing"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/stream"
)

// TestMatsAreClosed needs gocv's own count: go test -tags matprofile.
func TestMatsAreClosed(t *testing.T) {
	before := gocv.MatProfile.Count()
	heat := HeatAt(&stream.Result{Map: grid([3]int32{1, 1, 2}, 0.25, 4)}, 0, 0)
	_, err := JPEG(Frame{Pixels: bytes.Repeat([]byte{1}, 16*16*3), Width: 16, Height: 16, Shown: image.Pt(64, 32)}, heat, 80)
	require.NoError(t, err)
	_, err = heat.Overlay(image.Pt(32, 32))
	require.NoError(t, err)
	require.Equal(t, before, gocv.MatProfile.Count())
}
