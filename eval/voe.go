package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ensue-video/ensue/eval/scenes"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// The score of violations of expectation, fixed beforehand and the same for every model (mix_top4_max_hA): of every place, twice the
// prediction error minus the persistence error, mean over the next four frames; the mean of the four largest places; the maximum over
// time. Raw error has a content bias (a scene with less in it is cheaper); minus persistence it asks what a prediction explains beyond
// copying, and some raw surprise is left for what appears.
const (
	// VOEHorizon is how many frames ahead is predicted.
	VOEHorizon     = 4
	voeFirst       = 3 // frame that ends the first past
	voePlaces      = 4
	voeErrorWeight = 2
)

// VOEConfig says which pairs are judged.
type VOEConfig struct {
	Seed uint64
	// Pairs is how many of each kind.
	Pairs int
}

// DefaultVOE is the test: 200 pairs a kind of seed 500.
func DefaultVOE() VOEConfig { return VOEConfig{Seed: 500, Pairs: 200} }

// Surprise is the energy of a possible scene and of its impossible twin.
type Surprise struct{ Possible, Impossible float64 }

// Surprises are those of all pairs of a kind.
type Surprises map[scenes.Kind][]Surprise

// MeasureVOE lets a source judge generated pairs. Its encoder must take frames of scenes.Side pixels; an encoder of another size is
// refused. progress may be nil; its calls do not overlap.
func MeasureVOE(ctx context.Context, source *Source, config VOEConfig, progress func(done, total int)) (Surprises, error) {
	info := source.Encoder.Info()
	if info.Width != scenes.Side || info.Height != scenes.Side {
		return nil, fmt.Errorf("judging scenes of %d×%d pixels with %s: its encoder %s wants %d×%d",
			scenes.Side, scenes.Side, source.Name, info.Name, info.Width, info.Height)
	}
	if VOEHorizon%info.FramesPerStep != 0 {
		return nil, fmt.Errorf("judging scenes with %s: %d frames a step do not divide %d", source.Name, info.FramesPerStep, VOEHorizon)
	}
	kinds := scenes.Kinds()
	surprises := Surprises{}
	for _, kind := range kinds {
		surprises[kind] = make([]Surprise, config.Pairs)
	}
	err := parallel(ctx, len(kinds)*config.Pairs, progress, func(ctx context.Context, i int) error {
		kind, index := kinds[i/config.Pairs], i%config.Pairs
		pair := scenes.DrawPair(kind, config.Seed, uint64(index))
		s, err := source.surprise(ctx, &pair)
		if err != nil {
			return fmt.Errorf("judging pair %d of %s with %s: %w", index, kind, source.Name, err)
		}
		surprises[kind][index] = s
		return nil
	})
	return surprises, err
}

// surprise judges both scenes of a pair. Up to the event they are the same, so what is said of the time before it is said once.
func (s *Source) surprise(ctx context.Context, pair *scenes.Pair) (Surprise, error) {
	possible, err := s.energies(ctx, &pair.Possible, 0)
	if err != nil {
		return Surprise{}, err
	}
	per := s.Encoder.Info().FramesPerStep
	same := 0 // pasts whose next frames all lie before the event
	for same < len(possible) && (s.first()+same+1)*per+VOEHorizon <= pair.Event {
		same++
	}
	impossible, err := s.energies(ctx, &pair.Impossible, same)
	if err != nil {
		return Surprise{}, err
	}
	copy(impossible, possible[:same])
	return Surprise{slices.Max(possible), slices.Max(impossible)}, nil
}

// first is the step that ends the first past.
func (s *Source) first() int {
	per := s.Encoder.Info().FramesPerStep
	return (voeFirst+per)/per - 1
}

