package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/stream"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	pageTemplate = template.Must(template.New("report").Parse(pageHTML))
)

// policy is the page's Content-Security-Policy. Invariant 1: no address is allowed at all, and no script or style but these two.
func policy() string {
	hash := func(text string) string {
		digest := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	}
	return "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src " +
		hash(styles()) + "; script-src " + hash(scripts())
}

// styles and scripts are the page's only ones, each as one text.
func styles() string  { return look.CSS + pageCSS }
func scripts() string { return look.JS + pageJS }

// view is what the template is filled with. What is of type template.HTML or template.URL was made here from numbers and escaped names.
type view struct {
	Policy, Title, Lede, Made, NothingBecause string
	Style                                     template.CSS
	Script                                    template.JS
	HasMaps                                   bool
	Videos                                    []videoView
	Alarms                                    []alarmView
	Refused                                   []refusal
	Versions                                  []Fact
	Values                                    []Value
	Notes                                     []string
	Data                                      []videoData
}

type videoView struct {
	ID, Name, Facts, Length, MedianText string
	Index, Windows, Breaks, Stalls      int
	BreaksText, StallsText              string
	Seconds, Median, Peak, WorstP       float64
	Worst                               *jump
	Spark, Timeline, Map, Ramp          template.HTML
	Alarmed                             bool
	Shots                               []shotView
	HorizonRows                         []horizonView
	Thinned                             string
}

// jump is a link to a moment of a video.
type jump struct {
	Link, Clock, Said, Text string
	Video                   int
	At                      float64
}

// alarmView is one alarm, or several that follow each other directly: then with the most surprising one's numbers.
type alarmView struct {
	jump
	Name, Until                                string
	Verdict                                    stream.Verdict
	Windows                                    int
	Energy, Times, P                           float64
	EnergyText, TimesText, Band, Chance, PText string
}

type shotView struct {
	ID, Link, Clock, Label, Said, Detail, Horizons, Alt string
	Verdict                                             stream.Verdict
	Video, Width, Height                                int
	At                                                  float64
	JPEG, Map                                           template.URL
	Alike                                               []jump
}

type horizonView struct {
	Label, Text string
	Bar         template.HTML
}

// videoData is what the script reads: by stretch of the timeline start, end, energy, p (below 0: not judged), expected band and verdict; by
// moment its times and what looks like it.
type videoData struct {
	T []number `json:"t"`
	D []number `json:"d"`
	E []number `json:"e"`
	P []number `json:"p"`
	L []number `json:"l"`
	H []number `json:"h"`
	V string   `json:"v"`
	// W is how long a window is, in seconds; X the expected energy, 0 where a ratio to it says nothing.
	W number     `json:"w"`
	X []number   `json:"x"`
	M [][]number `json:"m"`
	N [][]triple `json:"n"`
}

// number is written with the digits that are shown.
type number float64

// MarshalJSON writes five significant digits.
func (n number) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(n), 'g', 5, 64), nil
}

type triple [3]number

// WriteHTML writes the report.
func (r *Recorder) WriteHTML(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, r.view()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (r *Recorder) view() view {
	videos := r.sorted()
	near := alike(videos, r.options.Limits.Compared)
	v := view{
		Policy: policy(), Title: r.options.Title, Style: template.CSS(styles()), Script: template.JS(scripts()), //nolint:gosec // our own files
		Lede: lede(videos, len(r.refused)+r.leftRefused), Refused: r.refused, Values: r.options.Values, Data: []videoData{},
		NothingBecause: nothingBecause(videos), Notes: r.notes(videos),
	}
	slices.SortStableFunc(v.Refused, func(a, b refusal) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Segment, b.Segment)) })
	if !r.options.Made.IsZero() {
		v.Made = "Made " + r.options.Made.Format("2 January 2006, 15:04 MST")
	}
	if r.model != "" {
		v.Versions = append(v.Versions, Fact{"Model", r.model})
	}
	v.Versions = append(v.Versions, r.options.Versions...)
	for i, known := range videos {
		one := r.videoView(i, known, near, videos)
		v.Videos = append(v.Videos, one)
		v.Data = append(v.Data, dataOf(known, near[i]))
		for _, s := range one.Shots {
			v.HasMaps = v.HasMaps || s.Map != ""
		}
		v.Alarms = append(v.Alarms, alarmsOf(i, known)...)
	}
	slices.SortStableFunc(v.Alarms, func(a, b alarmView) int { return cmp.Compare(a.P, b.P) })
	return v
}

