package train

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// pageTemplate is the page's frame; it refers to nothing outside itself.
//
//go:embed page.html
var pageTemplate string

// The size of a chart in pixels, and the margins its axes are written in.
const (
	chartWidth, chartHeight = 560, 200
	chartLeft, chartBottom  = 56, 24
	chartTop, chartRight    = 10, 12
	chartPoints             = 400
)

// curve is one line of a chart.
type curve struct {
	Label  string
	Colour string
	Dashed bool
	values []float64
}

// chart is curves over steps.
type chart struct {
	Title, Note string
	Curves      []curve
	// log draws the logarithm; line, where it is not 0, is a limit to draw.
	log   bool
	limit float64
	steps []float64
}

// palette are colours that differ for people who see few of them (Okabe, Ito 2008).
func palette() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"}
}

// page is the telemetry as an HTML page.
func (r *record) page(c *Config, s *state, width int) ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"svg": drawChart}).Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	definition, err := c.Encode()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Name": c.Name, "Step": s.Step, "Elapsed": s.Elapsed.Round(1e9), "Collapse": s.Watch.Told, "Last": s.Last,
		"Charts": r.charts(c, width), "Definition": string(definition),
	})
	return out.Bytes(), err
}

// charts are all there is to see, what matters most first.
func (r *record) charts(c *Config, width int) []chart {
	charts := []chart{
		r.chart("Loss", "the weighted sum", false, r.named("loss")...),
		r.chart("Prediction (solid) against persistence (dashed)", "distance to what came, by horizon; the prediction is to be below", false,
			r.named("prediction_", "persistence_")...),
		r.chart("Prediction over persistence", "below 1 something was learned about what comes", false, r.ratios("")...),
		r.chart("Prediction over persistence where something moves", "what is learned of motion shows here first", false, r.ratios("moving_")...),
		r.chart("Effective rank", fmt.Sprintf("of the %d dimensions of a token; a fall is a dimensional collapse", width), false,
			r.named("rank_encoder", "rank_predictor")...),
		r.chart("Deviation of features over tokens", "near 0 all tokens are the same", false, r.named("deviation")...),
		r.chart("Covariance", "how much features tell the same", true, r.named("covariance")...),
		r.chart("Length of the gradient", "before it is cut", true, r.named("gradient_norm")...),
		r.chart("Learning rate", "", false, r.named("rate")...),
		r.chart("Verifier", "share of windows with a lower energy than their negatives, and how well it tells the places of these", false,
			r.named("verifier_")...),
		r.chart("Windows per second", "", false, r.named("windows_per_second")...),
	}
	for _, term := range r.named("term_") { // one each: their sizes differ, and some are below 0
		charts = append(charts, r.chart("Term: "+term.Label, "without its weight", false, term))
	}
	for i := range charts {
		switch {
		case strings.HasPrefix(charts[i].Title, "Effective rank"):
			charts[i].limit = c.Collapse.Rank * float64(width)
		case strings.HasPrefix(charts[i].Title, "Deviation"):
			charts[i].limit = c.Collapse.Deviation
		case strings.HasPrefix(charts[i].Title, "Prediction over"):
			charts[i].limit = 1
		}
	}
	return slices.DeleteFunc(charts, func(c chart) bool { return len(r.names) > 0 && len(c.Curves) == 0 })
}

func (r *record) chart(title, note string, log bool, curves ...curve) chart {
	steps, _ := r.column("step")
	return chart{Title: title, Note: note, Curves: curves, log: log, steps: steps}
}

// named are the curves whose names begin so.
func (r *record) named(prefixes ...string) (curves []curve) {
	colours := map[string]string{}
	for _, prefix := range prefixes {
		for _, name := range r.names {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			values, _ := r.column(name)
			label := strings.TrimPrefix(name, "term_")
			key := label
			if before, horizon, ok := strings.Cut(name, "_"); ok && (before == "prediction" || before == "persistence") {
				key = horizon // both curves of a horizon have its colour
			}
			if colours[key] == "" {
				colours[key] = palette()[len(colours)%len(palette())]
			}
			curves = append(curves, curve{
				Label: strings.ReplaceAll(label, "_", " "), Colour: colours[key], Dashed: strings.HasPrefix(name, "persistence_"), values: values,
			})
		}
	}
	return curves
}

