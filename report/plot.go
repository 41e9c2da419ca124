package report

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/ensue-video/ensue/internal/look"
	"github.com/ensue-video/ensue/stream"
)

// PlotFormats are the formats of WritePlot, as the ends of file names.
func PlotFormats() []string { return []string{"svg", "png"} }

// PlotFormat is the format that a file's name asks for, and false where there is no such format.
func PlotFormat(path string) (string, bool) {
	end := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	for _, format := range PlotFormats() {
		if end == format {
			return format, true
		}
	}
	return "", false
}

// The look of a plot, in pixels: a panel a video, one below the other.
const (
	plotWidth, plotLeft, plotRight = 960, 70, 20
	plotTop, panelHeight, plotArea = 46, 150, 92
	plotPanels                     = 60
	plotFont                       = 12
)

// The colours of a plot, on white.
const (
	inkLine, inkText, inkFaint, inkBand = 0x1f2937, 0x30353d, 0xd8dce2, 0x0f766e
	inkBreaks, inkStalls                = 0xb4380a, 0x5b21b6
)

// spot is a place on a plot.
type spot struct{ x, y float64 }

// anchor says which end of a text stands at its place.
type anchor int

const (
	anchorStart anchor = iota
	anchorMiddle
	anchorEnd
)

// canvas is what a plot is drawn on. Colours are 0xRRGGBB, opacity is 0 to 1.
type canvas interface {
	area(corners []spot, colour int, opacity float64)
	line(through []spot, colour int, width float64)
	text(at spot, from anchor, size float64, colour int, text string)
	write(w io.Writer) error
}

// WritePlot draws the timelines of all videos; format is one of PlotFormats. More than 60 videos are not drawn, and the plot says so.
func (r *Recorder) WritePlot(w io.Writer, format string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	videos := r.sorted()
	left := max(0, len(videos)-plotPanels)
	videos = videos[:len(videos)-left]
	height := plotTop + max(1, len(videos))*panelHeight
	var c canvas
	switch format {
	case "svg":
		c = newSVG(plotWidth, height)
	case "png":
		c = newRaster(plotWidth, height)
	default:
		return fmt.Errorf("writing the plot: no format %q: it is one of %s", format, strings.Join(PlotFormats(), ", "))
	}
	title := r.options.Title + ": energy over time"
	if left > 0 {
		title += fmt.Sprintf(" (the first %d of %d videos)", len(videos), len(videos)+left)
	}
	c.text(spot{plotLeft, 26}, anchorStart, 1.3*plotFont, inkText, title)
	drawKey(c)
	for i, v := range videos {
		drawPanel(c, v, float64(plotTop+i*panelHeight))
	}
	if err := c.write(w); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return nil
}

// drawKey says what the colours and shapes mean, at the right of the title.
func drawKey(c canvas) {
	const y = 22.0
	x := plotWidth - plotRight - 330.0
	box := func(x, wide, high float64) []spot {
		return []spot{{x, y - high/2}, {x + wide, y - high/2}, {x + wide, y + high/2}, {x, y + high/2}}
	}
	c.line([]spot{{x, y}, {x + 18, y}}, inkLine, 1.5)
	c.area(box(x+80, 18, 10), inkBand, 0.2)
	c.area([]spot{{x + 206, y - 5}, {x + 218, y - 5}, {x + 212, y + 4}}, inkBreaks, 1)
	c.area(box(x+273, 10, 10), inkStalls, 1)
	for _, word := range []struct {
		at   float64
		text string
	}{{24, "energy"}, {104, "expected band"}, {223, "breaks"}, {288, "stalls"}} {
		c.text(spot{x + word.at, y + 4}, anchorStart, plotFont-1, inkText, word.text)
	}
}

func drawPanel(c canvas, v *video, top float64) {
	c.text(spot{plotLeft, top + 12}, anchorStart, plotFont, inkText, v.name+" ("+verdicts(v)+")")
	line := &v.line
	if len(line.bins) == 0 {
		c.text(spot{plotLeft, top + 40}, anchorStart, plotFont, inkText, "nothing was scored")
		return
	}
	y := line.axis(top+20+plotArea, top+20)
	length := line.length()
	x := func(at float64) float64 { return plotLeft + (plotWidth-plotLeft-plotRight)*at/length }
	for _, tick := range y.ticks(4) {
		c.line([]spot{{plotLeft, y.at(tick)}, {plotWidth - plotRight, y.at(tick)}}, inkFaint, 1)
		c.text(spot{plotLeft - 6, y.at(tick) + 4}, anchorEnd, plotFont-1, inkText, look.Plain(tick, 3))
	}
	for _, tick := range timeTicks(length, 10) {
		c.line([]spot{{x(tick), y.bottom}, {x(tick), y.bottom + 4}}, inkText, 1)
		c.text(spot{x(tick), y.bottom + 17}, anchorMiddle, plotFont-1, inkText, hour(tick))
	}
	for _, run := range judged(line.bins) {
		var over, under []spot
		for _, b := range run {
			over = append(over, spot{x(b.start), y.at(b.expected.High)}, spot{x(b.end), y.at(b.expected.High)})
			under = append([]spot{{x(b.end), y.at(b.expected.Low)}, {x(b.start), y.at(b.expected.Low)}}, under...)
		}
		c.area(append(over, under...), inkBand, 0.2)
	}
	var through []spot
	for _, b := range line.bins {
		through = append(through, spot{x((b.start + b.end) / 2), y.at(b.energy)})
	}
	c.line(through, inkLine, 1.5)
	drawMarks(c, line, x, y)
}

func drawMarks(c canvas, line *timeline, x func(float64) float64, y scale) {
	for _, b := range line.bins {
		at := x((b.start + b.end) / 2)
		switch b.verdict {
		case stream.Breaks:
			tip := max(y.at(b.high)-3, y.top)
			c.area([]spot{{at - 6, tip - 9}, {at + 6, tip - 9}, {at, tip}}, inkBreaks, 1)
		case stream.Stalls:
			under := min(y.at(b.low)+4, y.bottom-10)
			c.area([]spot{{at - 5, under}, {at + 5, under}, {at + 5, under + 10}, {at - 5, under + 10}}, inkStalls, 1)
		case stream.WarmingUp, stream.Continues, stream.Unscored:
		}
	}
}

// verdicts is what was found in a video, in words.
func verdicts(v *video) string {
	breaks, stalls := v.verdicts[stream.Breaks], v.verdicts[stream.Stalls]
	switch {
	case stalls == 0 && breaks > 0:
		return segmentsThat(breaks, "break")
	case breaks == 0 && stalls > 0:
		return segmentsThat(stalls, "stall")
	case breaks+stalls > 0:
		return fmt.Sprintf("%s, %d %s", segmentsThat(breaks, "break"), stalls, doing(stalls, "stall"))
	case worstOf(&v.line) == nil:
		return "not judged"
	}
	return "continues"
}
