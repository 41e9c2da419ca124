package tail

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnIDIsSeenAgainWithinTheWindow(t *testing.T) {
	const window = 1000
	s := newSeen(window)
	for i := range 10 * window {
		require.False(t, s.again(id(i)), i)
		if i >= window {
			require.True(t, s.again(id(i-window/2+1)), "of the last %d ids none is forgotten, those that came again included", window)
		}
		require.LessOrEqual(t, len(s.young)+len(s.old), 2*window)
	}
	require.False(t, s.again(id(0)), "what is long past is forgotten")
}

func TestIDsOfAnyFormAreTold(t *testing.T) {
	s := newSeen(10)
	for _, id := range []string{"", "x", "5ef84892781b24354061d4cf83004450", "5ef84892781b24354061d4cf8300445z", "5ef8"} {
		require.False(t, s.again(id), id)
		require.True(t, s.again(id), id)
	}
}

// id is the id of a result.
func id(i int) string { return fmt.Sprintf("%032x", i) }

// The default costs some ten megabytes, however long a topic is.
func TestTheMemoryOfOnceIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := newSeen(0)
	for i := range 5 * DefaultOnceWindow {
		s.again(id(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d ids take %.1f MiB", len(s.young)+len(s.old), float64(after.HeapAlloc-before.HeapAlloc)/(1<<20))
	require.Less(t, after.HeapAlloc-before.HeapAlloc, uint64(48<<20))
	runtime.KeepAlive(s)
}
