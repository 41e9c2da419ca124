package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/bench/rig"
	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/browser"
	"github.com/ensue-video/ensue/internal/fixture"
)

var wallFor = flag.Duration("wall", 0, "how long TestAHundredStreamsOfAPipeline looks at its page (make live); 0: it is skipped")

const hundred = 100

// whileFilling is how long the page's timelines of 240 windows still fill, and a third of the time more to compare with.
const whileFilling = 8 * time.Minute

// TestAHundredStreamsOfAPipeline says what `ensue run` costs with a hundred streams, a segment of a second each every second, once without
// anybody looking and once with its page open as a wall; and whether process and browser stay as large as they are.
func TestAHundredStreamsOfAPipeline(t *testing.T) {
	if *wallFor == 0 {
		t.Skip("takes a while: go test ./bench/streams -run AHundredStreams -wall 1m")
	}
	program := fixture.Repository("bin", "ensue")
	if _, err := os.Stat(program); err != nil {
		t.Skipf("needs the program: make build (%v)", err)
	}
	chromium := browser.Start(t)
	b, address := served(t, program)
	inTurn(t, b)

	share := func(f func()) float64 {
		begin, used := time.Now(), b.process.Processor()
		f()
		return 100 * (b.process.Processor() - used).Seconds() / time.Since(begin).Seconds()
	}
	time.Sleep(30 * time.Second) // until every stream has begun and is judged
	alone := share(func() { time.Sleep(30 * time.Second) })
	p := chromium.Open(address, browser.Looks()[2])
	p.Until(fmt.Sprintf("document.querySelectorAll('.card').length === %d", hundred))
	p.Click("#wall")
	var heaps, browsers, processes []float64
	watched := share(func() {
		for begin := time.Now(); time.Since(begin) < *wallFor; {
			time.Sleep(*wallFor / 20)
			heaps, browsers = append(heaps, p.Heap()/1e6), append(browsers, chromium.MiB())
			processes = append(processes, mib(b.process.Resident()))
		}
	})
	p.Screenshot("live-hundred-pipeline", false)
	seen := browser.Eval[int](p, "Array.from(document.querySelectorAll('.card')).filter((c) => c.stream.visible).length")
	b.mu.Lock()
	sent, done, waiting := b.sent, b.done, len(b.available)
	b.mu.Unlock()
	t.Logf("%s: the process takes %.1f %% of a processor without a page, %.1f %% with one (%d of %d in sight); its MiB %.0f; "+
		"heap MB %.1f; all of Chromium MiB %.0f; %d segments sent, %d results, %d under way",
		*wallFor, alone, watched, seen, hundred, processes, heaps, browsers, sent, done, waiting)
	require.Empty(t, p.Problems())
	require.Less(t, waiting, 5*hundred, "it keeps up")
	if *wallFor < whileFilling {
		return
	}
	third := len(heaps) / 3
	mean := func(values []float64) (total float64) {
		for _, value := range values {
			total += value / float64(len(values))
		}
		return total
	}
	for what, values := range map[string][]float64{"the page's heap": heaps, "the browser": browsers, "the process": processes} {
		require.Less(t, mean(values[len(values)-third:]), 1.2*mean(values[third:2*third]), "%s grows", what)
	}
}

// served is the program with a definition for so many streams on the embedded broker, and the address of its page.
func served(t *testing.T, program string) (_ *bench, address string) {
	t.Helper()
	dir := t.TempDir()
	kafka, err := rig.StartKafka(t.Context(), rig.Embedded, dir, 1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kafka.Close()) })
	require.NoError(t, kafka.Topics(t.Context(), broker.Topic{Name: "in", Partitions: 12}, broker.Topic{Name: "out", Partitions: 6},
		broker.Topic{Name: "dead", Partitions: 1}))
	sender, err := rig.NewSender(kafka.Addrs(), "in")
	require.NoError(t, err)
	t.Cleanup(sender.Close)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	b := &bench{
		settings: settings{
			streams: hundred, clips: "small", video: fixture.Repository("examples", "video", "shelf.mp4"), program: program,
			more: fmt.Sprintf("serve: {address: %q}\n", listener.Addr()), calibrate: "{warmup: 20s}",
		},
		kafka: kafka, sender: sender, next: make([]int, hundred), epoch: time.Now().UTC().Truncate(time.Second),
		available: map[string]time.Time{},
	}
	require.NoError(t, b.footage(t.Context(), dir))
	require.NoError(t, b.start(dir))
	t.Cleanup(func() {
		require.NoError(t, b.process.Signal(syscall.SIGTERM))
		if !b.process.Wait(time.Minute) {
			require.NoError(t, b.process.Signal(syscall.SIGKILL))
		}
		if log, err := os.ReadFile(filepath.Join(dir, "ensue.log")); t.Failed() && err == nil {
			t.Logf("%s", log)
		}
	})
	address = "http://" + listener.Addr().String() + "/"
	require.Eventually(t, func() bool {
		response, err := http.Get(address + "healthz")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
	return b, address
}

// inTurn sends the next segment of every stream once a second, one after the other, and reads the results, until the test ends.
func inTurn(t *testing.T, b *bench) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{}, 2)
	t.Cleanup(func() {
		stop()
		<-ended
		<-ended
		require.NoError(t, b.failed)
	})
	go func() {
		b.watch(ctx)
		ended <- struct{}{}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		ticker := time.NewTicker(time.Second / hundred)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				b.send(context.WithoutCancel(ctx), i%hundred)
			}
		}
	}()
}