func (r *Recorder) videoView(i int, v *video, near [][][]neighbour, videos []*video) videoView {
	one := videoView{
		ID: videoID(i), Index: i, Name: v.name, Facts: facts(v), Seconds: v.seconds, Length: look.Clock(v.seconds), Windows: v.windows,
		Median: v.line.median(), MedianText: look.Number(v.line.median()), WorstP: 2, Alarmed: len(v.alarms) > 0,
		Breaks: v.verdicts[stream.Breaks], Stalls: v.verdicts[stream.Stalls],
		BreaksText: segmentsThat(v.verdicts[stream.Breaks], "break"), StallsText: segmentsThat(v.verdicts[stream.Stalls], "stall"),
	}
	if len(v.line.bins) == 0 {
		return one
	}
	one.Peak = highest(&v.line)
	if worst := worstOf(&v.line); worst != nil {
		one.WorstP = *worst.p
		one.Worst = &jump{Link: one.ID, Video: i, At: worst.start, Clock: look.Clock(worst.start), Said: look.Odds(*worst.p)}
	}
	one.Spark, one.Timeline = spark(&v.line), drawTimeline(v)
	for k, s := range v.telling(r.album.pages[v.name].shots()) {
		one.Shots = append(one.Shots, shotOf(i, k, v, s, near[i], videos))
	}
	one.HorizonRows = horizonRows(v.horizons)
	if len(v.moments.all) >= minimumMoments {
		one.Map, one.Ramp = drawMoments(v), ramp(v.line.length())
		if v.moments.stride > 1 {
			one.Thinned = ordinal(v.moments.stride)
		}
	}
	return one
}

// minimumMoments is how many moments make a picture.
const minimumMoments = 3

func videoID(i int) string { return "v" + strconv.Itoa(i+1) }

func shotOf(i, k int, v *video, s *shot, near [][]neighbour, videos []*video) shotView {
	one := shotView{
		ID: videoID(i) + "-" + strconv.Itoa(k+1), Link: videoID(i), Video: i, At: s.start, Clock: look.Clock(s.start), Verdict: s.verdict,
		Label: label(s.verdict), Said: said(s), Detail: detail(s), Width: s.size.X, Height: s.size.Y, JPEG: dataURL("image/jpeg", s.jpeg),
		Alt: fmt.Sprintf("Frame of %s at %s", v.name, look.Clock(s.at)),
	}
	if len(s.overlay) > 0 {
		one.Map = dataURL("image/png", s.overlay)
	}
	var ahead []string
	for _, h := range s.horizons {
		ahead = append(ahead, fmt.Sprintf("%s: %s", seconds(h.Seconds), look.Number(h.Energy)))
	}
	if len(ahead) > 1 {
		one.Horizons = "distance by horizon " + strings.Join(ahead, ", ")
	}
	for m, known := range v.moments.all {
		if s.start >= known.start-1e-6 && s.start < known.end {
			for _, n := range near[m] {
				one.Alike = append(one.Alike, jumpTo(n, i, videos))
			}
			break
		}
	}
	return one
}

// jumpTo is the link to a neighbour of a moment of video from.
func jumpTo(n neighbour, from int, videos []*video) jump {
	at := videos[n.video].moments.all[n.moment].start
	text := look.Clock(at)
	if n.video != from {
		text = videos[n.video].name + " " + text
	}
	return jump{Link: videoID(n.video), Video: n.video, At: at, Text: text}
}

// said is a shot in a sentence for people, detail the numbers behind it.
func said(s *shot) string {
	text := ""
	if s.expected != nil {
		text = told(s.verdict, s.energy, s.expected)
	}
	if text == "" {
		text = "energy " + look.Number(s.energy)
	}
	switch {
	case s.p == nil:
	case s.alarm():
		text += "; by chance " + look.Often(*s.p, window(s.horizons))
	default:
		text += "; " + look.Odds(*s.p)
	}
	if !s.alarm() {
		text = "The most telling moment: " + text
	}
	return text
}

func told(verdict stream.Verdict, energy float64, e *stream.Expected) string {
	return look.Told(string(verdict), energy, e.Low, e.Median, e.High)
}

func detail(s *shot) string {
	parts := []string{"energy " + look.Number(s.energy)}
	if s.expected != nil {
		parts = append(parts, "expected "+band(s.expected))
	}
	if s.p != nil {
		parts = append(parts, "p = "+look.Number(*s.p))
	}
	return strings.Join(parts, ", ")
}

