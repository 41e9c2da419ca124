package report

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
)

// replayed records a replay of the files.
func replayed(t *testing.T, options Options, files ...string) *Recorder {
	t.Helper()
	text, ok := pipelines.Stock("replay")
	require.True(t, ok)
	env := map[string]string{
		"RESULTS": filepath.Join(t.TempDir(), "r.jsonl"), "DEAD_LETTERS": filepath.Join(t.TempDir(), "d.jsonl"), "VIDEO": files[0],
	}
	def, findings := pipelines.Parse("replay", text, func(name string) (string, bool) { value, ok := env[name]; return value, ok })
	require.NotNil(t, def, findings)
	def.Ingest.Files.Paths, def.Encoder.Model = files, encoder.DefaultModel
	options.Alpha, options.Decode = def.Predictor.Alpha(), def.Decode
	recorder := New(options)
	engine, err := pipelines.New(def, pipelines.WithObserver(recorder))
	require.NoError(t, err)
	require.NoError(t, engine.Run(t.Context()))
	return recorder
}

func samples() []string {
	var paths []string
	for _, name := range []string{"shelf", "yard", "garden"} {
		paths = append(paths, fixture.Repository("examples", "video", name+".mp4"))
	}
	return paths
}

func written(t *testing.T, r *Recorder) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, r.WriteHTML(&out))
	return out.String()
}

// attributes calls f for every attribute of the page.
func attributes(t *testing.T, text string, f func(tag, name, value string)) {
	t.Helper()
	node, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	for n := range node.Descendants() {
		for _, a := range n.Attr {
			f(n.Data, a.Key, a.Val)
		}
	}
}

func TestTheReportShowsWhatWasFoundInTheSamples(t *testing.T) {
	text := written(t, replayed(t, Options{Made: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}, samples()...))
	require.Contains(t, text, "3 videos")
	require.Contains(t, text, "Made 24 November 2026")
	for _, want := range []string{
		`<h2 id="v1-title">garden</h2>`, `<h2 id="v2-title">shelf</h2>`, `<h2 id="v3-title">yard</h2>`,
		`class="tag breaks">breaks</b>`, `data:image/jpeg;base64,`, `data:image/png;base64,`, "Looks most like", "Horizons",
	} {
		require.Contains(t, text, want)
	}
	// yard is cut at 0:28.9; the frame before it is in the window from 28.0 or 29.0 on.
	require.Regexp(t, `(?s)id="v3-1".*?<figcaption><a [^>]*>0:2[89]\.`, text)
}

func TestTheReportAsksForNothing(t *testing.T) {
	text := written(t, replayed(t, Options{}, samples()[1]))
	loads := map[string]bool{"src": true, "srcset": true, "poster": true, "data": true, "action": true, "formaction": true, "background": true}
	attributes(t, text, func(tag, name, value string) {
		switch {
		case loads[name]:
			require.True(t, strings.HasPrefix(value, "data:"), "%s %s=%.40s", tag, name, value)
		case name == "href":
			require.True(t, strings.HasPrefix(value, "#"), "%s href=%.40s", tag, value)
		case name == "style", strings.HasPrefix(name, "on"):
			t.Errorf("%s has an inline %s, which the policy forbids", tag, name)
		}
	})
	require.NotRegexp(t, `(?i)url\(|@import|<link|<iframe|<object`, pageCSS+pageHTML)
	require.Contains(t, text, `default-src &#39;none&#39;`)
}

func TestEveryLinkHasAnAim(t *testing.T) {
	text := written(t, replayed(t, Options{}, samples()...))
	ids, links := map[string]int{}, map[string]bool{}
	attributes(t, text, func(_, name, value string) {
		switch name {
		case "id":
			ids[value]++
		case "href":
			links[strings.TrimPrefix(value, "#")] = true
		}
	})
	for link := range links {
		require.Equal(t, 1, ids[link], link)
	}
	for id, times := range ids {
		require.Equal(t, 1, times, id)
	}
}

// Invariant 4.
func TestTheSameReplayGivesTheSameReport(t *testing.T) {
	once := written(t, replayed(t, Options{}, samples()...))
	require.Equal(t, once, written(t, replayed(t, Options{}, samples()...)))
}

// nasty are names that mean something to HTML, JavaScript, SVG or a browser.
func nasty() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</script><script>alert(2)</script>`, `'};alert(3);//`,
		`javascript:alert(4)`, "</title><svg onload=alert(5)>", "a&b<c>\"d'e`f", "\u2028line\u2029",
		"ленин/камера 7", strings.Repeat("long-", 60),
		"{{.Title}}", "<!--", "]]>", "\u202etxt.exe",
	}
}

