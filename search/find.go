package search

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// Known is what is stored of a stream.
type Known struct {
	Stream string `json:"stream"`
	// First and Last are the beginning of the first and the end of the last result.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Results counts all, Embedded those with an embedding.
	Results  int `json:"results"`
	Embedded int `json:"embedded"`
}

// Moment is one result as a search tells it.
type Moment struct {
	ID      string    `json:"id"`
	Stream  string    `json:"stream"`
	Segment string    `json:"segment"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	// Offset is in seconds since the beginning of what is stored of the stream.
	Offset  float64        `json:"offset"`
	Verdict stream.Verdict `json:"verdict"`
	Model   string         `json:"model"`
}

// Embedded is a moment with its embeddings, by horizon.
type Embedded struct {
	Moment

	Seconds []float64
	Vectors [][]float32
}

// Match is a moment that was found.
type Match struct {
	Moment

	// Similarity is the cosine of the embeddings: 1 where they point the same way.
	Similarity float64 `json:"similarity"`
}

// Query is what a store is asked for.
type Query struct {
	Like Moment
	// Vector is compared with the embedding of this horizon, counted from 0.
	Vector  []float32
	Horizon int
	// K is how many matches are wanted; what is less than Apart from Like in its own stream is none.
	K     int
	Apart time.Duration
}

// Nearest is what a store answers.
type Nearest struct {
	Matches []Match `json:"matches"`
	// Compared counts the embeddings that were compared, Left those of other models or of another length; -1 where the store does not tell.
	Compared int `json:"compared"`
	Left     int `json:"left_out"`
}

// Store is where results are.
type Store interface {
	// Streams are the streams there are, sorted.
	Streams(ctx context.Context) ([]Known, error)
	// At is the result whose Y holds the moment; nil where there is none with an embedding.
	At(ctx context.Context, stream string, at time.Time) (*Embedded, error)
	// Nearest are the moments that look most like a query, best first, never the query itself.
	Nearest(ctx context.Context, query Query) (*Nearest, error)
}

// Options say what is looked for.
type Options struct {
	K int
	// Horizon is how far ahead the embedding looks; 0 is the nearest horizon there is.
	Horizon time.Duration
	Apart   time.Duration
}

// Found is the answer of a search.
type Found struct {
	Like    Moment  `json:"like"`
	Horizon float64 `json:"horizon"`
	Nearest
}

// UnknownStream is the error of a stream of which nothing is stored.
type UnknownStream struct {
	Name  string
	Known []string
}

// Error names the stream.
func (u *UnknownStream) Error() string {
	return fmt.Sprintf("nothing is stored of a stream %q", u.Name)
}

// Outside is the error of a time of which nothing is stored.
type Outside struct {
	Point Point
	Known Known
}

// Error says what is stored.
func (o *Outside) Error() string {
	return fmt.Sprintf("no result with an embedding holds %s; of %s is stored %s to %s (0s to %s)", o.Point, o.Known.Stream,
		o.Known.First.Format(time.RFC3339), o.Known.Last.Format(time.RFC3339), o.Known.Last.Sub(o.Known.First))
}

// NoEmbedding is the error of results without embeddings.
type NoEmbedding struct{ Results int }

// Error says how many results there are.
func (n *NoEmbedding) Error() string {
	if n.Results == 0 {
		return "there are no results"
	}
	return fmt.Sprintf("none of %d results has an embedding", n.Results)
}

// NoHorizon is the error of a horizon that the results do not have.
type NoHorizon struct {
	Asked time.Duration
	Known []float64
}

// Error lists the horizons there are.
func (n *NoHorizon) Error() string {
	return fmt.Sprintf("the results have no horizon of %s: theirs are %v seconds", n.Asked, n.Known)
}

// Find looks for the moments that look most like the one at a point.
func Find(ctx context.Context, store Store, point Point, options Options) (*Found, error) {
	streams, err := store.Streams(ctx)
	if err != nil {
		return nil, err
	}
	known, err := choose(streams, point.Stream)
	if err != nil {
		return nil, err
	}
	at := point.At
	if at.IsZero() {
		at = known.First.Add(point.Offset)
	}
	like, err := store.At(ctx, point.Stream, at)
	if err != nil {
		return nil, err
	}
	if like == nil {
		return nil, &Outside{point, *known}
	}
	horizon, err := horizonOf(like, options.Horizon)
	if err != nil {
		return nil, err
	}
	nearest, err := store.Nearest(ctx, Query{
		Like: like.Moment, Vector: like.Vectors[horizon], Horizon: horizon, K: options.K, Apart: options.Apart,
	})
	if err != nil {
		return nil, err
	}
	begins := map[string]time.Time{}
	for _, of := range streams {
		begins[of.Stream] = of.First
	}
	found := &Found{Like: like.Moment, Horizon: like.Seconds[horizon], Nearest: *nearest}
	found.Like.Offset = found.Like.Start.Sub(begins[found.Like.Stream]).Seconds()
	for i := range found.Matches {
		m := &found.Matches[i].Moment
		m.Offset = m.Start.Sub(begins[m.Stream]).Seconds()
	}
	return found, nil
}

func choose(streams []Known, name string) (*Known, error) {
	results, embedded := 0, 0
	names := make([]string, len(streams))
	var chosen *Known
	for i := range streams {
		results, embedded, names[i] = results+streams[i].Results, embedded+streams[i].Embedded, streams[i].Stream
		if streams[i].Stream == name {
			chosen = &streams[i]
		}
	}
	switch {
	case embedded == 0:
		return nil, &NoEmbedding{results}
	case chosen == nil:
		return nil, &UnknownStream{name, names}
	}
	return chosen, nil
}

// horizonTolerance is how far the horizon of a result may be from the one asked for: it is a whole number of steps.
const horizonTolerance = 0.25

// horizonOf is the embedding that looks as far ahead as asked.
func horizonOf(like *Embedded, asked time.Duration) (int, error) {
	if asked == 0 {
		return 0, nil
	}
	best := 0
	for n, seconds := range like.Seconds {
		if math.Abs(seconds-asked.Seconds()) < math.Abs(like.Seconds[best]-asked.Seconds()) {
			best = n
		}
	}
	if math.Abs(like.Seconds[best]-asked.Seconds()) > horizonTolerance*asked.Seconds() {
		return 0, &NoHorizon{asked, like.Seconds}
	}
	return best, nil
}

// best keeps the best matches, each id once.
type best struct {
	k       int
	matches []Match
}

func (b *best) add(m Match) {
	order := func(x, y Match) int {
		return cmp.Or(cmp.Compare(y.Similarity, x.Similarity), cmp.Compare(x.Stream, y.Stream), x.Start.Compare(y.Start), cmp.Compare(x.ID, y.ID))
	}
	if len(b.matches) == b.k && order(b.matches[b.k-1], m) <= 0 {
		return
	}
	if slices.ContainsFunc(b.matches, func(other Match) bool { return other.ID == m.ID }) {
		return
	}
	at, _ := slices.BinarySearchFunc(b.matches, m, order)
	b.matches = slices.Insert(b.matches, at, m)
	if len(b.matches) > b.k {
		b.matches = b.matches[:b.k]
	}
}

// cosine is the cosine of the angle between two vectors of one length; 0 where one of them is zero.
func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}