// energies are the score of a scene after each past, without those of the first skip pasts, which stay 0.
func (s *Source) energies(ctx context.Context, scene *scenes.Scene, skip int) ([]float64, error) {
	clip := newWindowClip(scenes.Frames, scenes.Side)
	scene.Render(clip.Frames)
	tokens, err := s.Encoder.Encode(ctx, clip, s.Encoder.NewState())
	if err != nil {
		return nil, err
	}
	per := s.Encoder.Info().FramesPerStep
	if tokens.T != scenes.Frames/per {
		return nil, fmt.Errorf("%d frames gave %d steps of %d frames", scenes.Frames, tokens.T, per)
	}
	var memory []float32
	remembering, remembers := s.Predictor.(predictor.Remembering)
	if remembers {
		memory = make([]float32, tokens.T*remembering.Memory())
		if err := remembering.Remember(ctx, tokens, nil, memory); err != nil {
			return nil, err
		}
	}
	horizon := VOEHorizon / per
	energies := make([]float64, tokens.T-horizon-s.first())
	expected := make([]float32, horizon*tokens.Step())
	for i := skip; i < len(energies); i++ {
		end := s.first() + i + 1 // of the past, in steps
		past := predictor.Past{Tokens: head(tokens, end), Frames: lastFrames(clip, end*per, s.Predictor.Info().Frames)}
		if remembers {
			past.Memory = memory[(end-1)*remembering.Memory() : end*remembering.Memory()]
		}
		if err := s.Predictor.Expect(ctx, past, 0, horizon, expected); err != nil {
			return nil, err
		}
		seen, err := s.targets(ctx, tokens, end, horizon)
		if err != nil {
			return nil, err
		}
		energies[i] = voeScore(tokens.Shape, horizon, expected, seen)
	}
	return energies, nil
}

// targets are the last step of the past and the horizon's steps after it, in the space of what the predictor expects.
func (s *Source) targets(ctx context.Context, tokens *stream.Tokens, end, horizon int) ([]float32, error) {
	step := tokens.Step()
	targeting, ok := s.Predictor.(predictor.Targeting)
	if !ok {
		return tokens.Data[(end-1)*step : (end+horizon)*step], nil
	}
	seen := make([]float32, (horizon+1)*step)
	return seen, targeting.Target(ctx, head(tokens, end+horizon), end-1, seen)
}

// head is the first steps of tokens.
func head(tokens *stream.Tokens, steps int) *stream.Tokens {
	shape := tokens.Shape
	shape.T = steps
	return &stream.Tokens{Shape: shape, Data: tokens.Data[:shape.Len()], Spans: tokens.Spans[:steps]}
}

// lastFrames are the last count frames before end.
func lastFrames(clip *stream.Clip, end, count int) [][]byte {
	var frames [][]byte
	for i := max(0, end-count); i < end; i++ {
		frames = append(frames, clip.Frame(i))
	}
	return frames
}

// voeScore is the score after one past: expected has horizon steps, seen the last step of the past before them.
func voeScore(shape stream.Shape, horizon int, expected, seen []float32) float64 {
	places, step := shape.Places(), shape.Step()
	scores := make([]float64, places)
	errors, persistence := make([]float32, places), make([]float32, places)
	for k := range horizon {
		now := seen[(k+1)*step : (k+2)*step]
		predictor.EnergyMap(expected[k*step:(k+1)*step], now, shape.D, errors)
		predictor.EnergyMap(seen[:step], now, shape.D, persistence)
		for place := range scores {
			scores[place] += (voeErrorWeight*float64(errors[place]) - float64(persistence[place])) / float64(horizon)
		}
	}
	slices.SortFunc(scores, func(a, b float64) int {
		if a > b {
			return -1
		}
		return 1
	})
	return mean(scores[:min(voePlaces, places)]...)
}

// VOE is the table of violations of expectation: pairwise accuracy per kind, ties counting a half.
type VOE struct {
	Pairs  int         `json:"pairs_per_kind"`
	Seed   uint64      `json:"seed"`
	Draws  int         `json:"bootstrap_draws"`
	Models []VOEResult `json:"models"`
}

// VOEResult is what one model reached. Rows are those of VOERows.
type VOEResult struct {
	Name   string     `json:"name"`
	Paired []Interval `json:"paired"`
	// AUROC is with one threshold for all scenes.
	AUROC []Interval `json:"auroc"`
	// Gains are the differences in paired accuracy to the other models of the table, by their order; the pairs are the same, so they
	// are drawn together.
	Gains [][]Interval `json:"gains"`
}