// synthetic is a recorder with results made here: one stream a name, a few windows, the last one a break.
func synthetic(t *testing.T, options Options, segments int, names ...string) *Recorder {
	t.Helper()
	r := New(options)
	for v, name := range names {
		for i := range segments {
			p, energy := 0.5, 0.1+0.01*math.Sin(float64(i+v))
			verdict := stream.Continues
			if i == segments-1 {
				p, energy, verdict = 1e-6, 0.9, stream.Breaks
			}
			start := float64(2 * i)
			result := &stream.Result{
				Stream: name, Verdict: verdict, Energy: &energy, PValue: &p, Model: name,
				Y:        stream.Extent{Segment: name + "/0", Start: at(start), End: at(start + 2)},
				Expected: &stream.Expected{Median: 0.1, Low: 0.05, High: 0.2},
				Windows:  []stream.Window{{Start: start, Energy: energy, PValue: &p}, {Start: start + 1, Energy: energy, PValue: &p}},
				Horizons: []stream.Horizon{{Seconds: 1, Energy: energy}, {Seconds: 2, Energy: energy}},
				Next:     []stream.Next{embedding(float64(i), float64(v), energy)},
			}
			r.Done(&stream.Segment{Stream: name, Origin: stream.Origin{File: name}}, result, nil)
		}
		r.Done(&stream.Segment{Stream: name, Origin: stream.Origin{File: name}}, nil, stream.Fail("decode", "decode.no_video", "%s", name))
	}
	return r
}

func at(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)).UTC() }

func embedding(values ...float64) stream.Next {
	next := stream.Next{Seconds: 1, Dim: int32(len(values)), Encoding: "float32-base64"}
	for _, value := range values {
		next.Data = binary.LittleEndian.AppendUint32(next.Data, math.Float32bits(float32(value)))
	}
	return next
}

// Invariant 3.
func TestNastyNamesStayText(t *testing.T) {
	options := Options{Alpha: 0.001, Title: nasty()[0]}
	for _, name := range nasty() {
		options.Values = append(options.Values, Value{name, name, name})
		options.Versions = append(options.Versions, Fact{name, name})
	}
	r := synthetic(t, options, 4, nasty()...)
	text := written(t, r)
	node, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	scripts, images, seen := 0, 0, map[string]bool{}
	for n := range node.Descendants() {
		switch {
		case n.Type == html.ElementNode && n.Data == "script":
			scripts++
		case n.Type == html.ElementNode && n.Data == "img":
			images++
		case n.Type == html.TextNode:
			seen[n.Data] = true
		}
		for _, a := range n.Attr {
			require.False(t, strings.HasPrefix(a.Key, "on"), "%s %s", n.Data, a.Key)
		}
	}
	require.Equal(t, 2, scripts, "the data and the script")
	require.Zero(t, images)
	for _, name := range nasty() {
		require.True(t, seen[name], "%q is to be read as it is", name)
	}
	var plot bytes.Buffer
	require.NoError(t, r.WritePlot(&plot, "svg"))
	require.NotContains(t, plot.String(), "<script")
	require.NotContains(t, plot.String(), "<img")
}

// Invariant 2.
func TestLongRecordingsStayBounded(t *testing.T) {
	short, long := synthetic(t, Options{Alpha: 1e-3}, 1000, "camera"), synthetic(t, Options{Alpha: 1e-3}, 100_000, "camera")
	v := long.videos["camera"]
	require.LessOrEqual(t, len(v.line.bins), 1200)
	require.LessOrEqual(t, len(v.moments.all), 400)
	require.Equal(t, 200_000, v.windows)
	require.InDelta(t, 200_000, v.line.length(), 2)
	require.Len(t, v.alarms, 2)
	require.Equal(t, stream.Breaks, v.line.bins[len(v.line.bins)-1].verdict, "averaging hides no alarm")
	small, large := written(t, short), written(t, long)
	require.Less(t, len(large), 2*len(small))
	require.Contains(t, large, "Long timelines are averaged")
}

func TestManyAlarmsAreCutAndTold(t *testing.T) {
	r := New(Options{Alpha: 1, Limits: Limits{Alarms: 3}})
	for i := range 10 {
		p := 0.001
		r.Done(&stream.Segment{Stream: "x"}, &stream.Result{
			Stream: "x", Verdict: stream.Breaks, Windows: []stream.Window{{Start: float64(i), Energy: 1, PValue: &p}},
		}, stream.Fail("decode", "decode.corrupt", "broken"))
	}
	text := written(t, r)
	require.Contains(t, text, "7 alarms more are not in the tables")
	require.Contains(t, text, "7 pieces more that could not be read are not listed")
}

