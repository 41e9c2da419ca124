package tokenfile

import (
	"fmt"

	"github.com/ensue-video/ensue/stream"
)

// Clip is what is written of one clip. All arrays are row-major.
type Clip struct {
	// File names where it comes from; "" where nobody knows.
	File string
	// Shape is that of the tokens, [T', H', W', D].
	Shape stream.Shape
	// Spans are when each of the T' steps begins and ends, since the first frame of the file; nil where nobody knows.
	Spans []stream.Span
	// Tokens are [T', H', W', D].
	Tokens []float32
	// Context is how many steps are context. Of the T'y = T' - Context steps after it there are Expected and Target, [T'y, H', W', D], and
	// Energy, [T'y, H', W']. Where Context is 0 nothing was expected and the three are nil.
	Context          int
	Expected, Target []float32
	Energy           []float32
}

// array is one array of a clip: what a file holds of it along its first axis.
type array struct {
	name  string
	shape []int
	// values is a []float32, a []float64 or a []int32.
	values any
}

// The names of the arrays.
const (
	nameSpan     = "span"
	nameTokens   = "tokens"
	nameExpected = "expected"
	nameTarget   = "target"
	nameEnergy   = "energy"
	nameFile     = "file"
)

// arrays are the clip's arrays; file is the number of its file, -1 where nobody knows. Doubles come first: whoever maps the file finds
// every array where its numbers may lie.
func (c *Clip) arrays(file int) []array {
	s := c.Shape
	var all []array
	if c.Spans != nil {
		seconds := make([]float64, 0, 2*len(c.Spans))
		for _, span := range c.Spans {
			seconds = append(seconds, span.Start.Seconds(), span.End.Seconds())
		}
		all = append(all, array{nameSpan, []int{s.T, 2}, seconds})
	}
	all = append(all, array{nameTokens, []int{s.T, s.H, s.W, s.D}, c.Tokens})
	if later := s.T - c.Context; c.Context > 0 {
		all = append(all,
			array{nameExpected, []int{later, s.H, s.W, s.D}, c.Expected},
			array{nameTarget, []int{later, s.H, s.W, s.D}, c.Target},
			array{nameEnergy, []int{later, s.H, s.W}, c.Energy})
	}
	if file >= 0 {
		all = append(all, array{nameFile, []int{}, []int32{int32(file)}})
	}
	return all
}

// check holds the arrays against the shape they are said to have: a mistake in the program.
func (c *Clip) check() error {
	if c.Context < 0 || c.Context >= c.Shape.T && c.Context > 0 {
		return fmt.Errorf("a clip of %d steps has %d steps of context", c.Shape.T, c.Context)
	}
	for _, a := range c.arrays(-1) {
		want := 1
		for _, n := range a.shape {
			want *= n
		}
		if got := length(a.values); got != want {
			return fmt.Errorf("array %s: expected shape %v, found %d numbers", a.name, a.shape, got)
		}
	}
	return nil
}

func length(values any) int {
	switch v := values.(type) {
	case []float64:
		return len(v)
	case []int32:
		return len(v)
	}
	return len(values.([]float32))
}
