package decode

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefaultsAreValid(t *testing.T) {
	require.NoError(t, Default().Validate())
	require.Equal(t, runtime.GOMAXPROCS(0), Default().Parallel())
	require.Equal(t, 3, Config{Workers: 3}.Parallel())
}

func TestEveryBadSettingIsToldAtOnce(t *testing.T) {
	err := Config{FPS: -1, Workers: -2}.Validate()
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 7)
	for i, key := range []string{
		"decode.fps is -1", "decode.limits.bytes is 0", "decode.limits.pixels is 0x0", "decode.limits.frames is 0",
		"decode.limits.duration is 0s", "decode.limits.timeout is 0s", "decode.workers is -2",
	} {
		require.Contains(t, lines[i], key)
	}
	_, err = New(Config{}, Size{128, 128})
	require.ErrorContains(t, err, "decode.fps")
	_, err = New(Default(), Size{128, 0})
	require.ErrorContains(t, err, "128x0")
}
