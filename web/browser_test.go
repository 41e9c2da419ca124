package web

import (
	"context"
	"flag"
	"fmt"
	"runtime"
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
	const past = 30
	for i := range past {
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
		for i := past * streams; ; i++ {
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
	p.Click("#seen")
	p.Until("document.querySelectorAll('#alarm-list li.acknowledged').length === 1 && " +
		"document.querySelectorAll('#alarm-list li').length === 3")

	// All that are left at once; what can be taken back is told so.
	p.Click("#ack-all")
	p.Until("document.getElementById('ack-all').hidden && document.querySelectorAll('#alarm-list li.acknowledged').length === 3")
	require.Equal(t, "Take back", browser.Eval[string](p, "document.querySelector('#alarm-list .ack').textContent"))

	// Alarms are told in words.
	require.Regexp(t, `^6\.7× the expected; by chance once in 28 h$`,
		browser.Eval[string](p, "document.querySelector('#alarm-list .what').textContent"))

	// By state, and as a wall.
	choose := func(id, value string) {
		changed := chromedp.Evaluate("document.getElementById('"+id+"').dispatchEvent(new Event('change'))", nil)
		p.Do(chromedp.SetValue("#"+id, value), changed)
	}
	choose("state", "warming")
	p.Until("document.querySelectorAll('.card:not([hidden])').length === 0 && !document.getElementById('none').hidden")
	choose("state", "judged")
	p.Until("document.querySelectorAll('.card:not([hidden])').length === 12 && document.getElementById('none').hidden")
	choose("state", "all")
	p.Click("#wall")
	p.Until("document.querySelector('.cards.wall .card').clientWidth < 160")
	p.Screenshot("live-wall", false)
	p.Click("#wall")
	p.Until("document.querySelector('.cards.wall') === null")

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

// Alarms that nobody has acknowledged come first.
func TestAlarmsComeFirst(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	for _, name := range []string{"a", "b", "c"} {
		feed(s, name, 0, stream.Continues)
	}
	p := browser.Start(t).Open(s.URL(), browser.Looks()[2])
	first := "document.querySelector('.card .name')?.textContent === %q"
	p.Until(fmt.Sprintf(first, "a"))
	feed(s, "c", 1, stream.Breaks)
	p.Until(fmt.Sprintf(first, "c"))
	p.Click("#alarm-list .ack")
	feed(s, "b", 1, stream.Breaks)
	p.Until(fmt.Sprintf(first, "b"))
	requireQuiet(t, p, s)
}

// serveAt serves at the address until the returned function is called.
func serveAt(t *testing.T, address, version string) (*Server, func()) {
	t.Helper()
	s, err := New(Config{Address: address}, About{Name: "lobby", Version: version}, nil)
	require.NoError(t, err)
	require.NoError(t, s.Listen(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	once := sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-ended)
	})
	t.Cleanup(once)
	return s, once
}

func TestThePageSaysThatItsServerIsGoneAndFindsItAgain(t *testing.T) {
	s, stop := serveAt(t, "127.0.0.1:0", "1")
	feed(s, "before", 0, stream.Continues)
	p := browser.Start(t).Open(s.URL(), browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 1 && document.getElementById('link').textContent === 'live'")
	require.True(t, browser.Eval[bool](p, "document.getElementById('lost').hidden"))
	stop()
	p.Until("!document.getElementById('lost').hidden && document.getElementById('lost').textContent.startsWith('Connection lost')")
	require.Equal(t, "alert", browser.Eval[string](p, "document.getElementById('lost').getAttribute('role')"))
	p.Screenshot("live-lost", false)

	again, _ := serveAt(t, strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/"), "1")
	feed(again, "after", 0, stream.Continues)
	p.Until("document.getElementById('lost').hidden && document.querySelector('.card .name')?.textContent === 'after'")
	require.Equal(t, 1, browser.Eval[int](p, "document.querySelectorAll('.card').length"), "what the old server knew is gone")
}

func TestThePageIsUsableWithoutAMouseAndByScreenReaders(t *testing.T) {
	axe := browser.Axe(t)
	chromium := browser.Start(t)
	s := serving(t, Config{Address: "127.0.0.1:0"})
	wall(t, s, 6)
	for _, look := range browser.Looks() {
		p := chromium.Open(s.URL(), look)
		p.Until("document.querySelectorAll('#alarm-list li').length > 0 && document.querySelector('.card img:not([hidden])') !== null")
		require.Empty(t, p.Minds(axe), look.Name)
		p.Click("#alarm-list .name")
		p.Until("document.getElementById('detail').open")
		require.Empty(t, p.Minds(axe), look.Name)
		require.True(t, browser.Eval[bool](p, "document.getElementById('detail').contains(document.activeElement)"))
	}
	// From the top, Tab goes where a reader goes: the way past, the key, the streams' controls, the streams. Each shows that it has the focus.
	p := chromium.Open(s.URL(), browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 6")
	focused := "document.activeElement.id || document.activeElement.className || document.activeElement.localName"
	outline := "(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + ' ' + s.outlineWidth; })()"
	var order []string
	for range 8 {
		p.Do(chromedp.KeyEvent(kb.Tab))
		order = append(order, browser.Eval[string](p, focused))
		require.Equal(t, "solid 3px", browser.Eval[string](p, outline), order)
	}
	require.Equal(t, []string{"skip", "summary", "find", "state", "order", "wall", "maps", "name"}, order)
	requireQuiet(t, p, s)
}

// A page that reads updates more slowly than they come asks for everything anew, and nobody is told that the connection was lost.
// It cannot tell that from its own clock being put forward.
func TestAPageThatFallsBehindBeginsAnew(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	wall(t, s, 3)
	p := browser.Start(t).Open(s.URL(), browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 3 && document.getElementById('link').textContent === 'live'")
	asked := func() (times int) {
		for _, address := range p.Requests() {
			if strings.HasSuffix(address, "/api/events") {
				times++
			}
		}
		return times
	}
	begun := asked() // more than once where the machine is busy, and so below
	p.Do(chromedp.Evaluate(`(() => { const now = Date.now.bind(Date); Date.now = () => now() + 8000;
		window.lost = 0; new MutationObserver(() => { window.lost++; }).observe(document.getElementById("lost"), {attributes: true}); })()`, nil))
	require.Eventually(t, func() bool { return asked() > begun }, time.Minute, 100*time.Millisecond)
	total := "document.querySelector('.card').stream.total"
	before := browser.Eval[int](p, total)
	p.Until(fmt.Sprintf("%s > %d", total, before+1)) // it goes on
	require.LessOrEqual(t, asked(), begun+2, "and that not again and again")
	require.Equal(t, 0, browser.Eval[int](p, "window.lost"))
	requireQuiet(t, p, s)
}

func TestTheTokenPageInABrowser(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0", Token: token})
	feed(s, "a", 0, stream.Continues)
	p := browser.Start(t).Open(s.URL(), browser.Looks()[1])
	p.Until("document.getElementById('token') !== null")
	p.Screenshot("live-token", false)
	p.Do(chromedp.SendKeys("#token", "not the right one"), chromedp.KeyEvent(kb.Enter))
	p.Do(chromedp.WaitVisible(".wrong"))
	p.Do(chromedp.SendKeys("#token", token), chromedp.KeyEvent(kb.Enter))
	p.Do(chromedp.WaitVisible(".card")) // it waits across the change of page
	require.Len(t, p.Problems(), 1, "Chromium notes that the wrong token was refused")
	require.Contains(t, p.Problems()[0], "401")
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
	p.Click("#wall") // as many of them in sight as there can be
	begin := time.Now()
	var heaps, residents []float64
	watched := share(func() {
		for time.Since(begin) < *wallFor {
			time.Sleep(*wallFor / 20)
			heaps = append(heaps, p.Heap()/1e6)
			residents = append(residents, chromium.MiB())
		}
	})
	p.Screenshot("live-hundred", false)
	t.Logf("%s: server %.2f %% of a processor without a page, %.2f %% with one; heap MB %.1f; all of Chromium MiB %.0f",
		*wallFor, 100*alone, 100*watched, heaps, residents)
	seen := browser.Eval[int](p, "Array.from(document.querySelectorAll('.card')).filter((c) => c.stream.visible).length")
	t.Logf("%d of 100 in sight at once", seen)
	third := len(residents) / 3
	require.Less(t, mean(heaps[len(heaps)-third:]), 1.25*mean(heaps[third:2*third]), "the page keeps what it no longer shows")
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

func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(max(len(values), 1))
}