// VOERows are the names of a table's rows: the kinds, then what is made of them. Single kinds have a content bias (a scene with less
// in it is cheaper), which cancels in permanence (vanish_hid and appear_hid) and timing (late and early). The mean of 12 is without the
// hidden changes of colour and shape.
func VOERows() []string {
	var rows []string
	for _, kind := range scenes.Kinds() {
		rows = append(rows, string(kind))
	}
	return append(rows, "permanence", "timing", "mean of 14", "mean of 12")
}

const voeDraws = 1000

// NewVOE compares models on the same pairs. A model is there in one or several versions (trained from other seeds): what is told of it is
// their mean, and versions are drawn like pairs.
func NewVOE(config VOEConfig, names []string, versions [][]Surprises, seed uint64) *VOE {
	v := &VOE{Pairs: config.Pairs, Seed: config.Seed, Draws: voeDraws}
	rows := len(VOERows())
	models := make([][]voeVersion, len(names))
	for m := range names {
		for _, s := range versions[m] {
			models[m] = append(models[m], newVOEVersion(s))
		}
	}
	drawn := newVersions(seed)
	// Pair i of every kind is drawn with pair i of the others: kinds keep their size, and their scenes are independent anyway.
	intervals := Bootstrap(config.Pairs, voeDraws, seed, func(weights []float64) []float64 {
		var values []float64
		paired := make([][]float64, len(names))
		for m, all := range models {
			both := make([]float64, 2*rows)
			for i, count := range drawn.draw(len(all)) {
				if count > 0 {
					addScaled(both, all[i].rows(weights), count)
				}
			}
			paired[m] = both[:rows]
			values = append(values, both...)
		}
		drawn.next()
		for m := range names {
			for other := range names {
				for row := range rows {
					values = append(values, paired[m][row]-paired[other][row])
				}
			}
		}
		return values
	})
	take := func() []Interval {
		taken := intervals[:rows:rows]
		intervals = intervals[rows:]
		return taken
	}
	for _, name := range names {
		v.Models = append(v.Models, VOEResult{Name: name, Paired: take(), AUROC: take()})
	}
	for m := range v.Models {
		for range names {
			v.Models[m].Gains = append(v.Models[m].Gains, take())
		}
	}
	return v
}

func split(surprises []Surprise) (possible, impossible []float64) {
	for _, s := range surprises {
		possible, impossible = append(possible, s.Possible), append(impossible, s.Impossible)
	}
	return possible, impossible
}

// voeVersion is what one version of a model made of the pairs, kind by kind.
type voeVersion struct {
	possible, impossible [][]float64
	rankings             []*Ranking
}

func newVOEVersion(s Surprises) voeVersion {
	var v voeVersion
	for _, kind := range scenes.Kinds() {
		possible, impossible := split(s[kind])
		v.possible, v.impossible = append(v.possible, possible), append(v.impossible, impossible)
		v.rankings = append(v.rankings, NewRanking(possible, impossible))
	}
	return v
}

// rows are the paired accuracies of VOERows, then their AUROCs, with pairs counting as weights say.
func (v voeVersion) rows(weights []float64) []float64 {
	var paired, aurocs []float64
	for i := range v.rankings {
		paired = append(paired, Paired(v.possible[i], v.impossible[i], weights))
		aurocs = append(aurocs, v.rankings[i].AUROC(weights, weights))
	}
	return slices.Concat(paired, summary(paired), aurocs, summary(aurocs))
}

// summary is what VOERows lists after the kinds.
func summary(values []float64) []float64 {
	of := map[scenes.Kind]float64{}
	var seen []float64
	for i, kind := range scenes.Kinds() {
		of[kind] = values[i]
		if kind != scenes.ColourHidden && kind != scenes.ShapeHidden {
			seen = append(seen, values[i])
		}
	}
	return []float64{
		mean(of[scenes.VanishHidden], of[scenes.AppearHidden]), mean(of[scenes.Late], of[scenes.Early]),
		meanDefined(values), mean(seen...),
	}
}

// Value is a row's interval.
func (r VOEResult) Value(row string) Interval {
	if i := slices.Index(VOERows(), row); i >= 0 {
		return r.Paired[i]
	}
	return Interval{math.NaN(), math.NaN(), math.NaN()}
}
