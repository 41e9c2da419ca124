package browser

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestChromiumOutlivesTheThreadThatAskedForIt: a goroutine that ends while it holds its OS thread ends the thread too, unless that is the
// first of the process.
func TestChromiumOutlivesTheThreadThatAskedForIt(t *testing.T) {
	var chromium *Browser
	var ask func(done chan<- struct{})
	ask = func(done chan<- struct{}) {
		defer close(done)
		runtime.LockOSThread()
		if syscall.Gettid() != syscall.Getpid() {
			chromium = Start(t)
			return
		}
		other := make(chan struct{})
		go ask(other)
		<-other
	}
	asked := make(chan struct{})
	go ask(asked)
	<-asked
	if chromium == nil {
		return // it was skipped or has failed
	}
	p := chromium.Open("about:blank", Looks()[2])
	p.Until("document.readyState === 'complete'")
	time.Sleep(time.Second) // a kill comes at once where it comes at all
	require.Equal(t, 2, Eval[int](p, "1 + 1"))
}
