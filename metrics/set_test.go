package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

var update = flag.Bool("update", false, "write docs/metrics.md instead of comparing with it")

func TestReferenceIsUpToDate(t *testing.T) {
	path := fixture.Repository("docs", "metrics.md")
	if *update {
		require.NoError(t, os.WriteFile(path, Reference(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(Reference()), "go test ./metrics -run TestReference -update writes it anew")
}

func TestTheTableFollowsPrometheusOwnRules(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Table() {
		t.Run(m.Name, func(t *testing.T) {
			require.False(t, seen[m.Name], "it is declared twice")
			seen[m.Name] = true
			require.Regexp(t, `^ensue_[a-z_]+$`, m.Name)
			require.Equal(t, m.Type == Counter, strings.HasSuffix(m.Name, "_total"))
			require.Equal(t, m.Type == Histogram, len(m.Buckets) > 0)
			require.Regexp(t, `^[A-Z].*\.$`, m.Help)
			require.NotEmpty(t, m.Unit)
			for _, unit := range []string{"seconds", "bytes"} { // the name says the unit where it is one of Prometheus' own
				if m.Unit == unit {
					require.Regexp(t, unit+"(_total)?$", m.Name)
				}
			}
			for _, label := range m.Labels {
				require.Regexp(t, `^[a-z]+$`, label.Name)
				require.NotEmpty(t, label.Bound, "a label without a bound")
			}
		})
	}
	require.Empty(t, lint(t, New(Options{Pipeline: "lobby", Read: everything})))
}

// everything tells one value of all that is read.
func everything(emit Emit) {
	for _, m := range Table() {
		if m.Type != Histogram && !strings.HasPrefix(m.Name, "ensue_stream") {
			emit(m.Name, 1, labels(m)...)
		}
	}
}

func labels(m Metric) []string {
	values := make([]string, len(m.Labels))
	for i := range values {
		values[i] = "a"
	}
	return values
}

func lint(t *testing.T, set *Set) []string {
	t.Helper()
	problems, err := testutil.GatherAndLint(set.Gatherer())
	require.NoError(t, err)
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Metric+": "+p.Text)
	}
	return texts
}

func TestWhatTheTableDoesNotDeclareIsAnErrorOfTheScrape(t *testing.T) {
	for name, read := range map[string]func(Emit){
		"a metric":       func(emit Emit) { emit("ensue_secret_total", 1) },
		"a label more":   func(emit Emit) { emit(SegmentsReceived, 1, "x") },
		"a label less":   func(emit Emit) { emit(DeadLetters, 1) },
		"told twice":     func(emit Emit) { emit(SegmentsReceived, 1); emit(SegmentsReceived, 1) },
		"no valid UTF-8": func(emit Emit) { emit(ModelInfo, 1, "\xff", "", "", "") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{Read: read}).Gatherer().Gather()
			require.Error(t, err)
		})
	}
}

func TestLabelsAreBounded(t *testing.T) {
	set := New(Options{Pipeline: "lobby", Streams: 3, Read: func(emit Emit) {
		for i := range 500 {
			emit(DeadLetters, 1, fmt.Sprintf("decode.code%03d", i))
			emit(IngestLag, 2, fmt.Sprint(i))
		}
		for i := range 100 {
			emit(IngestLag, 2, fmt.Sprint(500+i))
		}
	}})
	energy, p := 1.5, .25
	now := time.Unix(1000, 0)
	for i := range 10 {
		for range 2 {
			set.Result(&stream.Result{
				Stream: fmt.Sprintf("cam%d", i), Verdict: stream.Breaks, Energy: &energy, PValue: &p,
				Expected: &stream.Expected{Low: 1, Median: 2, High: 3},
			}, now)
		}
	}
	require.Equal(t, maxCodes+1, count(t, set, DeadLetters))
	require.Equal(t, 300.0, value(t, set, DeadLetters, "code", Other))
	require.Equal(t, maxPartitions+1, count(t, set, IngestLag))
	require.Equal(t, 2.0*(600-maxPartitions), value(t, set, IngestLag, "partition", Other))
	require.Equal(t, 3, count(t, set, StreamEnergy))
	require.Equal(t, 9, count(t, set, StreamExpected))
	require.Equal(t, 3+1, count(t, set, StreamResults))
	require.Equal(t, 14.0, value(t, set, StreamResults, "stream", Other))
	require.Equal(t, 2.0, value(t, set, StreamResults, "stream", "cam1"))
	require.Equal(t, 1000.0, value(t, set, StreamLastStamp, "stream", Other))

	// Who was silent for long makes room, and who has ended at once.
	later := now.Add(silent + time.Second)
	set.Result(&stream.Result{Stream: "cam2", Verdict: stream.Continues}, later.Add(-time.Second))
	set.Forget("cam0")
	for _, name := range []string{"cam7", "cam8", "cam9"} {
		set.Result(&stream.Result{Stream: name, Verdict: stream.Continues}, later)
	}
	require.Equal(t, 1.0, value(t, set, StreamResults, "stream", "cam7"))
	require.Equal(t, 1.0, value(t, set, StreamResults, "stream", "cam8"))
	require.Equal(t, 15.0, value(t, set, StreamResults, "stream", Other))
	require.Equal(t, 3.0, value(t, set, Streams, "pipeline", "lobby"))
}

// count is how many series a metric has, value the sum of those with a label.
func count(t *testing.T, set *Set, name string) int {
	t.Helper()
	n, err := testutil.GatherAndCount(set.Gatherer(), name)
	require.NoError(t, err)
	return n
}

func value(t *testing.T, set *Set, name, label, is string) float64 {
	t.Helper()
	families, err := set.Gatherer().Gather()
	require.NoError(t, err)
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == name && l.GetName() == label && l.GetValue() == is {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

func TestTwoSetsKnowNothingOfEachOther(t *testing.T) {
	a, b := New(Options{Pipeline: "a"}), New(Options{Pipeline: "b"})
	a.Observer(StageDuration, "decode").Observe(1)
	require.Equal(t, 1, count(t, a, StageDuration))
	require.Zero(t, count(t, b, StageDuration))
	both := prometheus.Gatherers{a.Gatherer(), b.Gatherer()}
	_, err := both.Gather() // only what is of the process is told by both
	require.NotContains(t, fmt.Sprint(err), "ensue_")
}

// BenchmarkSegment is what one segment costs on the goroutine that delivers.
func BenchmarkSegment(b *testing.B) {
	set := New(Options{Pipeline: "lobby"})
	var all []prometheus.Observer
	for _, stage := range []string{"decode", "encode", "predict"} {
		all = append(all, set.Observer(StageDuration, stage))
	}
	for _, name := range []string{QueueDuration, DeliveryDuration, ResultAge, PValue} {
		all = append(all, set.Observer(name))
	}
	energy, p := 1.5, .25
	result := &stream.Result{Stream: "cam", Verdict: stream.Continues, Energy: &energy, PValue: &p}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for _, observer := range all {
			observer.Observe(.01)
		}
		set.Result(result, now)
	}
}
