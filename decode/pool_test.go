package decode

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestPoolCountsWhatIsOutAndKeepsNoMoreThanItMay(t *testing.T) {
	const grain = 256 << 10
	pool := NewPool(3 * grain)
	a, b := pool.get(1), pool.get(2*grain)
	require.Len(t, a, 1)
	clips, bytes := pool.Outstanding()
	require.Equal(t, 2, clips)
	require.Equal(t, int64(3*grain), bytes)

	clip := stream.NewClip(a, 0, 0, 0, pool.put)
	clip.Release()
	clip.Release()
	clips, bytes = pool.Outstanding()
	require.Equal(t, 1, clips)
	require.Equal(t, int64(2*grain), bytes)
	again := pool.get(grain)
	require.Same(t, &a[:1][0], &again[0], "the same memory comes back")

	pool.put(b)
	pool.put(again)
	require.Equal(t, int64(3*grain), pool.kept)
	pool.put(pool.get(8 * grain)) // too large to keep, and it pushes the others out
	require.LessOrEqual(t, pool.kept, int64(3*grain))
	require.NotPanics(t, func() { pool.put(pool.get(0)) })
	clips, bytes = pool.Outstanding()
	require.Zero(t, clips)
	require.Zero(t, bytes)
}
