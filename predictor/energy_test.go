package predictor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheEnergyOfATokenIsItsMeanAbsoluteDifference(t *testing.T) {
	expected := []float32{1, 2, 3, 0, 0, 0}
	seen := []float32{1, 4, -1, 0, 0, 0}
	out := []float32{7, 7}
	EnergyMap(expected, seen, 3, out)
	require.Equal(t, []float32{2, 0}, out)
	require.Equal(t, 1.0, mean(out))
}
