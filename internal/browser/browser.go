package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/ensue-video/ensue/internal/fixture"
)

// Browser is a running Chromium. It ends with the test.
type Browser struct {
	tb  testing.TB
	ctx context.Context
}

// The names Chromium has on Debian, Fedora and where Google packs it.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"}

// keptBytes is how much of what a page fetches Chromium keeps for those who watch it.
const keptBytes = 64 << 10

// patience is how long one step in a page may take, where no more runs than the processors can do.
const patience = 90 * time.Second

// patient is patience, longer the busier the machine is: by how many want each of its processors, as far as the system tells.
func patient() time.Duration {
	const most = 4
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return patience
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return patience
	}
	each := load / float64(goruntime.NumCPU())
	return time.Duration(min(max(each/2, 1), most) * float64(patience))
}

// Start starts a browser, or skips the test with a message where there is none.
func Start(tb testing.TB) *Browser {
	tb.Helper()
	path := program(tb)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(patient()),
		// What Chromium itself would like to know of the network has nothing to do with the page.
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-domain-reliability", true),
		chromedp.UserDataDir(tb.TempDir()),
	)
	allocated, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocated)
	ended := make(chan struct{})
	tb.Cleanup(func() {
		defer close(ended)
		ending, done := context.WithTimeout(ctx, patient())
		defer done()
		if err := chromedp.Cancel(ending); err != nil {
			tb.Logf("ending Chromium: %v", err)
		}
		stop()
		release()
	})
	if err := run(ctx, ended); err != nil {
		tb.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{tb: tb, ctx: ctx}
}

// run starts the Chromium of ctx from a thread that stays until ended is closed: the kernel kills Chromium with the thread that started it
// (chromedp sets Pdeathsig), and threads of goroutines that locked them, such as a compute device's, end before the program does.
func run(ctx context.Context, ended <-chan struct{}) error {
	started := make(chan error)
	go func() {
		goruntime.LockOSThread()
		started <- chromedp.Run(ctx)
		<-ended
	}()
	return <-started
}

func program(tb testing.TB) string {
	tb.Helper()
	names := programs
	if own := os.Getenv("ENSUE_CHROMIUM"); own != "" {
		names = []string{own}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Skipf("needs Chromium: install it (scripts/setup.sh chromium), or name it with ENSUE_CHROMIUM; looked for %s",
		strings.Join(names, ", "))
	return ""
}

// Look is how a page is looked at.
type Look struct {
	// Name tells screenshots apart: "phone-dark".
	Name          string
	Width, Height int
	Dark, Touch   bool
}

// Looks are the four that everything is looked at in: phone and desktop, light and dark.
func Looks() []Look {
	return []Look{
		{Name: "phone-light", Width: 390, Height: 844, Touch: true},
		{Name: "phone-dark", Width: 390, Height: 844, Dark: true, Touch: true},
		{Name: "desktop-light", Width: 1280, Height: 900},
		{Name: "desktop-dark", Width: 1280, Height: 900, Dark: true},
	}
}

// Page is an open page.
type Page struct {
	tb   testing.TB
	look Look
	ctx  context.Context

	mu       sync.Mutex
	problems []string
	requests []string
}

// Open opens the address in a new tab.
func (b *Browser) Open(address string, look Look) *Page {
	b.tb.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.tb.Cleanup(stop)
	p := &Page{tb: b.tb, look: look, ctx: ctx}
	chromedp.ListenTarget(ctx, p.listen)
	scheme, scale := "light", 1.0
	if look.Dark {
		scheme = "dark"
	}
	if look.Touch {
		scale = 2
	}
	p.Do(
		// The bodies of answers are not kept for us: that would be counted as the page's memory.
		network.Enable().WithMaxTotalBufferSize(keptBytes).WithMaxResourceBufferSize(keptBytes), log.Enable(), runtime.Enable(),
		emulation.SetDeviceMetricsOverride(int64(look.Width), int64(look.Height), scale, look.Touch),
		emulation.SetTouchEmulationEnabled(look.Touch),
		// Nothing glides: a click is aimed at where a thing is, and would miss it while the page still scrolls there.
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}),
		// As if somebody sat before it: what is in the background is painted rarely or never.
		emulation.SetFocusEmulationEnabled(true), page.BringToFront(),
		chromedp.Navigate(address),
	)
	return p
}

