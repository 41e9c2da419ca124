package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/stream"
)

// The look of a timeline in a page: it is as wide as the page, so places along it are percentages and its text keeps its size.
const (
	lineHeight, lineTop, lineBottom = 190, 18, 162
	axisWidth                       = 54
	curveWidth                      = 1000.0
)

// scale is an axis from low (bottom) to high (top), logarithmic unless it is even.
type scale struct {
	low, high, bottom, top float64
	even                   bool
}

func (s scale) at(energy float64) float64 {
	part := (energy - s.low) / (s.high - s.low)
	if !s.even {
		part = math.Log(max(energy, s.low)/s.low) / math.Log(s.high/s.low)
	}
	return s.bottom + (s.top-s.bottom)*min(max(part, 0), 1)
}

// ticks are round energies on the axis, at most that many.
func (s scale) ticks(most int) []float64 {
	if s.even {
		return s.evenTicks(most)
	}
	for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		var ticks []float64
		for power := math.Floor(math.Log10(s.low)); power <= math.Ceil(math.Log10(s.high)); power++ {
			for _, step := range steps {
				if tick := step * math.Pow(10, power); tick >= s.low && tick <= s.high {
					ticks = append(ticks, tick)
				}
			}
		}
		if len(ticks) <= most {
			return ticks
		}
	}
	return nil
}

func (s scale) evenTicks(most int) []float64 {
	power := math.Pow(10, math.Floor(math.Log10((s.high-s.low)/float64(most))))
	for _, step := range []float64{power, 2 * power, 5 * power, 10 * power, 20 * power} {
		var ticks []float64
		for i := math.Ceil(s.low / step); i*step <= s.high; i++ {
			ticks = append(ticks, i*step+0) // no -0
		}
		if len(ticks) <= most {
			return ticks
		}
	}
	return nil
}

// timeTicks are round times up to length, at most that many.
func timeTicks(length float64, most int) []float64 {
	steps := []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200}
	step := steps[len(steps)-1]
	for _, candidate := range steps {
		if length/candidate <= float64(most) {
			step = candidate
			break
		}
	}
	step *= math.Max(1, math.Ceil(length/step/float64(most)))
	var ticks []float64
	for tick := 0.0; tick <= length; tick += step {
		ticks = append(ticks, tick)
	}
	return ticks
}

// hour is a time without fractions.
func hour(value float64) string { return strings.TrimSuffix(look.Clock(value), ".0") }

// tickText is a round energy on the axis.
func tickText(value float64) string {
	return strings.TrimPrefix(strings.Replace(look.Number(value), ".0×", "×", 1), "1×")
}

// drawTimeline is the timeline of a video as SVG: the axis of energies beside it, so that nothing stands on the curve, and the plot.
func drawTimeline(v *video) template.HTML {
	line := &v.line
	y := line.axis(lineBottom, lineTop)
	length := line.length()
	percent := func(at float64) float64 { return 100 * at / length }
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="axis" width="%d" height="%d" aria-hidden="true">`, axisWidth, lineHeight)
	ticks := y.ticks(5)
	for _, tick := range ticks {
		fmt.Fprintf(&s, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`, axisWidth-6, y.at(tick)+4, tickText(tick))
	}
	fmt.Fprintf(&s, `</svg><svg class="timeline" role="img" height="%d" aria-label="%s">`, lineHeight, html.EscapeString(summary(v)))
	if until := firstJudged(line); until > 0 {
		fmt.Fprintf(&s, `<rect class="warm" x="0" y="%d" width="%.3f%%" height="%d"/><text x="3" y="%d">warming up</text>`,
			lineTop, percent(until), lineBottom-lineTop, lineTop-5)
	}
	for _, run := range v.runs() {
		begin, end := run[0].start, run[len(run)-1].end
		fmt.Fprintf(&s, `<rect class="zone %s" x="%.3f%%" y="%d" width="%.3f%%" height="%d"/>`,
			run[0].verdict, percent(begin), lineTop, max(percent(end-begin), 0.1), lineBottom-lineTop)
	}
	for _, tick := range ticks {
		fmt.Fprintf(&s, `<line class="grid" x1="0" x2="100%%" y1="%.1f" y2="%[1]f"/>`, y.at(tick))
	}
	s.WriteString(curve(line, y, length))
	s.WriteString(timeAxis(length))
	for _, b := range line.bins {
		if b.verdict == stream.Breaks || b.verdict == stream.Stalls {
			s.WriteString(mark(b, percent((b.start+b.end)/2), y))
		}
	}
	fmt.Fprintf(&s, `<line class="cursor" x1="0" x2="0" y1="%d" y2="%d"/></svg>`, lineTop-6, lineBottom)
	return template.HTML(s.String()) //nolint:gosec // numbers and an escaped name
}

