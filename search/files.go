package search

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

// Files is a Store of files, as resultfile.Open reads them.
type Files struct{ Paths []string }

// each calls f for every result of the files, until f or the context ends it.
func (f Files) each(ctx context.Context, do func(*stream.Result) error) error {
	for _, path := range f.Paths {
		results, err := resultfile.WithoutMaps(path)
		if err != nil {
			return err
		}
		for result, err := range results {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = do(result)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Streams implements Store.
func (f Files) Streams(ctx context.Context) ([]Known, error) {
	known := map[string]*Known{}
	err := f.each(ctx, func(r *stream.Result) error {
		k := known[r.Stream]
		if k == nil {
			k = &Known{Stream: r.Stream, First: r.Y.Start, Last: r.Y.End}
			known[r.Stream] = k
		}
		if r.Y.Start.Before(k.First) {
			k.First = r.Y.Start
		}
		if r.X != nil && r.X.Start.Before(k.First) {
			k.First = r.X.Start
		}
		if r.Y.End.After(k.Last) {
			k.Last = r.Y.End
		}
		if k.Results++; len(r.Next) > 0 {
			k.Embedded++
		}
		return nil
	})
	var streams []Known
	for _, name := range slices.Sorted(maps.Keys(known)) {
		streams = append(streams, *known[name])
	}
	return streams, err
}

// At implements Store. Of results that overlap there, the last one counts.
func (f Files) At(ctx context.Context, name string, at time.Time) (*Embedded, error) {
	var found *Embedded
	err := f.each(ctx, func(r *stream.Result) error {
		if r.Stream != name || len(r.Next) == 0 || r.Y.Start.After(at) || !r.Y.End.After(at) {
			return nil
		}
		like := &Embedded{Moment: momentOf(r)}
		for _, next := range r.Next {
			vector, err := resultfile.Embedding(next)
			if err != nil {
				return err
			}
			like.Seconds, like.Vectors = append(like.Seconds, next.Seconds), append(like.Vectors, vector)
		}
		found = like
		return nil
	})
	return found, err
}

func momentOf(r *stream.Result) Moment {
	return Moment{
		ID: r.ID, Stream: r.Stream, Segment: r.Y.Segment, Start: r.Y.Start, End: r.Y.End, Verdict: r.Verdict, Model: r.Model,
	}
}

// Nearest implements Store.
func (f Files) Nearest(ctx context.Context, query Query) (*Nearest, error) {
	nearest := &Nearest{}
	best := best{k: query.K}
	err := f.each(ctx, func(r *stream.Result) error {
		if r.ID == query.Like.ID || query.Horizon >= len(r.Next) || query.near(r) {
			return nil
		}
		if r.Model != query.Like.Model || int(r.Next[query.Horizon].Dim) != len(query.Vector) {
			nearest.Left++
			return nil
		}
		vector, err := resultfile.Embedding(r.Next[query.Horizon])
		if err != nil {
			return err
		}
		nearest.Compared++
		best.add(Match{Moment: momentOf(r), Similarity: cosine(query.Vector, vector)})
		return nil
	})
	nearest.Matches = best.matches
	return nearest, err
}

// near says whether the result lies too near to the query to be a match.
func (q *Query) near(r *stream.Result) bool {
	return r.Stream == q.Like.Stream && r.Y.Start.Sub(q.Like.Start).Abs() < q.Apart
}
