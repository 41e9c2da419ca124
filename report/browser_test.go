package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/browser"
	"github.com/ensue-video/ensue/internal/fixture"
)

// saved writes the page to a file and returns its address.
func saved(t *testing.T, r *Recorder) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, []byte(written(t, r)), 0o644))
	return "file://" + path
}

// requireQuiet: nothing went wrong, and nothing but the file itself was asked for. Invariant 1.
func requireQuiet(t *testing.T, p *browser.Page, address string) {
	t.Helper()
	require.Empty(t, p.Problems())
	for _, asked := range p.Requests() {
		require.Equal(t, address, strings.SplitN(asked, "#", 2)[0])
	}
}

func TestTheReportInABrowser(t *testing.T) {
	chromium := browser.Start(t)
	address := saved(t, replayed(t, Options{}, samples()...))
	for _, look := range browser.Looks() {
		t.Run(look.Name, func(t *testing.T) {
			p := chromium.Open(address, look)
			p.Until("document.querySelectorAll('th button').length > 0")
			require.LessOrEqual(t, p.Overflow(), 0, "nothing sticks out to the side")
			p.Until("Array.from(document.images).every((i) => i.loading === 'lazy' || i.complete)")
			p.Screenshot("report", true)
			requireQuiet(t, p, address)
		})
	}
}

func TestTheReportAnswersClicksAndKeys(t *testing.T) {
	p := browser.Start(t).Open(saved(t, replayed(t, Options{}, samples()...)), browser.Looks()[2])
	p.Until("document.querySelectorAll('th button').length > 0")

	// The tables sort, downwards at the second click.
	first := "document.querySelector('#videos tbody tr th').textContent"
	require.Equal(t, "garden", browser.Eval[string](p, first))
	p.Click("#videos th:first-child button")
	p.Click("#videos th:first-child button")
	browser.Becomes(p, "yard", first)
	require.Equal(t, "descending", browser.Eval[string](p, "document.querySelector('#videos thead th').getAttribute('aria-sort')"))

	// The arrow keys walk along a timeline, n goes to the next alarm, and the moments that look alike are told.
	p.Do(chromedp.Focus("#v3 .chart"), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	browser.Becomes(p, "1", "document.activeElement.getAttribute('aria-valuenow')")
	require.Contains(t, browser.Eval[string](p, "document.activeElement.getAttribute('aria-valuetext')"), "warming up")
	p.Do(chromedp.KeyEvent("n"))
	p.Until("document.querySelectorAll('#v3 .alike li').length > 0 && document.activeElement.getAttribute('aria-valuenow') !== '1'")
	require.Regexp(t, `^0:2[89]\.\d breaks: [\d.]+× the expected, energy [\d.]+, expected [\d.]+ to [\d.]+, `+
		`by chance (less than )?once in [\d.,]+ \w+$`,
		browser.Eval[string](p, "document.activeElement.getAttribute('aria-valuetext')"))
	require.Equal(t, 3, browser.Eval[int](p, "document.querySelectorAll('#v3 .alike li').length"))
	require.True(t, browser.Eval[bool](p, "document.querySelector('#v3 .cursor').classList.contains('on')"))
	p.Screenshot("report-chosen", false)

	// A neighbour's link jumps to its video and moves its cursor.
	p.Click("#v3 .alike a")
	p.Until("location.hash.startsWith('#v') && document.activeElement.classList.contains('chart')")

	// A click on the timeline of another video chooses a moment there.
	p.Click("#v2 .chart")
	p.Until("document.querySelector('#v2 output').textContent !== ''")

	// The maps come off the pictures.
	visible := "getComputedStyle(document.querySelector('.map')).display"
	require.Equal(t, "block", browser.Eval[string](p, visible))
	p.Click("#maps")
	browser.Becomes(p, "none", visible)
	require.Empty(t, p.Problems())
}

func TestNastyNamesStayTextInABrowser(t *testing.T) {
	address := saved(t, synthetic(t, Options{Alpha: 1e-3, Title: nasty()[1]}, 4, nasty()...))
	p := browser.Start(t).Open(address, browser.Looks()[0])
	p.Until("document.querySelectorAll('th button').length > 0")
	p.Do(chromedp.Focus("#v2 .chart"), chromedp.KeyEvent(kb.End))
	p.Until("document.querySelectorAll('#v2 .alike a').length > 0")
	require.LessOrEqual(t, p.Overflow(), 0)
	requireQuiet(t, p, address)
}

func TestTheReportOfAllFootageOpensWithoutANetwork(t *testing.T) {
	folder := fixture.Shared(t, "video", "dev")
	chromium := browser.Start(t)
	address := saved(t, replayed(t, Options{}, folder))
	shown := "document.querySelectorAll('article.video:not([hidden])').length"
	for _, look := range browser.Looks()[1:3] {
		p := chromium.Open(address, look)
		p.Until("document.querySelectorAll('article.video').length > 50 && document.readyState === 'complete'")
		require.LessOrEqual(t, p.Overflow(), 0)
		p.Screenshot("report-all", false)

		// So many are found by name, and by whether there was an alarm; a link to one that is hidden brings all back.
		all := browser.Eval[int](p, shown)
		// By script: chromedp's own keys and clicks want the whole document first, and this one is large.
		p.Do(chromedp.Evaluate(`(() => { const find = document.getElementById("find"); find.value = "ped2";
			find.dispatchEvent(new Event("input")); })()`, nil))
		p.Until(shown + " === 9 && document.querySelectorAll('#table-videos tbody tr:not([hidden])').length === 9")
		require.Regexp(t, `^9 of \d+$`, browser.Eval[string](p, "document.getElementById('found').textContent"))
		p.Do(chromedp.Evaluate("location.hash = '#v1'", nil))
		p.Until(fmt.Sprintf("%s === %d", shown, all))
		p.Do(chromedp.Evaluate(`document.getElementById("only").click()`, nil))
		p.Until(shown + " === new Set(Array.from(document.querySelectorAll('#table-alarms tbody tr'), (r) => r.dataset.row)).size")
		p.Screenshot("report-all-alarmed", false)
		requireQuiet(t, p, address)
	}
}

func TestTheReportIsUsableByScreenReaders(t *testing.T) {
	axe := browser.Axe(t)
	chromium := browser.Start(t)
	address := saved(t, replayed(t, Options{Values: []Value{{"decode.fps", "8", "default"}}}, samples()...))
	for _, look := range browser.Looks() {
		p := chromium.Open(address, look)
		p.Until("document.querySelectorAll('th button').length > 0")
		p.Do(chromedp.Evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })", nil))
		require.Empty(t, p.Minds(axe), look.Name)
	}
}

// What is printed has no controls, and the colours of paper.
func TestTheReportPrints(t *testing.T) {
	p := browser.Start(t).Open(saved(t, replayed(t, Options{}, samples()[1])), browser.Looks()[3])
	p.Do(emulation.SetEmulatedMedia().WithMedia("print"))
	browser.Becomes(p, "none", "getComputedStyle(document.querySelector('nav.top')).display")
	require.Equal(t, "rgb(255, 255, 255)", browser.Eval[string](p, "getComputedStyle(document.body).backgroundColor"))
	p.Screenshot("report-print", true)
}
