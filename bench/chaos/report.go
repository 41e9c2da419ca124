package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run came to.
type Report struct {
	OK       bool           `json:"ok"`
	Seed     uint64         `json:"seed"`
	Delivery string         `json:"delivery"`
	Broker   string         `json:"broker"`
	Brokers  int            `json:"brokers"`
	Members  int            `json:"members"`
	Streams  int            `json:"streams"`
	Minutes  float64        `json:"minutes"`
	Seconds  float64        `json:"seconds"`
	Poison   float64        `json:"poison"`
	Churn    bool           `json:"churn"`
	Claims   bool           `json:"claims"`
	Events   map[string]int `json:"events"`
	Verdict
	Latencies []Latency `json:"latencies"`
	// Exits are processes that ended by themselves and were started again, Unclean those that did not end well when asked to.
	Exits   []string `json:"exits"`
	Unclean []string `json:"unclean"`
	// Cut are processes whose drain_timeout was too short for what was under way, of Asked that were asked to end.
	Cut   []string `json:"cut"`
	Asked int      `json:"asked"`
	// PoisonCost is what poison does to the latency of healthy streams, as a factor; zero where there was none.
	PoisonCost float64 `json:"poison_cost,omitempty"`
	// Failures say in words why it is not OK.
	Failures []string `json:"failures,omitempty"`
}

// mostPoisonCost is how much longer healthy streams may take beside poison. What is below slack is the noise of a busy machine.
const (
	mostPoisonCost = 2
	slack          = 0.25
)

// mostCut: one in so many processes, and one in any case, may be cut short where the machine is behind. Nothing is lost by it, as the
// counts say; where it is more, drains do not work.
const mostCut = 10

// conclude makes the report.
func (sc *scene) conclude(verdict *Verdict) *Report {
	r := &Report{
		Seed: sc.seed, Delivery: sc.delivery, Broker: sc.broker, Brokers: sc.nodes, Members: sc.settings.members, Streams: sc.streams,
		Minutes: sc.minutes, Seconds: time.Since(sc.begun).Seconds(), Poison: sc.poison, Churn: sc.churn, Claims: sc.claims, Verdict: *verdict,
		Exits: sc.members.exits, Unclean: sc.members.unclean, Cut: sc.members.cut, Asked: sc.members.asked, Events: map[string]int{},
	}
	for kind, count := range sc.members.happened {
		r.Events[string(kind)] = count
	}
	phases := sc.watcher.latencies()
	for _, name := range []string{"clean", "poisoned", "chaos"} {
		if phase, ok := phases[name]; ok {
			r.Latencies = append(r.Latencies, phase)
		}
	}
	if verdict.Segments == 0 || verdict.Results.Expected == 0 {
		r.Failures = append(r.Failures, "nothing was sent: this shows nothing")
	}
	if !verdict.OK(sc.delivery == exactlyOnce) {
		r.Failures = append(r.Failures, "what came out is not what went in")
	}
	clean, dirty := phases["clean"], phases["poisoned"]
	if clean.N > 0 && dirty.N > 0 {
		r.PoisonCost = max(dirty.P50/clean.P50, dirty.P95/clean.P95)
		if r.PoisonCost > mostPoisonCost && max(dirty.P50-clean.P50, dirty.P95-clean.P95) > slack {
			r.Failures = append(r.Failures, fmt.Sprintf("healthy streams took %.1f times as long beside poison", r.PoisonCost))
		}
	}
	if sc.poison > 0 && (clean.N == 0 || dirty.N == 0) {
		r.Failures = append(r.Failures, "no result came in one of the quiet phases: what poison costs cannot be told")
	}
	if len(r.Unclean) > 0 {
		r.Failures = append(r.Failures, fmt.Sprintf("%d processes did not end well when asked to", len(r.Unclean)))
	}
	if len(r.Cut) > max(1, r.Asked/mostCut) {
		r.Failures = append(r.Failures, fmt.Sprintf("%d of %d processes could not finish when asked to", len(r.Cut), r.Asked))
	}
	r.OK = len(r.Failures) == 0
	return r
}

func (r *Report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (r *Report) print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\texpected\tmissing\tunexpected\tconflicts\tout of order\tstrayed\twrong\trepeats\t\n")
	for _, row := range []struct {
		name string
		c    Count
	}{{"results", r.Results}, {"dead letters", r.DeadLetters}} {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", row.name,
			row.c.Expected, row.c.Missing, row.c.Unexpected, row.c.Conflicts, row.c.OutOfOrder, row.c.Strayed, row.c.Wrong, row.c.Repeats)
	}
	_ = table.Flush() // to a terminal
	kinds := make([]string, 0, len(r.Events))
	for kind, count := range r.Events {
		kinds = append(kinds, fmt.Sprintf("%d %s", count, kind))
	}
	slices.Sort(kinds)
	fmt.Fprintf(out, "%d segments in %.0f s; %s\n", r.Segments, r.Seconds, strings.Join(kinds, ", "))
	for _, l := range r.Latencies {
		fmt.Fprintf(out, "durable to result, %s: p50 %.3f s, p95 %.3f s, p99 %.3f s, max %.3f s (n = %d)\n", l.Phase, l.P50, l.P95, l.P99,
			l.Longest, l.N)
	}
	if r.PoisonCost > 0 {
		fmt.Fprintf(out, "healthy streams beside poison: %.2f times the latency\n", r.PoisonCost)
	}
	for _, list := range [][]string{r.Exits, r.Unclean, r.Cut, r.Examples} {
		for _, line := range list {
			fmt.Fprintln(out, "  "+line)
		}
	}
	if r.OK {
		fmt.Fprintln(out, "PASSED: nothing missing, nothing twice, everything in order")
		return
	}
	fmt.Fprintf(out, "FAILED: %s (seed %d)\n", strings.Join(r.Failures, "; "), r.Seed)
}