// window is how long a window is, in seconds.
func window(horizons []stream.Horizon) float64 {
	if len(horizons) == 0 {
		return 1
	}
	return horizons[0].Seconds
}

func (v *video) window() float64 {
	if len(v.horizons) == 0 {
		return 1
	}
	return v.horizons[0].seconds
}

// runs are the alarms of a video, those of one kind that follow each other directly together.
func (v *video) runs() [][]alarm {
	var all [][]alarm
	for begin := 0; begin < len(v.alarms); {
		end := begin + 1
		for ; end < len(v.alarms); end++ {
			next, last := v.alarms[end], v.alarms[end-1]
			if next.verdict != last.verdict || next.start > last.end+v.window()/2 {
				break
			}
		}
		all = append(all, v.alarms[begin:end])
		begin = end
	}
	return all
}

// telling are the shots that are shown: of a stall that lasts the most surprising one alone, for all look the same.
func (v *video) telling(shots []*shot) []*shot {
	of := func(s *shot) int {
		return slices.IndexFunc(v.runs(), func(run []alarm) bool {
			return slices.ContainsFunc(run, func(a alarm) bool { return math.Abs(a.start-s.start) < 1e-6 })
		})
	}
	var told []*shot
	for _, s := range shots {
		last := len(told) - 1
		if last < 0 || s.verdict != stream.Stalls || told[last].verdict != stream.Stalls || of(s) != of(told[last]) {
			told = append(told, s)
		} else if s.compare(told[last]) < 0 {
			told[last] = s
		}
	}
	return told
}

// alarmsOf are the alarms of a video; those of one kind that follow each other directly are told as one.
func alarmsOf(i int, v *video) []alarmView {
	var all []alarmView
	for _, run := range v.runs() {
		all = append(all, alarmOf(i, v, run))
	}
	return all
}

func alarmOf(i int, v *video, run []alarm) alarmView {
	worst := slices.MinFunc(run, func(a, b alarm) int { return cmp.Compare(a.p, b.p) })
	one := alarmView{
		jump: jump{Link: videoID(i), Video: i, At: run[0].start, Clock: look.Clock(run[0].start)}, Name: v.name, Verdict: worst.verdict,
		Windows: len(run), Energy: worst.energy, EnergyText: look.Number(worst.energy), P: worst.p, PText: look.Number(worst.p),
		Chance: look.Often(worst.p, v.window()),
	}
	if len(run) > 1 {
		one.Until = look.Clock(run[len(run)-1].end)
	}
	if e := worst.expected; e != nil {
		one.Band = band(e)
		one.TimesText = told(worst.verdict, worst.energy, e)
		if one.Times = worst.energy - e.High; e.Low >= 0 && e.Median > 0 {
			one.Times = worst.energy / e.Median
		}
	}
	return one
}

// dataURL needs no escaping: it is base64.
func dataURL(kind string, data []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data)) //nolint:gosec // made here
}

func dataOf(v *video, near [][]neighbour) videoData {
	d := videoData{T: []number{}, M: [][]number{}, N: [][]triple{}, W: number(v.window())}
	for _, b := range v.line.bins {
		p, low, high, expected := -1.0, 0.0, 0.0, 0.0
		if b.p != nil {
			p = *b.p
		}
		if b.expected != nil {
			low, high, expected = b.expected.Low, b.expected.High, b.expected.Median
		}
		d.X = append(d.X, number(expected))
		d.T, d.D, d.E = append(d.T, number(b.start)), append(d.D, number(b.end)), append(d.E, number(b.energy))
		d.P, d.L, d.H = append(d.P, number(p)), append(d.L, number(low)), append(d.H, number(high))
		d.V += string(b.verdict)[:1]
	}
	if len(v.moments.all) < minimumMoments {
		return d
	}
	for m, known := range v.moments.all {
		d.M = append(d.M, []number{number(known.start), number(known.end)})
		triples := []triple{}
		for _, n := range near[m] {
			triples = append(triples, triple{number(n.video), number(n.moment), number(n.distance)})
		}
		d.N = append(d.N, triples)
	}
	return d
}

// worstOf is the most surprising stretch; nil when none was judged.
func worstOf(l *timeline) *bin {
	var worst *bin
	for i, b := range l.bins {
		if b.p != nil && (worst == nil || *b.p < *worst.p) {
			worst = &l.bins[i]
		}
	}
	return worst
}

