package eval

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/train"
)

// table is text in columns: the first to the left, the others to the right.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var text strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			switch {
			case i == 0 && len(row) == 1:
				text.WriteString(cell)
			case i == 0:
				text.WriteString(cell + gap)
			default:
				text.WriteString("  " + gap + cell)
			}
		}
		text.WriteString("\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// String is the value and its interval: ".856 [.812, .901]".
func (i Interval) String() string {
	return fmt.Sprintf("%s [%s, %s]", short(i.Value), short(i.Low), short(i.High))
}

// short is a share with three decimals and without the 0.
func short(x float64) string {
	if math.IsNaN(x) {
		return "-"
	}
	text := fmt.Sprintf("%.3f", x)
	if strings.HasPrefix(text, "0.") || strings.HasPrefix(text, "-0.") {
		return strings.Replace(text, "0.", ".", 1)
	}
	return text
}

// WriteText writes the tables for a terminal.
func (c *Continuation) WriteText(w io.Writer) error {
	head := fmt.Sprintf("%d windows of %d clips, %d of them static; left out: %d windows with cuts, %d files too short\n"+
		"in brackets 95 %% intervals over clips, %d draws; the mean is that of the ten kinds without brightness\n"+
		"z: AUROC of |log energy - mean| / deviation, and adapted: of energy - mean, of the clip's other windows\n\n",
		c.Windows, c.Clips, c.Static, c.WithCuts, c.TooShort, c.Draws)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var t table
	t.add("SCORE", "AUROC", "PAIRED", "Z", "ADAPTED", "NEGATIVES SEEN")
	for _, s := range c.Scores {
		t.add(s.Name, s.MeanAUROC.String(), s.MeanPaired.String(), short(s.MeanZ.Value), short(s.MeanAdapted.Value), seen(s))
	}
	t.add("")
	c.addKinds(&t, "AUROC BY KIND", func(k KindResult) Interval { return k.AUROC })
	t.add("")
	c.addKinds(&t, "PAIRED BY KIND", func(k KindResult) Interval { return k.Paired })
	t.add("")
	t.add("MAP (SPLICE)", "HIT", "CELL AUROC", "N")
	for _, m := range c.Maps {
		t.add(m.Name, m.Hit.String(), m.Cells.String(), strconv.Itoa(m.N))
	}
	if len(c.Speeds) > 0 {
		t.add("")
		t.add("LIVE (PROCESSOR TIME)", "MS A FRAME", "STREAMS OF 8 FPS A CORE")
	}
	for _, s := range c.Speeds {
		t.add(s.Name, fmt.Sprintf("%.2f", s.Milliseconds), fmt.Sprintf("%.0f", s.Streams))
	}
	return t.write(w)
}

func seen(s ScoreResult) string {
	switch {
	case s.NoNegatives:
		return "none"
	case s.LeftOut:
		return "all other kinds"
	}
	return "all kinds"
}

// addKinds adds a row for each score, a column for each kind.
func (c *Continuation) addKinds(t *table, title string, of func(KindResult) Interval) {
	if len(c.Scores) == 0 {
		return
	}
	header, counts := []string{title}, []string{"n"}
	for _, k := range c.Scores[0].Kinds {
		header, counts = append(header, string(k.Kind)), append(counts, strconv.Itoa(k.N))
	}
	t.add(header...)
	t.add(counts...)
	for _, s := range c.Scores {
		row := []string{s.Name}
		for _, k := range s.Kinds {
			if s.LeftOut && slices.Contains(negatives.Reported(), k.Kind) { // nothing was left out for it
				row = append(row, "-")
				continue
			}
			row = append(row, short(of(k).Value))
		}
		t.add(row...)
	}
}

// WriteText writes the table for a terminal.
func (v *VOE) WriteText(w io.Writer) error {
	head := fmt.Sprintf("pairwise accuracy, %d pairs a kind, score mix_top4_max_hA for every model; 95 %% intervals over pairs, %d draws\n"+
		"permanence: mean of vanish_hid and appear_hid; timing: of late and early; mean of 12: without colour_hid and shape_hid\n\n",
		v.Pairs, v.Draws)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var t table
	header := []string{"KIND"}
	for _, m := range v.Models {
		header = append(header, m.Name)
	}
	for i := 1; i < len(v.Models); i++ {
		header = append(header, v.Models[0].Name+" - "+v.Models[i].Name)
	}
	t.add(header...)
	for i, name := range VOERows() {
		row := []string{name}
		for _, m := range v.Models {
			row = append(row, m.Paired[i].String())
		}
		for k := 1; k < len(v.Models); k++ {
			row = append(row, v.Models[0].Gains[k][i].String())
		}
		t.add(row...)
	}
	t.add("")
	t.add("AUROC, ONE THRESHOLD FOR ALL SCENES")
	for i, name := range VOERows() {
		row := []string{name}
		for _, m := range v.Models {
			row = append(row, m.AUROC[i].String())
		}
		t.add(row...)
	}
	return t.write(w)
}

// WriteText writes the table for a terminal.
func (r *Retrieval) WriteText(w io.Writer) error {
	head := fmt.Sprintf("recall of the true segment among %d; 95 %% intervals over clips, %d draws\n\n", r.Gallery, r.Draws)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var t table
	t.add("SOURCE", "AHEAD", "N", "R@1", "R@1 LAST", "GAIN", "R@5", "R@5 LAST", "GAIN", "ENERGY/PERSISTENCE")
	for _, x := range r.Results {
		t.add(x.Name, fmt.Sprintf("%d s", x.Ahead), strconv.Itoa(x.N), x.Recall1.String(), x.Last1.String(), x.Gain1.String(),
			x.Recall5.String(), x.Last5.String(), x.Gain5.String(), x.Energy.String())
	}
	t.add("")
	r.addDifferences(&t)
	return t.write(w)
}

// addDifferences adds by how much the first source is better than the others.
func (r *Retrieval) addDifferences(t *table) {
	title := true
	for _, x := range r.Results {
		if x.Behind1 == nil {
			continue
		}
		if title {
			t.add(r.Results[0].Name+" MINUS", "AHEAD", "", "R@1", "R@5")
			title = false
		}
		t.add(x.Name, fmt.Sprintf("%d s", x.Ahead), "", x.Behind1.String(), x.Behind5.String())
	}
}

// WriteText writes the table for a terminal.
func (a *Anomalies) WriteText(w io.Writer) error {
	head := fmt.Sprintf("%d clips, %d frames, %d of them anomalous; what is usual was learned from %d other clips\n"+
		"95 %% intervals over clips, %d draws\n\n", a.Clips, a.Frames, a.Anomalous, a.Normal, a.Draws)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var t table
	t.add("SOURCE", "FRAME AUROC")
	for _, r := range a.Results {
		t.add(r.Name, r.AUROC.String())
	}
	return t.write(w)
}

// WriteText writes the table for a terminal.
func (o *Objectives) WriteText(w io.Writer) error {
	head := fmt.Sprintf("every objective with the same budget; in brackets 95 %% intervals\n"+
		"one-class and head: mean AUROC of ten kinds, %d windows, energies learned from %d; voe: %d pairs a kind; R@1: among %d, %d s ahead\n\n",
		o.Judged, o.Fitted, o.Pairs, o.Gallery, objectiveAhead)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	var t table
	t.add("OBJECTIVE", "NETWORK", "STEPS", "S A STEP", "RANK", "COLLAPSED", "ONE-CLASS", "HEAD", "VOE", "PERMANENCE", "TIMING",
		"R@1", "R@1 LAST")
	for _, r := range o.Rows {
		if r.Failed != "" {
			t.add(r.Name, r.Network, "-", "-", "-", "diverged")
			continue
		}
		trained := []string{"-", "-"}
		if r.Steps > 0 {
			trained = []string{strconv.Itoa(r.Steps), fmt.Sprintf("%.2f", r.SecondsPerStep)}
		}
		t.add(r.Name, r.Network, trained[0], trained[1], fmt.Sprintf("%.1f of %d", r.Rank, r.Width), collapsed(r.Collapse),
			r.OneClass.String(), r.Head.String(), r.VOE.String(), short(r.Permanence.Value), short(r.Timing.Value),
			r.Recall.String(), short(r.Last.Value))
	}
	t.add("")
	for _, r := range o.Rows {
		if r.Collapse != nil {
			t.add(fmt.Sprintf("%s collapsed at step %d: %s", r.Name, r.Collapse.Step, r.Collapse.Reason))
		}
	}
	return t.write(w)
}

func collapsed(c *train.Collapse) string {
	if c == nil {
		return "no"
	}
	return "YES"
}