// listen notes what goes wrong and what is asked for.
func (p *Page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "exception: "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			var said []string
			for _, argument := range e.Args {
				said = append(said, string(argument.Value)+argument.Description)
			}
			p.problems = append(p.problems, fmt.Sprintf("console.%s: %s", e.Type, strings.Join(said, " ")))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			p.problems = append(p.problems, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// Do runs actions and fails the test where one fails.
func (p *Page) Do(actions ...chromedp.Action) {
	p.tb.Helper()
	if err := p.try(actions...); err != nil {
		p.tb.Fatalf("%s: %v; the page %s", p.look.Name, err, p.condition())
	}
}

// condition is what tells a page that hangs from a machine that is busy: whether the page answers, how late, and whether it is painted.
func (p *Page) condition() string {
	const wait = 20 * time.Second
	ctx, cancel := context.WithTimeout(p.ctx, wait)
	defer cancel()
	load, _ := os.ReadFile("/proc/loadavg")
	busy := "load " + strings.TrimSpace(string(load))
	begin := time.Now()
	var visible, painted string
	if err := chromedp.Run(ctx, chromedp.Evaluate("document.visibilityState", &visible)); err != nil {
		return fmt.Sprintf("does not answer: %v (%s)", err, busy)
	}
	late := time.Since(begin)
	frame := "new Promise((done) => { setTimeout(() => done('not painted'), 5000); requestAnimationFrame(() => done('painted')); })"
	if err := chromedp.Run(ctx, chromedp.Evaluate(frame, &painted, await)); err != nil {
		painted = err.Error()
	}
	return fmt.Sprintf("answers in %s, is %s and %s (%s)", late.Round(time.Millisecond), visible, painted, busy)
}

func (p *Page) try(actions ...chromedp.Action) error {
	// The first Run of a tab binds the tab to its context: that one must not end with the step.
	if chromedp.FromContext(p.ctx).Target == nil {
		if err := chromedp.Run(p.ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(p.ctx, patient())
	defer cancel()
	return chromedp.Run(ctx, actions...)
}

// await has an expression that is a promise evaluated to what it comes to.
func await(e *runtime.EvaluateParams) *runtime.EvaluateParams { return e.WithAwaitPromise(true) }

// Eval is the value of a JavaScript expression, as it is in T; promises are awaited.
func Eval[T any](p *Page, expression string) T {
	p.tb.Helper()
	var value T
	p.Do(chromedp.Evaluate(expression, &value, await))
	return value
}

// Becomes waits until the expression has the value: what follows from a click may take its time.
func Becomes[T comparable](p *Page, want T, expression string) {
	p.tb.Helper()
	for begin, limit := time.Now(), patient(); ; time.Sleep(50 * time.Millisecond) {
		got := Eval[T](p, expression)
		if got == want {
			return
		}
		if time.Since(begin) > limit {
			p.tb.Fatalf("%s: %s is %v and does not become %v; problems: %q; the page %s",
				p.look.Name, expression, got, want, p.Problems(), p.condition())
		}
	}
}

// aim waits until what a selector finds rests where it can be clicked, and tells where. Until the click has reached it, what else lies
// there is not told of it.
const aim = `(async (selector) => {
	const frame = () => new Promise((done) => requestAnimationFrame(done));
	for (let was = ""; ; await frame()) {
		const node = document.querySelector(selector);
		node?.scrollIntoViewIfNeeded();
		const box = node?.getClientRects()[0];
		if (!box) continue;
		const x = box.x + box.width / 2, y = box.y + box.height / 2, now = [box.x, box.y, box.width, box.height].join();
		const meant = (target) => target && (node.contains(target) || target.closest("label")?.control === node);
		if (now === was && meant(document.elementFromPoint(x, y))) {
			const events = ["pointerdown", "mousedown", "pointerup", "mouseup", "click"];
			const guard = (event) => {
				if (meant(event.target)) {
					if (event.type === "click") { window.aimed.hit = true; window.aimed.end(); }
					return;
				}
				event.preventDefault();
				event.stopImmediatePropagation();
			};
			window.aimed?.end();
			window.aimed = { hit: false, end: () => events.forEach((name) => window.removeEventListener(name, guard, true)) };
			events.forEach((name) => window.addEventListener(name, guard, true));
			return [x, y];
		}
		was = now;
	}
})(%q)`

// Click clicks what the selector finds, as people do: where it is once it has come to rest. Where it moves away under the pointer all the
// same, it is tried again. Of a click that leaves the page nothing would be known.
func (p *Page) Click(selector string) {
	p.tb.Helper()
	for begin, limit := time.Now(), patient(); ; {
		var at []float64
		var hit bool
		err := p.try(chromedp.Evaluate(fmt.Sprintf(aim, selector), &at, await), chromedp.ActionFunc(func(ctx context.Context) error {
			return chromedp.MouseClickXY(at[0], at[1]).Do(ctx)
		}), chromedp.Evaluate("window.aimed.hit", &hit))
		switch {
		case hit:
			return
		case err != nil || time.Since(begin) > limit:
			p.tb.Fatalf("%s: clicking %s: %v; the page %s", p.look.Name, selector, err, p.condition())
		}
	}
}

// Until waits until the JavaScript expression is true.
func (p *Page) Until(expression string) {
	p.tb.Helper()
	every, always := chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0)
	if err := p.try(chromedp.Poll(expression, nil, every, always)); err != nil {
		p.tb.Fatalf("%s: waiting until %s: %v; problems: %q; the page %s", p.look.Name, expression, err, p.Problems(), p.condition())
	}
}

// Problems is everything that went wrong so far.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.problems...)
}

// Requests is every address that was asked for so far; data: pictures are left out, they ask nobody.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := []string{}
	for _, address := range p.requests {
		if !strings.HasPrefix(address, "data:") {
			asked = append(asked, address)
		}
	}
	return asked
}

// Screenshot keeps what the page looks like: the part that is seen, or all of it.
func (p *Page) Screenshot(name string, whole bool) string {
	p.tb.Helper()
	folder := os.Getenv("ENSUE_SCREENSHOTS")
	if folder == "" {
		folder = fixture.Repository("out", "screenshots")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.tb.Fatalf("making the folder for screenshots: %v", err)
	}
	var data []byte
	if whole {
		p.Do(chromedp.FullScreenshot(&data, 100))
	} else {
		p.Do(chromedp.CaptureScreenshot(&data))
	}
	path := filepath.Join(folder, name+"-"+p.look.Name+".png")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.tb.Fatalf("keeping a screenshot: %v", err)
	}
	return path
}

