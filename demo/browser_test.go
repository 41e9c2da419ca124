package demo

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/browser"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/report"
)

// showing runs the demo with a live page, in its own folder, and returns where the page is; what it found comes when all of it has.
func showing(t *testing.T, speed float64, watch func(*pipelines.Definition) pipelines.Observer) (
	address string, found <-chan *Summary, end func(),
) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	pages, summaries, ended := make(chan string, 1), make(chan *Summary, 1), make(chan error, 1)
	options := Options{
		Folder: filepath.Join(t.TempDir(), "demo"), Speed: speed, Serve: "127.0.0.1:0", Version: "test", Watch: watch,
		OnPage:  func(address string) { pages <- address },
		OnFound: func(summary *Summary) error { summaries <- summary; return nil },
	}
	go func() {
		_, err := Run(ctx, options)
		ended <- err
	}()
	var closed bool
	end = func() {
		if !closed {
			closed = true
			stop()
			require.NoError(t, <-ended, "being told to end is no failure")
			http.DefaultClient.CloseIdleConnections()
		}
	}
	t.Cleanup(end)
	select {
	case address = <-pages:
	case err := <-ended:
		ended <- err
		t.Fatalf("the demo ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("there is no page")
	}
	return address, summaries, end
}

// TestTheLivePageOfARealPipeline: the sample cameras through the embedded broker and the stock pipeline, seen in Chromium. Frames,
// timelines and rates move, the cut and the freeze become alarms, the record that is no video a dead letter.
func TestTheLivePageOfARealPipeline(t *testing.T) {
	chromium := browser.Start(t)
	address, found, end := showing(t, 2, nil)
	p := chromium.Open(address, browser.Looks()[2])
	p.Until("document.querySelectorAll('.card').length === 3")
	require.Equal(t, "demo", browser.Eval[string](p, "document.querySelector('h1').textContent"))
	p.Until("document.querySelectorAll('.card img:not([hidden])').length === 3")

	// It moves: the timeline and the frame of one stream are not what they were, and segments come through every stage.
	yard := "Array.from(document.querySelectorAll('.card')).find((c) => c.stream.name === 'yard').stream"
	p.Until(yard + ".canvas.width > 0 && " + yard + ".points.length > 2")
	p.Do(chromedp.Evaluate("window.was = ["+yard+".canvas.toDataURL(), "+yard+".img.src]", nil))
	p.Until(yard + ".canvas.toDataURL() !== window.was[0] && " + yard + ".img.src !== window.was[1]")
	p.Until("document.querySelectorAll('#stage-rows tr').length >= 4 && " +
		"Array.from(document.querySelectorAll('#stage-rows td:nth-child(3)')).every((c) => Number(c.textContent) > 0)")

	// The alarms, with their pictures, in words.
	listed := "Array.from(document.querySelectorAll('#alarm-list li'), " +
		"(li) => li.querySelector('.name').textContent + ' ' + li.querySelector('.tag').textContent)"
	p.Until(listed + ".includes('yard breaks') && " + listed + ".includes('garden stalls')")
	p.Until("Array.from(document.querySelectorAll('#alarm-list img')).every((i) => i.naturalWidth > 100)")
	for _, what := range browser.Eval[[]string](p, "Array.from(document.querySelectorAll('#alarm-list .what'), (w) => w.textContent)") {
		require.Regexp(t, `^energy -?[\d.]+; by chance (less than )?once in [\d.,]+ \w+$`, what)
	}
	p.Until("document.querySelector('.card.alarmed .name').textContent !== 'shelf'") // alarms come first
	p.Until("document.querySelector('#dead-list code') !== null")
	require.Regexp(t, `^decode\.`, browser.Eval[string](p, "document.querySelector('#dead-list code').textContent"))

	select {
	case summary := <-found:
		require.Len(t, summary.Streams, 3)
		require.Len(t, summary.Dead, 1)
	case <-time.After(2 * time.Minute):
		t.Fatal("not every result came back")
	}
	for _, look := range browser.Looks() {
		shown := chromium.Open(address, look)
		shown.Until("document.querySelectorAll('.card').length === 3 && document.querySelectorAll('#alarm-list img:not([hidden])').length > 1")
		require.LessOrEqual(t, shown.Overflow(), 0)
		shown.Screenshot("live-real", false)
		require.Empty(t, shown.Problems())
	}

	// Acknowledged, for everybody who looks.
	p.Click("#alarm-list .ack")
	p.Until("document.getElementById('alarm-count').textContent !== '' && " +
		"fetch('api/state').then((r) => r.json()).then((s) => s.alarms.filter((a) => a.acknowledged).length === 1)")
	require.Empty(t, p.Problems())
	for _, asked := range p.Requests() {
		require.True(t, strings.HasPrefix(asked, address) || strings.HasPrefix(asked, "blob:"+address), asked)
	}
	end()
	p.Until("!document.getElementById('lost').hidden")
}

var update = flag.Bool("update", false, "write the pictures of docs/ anew (make pictures)")

// TestThePicturesOfTheDocuments makes docs/pictures: what the program shows of its own sample video.
func TestThePicturesOfTheDocuments(t *testing.T) {
	if !*update {
		t.Skip("writes files: go test ./demo -run Pictures -update")
	}
	chromium := browser.Start(t)
	var recorder *report.Recorder
	address, found, _ := showing(t, 2, func(def *pipelines.Definition) pipelines.Observer {
		recorder = report.New(report.Options{Alpha: def.Predictor.Alpha(), Decode: def.Decode})
		return recorder
	})
	look := browser.Look{Name: "document", Width: 1280, Height: 860}
	p := chromium.Open(address, look) // before the cameras have ended: frames are made for those who look
	select {
	case <-found:
	case <-time.After(3 * time.Minute):
		t.Fatal("not every result came back")
	}
	p.Until("Array.from(document.querySelectorAll('#alarm-list img')).filter((i) => i.naturalWidth > 100).length > 1")
	p.Picture(fixture.Repository("docs", "pictures", "live.webp"))

	var page bytes.Buffer
	require.NoError(t, recorder.WriteHTML(&page))
	file := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(file, page.Bytes(), 0o600))
	p = chromium.Open("file://"+file, look)
	p.Until("document.querySelectorAll('th button').length > 0")
	p.Click("#table-alarms tr[data-row='2'] a") // the cut in yard
	p.Until("document.activeElement.classList.contains('chart') && document.querySelector('#v3 .shot img').complete")
	p.Picture(fixture.Repository("docs", "pictures", "report.webp"))
}