// segmentsThat are counted as a replay counts them: "1 segment breaks", "3 segments stall".
func segmentsThat(n int, verb string) string { return look.Plural(n, "segment") + " " + doing(n, verb) }

func doing(n int, verb string) string {
	if n == 1 {
		return verb + "s"
	}
	return verb
}

func lede(videos []*video, refused int) string {
	breaks, stalls, windows, length := 0, 0, 0, 0.0
	for _, v := range videos {
		breaks += v.verdicts[stream.Breaks]
		stalls += v.verdicts[stream.Stalls]
		windows += v.windows
		length += v.seconds
	}
	text := fmt.Sprintf("%s, %s long, %s scored: %s and %d %s.",
		look.Plural(len(videos), "video"), look.Clock(length), look.Plural(windows, "window"),
		segmentsThat(breaks, "break"), stalls, doing(stalls, "stall"))
	if refused > 0 {
		text += fmt.Sprintf(" %s could not be read.", look.Plural(refused, "piece"))
	}
	return text
}

// nothingBecause says why there may be no alarms: nothing was judged.
func nothingBecause(videos []*video) string {
	for _, v := range videos {
		if worstOf(&v.line) != nil {
			return ""
		}
	}
	return "No video was long enough to be judged: see predictor.calibrate.warmup in the definition."
}

// facts is a line about a video.
func facts(v *video) string {
	parts := []string{look.Clock(v.seconds) + " long", look.Plural(v.segments, "segment"), look.Plural(v.windows, "window")}
	if v.file != "" && v.file != v.name {
		parts = append(parts, v.file)
	}
	for _, reason := range []stream.Reason{stream.ReasonGap, stream.ReasonShort, stream.ReasonAlone} {
		if n := v.reasons[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s unscored (%s)", look.Plural(n, "segment"), label(stream.Verdict(reason))))
		}
	}
	return strings.Join(parts, " · ")
}

// notes tells what was left out (invariant 2).
func (r *Recorder) notes(videos []*video) []string {
	var notes []string
	merged, moments := 1, 0
	for _, v := range videos {
		merged = max(merged, v.line.merged)
		moments += len(v.moments.all)
	}
	add := func(when bool, format string, args ...any) {
		if when {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	add(merged > 1, "Long timelines are averaged: up to %d windows stand as one, with the range of their energies behind the line.", merged)
	add(r.leftPictures > 0, "%s of less surprising moments were left out; at most %d are kept of a video and %d of all.",
		look.Plural(r.leftPictures, "picture"), r.options.Limits.Pictures, r.options.Limits.AllPictures)
	add(r.badPictures > 0, "%s could not be made.", look.Plural(r.badPictures, "picture"))
	add(r.leftAlarms > 0, "%s more are not in the tables, which list the first %d of a video.", look.Plural(r.leftAlarms, "alarm"),
		r.options.Limits.Alarms)
	add(r.leftRefused > 0, "%s more that could not be read are not listed.", look.Plural(r.leftRefused, "piece"))
	add(moments > r.options.Limits.Compared, "Of %d moments every %s is compared with all others.", moments,
		ordinal((moments+r.options.Limits.Compared-1)/r.options.Limits.Compared))
	return notes
}

func horizonRows(horizons []horizon) []horizonView {
	if len(horizons) < 2 {
		return nil
	}
	most := 0.0
	for _, h := range horizons {
		most = max(most, h.total/float64(max(h.count, 1)))
	}
	var rows []horizonView
	for _, h := range horizons {
		mean := h.total / float64(max(h.count, 1))
		rows = append(rows, horizonView{Label: seconds(h.seconds), Text: look.Number(mean), Bar: bar(mean / max(most, 1e-12))})
	}
	return rows
}

// The words and numbers of a report.

func label(verdict stream.Verdict) string { return strings.ReplaceAll(string(verdict), "_", " ") }

func band(e *stream.Expected) string { return look.Number(e.Low) + " to " + look.Number(e.High) }

func seconds(value float64) string { return strconv.FormatFloat(value, 'g', 4, 64) + " s" }

func ordinal(n int) string {
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		return strconv.Itoa(n) + "st"
	case n%10 == 2:
		return strconv.Itoa(n) + "nd"
	case n%10 == 3:
		return strconv.Itoa(n) + "rd"
	}
	return strconv.Itoa(n) + "th"
}
