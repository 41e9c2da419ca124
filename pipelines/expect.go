package pipelines

import (
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Expectations are what a `*_test.yaml` says about a definition: which clips it is tried on, and what must come out.
type Expectations struct {
	Version int `def:"version"`
	// Definition is the file (relative to the test) or the stock definition that is tried.
	Definition string             `def:"definition"`
	Segment    time.Duration      `def:"segment"`
	Calibrate  ExpectedCalibrate  `def:"calibrate"`
	Tolerance  ExpectedTolerance  `def:"tolerance"`
	Clips      []ClipExpectations `def:"clips"`

	// file is the name of the test, source where its values came from.
	file   string
	source *source
}

// ExpectedCalibrate replaces what the definition says, so that short clips are judged; nil keeps the definition's.
type ExpectedCalibrate struct {
	Warmup            *time.Duration `def:"warmup"`
	FalseAlarmsPerDay *float64       `def:"false_alarms_per_day"`
}

// ExpectedTolerance is how far from what is expected is near enough.
type ExpectedTolerance struct {
	Time time.Duration `def:"time"`
	// Energy is a share: 0.02 is two percent.
	Energy float64 `def:"energy"`
}

// ClipExpectations is what must come out of some clips: of each of them.
type ClipExpectations struct {
	Files        []string          `def:"files"`
	Verdicts     []ExpectedVerdict `def:"verdicts"`
	Never        []string          `def:"never"`
	Counts       *ExpectedCounts   `def:"counts"`
	Energies     []ExpectedEnergy  `def:"energies"`
	MedianEnergy *float64          `def:"median_energy"`
	Unscored     []ExpectedReason  `def:"unscored"`
	DeadLetters  []ExpectedDead    `def:"dead_letters"`
}

// ExpectedVerdict is a verdict at a time, or of a segment.
type ExpectedVerdict struct {
	At      *time.Duration `def:"at"`
	Segment *int           `def:"segment"`
	Verdict string         `def:"verdict"`
	Within  *time.Duration `def:"within"`
}

// ExpectedCounts is how many results there are, of all kinds and with each verdict; nil: any number.
type ExpectedCounts struct {
	Segments  *int `def:"segments"`
	WarmingUp *int `def:"warming_up"`
	Continues *int `def:"continues"`
	Breaks    *int `def:"breaks"`
	Stalls    *int `def:"stalls"`
	Unscored  *int `def:"unscored"`
}

// ExpectedEnergy is the energy of the window that holds a time.
type ExpectedEnergy struct {
	At     time.Duration `def:"at"`
	Energy float64       `def:"energy"`
	Within *float64      `def:"within"`
}

// ExpectedReason is why the segment that holds a time, or a segment, has no energy, or only some.
type ExpectedReason struct {
	At      *time.Duration `def:"at"`
	Segment *int           `def:"segment"`
	Reason  string         `def:"reason"`
}

// ExpectedDead is how many segments of a clip become dead letters with a code.
type ExpectedDead struct {
	Code  string `def:"code"`
	Count int    `def:"count"`
}

// expectationsTree is the spec of tests bound to Expectations.
var expectationsTree = sync.OnceValue(func() *branch {
	root, err := bind(expectationFields(), reflect.TypeFor[Expectations]())
	if err != nil {
		panic(err)
	}
	return root
})

// ExpectationsSpec is every key of a test, in the order of the documentation.
func ExpectationsSpec() []Field { return expectationFields() }

// ExpectationsSuffix is how the names of tests end.
const ExpectationsSuffix = "_test.yaml"

// ParseExpectations reads a test with the means of definitions: everything that is wrong with it at once, with line and column. It is nil
// when one of the findings is an error.
func ParseExpectations(name string, data []byte, env func(string) (string, bool)) (*Expectations, []Finding) {
	p := newParser(name, env)
	p.root, p.noun = expectationsTree(), "test"
	node := p.document(data)
	if node == nil {
		return nil, p.findings
	}
	expected := &Expectations{file: name, source: &source{file: name, origins: p.origins}}
	if p.object(p.root, "", node, reflect.ValueOf(expected).Elem()) {
		expected.review(p)
	}
	sortFindings(p.findings)
	if HasErrors(p.findings) {
		return nil, p.findings
	}
	if expected.Definition == "" {
		expected.Definition = strings.TrimSuffix(filepath.Base(name), ExpectationsSuffix) + ".yaml"
	}
	return expected, p.findings
}

// review tells what no single key can be wrong about.
func (e *Expectations) review(p *parser) {
	place := func(path string) place {
		line, column := e.source.at(path)
		return place{line, column}
	}
	where := func(path string, at *time.Duration, segment *int) {
		if p.isBroken(path) || p.isBroken(path+".at") || p.isBroken(path+".segment") || (at == nil) != (segment == nil) {
			return
		}
		c := complaint{message: "says neither when nor in which segment", hint: "write at: 12s, or segment: 5"}
		if at != nil {
			c = complaint{message: "says when and in which segment", hint: "keep one of at and segment"}
		}
		p.report(problem{code: codeBadValue, path: path, place: place(path), complaint: c})
	}
	for i, clip := range e.Clips {
		path := indexed("clips", i)
		for j, v := range clip.Verdicts {
			where(indexed(path+".verdicts", j), v.At, v.Segment)
			if v.Within != nil && v.Segment != nil {
				at := indexed(path+".verdicts", j) + ".within"
				p.report(problem{code: codeBadValue, path: at, place: place(at), complaint: complaint{
					message: "is a tolerance of time, and a segment has none", hint: "remove it, or write at: instead of segment:",
				}})
			}
		}
		for j, u := range clip.Unscored {
			where(indexed(path+".unscored", j), u.At, u.Segment)
		}
	}
}
