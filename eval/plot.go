package eval

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// Plot is intervals by name: a group of dots with whiskers for each row.
type Plot struct {
	Title  string
	Rows   []string
	Series []Series
	// Reference is a value with a line of its own (chance); NaN: none.
	Reference float64
}

// Series is an interval a row.
type Series struct {
	Name   string
	Values []Interval
}

// Plot shows AUROC by kind.
func (c *Continuation) Plot() Plot {
	p := Plot{Title: "Continuation: AUROC, 95 % intervals over clips", Reference: 0.5, Rows: []string{"mean of ten"}}
	for _, kind := range c.kinds {
		p.Rows = append(p.Rows, string(kind))
	}
	for _, s := range c.Scores {
		values := []Interval{s.MeanAUROC}
		for _, k := range s.Kinds {
			values = append(values, k.AUROC)
		}
		p.Series = append(p.Series, Series{s.Name, values})
	}
	return p
}

// Plot shows pairwise accuracy by kind.
func (v *VOE) Plot() Plot {
	p := Plot{Title: "Violations of expectation: pairwise accuracy, 95 % intervals over pairs", Reference: 0.5, Rows: VOERows()}
	for _, m := range v.Models {
		p.Series = append(p.Series, Series{m.Name, m.Paired})
	}
	return p
}

// Plot shows recall@5 by distance, predicted and last embedding.
func (r *Retrieval) Plot() Plot {
	p := Plot{Title: fmt.Sprintf("Retrieval among %d: recall@5, 95 %% intervals over clips", r.Gallery), Reference: 5 / float64(r.Gallery)}
	series := map[string]int{}
	add := func(name string, value Interval) {
		i, ok := series[name]
		if !ok {
			i = len(p.Series)
			series[name] = i
			p.Series = append(p.Series, Series{Name: name})
		}
		p.Series[i].Values = append(p.Series[i].Values, value)
	}
	for _, x := range r.Results {
		row := fmt.Sprintf("%d s ahead", x.Ahead)
		if !slices.Contains(p.Rows, row) {
			p.Rows = append(p.Rows, row)
		}
		add(x.Name+": predicted", x.Recall5)
		add(x.Name+": last", x.Last5)
	}
	return p
}

// Plot shows the frame AUROC of each source.
func (a *Anomalies) Plot() Plot {
	p := Plot{Title: "Anomalies: frame AUROC, 95 % intervals over clips", Reference: 0.5, Rows: []string{"frame AUROC"}}
	for _, r := range a.Results {
		p.Series = append(p.Series, Series{r.Name, []Interval{r.AUROC}})
	}
	return p
}

// Plot shows what became of every objective.
func (o *Objectives) Plot() Plot {
	p := Plot{
		Title: "Objectives with the same budget, 95 % intervals", Reference: 0.5,
		Rows: []string{"one-class", "head", "violations of expectation", "permanence", "timing", "recall@1"},
	}
	for _, r := range o.Rows {
		if r.Failed == "" {
			p.Series = append(p.Series, Series{r.Name, []Interval{r.OneClass, r.Head, r.VOE, r.Permanence, r.Timing, r.Recall}})
		}
	}
	return p
}

// The look of a plot, in pixels.
const (
	plotLeft, plotTop, plotWidth = 230, 50, 620
	plotLine, plotGap            = 13, 9
	plotColours                  = 8
)

// palette are colours that are told apart by people who see colours differently, too (Okabe & Ito 2008).
func palette(i int) string {
	return [plotColours]string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"}[i%plotColours]
}

// WriteSVG draws the plot, without anything from elsewhere.
func (p Plot) WriteSVG(w io.Writer) error {
	low, high := p.limits()
	x := func(value float64) float64 { return plotLeft + plotWidth*(value-low)/(high-low) }
	group := len(p.Series)*plotLine + plotGap
	bottom := plotTop + len(p.Rows)*group
	var s strings.Builder
	height := bottom + 40 + len(p.Series)*18
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		plotLeft+plotWidth+30, height)
	fmt.Fprintf(&s, `<rect width="100%%" height="100%%" fill="white"/><text x="10" y="24" font-size="15">%s</text>`+"\n",
		html.EscapeString(p.Title))
	for tick := math.Ceil(low*10) / 10; tick <= high+1e-9; tick += 0.1 {
		fmt.Fprintf(&s, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%.1f</text>`+"\n",
			x(tick), x(tick), plotTop, bottom, x(tick), bottom+15, tick)
	}
	if p.Reference >= low && p.Reference <= high {
		fmt.Fprintf(&s, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#888" stroke-dasharray="4 3"/>`+"\n",
			x(p.Reference), x(p.Reference), plotTop, bottom)
	}
	for r, row := range p.Rows {
		top := plotTop + r*group
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-10, top+group/2+4, html.EscapeString(row))
		for i, series := range p.Series {
			if r >= len(series.Values) || math.IsNaN(series.Values[r].Low) {
				continue
			}
			v, y := series.Values[r], float64(top)+plotGap/2+plotLine*(float64(i)+0.5)
			fmt.Fprintf(&s, `<g stroke="%s" fill="%s"><line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><circle cx="%.1f" cy="%.1f" r="3.5"/>`+
				`<title>%s, %s: %s</title></g>`+"\n", palette(i), palette(i), x(v.Low), x(v.High), y, y, x(v.Value), y,
				html.EscapeString(series.Name), html.EscapeString(row), v)
		}
	}
	for i, series := range p.Series {
		y := bottom + 40 + i*18
		fmt.Fprintf(&s, `<circle cx="%d" cy="%d" r="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			plotLeft, y-4, palette(i), plotLeft+12, y, html.EscapeString(series.Name))
	}
	s.WriteString("</svg>\n")
	_, err := io.WriteString(w, s.String())
	return err
}

// limits are where the axis begins and ends: tenths around all values.
func (p Plot) limits() (low, high float64) {
	low, high = 0.5, 1
	for _, series := range p.Series {
		for _, v := range series.Values {
			for _, value := range [3]float64{v.Value, v.Low, v.High} {
				if !math.IsNaN(value) {
					low, high = min(low, math.Floor(value*10)/10), max(high, math.Ceil(value*10)/10)
				}
			}
		}
	}
	return low, high
}

// WriteHTML writes a page that needs nothing from elsewhere: the plot, the tables as text, and pictures (PNG) under their captions.
func WriteHTML(w io.Writer, p Plot, text string, pictures ...Picture) error {
	var s strings.Builder
	title := html.EscapeString(p.Title)
	fmt.Fprintf(&s, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n"+
		"<style>body{font-family:sans-serif;margin:2em;max-width:70em}pre{overflow-x:auto;font-size:12px}img{max-width:100%%}</style>\n", title)
	if err := p.WriteSVG(&s); err != nil {
		return err
	}
	fmt.Fprintf(&s, "<pre>%s</pre>\n", html.EscapeString(text))
	for _, picture := range pictures {
		fmt.Fprintf(&s, "<h3>%s</h3>\n<img alt=\"%s\" src=\"data:image/png;base64,%s\">\n",
			html.EscapeString(picture.Caption), html.EscapeString(picture.Caption), picture.Base64())
	}
	s.WriteString("</html>\n")
	_, err := io.WriteString(w, s.String())
	return err
}
