package main

import (
	"fmt"
	"slices"
)

// summarise prints the median of what the rounds say, and between what they lie.
func summarise(reports []*Report) {
	say := func(format string, of func(*Report) float64) string {
		figures := make([]float64, len(reports))
		for i, report := range reports {
			figures[i] = of(report)
		}
		slices.Sort(figures)
		return fmt.Sprintf(format+" ("+format+" to "+format+")", figures[len(figures)/2], figures[0], figures[len(figures)-1])
	}
	fmt.Printf("median of %d rounds, the least and the most:\n", len(reports))
	fmt.Printf("  %s KiB a stream\n", say("%.1f", func(r *Report) float64 { return r.PerStreamKiB }))
	fmt.Printf("  at most %s segments a second\n", say("%.0f", func(r *Report) float64 { return r.Capacity }))
	for i, load := range reports[0].Loads {
		fmt.Printf("  at %3.0f %%: p50 %s s, p95 %s s, p99 %s s\n", 100*load.Part, say("%.3f", func(r *Report) float64 { return r.Loads[i].P50 }),
			say("%.3f", func(r *Report) float64 { return r.Loads[i].P95 }), say("%.3f", func(r *Report) float64 { return r.Loads[i].P99 }))
	}
}
