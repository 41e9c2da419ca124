package metrics

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Emit tells the value of a metric and of its labels, in the order of the table.
type Emit func(name string, value float64, labels ...string)

// Options say what a Set is of.
type Options struct {
	// Pipeline is the value of the label `pipeline`.
	Pipeline string
	// Streams is how many streams have metrics of their own; 0 is DefaultStreams.
	Streams int
	// Read is called for every scrape and tells all that the engine counts by itself; it may be nil.
	Read func(Emit)
}

// Set is the metrics of one pipeline.
type Set struct {
	registry   *prometheus.Registry
	read       func(Emit)
	rows       map[string]row
	histograms map[string]*prometheus.HistogramVec
	streams    *streams
}

// row is a metric of the table that is read when somebody scrapes.
type row struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// labels is how many there are, bound how many values a label may have whose values nobody lists; 0: they are listed.
	labels, bound int
}

// New makes a Set.
func New(options Options) *Set {
	s := &Set{
		registry: prometheus.NewRegistry(), read: options.Read, rows: map[string]row{}, histograms: map[string]*prometheus.HistogramVec{},
		streams: newStreams(options.Streams),
	}
	if s.read == nil {
		s.read = func(Emit) {}
	}
	constant := prometheus.Labels{"pipeline": options.Pipeline}
	for _, m := range Table() {
		s.declare(m, constant)
	}
	s.registry.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func (s *Set) declare(m Metric, constant prometheus.Labels) {
	names := make([]string, len(m.Labels))
	for i, label := range m.Labels {
		names[i] = label.Name
	}
	if m.Type == Histogram {
		made := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets, ConstLabels: constant}, names)
		s.registry.MustRegister(made)
		s.histograms[m.Name] = made
		return
	}
	kind := prometheus.GaugeValue
	if m.Type == Counter {
		kind = prometheus.CounterValue
	}
	s.rows[m.Name] = row{desc: prometheus.NewDesc(m.Name, m.Help, names, constant), kind: kind, labels: len(names), bound: bounds[m.Name]}
}

// bounds are how many values the last label of a metric may have where they are not listed.
var bounds = map[string]int{DeadLetters: maxCodes, IngestLag: maxPartitions, IngestHeld: maxPartitions}

// Gatherer gives all metrics.
func (s *Set) Gatherer() prometheus.Gatherer { return s.registry }

// Handler answers scrapes.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 8})
}

// Observer books what a histogram of the table is told; it is to be kept, for finding it costs more than using it.
func (s *Set) Observer(name string, labels ...string) prometheus.Observer {
	return s.histograms[name].WithLabelValues(labels...)
}

// Describe implements prometheus.Collector.
func (s *Set) Describe(out chan<- *prometheus.Desc) {
	for _, r := range s.rows {
		out <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (s *Set) Collect(out chan<- prometheus.Metric) {
	gathered := gathering{rows: s.rows, out: out, many: map[string]map[string]float64{}}
	s.read(gathered.emit)
	s.streams.tell(gathered.emit)
	gathered.flush()
}

// gathering is one scrape.
type gathering struct {
	rows map[string]row
	out  chan<- prometheus.Metric
	// many holds what has a label with a bound until all of it is known.
	many map[string]map[string]float64
}

// emit is invariant 1.
func (g *gathering) emit(name string, value float64, labels ...string) {
	r, ok := g.rows[name]
	switch {
	case !ok || len(labels) != r.labels:
		err := fmt.Errorf("telling %s with %d labels, which the table does not declare", name, len(labels))
		g.out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	case r.bound > 0:
		if g.many[name] == nil {
			g.many[name] = map[string]float64{}
		}
		g.many[name][labels[0]] += value
	default:
		g.send(r, value, labels)
	}
}

// flush tells what is bounded. Invariant 2: what is beyond the bound is told as one, in an order that does not change between scrapes.
func (g *gathering) flush() {
	for name, values := range g.many {
		r, rest := g.rows[name], 0.0
		for i, label := range slices.Sorted(maps.Keys(values)) {
			if i < r.bound {
				g.send(r, values[label], []string{label})
			} else {
				rest += values[label]
			}
		}
		if len(values) > r.bound {
			g.send(r, rest, []string{Other})
		}
	}
}

func (g *gathering) send(r row, value float64, labels []string) {
	m, err := prometheus.NewConstMetric(r.desc, r.kind, value, labels...)
	if err != nil { // a label that is no UTF-8
		m = prometheus.NewInvalidMetric(r.desc, err)
	}
	g.out <- m
}
