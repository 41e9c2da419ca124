package tail

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/ensue-video/ensue/stream"
)

const (
	fetchWait = 250 * time.Millisecond
	barWidth  = 16
)

// Table prints results as lines a person reads: when, which stream, the verdict, the energy as a bar against what the stream
// makes likely, and how likely that is.
type Table struct {
	out io.Writer
	// Colour marks breaks and stalls by colour as well as by word.
	Colour bool
	begun  bool
}

// NewTable prints to out.
func NewTable(out io.Writer) *Table { return &Table{out: out} }

// Print prints one result.
func (t *Table) Print(result *stream.Result) error {
	if !t.begun {
		t.begun = true
		if _, err := fmt.Fprintf(t.out, "%-14s %8s  %-10s %9s  %-*s %9s\n", "STREAM", "AT", "VERDICT", "ENERGY", barWidth, "", "P"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(t.out, "%-14s %8s  %s %9s  %-*s %9s\n",
		shorten(result.Stream, 14), at(result), t.verdict(result), number(result.Energy), barWidth, bar(result), probability(result.PValue))
	return err
}

func (t *Table) verdict(result *stream.Result) string {
	word := fmt.Sprintf("%-10s", result.Verdict)
	if !t.Colour {
		return word
	}
	switch result.Verdict {
	case stream.Breaks:
		return "\x1b[1;31m" + word + "\x1b[0m"
	case stream.Stalls:
		return "\x1b[1;34m" + word + "\x1b[0m"
	case stream.Continues:
		return "\x1b[32m" + word + "\x1b[0m"
	default:
		return "\x1b[2m" + word + "\x1b[0m"
	}
}

// at is the time of the stream at which the result's most surprising window begins.
func at(result *stream.Result) string {
	if len(result.Windows) == 0 {
		return "-"
	}
	worst := result.Windows[0]
	for _, window := range result.Windows[1:] {
		if window.PValue != nil && (worst.PValue == nil || *window.PValue < *worst.PValue) {
			worst = window
		}
	}
	return Clock(worst.Start)
}

// Clock is seconds as 1:02:03.4, without the hours where there are none.
func Clock(seconds float64) string {
	tenths := int64(math.Round(seconds * 10))
	h, m, s := tenths/36000, tenths/600%60, float64(tenths%600)/10
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%04.1f", h, m, s)
	}
	return fmt.Sprintf("%d:%04.1f", m, s)
}

// bar draws the energy on a scale whose middle is the stream's median, four times less at the left end and four times more at
// the right one; the expected band is dotted.
func bar(result *stream.Result) string {
	if result.Energy == nil || result.Expected == nil || result.Expected.Median <= 0 {
		return ""
	}
	place := func(energy float64) int {
		octaves := math.Log2(max(energy, 1e-12) / result.Expected.Median)
		return min(max(int(math.Round((octaves+2)/4*float64(barWidth-1))), 0), barWidth-1)
	}
	cells := []byte(strings.Repeat(" ", barWidth))
	for i := place(result.Expected.Low); i <= place(result.Expected.High); i++ {
		cells[i] = '.'
	}
	cells[place(*result.Energy)] = '#'
	return string(cells)
}

func number(value *float64) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *value)
}

func probability(p *float64) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.2g", *p)
}

func shorten(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}
