package eval

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// RetrievalConfig says how the true next segment is looked for.
type RetrievalConfig struct {
	// Ahead are how many segments of negatives.Length frames, about a second each, lie between the end of X and the end of the segment.
	Ahead []int
	// Gallery is among how many segments the true one is looked for. At most half of the others come from the same recording.
	Gallery int
	Seed    uint64
}

// DefaultRetrieval looks one, two, four and eight segments ahead, among 100.
func DefaultRetrieval() RetrievalConfig {
	return RetrievalConfig{Ahead: []int{1, 2, 4, 8}, Gallery: 100}
}

// Retrieved is at which rank, from 0, the true segment was found.
type Retrieved struct {
	// Unit is the recording; Ahead counts segments.
	Unit, Ahead int
	// Predicted is the rank by distance to the predicted embedding, Last by distance to that of the last segment seen.
	Predicted, Last int
}

// embedded are the embeddings of one recording, a segment of negatives.Length frames each, one after another.
type embedded struct {
	seen []vector
	// expected are, of each segment and each Ahead, what was expected of the segment that far ahead.
	expected [][]vector
}

// vector is an embedding: the mean over steps and places of tokens.
type vector []float64

// MeasureRetrieval embeds all segments of the recordings and looks for the true ones. Only windows in which something moves, without
// cuts, are asked about; which others a segment is hidden among depends on the seed alone, so all sources have the same task.
func MeasureRetrieval(ctx context.Context, w *Windows, source *Source, config RetrievalConfig, progress func(done, total int),
) ([]Retrieved, error) {
	all := make([]embedded, len(w.Recordings))
	err := parallel(ctx, len(w.Recordings), progress, func(ctx context.Context, i int) error {
		e, err := source.embed(ctx, w.Recordings[i], w.Side, config.Ahead)
		if err != nil {
			return fmt.Errorf("embedding %s with %s: %w", w.Recordings[i].Name, source.Name, err)
		}
		all[i] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	var found []Retrieved
	for i, window := range w.Windows {
		if window.Static {
			continue
		}
		segment := window.Start / negatives.Length // X; windows begin where segments do
		for h, ahead := range config.Ahead {
			random := rand.New(rand.NewPCG(config.Seed, uint64(i*len(config.Ahead)+h)))
			mine := all[window.Recording]
			if segment+ahead >= len(mine.seen) || segment >= len(mine.expected) {
				continue
			}
			gallery := others(random, all, window.Recording, segment, segment+ahead, config.Gallery-1)
			truth := mine.seen[segment+ahead]
			found = append(found, Retrieved{
				Unit: window.Recording, Ahead: ahead,
				Predicted: rank(mine.expected[segment][h], truth, gallery), Last: rank(mine.seen[segment], truth, gallery),
			})
		}
	}
	return found, nil
}

// others are count segments that are neither X nor the true one: at most half of the same recording.
func others(random *rand.Rand, all []embedded, recording, x, truth, count int) []vector {
	var own, foreign []vector
	for i, e := range all {
		for k, v := range e.seen {
			switch {
			case i != recording:
				foreign = append(foreign, v)
			case k != x && k != truth:
				own = append(own, v)
			}
		}
	}
	shuffle := func(v []vector) { random.Shuffle(len(v), func(a, b int) { v[a], v[b] = v[b], v[a] }) }
	shuffle(own)
	shuffle(foreign)
	own = own[:min(len(own), count/2)]
	return append(own, foreign[:min(len(foreign), count-len(own))]...)
}

// rank is how many of the gallery are nearer to the query than the truth is; of those as near, half.
func rank(query, truth vector, gallery []vector) int {
	limit := squareDistance(query, truth)
	nearer, same := 0, 0
	for _, v := range gallery {
		switch d := squareDistance(query, v); {
		case d < limit:
			nearer++
		case d == limit:
			same++
		}
	}
	return nearer + same/2
}

func squareDistance(a, b vector) float64 {
	sum := 0.0
	for i, value := range a {
		sum += (value - b[i]) * (value - b[i])
	}
	return sum
}

// embed encodes a recording as one stream.
func (s *Source) embed(ctx context.Context, r *Recording, side int, ahead []int) (embedded, error) {
	var e embedded
	state := s.Encoder.NewState()
	var memory []float32
	for begin := 0; begin+negatives.Length <= r.Len(); begin += negatives.Length {
		clip := newWindowClip(negatives.Length, s.Encoder.Info().Width)
		for i := range clip.T {
			shrink(r.Frame(begin+i), side, clip.Frame(i), clip.W)
			clip.Times[i] += clip.Step * time.Duration(begin)
		}
		clip.Start, clip.End = clip.Start+clip.Step*time.Duration(begin), clip.End+clip.Step*time.Duration(begin)
		seen, expected, err := s.segment(ctx, clip, state, &memory, ahead)
		if err != nil {
			return e, err
		}
		e.seen, e.expected = append(e.seen, seen), append(e.expected, expected)
	}
	return e, nil
}

// segment embeds the next segment of a stream, and what is expected of those ahead of it.
func (s *Source) segment(
	ctx context.Context, clip *stream.Clip, state encoder.State, memory *[]float32, ahead []int,
) (seen vector, expected []vector, err error) {
	tokens, err := s.Encoder.Encode(ctx, clip, state)
	if err != nil {
		return nil, nil, err
	}
	past := predictor.Past{Tokens: tokens, Frames: lastFrames(clip, clip.T, s.Predictor.Info().Frames)}
	if remembering, ok := s.Predictor.(predictor.Remembering); ok {
		all := make([]float32, tokens.T*remembering.Memory())
		if err := remembering.Remember(ctx, tokens, *memory, all); err != nil {
			return nil, nil, err
		}
		*memory = all[len(all)-remembering.Memory():]
		past.Memory = *memory
	}
	targets := tokens.Data
	if targeting, ok := s.Predictor.(predictor.Targeting); ok {
		targets = make([]float32, tokens.Len())
		if err := targeting.Target(ctx, tokens, 0, targets); err != nil {
			return nil, nil, err
		}
	}
	room := make([]float32, tokens.Len())
	for _, a := range ahead {
		if err := s.Predictor.Expect(ctx, past, (a-1)*tokens.T, tokens.T, room); err != nil {
			return nil, nil, err
		}
		expected = append(expected, pool(room, tokens.D))
	}
	return pool(targets, tokens.D), expected, nil
}

// pool is the mean of vectors of dim channels.
func pool(tokens []float32, dim int) vector {
	sum := make(vector, dim)
	for i, value := range tokens {
		sum[i%dim] += float64(value)
	}
	for i := range sum {
		sum[i] /= float64(len(tokens) / dim)
	}
	return sum
}

// Retrieval is the table of one or more sources.
type Retrieval struct {
	Gallery int               `json:"gallery"`
	Draws   int               `json:"bootstrap_draws"`
	Results []RetrievalResult `json:"results"`
}

// RetrievalResult is what a source reached at one distance.
type RetrievalResult struct {
	Name string `json:"name"`
	// Ahead is how many segments, of about a second, the true one lies ahead.
	Ahead int `json:"ahead"`
	N     int `json:"n"`
	// Recall1 and Recall5 are by the predicted embedding, Last1 and Last5 by that of the last segment, Gain1 and Gain5 the differences.
	Recall1 Interval `json:"recall_1"`
	Recall5 Interval `json:"recall_5"`
	Last1   Interval `json:"last_recall_1"`
	Last5   Interval `json:"last_recall_5"`
	Gain1   Interval `json:"gain_1"`
	Gain5   Interval `json:"gain_5"`
}

// NewRetrieval makes the table of what sources found. Intervals are of the recordings.
func NewRetrieval(config RetrievalConfig, names []string, found [][]Retrieved, recordings int, seed uint64) *Retrieval {
	table := &Retrieval{Gallery: config.Gallery, Draws: bootstrapDraws}
	for i, name := range names {
		for _, ahead := range config.Ahead {
			mine := slices.DeleteFunc(slices.Clone(found[i]), func(r Retrieved) bool { return r.Ahead != ahead })
			table.Results = append(table.Results, retrievalResult(name, ahead, mine, recordings, seed))
		}
	}
	return table
}

func retrievalResult(name string, ahead int, found []Retrieved, recordings int, seed uint64) RetrievalResult {
	var predicted, last, units []int
	for _, r := range found {
		predicted, last, units = append(predicted, r.Predicted), append(last, r.Last), append(units, r.Unit)
	}
	var scratch []float64
	v := Bootstrap(recordings, bootstrapDraws, seed, func(weights []float64) []float64 {
		scratch = spread(weights, units, scratch)
		p1, p5 := RecallAt(1, predicted, scratch), RecallAt(5, predicted, scratch)
		l1, l5 := RecallAt(1, last, scratch), RecallAt(5, last, scratch)
		return []float64{p1, p5, l1, l5, p1 - l1, p5 - l5}
	})
	return RetrievalResult{
		Name: name, Ahead: ahead, N: len(found),
		Recall1: v[0], Recall5: v[1], Last1: v[2], Last5: v[3], Gain1: v[4], Gain5: v[5],
	}
}