func timeAxis(length float64) string {
	var s strings.Builder
	for _, tick := range timeTicks(length, 6) {
		percent, anchor := 100*tick/length, "middle"
		switch {
		case tick == 0:
			anchor = "start"
		case percent > 95:
			anchor = "end"
		}
		x := fmt.Sprintf("%.3f%%", percent)
		fmt.Fprintf(&s, `<line class="grid" x1="%s" x2="%s" y1="%d" y2="%d"/><text x="%s" y="%d" text-anchor="%s">%s</text>`,
			x, x, lineBottom, lineBottom+4, x, lineBottom+18, anchor, hour(tick))
	}
	return s.String()
}

// mark is a triangle on top for a break, a square at the bottom for a stall: shapes tell them apart as well as colours.
func mark(b bin, percent float64, y scale) string {
	shape, at := "M-6 -9h12l-6 9z", y.at(b.high)-3
	if b.verdict == stream.Stalls {
		shape, at = "M-5 0h10v10h-10z", min(y.at(b.low)+4, lineBottom-11)
	}
	return fmt.Sprintf( //nolint:gocritic // attributes of SVG
		`<svg x="%.3f%%" y="%.1f" overflow="visible"><path class="mark %s" d="%s"><title>%s at %s</title></path></svg>`,
		percent, at, b.verdict, shape, label(b.verdict), look.Clock(b.start))
}

// curve is what is stretched to the width of the page: band, range and line.
func curve(line *timeline, y scale, length float64) string {
	x := func(at float64) float64 { return curveWidth * at / length }
	var s, path, over, under strings.Builder
	fmt.Fprintf(&s, `<svg x="0" y="0" width="100%%" height="%d" viewBox="0 0 %.0f %[1]d" preserveAspectRatio="none">`, lineHeight, curveWidth)
	for _, run := range judged(line.bins) {
		var top, bottom, middle []string
		for _, b := range run {
			for _, at := range [2]float64{b.start, b.end} {
				top = append(top, fmt.Sprintf("%.1f,%.1f", x(at), y.at(b.expected.High)))
				bottom = append(bottom, fmt.Sprintf("%.1f,%.1f", x(at), y.at(b.expected.Low)))
				middle = append(middle, fmt.Sprintf("%.1f,%.1f", x(at), y.at(b.expected.Median)))
			}
		}
		fmt.Fprintf(&s, `<polygon class="band" points="%s %s"/><polyline class="middle" points="%s"/>`,
			strings.Join(top, " "), strings.Join(reversed(bottom), " "), strings.Join(middle, " "))
	}
	for i, b := range line.bins {
		at := x((b.start + b.end) / 2)
		fmt.Fprintf(&path, "%.1f,%.1f ", at, y.at(b.energy))
		fmt.Fprintf(&over, "%.1f,%.1f ", at, y.at(b.high))
		last := line.bins[len(line.bins)-1-i]
		fmt.Fprintf(&under, "%.1f,%.1f ", x((last.start+last.end)/2), y.at(last.low))
	}
	if line.merged > 1 {
		fmt.Fprintf(&s, `<polygon class="range" points="%s%s"/>`, over.String(), strings.TrimSpace(under.String()))
	}
	fmt.Fprintf(&s, `<polyline class="curve" points="%s"/></svg>`, strings.TrimSpace(path.String()))
	return s.String()
}

// judged are the runs of bins that have an expected band.
func judged(bins []bin) [][]bin {
	var runs [][]bin
	open := false
	for i, b := range bins {
		switch {
		case b.expected == nil || b.p == nil:
			open = false
		case open:
			last := len(runs) - 1
			runs[last] = runs[last][:len(runs[last])+1]
		default:
			runs, open = append(runs, bins[i:i+1]), true
		}
	}
	return runs
}

func reversed(values []string) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[len(values)-1-i] = value
	}
	return out
}

// firstJudged is where warming up ends; the length where nothing was judged.
func firstJudged(line *timeline) float64 {
	for _, b := range line.bins {
		if b.p != nil {
			return b.start
		}
	}
	return line.length()
}

// summary is a timeline in words, for those who do not see it.
func summary(v *video) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Energy of %s over %s, between %s and %s", v.name,
		look.Clock(v.line.length()), look.Number(lowest(&v.line)), look.Number(highest(&v.line)))
	const few = 5
	for i, a := range v.alarms {
		if i == few {
			fmt.Fprintf(&text, "; and %d more", len(v.alarms)-few)
			break
		}
		fmt.Fprintf(&text, "; %s at %s", a.verdict, look.Clock(a.start))
	}
	return text.String()
}

func lowest(line *timeline) float64 {
	value := math.Inf(1)
	for _, b := range line.bins {
		value = min(value, b.low)
	}
	return value
}

