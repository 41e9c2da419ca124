package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// row is one comparison: seconds a call of both sides, round by round.
type row struct {
	Case, What   string
	Threads      int
	Ours, Theirs []float64
	Goal         float64 // of the ratio theirs/ours; 0: none
	Note         string

	gflop, peak float64 // work of a call; what the processor can do in a second
}

// table prints rows as they come and remembers whether a goal was missed.
type table struct {
	json     bool
	begun    bool
	missed   bool
	versions map[string]string
}

func newTable(asJSON bool) *table { return &table{json: asJSON} }

// ratios are theirs/ours, a round each, sorted.
func (r row) ratios() []float64 {
	all := make([]float64, len(r.Ours))
	for i := range all {
		all[i] = r.Theirs[i] / r.Ours[i]
	}
	slices.Sort(all)
	return all
}

func (r row) verdict() string {
	switch {
	case r.Goal == 0:
		return "-"
	case median(r.ratios()) >= r.Goal:
		return "ok"
	}
	return "missed"
}

// share is what part of the processor's float32 peak the work makes up at a time.
func (r row) share(seconds float64) float64 { return 100 * r.gflop / seconds / r.peak }

func (t *table) add(r row) {
	ratios := r.ratios()
	t.missed = t.missed || r.verdict() == "missed"
	ours, theirs := median(r.Ours), median(r.Theirs)
	if t.json {
		t.print(map[string]any{
			"case": r.Case, "what": r.What, "threads": r.Threads, "ours_s": r.Ours, "theirs_s": r.Theirs,
			"ratio": median(ratios), "ratio_low": ratios[0], "ratio_high": ratios[len(ratios)-1], "goal": r.Goal, "verdict": r.verdict(),
			"ours_peak_percent": r.share(ours), "theirs_peak_percent": r.share(theirs), "peak_gflops": r.peak, "note": r.Note,
		})
		return
	}
	if !t.begun {
		t.begun = true
		fmt.Printf("%-34s %-30s %2s %10s %10s %6s %13s %5s %-7s %9s %s\n",
			"case", "ours / theirs", "th", "ours ms", "theirs ms", "ratio", "low–high", "goal", "verdict", "% of peak", "results")
	}
	goal := "-"
	if r.Goal > 0 {
		goal = fmt.Sprintf("%.1f", r.Goal)
	}
	fmt.Printf("%-34s %-30s %2d %10.2f %10.2f %6.2f %6.2f–%-6.2f %5s %-7s %4.0f/%-4.0f %s\n", r.Case, r.What, r.Threads, 1000*ours,
		1000*theirs, median(ratios), ratios[0], ratios[len(ratios)-1], goal, r.verdict(), r.share(ours), r.share(theirs), r.Note)
}

func (t *table) print(line map[string]any) {
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

// finish says what was compared with, and whether all is well.
func (t *table) finish() error {
	if !t.json {
		fmt.Printf("%% of peak: work of the matrix products and attention, as a share of what the processor's float32 units can do\n")
		for _, name := range slices.Sorted(keys(t.versions)) {
			fmt.Printf("%s %s  ", name, t.versions[name])
		}
		fmt.Println()
	}
	if t.missed {
		return errMissed
	}
	return nil
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