// Picture writes what is seen of the page to a file, as WebP: small enough for a document.
func (p *Page) Picture(path string) {
	p.tb.Helper()
	const quality = 82
	var data []byte
	p.Do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		data, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatWebp).WithQuality(quality).Do(ctx)
		return err //nolint:wrapcheck // Do says what failed
	}))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.tb.Fatalf("keeping a picture: %v", err)
	}
}

// Heap is how many bytes the page's JavaScript holds once what is garbage has been collected.
func (p *Page) Heap() float64 {
	p.tb.Helper()
	var used float64
	p.Do(performance.Enable(), heapprofiler.CollectGarbage(), chromedp.ActionFunc(func(ctx context.Context) error {
		metrics, err := performance.GetMetrics().Do(ctx)
		for _, m := range metrics {
			if m.Name == "JSHeapUsedSize" {
				used = m.Value
			}
		}
		return err //nolint:wrapcheck // Do says what failed
	}))
	return used
}

// MiB is how much memory of their own all processes of the browser hold together; 0 where the system does not tell.
func (b *Browser) MiB() float64 {
	b.tb.Helper()
	first := chromedp.FromContext(b.ctx).Browser.Process().Pid
	parent, resident := map[int]int{}, map[int]float64{}
	statuses, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range statuses {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		var pid int
		for line := range strings.Lines(string(text)) {
			var value int
			switch {
			case scans(line, "Pid: %d", &pid):
			case scans(line, "PPid: %d", &value):
				parent[pid] = value
			case scans(line, "RssAnon: %d kB", &value):
				resident[pid] = float64(value) / 1024
			}
		}
	}
	total := 0.0
	for pid, size := range resident {
		for up := pid; up > 1; up = parent[up] {
			if up == first {
				total += size
				break
			}
		}
	}
	return total
}

func scans(line, format string, into *int) bool {
	_, err := fmt.Sscanf(line, format, into)
	return err == nil
}

// Overflow is how many pixels the page is wider than its window: on a phone it should be none.
func (p *Page) Overflow() int {
	p.tb.Helper()
	return Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// Axe is the text of axe-core, which knows what keeps people from using a page; it skips the test with a message where that is not at hand.
func Axe(tb testing.TB) string {
	tb.Helper()
	path := os.Getenv("ENSUE_AXE")
	if path == "" {
		path = fixture.Repository(".cache", "axe-core", "axe.min.js")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Skipf("needs axe-core: fetch it (scripts/setup.sh chromium, with npm), or name its axe.min.js with ENSUE_AXE: %v", err)
	}
	return string(text)
}

// Minds is what axe-core says against the page: rule, impact and places. What it cannot decide is left out.
func (p *Page) Minds(axe string) []string {
	p.tb.Helper()
	p.Do(chromedp.Evaluate(axe+"; undefined", nil))
	return Eval[[]string](p, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) =>
		`+"`${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`"+`))`)
}