// ratios are predictions over persistence, of all places or, with the prefix, of those that move.
func (r *record) ratios(prefix string) (curves []curve) {
	for _, p := range r.named(prefix + "prediction_") {
		horizon := strings.TrimPrefix(p.Label, strings.ReplaceAll(prefix, "_", " ")+"prediction ")
		persistence, ok := r.column(prefix + "persistence_" + horizon)
		if !ok {
			continue
		}
		ratio := make([]float64, len(p.values))
		for i, v := range p.values {
			ratio[i] = v / max(persistence[i], 1e-9)
		}
		curves = append(curves, curve{Label: horizon, Colour: p.Colour, values: ratio})
	}
	return curves
}

// drawChart is a chart as SVG.
func drawChart(c chart) template.HTML {
	low, high := c.bounds()
	if math.IsInf(low, 0) || len(c.steps) == 0 {
		return "<p>nothing yet</p>"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, chartHeight, template.HTMLEscapeString(c.Title))
	last := max(c.steps[len(c.steps)-1], 1)
	place := func(step, value float64) (x, y float64) {
		x = chartLeft + step/last*(chartWidth-chartLeft-chartRight)
		y = chartTop + (high-c.scaled(value))/(high-low)*(chartHeight-chartTop-chartBottom)
		return x, min(max(y, chartTop), chartHeight-chartBottom)
	}
	c.axes(&b, low, high, last)
	if c.limit > 0 {
		_, y := place(0, c.limit)
		fmt.Fprintf(&b, `<line class="limit" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, chartLeft, chartWidth-chartRight, y, y)
	}
	for _, line := range c.Curves {
		c.draw(&b, line, place)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // made of numbers, and of titles that are escaped above
}

// scaled is a value on the chart's axis.
func (c chart) scaled(v float64) float64 {
	if c.log {
		return math.Log10(max(v, 1e-6))
	}
	return v
}

// bounds are the ends of the axis of values, with a little room.
func (c chart) bounds() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, line := range c.Curves {
		for _, v := range line.values {
			if s := c.scaled(v); !math.IsNaN(s) && !math.IsInf(s, 0) {
				low, high = min(low, s), max(high, s)
			}
		}
	}
	if c.limit > 0 && !math.IsInf(low, 0) {
		low, high = min(low, c.scaled(c.limit)), max(high, c.scaled(c.limit))
	}
	room := max((high-low)*0.05, 1e-9)
	return low - room, high + room
}

// axes writes the ends and the middle of both axes.
func (c chart) axes(b *strings.Builder, low, high, last float64) {
	for i := range 3 {
		part := float64(i) / 2
		y := chartTop + (1-part)*(chartHeight-chartTop-chartBottom)
		value := low + part*(high-low)
		if c.log {
			value = math.Pow(10, value)
		}
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" class="value">%s</text>`,
			chartLeft, chartWidth-chartRight, y, y, chartLeft-6, y+4, strconv.FormatFloat(value, 'g', 3, 64))
		x := chartLeft + part*(chartWidth-chartLeft-chartRight)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" class="step">%.0f</text>`, x, chartHeight-8, part*last)
	}
}

// draw draws a curve; of many points it takes some.
func (c chart) draw(b *strings.Builder, line curve, place func(step, value float64) (x, y float64)) {
	dash := ""
	if line.Dashed {
		dash = ` stroke-dasharray="4 3"`
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s"%s points="`, line.Colour, dash)
	every := max(1, len(line.values)/chartPoints)
	for i, v := range line.values {
		if i >= len(c.steps) || math.IsNaN(v) || math.IsInf(v, 0) || i%every != 0 && i != len(line.values)-1 {
			continue
		}
		x, y := place(c.steps[i], v)
		fmt.Fprintf(b, "%.1f,%.1f ", x, y)
	}
	b.WriteString(`"/>`)
}