func TestTheDataIsWhatTheScriptReads(t *testing.T) {
	text := written(t, synthetic(t, Options{Alpha: 1e-3}, 5, "a", "b"))
	raw := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(text)
	require.Len(t, raw, 2)
	var data []struct {
		T, D, E, P, L, H []float64
		V                string
		M                [][]float64
		N                [][][3]float64
	}
	require.NoError(t, json.Unmarshal([]byte(raw[1]), &data))
	require.Len(t, data, 2)
	require.Equal(t, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, data[0].T)
	require.Equal(t, "ccccccccbb", data[0].V)
	require.Len(t, data[0].M, 5)
	require.Equal(t, float64(1), data[0].N[4][0][0], "the break of a looks most like that of b")
	require.Equal(t, float64(4), data[0].N[4][0][1])
}

func TestAnEmptyReportSaysSo(t *testing.T) {
	text := written(t, New(Options{}))
	require.Contains(t, text, "No video was scored.")
	require.Contains(t, text, "Nothing broke and nothing stalled.")
}

func TestPlots(t *testing.T) {
	r := replayed(t, Options{NoPictures: true}, samples()...)
	var vector, raster bytes.Buffer
	require.NoError(t, r.WritePlot(&vector, "svg"))
	require.Contains(t, vector.String(), "yard (1 segment breaks")
	require.NoError(t, r.WritePlot(&raster, "png"))
	picture, err := png.Decode(&raster)
	require.NoError(t, err)
	require.Equal(t, twice*plotWidth, picture.Bounds().Dx())
	colours := map[string]bool{}
	for y := 0; y < picture.Bounds().Dy(); y++ {
		for x := 0; x < picture.Bounds().Dx(); x += 2 {
			red, green, blue, _ := picture.At(x, y).RGBA()
			colours[fmt.Sprintf("%02x%02x%02x", red>>8, green>>8, blue>>8)] = true
		}
	}
	for _, colour := range []int{inkLine, inkBreaks} {
		require.True(t, colours[fmt.Sprintf("%06x", colour)], "%06x is not in the picture", colour)
	}
	require.ErrorContains(t, r.WritePlot(&raster, "gif"), `no format "gif"`)
	for path, want := range map[string]string{"a.SVG": "svg", "b.png": "png", "c.gif": "", "d": ""} {
		got, ok := PlotFormat(path)
		require.Equal(t, want, got)
		require.Equal(t, want != "", ok)
	}
}

func TestWhichPicturesAreKeptDoesNotDependOnTheOrder(t *testing.T) {
	type taken struct {
		video string
		shot  *shot
	}
	var all []taken
	for v := range 6 {
		for i := range 8 {
			p := float64((v*31+i*17)%48) / 1000
			s := &shot{start: float64(i), p: &p, verdict: stream.Breaks}
			if v == 5 {
				s.verdict = stream.WarmingUp
			}
			all = append(all, taken{fmt.Sprint("v", v), s})
		}
	}
	kept := func(order func(i int) int) string {
		a := album{perVideo: 4, limit: 10, pages: map[string]*page{}}
		for i := range all {
			if next := all[order(i)]; a.wants(next.video, next.shot) {
				a.keep(next.video, next.shot)
			}
		}
		text := ""
		for v := range 6 {
			for _, s := range a.pages[fmt.Sprint("v", v)].shots() {
				text += fmt.Sprintf("v%d@%v ", v, s.start)
			}
		}
		require.Len(t, strings.Fields(text), 10)
		return text
	}
	forward := kept(func(i int) int { return i })
	require.Equal(t, forward, kept(func(i int) int { return len(all) - 1 - i }))
	require.Equal(t, forward, kept(func(i int) int { return i * 29 % len(all) }))
}

// TestReportOfAllFootage writes the report of every clip there is and says what it costs. With ENSUE_REPORT_OUT it is kept there.
func TestReportOfAllFootage(t *testing.T) {
	folder := fixture.Shared(t, "video", "dev")
	begin := time.Now()
	text := written(t, replayed(t, Options{Made: time.Now()}, folder))
	t.Logf("%.1f MB in %s", float64(len(text))/1e6, time.Since(begin).Round(100*time.Millisecond))
	require.Less(t, len(text), 12<<20)
	if out := os.Getenv("ENSUE_REPORT_OUT"); out != "" {
		require.NoError(t, os.WriteFile(out, []byte(text), 0o644))
	}
}
