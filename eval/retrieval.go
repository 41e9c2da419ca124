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
	// Energy is the distance of what was expected of the segment's last step to what came, Persistence that of the last step seen.
	Energy, Persistence float64
}

// embedded are the embeddings of one recording, a segment of negatives.Length frames each, one after another.
type embedded struct {
	seen []vector
	// expected are, of each segment and each Ahead, what was expected of the segment that far ahead.
	expected [][]vector
	// steps are the last step of each segment, coming what was expected of that of each Ahead; dim is the width of their tokens.
	steps  [][]float32
	coming [][][]float32
	dim    int
}

// energies are how far what was expected of the segment ahead is from what came, and how far the last step seen is.
func (e *embedded) energies(segment, h, ahead int) (energy, persistence float64) {
	came := e.steps[segment+ahead]
	distances := make([]float32, len(came)/e.dim)
	predictor.EnergyMap(e.coming[segment][h], came, e.dim, distances)
	energy = mean32(distances)
	predictor.EnergyMap(e.steps[segment], came, e.dim, distances)
	return energy, mean32(distances)
}

func mean32(values []float32) float64 {
	sum := 0.0
	for _, value := range values {
		sum += float64(value)
	}
	return sum / float64(len(values))
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
			mine := &all[window.Recording]
			if segment+ahead >= len(mine.seen) || segment >= len(mine.expected) {
				continue
			}
			gallery := others(random, all, window.Recording, segment, segment+ahead, config.Gallery-1)
			truth := mine.seen[segment+ahead]
			energy, persistence := mine.energies(segment, h, ahead)
			found = append(found, Retrieved{
				Energy: energy, Persistence: persistence, Unit: window.Recording, Ahead: ahead,
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
		if err := s.segment(ctx, clip, state, &memory, ahead, &e); err != nil {
			return e, err
		}
	}
	return e, nil
}

// segment embeds the next segment of a stream, and what is expected of those ahead of it.
func (s *Source) segment(
	ctx context.Context, clip *stream.Clip, state encoder.State, memory *[]float32, ahead []int, e *embedded,
) error {
	tokens, err := s.Encoder.Encode(ctx, clip, state)
	if err != nil {
		return err
	}
	past := predictor.Past{Tokens: tokens, Frames: lastFrames(clip, clip.T, s.Predictor.Info().Frames)}
	if remembering, ok := s.Predictor.(predictor.Remembering); ok {
		all := make([]float32, tokens.T*remembering.Memory())
		if err := remembering.Remember(ctx, tokens, *memory, all); err != nil {
			return err
		}
		*memory = all[len(all)-remembering.Memory():]
		past.Memory = *memory
	}
	targets := tokens.Data
	if targeting, ok := s.Predictor.(predictor.Targeting); ok {
		targets = make([]float32, tokens.Len())
		if err := targeting.Target(ctx, tokens, 0, targets); err != nil {
			return err
		}
	}
	var expected []vector
	var coming [][]float32
	room, last := make([]float32, tokens.Len()), (tokens.T-1)*tokens.Step()
	for _, a := range ahead {
		if err := s.Predictor.Expect(ctx, past, (a-1)*tokens.T, tokens.T, room); err != nil {
			return err
		}
		expected, coming = append(expected, pool(room, tokens.D)), append(coming, slices.Clone(room[last:]))
	}
	e.seen, e.expected, e.dim = append(e.seen, pool(targets, tokens.D)), append(e.expected, expected), tokens.D
	e.steps, e.coming = append(e.steps, slices.Clone(targets[last:])), append(e.coming, coming)
	return nil
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
	// Energy is the mean distance of what was expected exactly so many seconds ahead to what came, as a share of that of the last step seen.
	Energy Interval `json:"energy_over_persistence"`
	// Behind1 and Behind5 are by how much the first source of the table is better by the predicted embedding; nil for itself.
	Behind1 *Interval `json:"first_minus_this_1,omitempty"`
	Behind5 *Interval `json:"first_minus_this_5,omitempty"`
}

// NewRetrieval makes the table of what sources found. A source is there in one or several versions (trained from other seeds): what is told
// of it is their mean, and versions are drawn like recordings. Intervals are of the recordings.
func NewRetrieval(config RetrievalConfig, names []string, found [][][]Retrieved, recordings int, seed uint64) *Retrieval {
	table := &Retrieval{Gallery: config.Gallery, Draws: bootstrapDraws}
	for _, ahead := range config.Ahead {
		table.add(names, retrievedAt(found, ahead), ahead, recordings, seed)
	}
	slices.SortStableFunc(table.Results, func(a, b RetrievalResult) int { return slices.Index(names, a.Name) - slices.Index(names, b.Name) })
	return table
}

// retrievedAt is what was found at one distance.
func retrievedAt(found [][][]Retrieved, ahead int) [][][]Retrieved {
	at := make([][][]Retrieved, len(found))
	for i, versions := range found {
		for _, v := range versions {
			at[i] = append(at[i], slices.DeleteFunc(slices.Clone(v), func(r Retrieved) bool { return r.Ahead != ahead }))
		}
	}
	return at
}

// retrievalNumbers is how many numbers are told of a source: those of Retrieved.numbers.
const retrievalNumbers = 7

// add makes the rows of one distance, of all sources at once: their recordings are drawn together.
func (r *Retrieval) add(names []string, found [][][]Retrieved, ahead, recordings int, seed uint64) {
	drawn := newVersions(seed)
	intervals := Bootstrap(recordings, bootstrapDraws, seed, func(weights []float64) []float64 {
		var values []float64
		for _, versions := range found {
			all := make([]float64, retrievalNumbers)
			for i, share := range drawn.draw(len(versions)) {
				if share > 0 {
					addScaled(all, numbersOf(versions[i], weights), share)
				}
			}
			values = append(values, all...)
		}
		drawn.next()
		for i := 1; i < len(found); i++ {
			at := i * retrievalNumbers
			values = append(values, values[0]-values[at], values[1]-values[at+1])
		}
		return values
	})
	over := intervals[len(names)*retrievalNumbers:]
	for i, name := range names {
		v := intervals[i*retrievalNumbers:]
		result := RetrievalResult{
			Name: name, Ahead: ahead, N: len(found[i][0]),
			Recall1: v[0], Recall5: v[1], Last1: v[2], Last5: v[3], Gain1: v[4], Gain5: v[5], Energy: v[6],
		}
		if i > 0 {
			result.Behind1, result.Behind5 = &over[2*i-2], &over[2*i-1]
		}
		r.Results = append(r.Results, result)
	}
}

// numbersOf are the recalls at 1 and 5 by the predicted embedding, by the last one, their differences, and energy over persistence.
func numbersOf(found []Retrieved, weights []float64) []float64 {
	var predicted, last []int
	var scratch []float64
	energy, persistence := 0.0, 0.0
	for _, r := range found {
		predicted, last, scratch = append(predicted, r.Predicted), append(last, r.Last), append(scratch, weights[r.Unit])
		energy, persistence = energy+weights[r.Unit]*r.Energy, persistence+weights[r.Unit]*r.Persistence
	}
	p1, p5 := RecallAt(1, predicted, scratch), RecallAt(5, predicted, scratch)
	l1, l5 := RecallAt(1, last, scratch), RecallAt(5, last, scratch)
	return []float64{p1, p5, l1, l5, p1 - l1, p5 - l5, energy / persistence}
}
