package web

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/browser"
	"github.com/ensue-video/ensue/stream"
)

// requireQuiet: nothing went wrong in the page, and nobody but its own server was asked for anything.
func requireQuiet(t *testing.T, p *browser.Page, s *Server) {
	t.Helper()
	require.Empty(t, p.Problems())
	for _, asked := range p.Requests() {
		require.True(t, strings.HasPrefix(asked, s.URL()) || strings.HasPrefix(asked, "blob:"+s.URL()), asked)
	}
}

// wall feeds streams until the test ends: each a segment a second, as live ones do, some of which break.
func wall(t *testing.T, s *Server, streams int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { stop(); group.Wait() })
	for i := range 30 {
		for v := range streams {
			verdict := stream.Continues
			if v%5 == 1 && i == 20 {
				verdict = stream.Breaks
			}
			feed(s, name(v), i, verdict)
		}
	}
	s.Done(&stream.Segment{Stream: "yard"}, nil, stream.Fail("decode", "decode.no_video", "there is no video stream in it"))
	group.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(streams))
		defer ticker.Stop()
		for i := 30 * streams; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				feed(s, name(i%streams), i/streams, stream.Continues)
			}
		}
	})
}

func name(v int) string {
	if v == 1 {
		return `<img src=x onerror=alert(1)>`
	}
	return fmt.Sprintf("camera %d", v)
}

func TestThePageInABrowser(t *testing.T) {
	chromium := browser.Start(t)
	s := serving(t, Config{Address: "127.0.0.1:0"})
	wall(t, s, 12)
	for _, look := range browser.Looks() {
		t.Run(look.Name, func(t *testing.T) {
			p := chromium.Open(s.URL(), look)
			p.Until("document.querySelectorAll('.card').length === 12")
			p.Until("document.querySelector('.card img:not([hidden])') !== null")
			require.LessOrEqual(t, p.Overflow(), 0, "nothing sticks out to the side")
			time.Sleep(2 * time.Second) // for more frames to come, as a person would see it
			p.Screenshot("live", false)
			p.Screenshot("live-whole", true)
			requireQuiet(t, p, s)
		})
	}
}

