//go:build matprofile

package predictor

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/encoder"
)

func TestFlowClosesEveryMat(t *testing.T) {
	enc := encoder.NewPixels()
	flow, past := NewFlow(enc), pastOf(t, enc, movie(3, 2), 3)
	before := gocv.MatProfile.Count()
	for range 20 {
		require.NoError(t, flow.Expect(t.Context(), past, 2, 3, make([]float32, 3*past.Tokens.Step())))
		broken := past
		broken.Frames = [][]byte{past.Frames[0][:12], past.Frames[1]}
		require.Error(t, flow.Expect(t.Context(), broken, 0, 1, make([]float32, past.Tokens.Step())))
	}
	var open bytes.Buffer
	require.NoError(t, gocv.MatProfile.WriteTo(&open, 1))
	require.Equal(t, before, gocv.MatProfile.Count(), open.String())
}