func highest(line *timeline) float64 {
	value := math.Inf(-1)
	for _, b := range line.bins {
		value = max(value, b.high)
	}
	return value
}

// spark is a timeline as small as a word.
func spark(line *timeline) template.HTML {
	const width, height = 120.0, 26.0
	y := line.axis(height-2, 3)
	length := line.length()
	var points, marks strings.Builder
	stride := max(1, len(line.bins)/int(width))
	for i := 0; i < len(line.bins); i += stride {
		b := line.bins[i]
		fmt.Fprintf(&points, "%.1f,%.1f ", width*(b.start+b.end)/2/length, y.at(b.energy))
	}
	if len(line.bins) == 1 { // a line through one point is none
		fmt.Fprintf(&marks, `<circle class="dot" cx="%.1f" cy="%.1f" r="2"/>`, width/2, y.at(line.bins[0].energy))
	}
	for _, b := range line.bins {
		if b.verdict == stream.Breaks || b.verdict == stream.Stalls {
			fmt.Fprintf(&marks, `<circle class="mark %s" cx="%.1f" cy="%.1f" r="3"/>`, b.verdict, width*(b.start+b.end)/2/length, y.at(b.energy))
		}
	}
	return template.HTML(fmt.Sprintf( //nolint:gosec,gocritic // attributes of SVG: numbers
		`<svg class="spark" viewBox="0 0 %.0f %.0f" aria-hidden="true"><polyline class="curve" points="%s"/>%s</svg>`,
		width, height, strings.TrimSpace(points.String()), marks.String()))
}

// bar is a part of the whole width.
func bar(part float64) template.HTML {
	return template.HTML(fmt.Sprintf( //nolint:gosec // numbers
		`<svg class="bar" aria-hidden="true"><rect width="%.2f%%" height="100%%" rx="2"/></svg>`, 100*part))
}

// drawMoments lays the moments of a video out by their embeddings, coloured by time, joined in its order.
func drawMoments(v *video) template.HTML {
	const width, height, margin = 320.0, 200.0, 12.0
	points := make([][]float32, 0, len(v.moments.all))
	for _, m := range v.moments.all {
		points = append(points, m.embedding)
	}
	flat := principal(points, 2)
	x, y := stretch(flat, 0, margin, width-margin), stretch(flat, 1, height-margin, margin)
	length := max(v.line.length(), 1e-9)
	var path, dots strings.Builder
	for i, m := range v.moments.all {
		fmt.Fprintf(&path, "%.1f,%.1f ", x[i], y[i])
		fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"`, x[i], y[i], colourOf(m.start/length))
		if m.verdict == stream.Breaks || m.verdict == stream.Stalls {
			fmt.Fprintf(&dots, ` class="%s"`, m.verdict)
		}
		fmt.Fprintf(&dots, `><title>%s</title></circle>`, look.Clock(m.start))
	}
	return template.HTML(fmt.Sprintf( //nolint:gosec,gocritic // attributes of SVG: numbers and an escaped name
		`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s"><polyline class="path" points="%s"/>%s</svg>`, width, height,
		html.EscapeString(fmt.Sprintf("%d moments of %s, those that look alike close together", len(points), v.name)),
		strings.TrimSpace(path.String()), dots.String()))
}

// stretch maps coordinate k of all points onto from … to.
func stretch(points [][]float64, k int, from, to float64) []float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		low, high = min(low, p[k]), max(high, p[k])
	}
	out := make([]float64, len(points))
	for i, p := range points {
		part := 0.5
		if high > low {
			part = (p[k] - low) / (high - low)
		}
		out[i] = from + part*(to-from)
	}
	return out
}

// colourOf is the colour of a part of the time, from blue to yellow; its lightness rises all the way.
func colourOf(part float64) string {
	stops := [...][3]float64{{59, 76, 192}, {116, 66, 200}, {190, 70, 160}, {232, 112, 84}, {246, 200, 68}}
	at := min(max(part, 0), 1) * float64(len(stops)-1)
	i := min(int(at), len(stops)-2)
	var c [3]int
	for k := range c {
		c[k] = int(math.Round(stops[i][k] + (at-float64(i))*(stops[i+1][k]-stops[i][k])))
	}
	return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2])
}

// ramp is the key of the colours.
func ramp(length float64) template.HTML {
	var s strings.Builder
	s.WriteString(`0:00 <svg viewBox="0 0 70 8" aria-hidden="true">`)
	const steps = 14
	for i := range steps {
		fmt.Fprintf(&s, `<rect x="%d" width="5.5" height="8" fill="%s"/>`, 5*i, colourOf((float64(i)+0.5)/steps))
	}
	s.WriteString(`</svg> ` + hour(math.Round(length)))
	return template.HTML(s.String()) //nolint:gosec // numbers
}