func TestThePageAnswersClicksAndKeys(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	wall(t, s, 12)
	p := browser.Start(t).Open(s.URL(), browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 12 && document.querySelectorAll('#alarm-list li').length === 3")
	require.Equal(t, "lobby", browser.Eval[string](p, "document.querySelector('h1').textContent"))
	require.True(t, browser.Eval[bool](p, "document.title.startsWith('(3)')"))

	// A name is text, whatever is in it.
	require.Equal(t, 1, browser.Eval[int](p,
		"Array.from(document.querySelectorAll('.card .name')).filter((n) => n.textContent.includes('onerror')).length"))

	// Alarms are acknowledged one after the other with the keyboard: the focus stays in the list.
	p.Do(chromedp.Focus("#alarm-list .ack"), chromedp.KeyEvent(kb.Enter))
	p.Until("document.querySelectorAll('#alarm-list li').length === 2")
	require.True(t, browser.Eval[bool](p, "document.activeElement.classList.contains('ack')"))
	p.Do(chromedp.Click("#seen"))
	p.Until("document.querySelectorAll('#alarm-list li.acknowledged').length === 1 && " +
		"document.querySelectorAll('#alarm-list li').length === 3")

	// Search.
	p.Do(chromedp.SendKeys("#find", "camera 1"))
	p.Until("document.querySelectorAll('.card:not([hidden])').length === 2") // camera 10 and 11
	p.Do(chromedp.Focus("#find"), chromedp.KeyEvent("a", chromedp.KeyModifiers(2)), chromedp.KeyEvent(kb.Backspace))
	p.Until("document.querySelectorAll('.card:not([hidden])').length === 12")

	// One stream, opened and closed with the keyboard; it moves.
	p.Do(chromedp.Focus(".card .name"), chromedp.KeyEvent(kb.Enter))
	p.Until("document.getElementById('detail').open && document.querySelectorAll('#d-rows tr').length === 12")
	first := browser.Eval[string](p, "document.querySelector('#d-rows td').textContent")
	p.Until(fmt.Sprintf("document.querySelector('#d-rows td').textContent !== %q && !document.getElementById('d-img').hidden", first))
	p.Screenshot("live-detail", false)
	p.Do(chromedp.KeyEvent(kb.Escape))
	p.Until("!document.getElementById('detail').open")

	require.Equal(t, "decode.no_video", browser.Eval[string](p, "document.querySelector('#dead-list code').textContent"))
	feed(s, "camera 3", 1000, stream.Breaks)
	p.Until("document.getElementById('told').textContent.includes('camera 3 breaks')") // what a screen reader says
	requireQuiet(t, p, s)
}

func TestTheTokenPageInABrowser(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0", Token: token})
	feed(s, "a", 0, stream.Continues)
	p := browser.Start(t).Open(s.URL(), browser.Looks()[1])
	p.Until("document.getElementById('token') !== null")
	p.Screenshot("live-token", false)
	p.Do(chromedp.SendKeys("#token", token), chromedp.KeyEvent(kb.Enter))
	p.Do(chromedp.WaitVisible(".card")) // it waits across the change of page
	requireQuiet(t, p, s)
}

var wallFor = flag.Duration("wall", 0, "how long TestAHundredStreams looks at a hundred live streams (make live); 0: it is skipped")

// TestAHundredStreams says what a page with a hundred live streams costs: the browser's memory, which must stay flat, and the server's
// share of a processor, once without and once with the page open.
func TestAHundredStreams(t *testing.T) {
	if *wallFor == 0 {
		t.Skip("takes a while: go test ./web -run AHundredStreams -wall 1m")
	}
	s := serving(t, Config{Address: "127.0.0.1:0"})
	chromium := browser.Start(t)
	wall(t, s, 100)
	alone := share(func() { time.Sleep(10 * time.Second) })
	p := chromium.Open(s.URL(), browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 100")
	begin := time.Now()
	var heaps, residents []float64
	watched := share(func() {
		for time.Since(begin) < *wallFor {
			time.Sleep(*wallFor / 20)
			heaps = append(heaps, browser.Eval[float64](p, "performance.memory.usedJSHeapSize")/1e6)
			residents = append(residents, chromiumMiB(t))
		}
	})
	p.Screenshot("live-hundred", false)
	t.Logf("%s: server %.2f %% of a processor without a page, %.2f %% with one; heap MB %.1f; all of Chromium MiB %.0f",
		*wallFor, 100*alone, 100*watched, heaps, residents)
	third := len(residents) / 3
	require.Less(t, mean(residents[len(residents)-third:]), 1.15*mean(residents[third:2*third]), "the browser's memory grows")
	require.Less(t, watched, 0.5)
	requireQuiet(t, p, s)
}

// share is how much of a processor this process takes while f runs.
func share(f func()) float64 {
	used := func() time.Duration {
		var usage syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	runtime.GC()
	begin, before := time.Now(), used()
	f()
	return float64(used()-before) / float64(time.Since(begin))
}

// chromiumMiB is the memory of all processes below this one.
func chromiumMiB(t *testing.T) float64 {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	parent, resident := map[int]int{}, map[int]float64{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/status")
		if err != nil {
			continue // it has ended meanwhile
		}
		for line := range strings.Lines(string(text)) {
			var value int
			if _, err := fmt.Sscanf(line, "PPid: %d", &value); err == nil {
				parent[pid] = value
			}
			if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &value); err == nil {
				resident[pid] = float64(value) / 1024
			}
		}
	}
	total := 0.0
	for pid, size := range resident {
		for up := parent[pid]; up > 1; up = parent[up] {
			if up == os.Getpid() {
				total += size
				break
			}
		}
	}
	return total
}

func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(max(len(values), 1))
}
