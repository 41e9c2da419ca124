package eval

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/eval/negatives"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/stream"
)

// Judged is what one source says of one Y.
type Judged struct {
	// Raw is the plain energy: the mean distance between expected and seen tokens.
	Raw float64
	// Statistics are what the learned energies work on; empty where a window's steps cannot be measured.
	Statistics predictor.Statistics
	// Brief are those of the predictor.BriefFrames frames on either side of where Y begins.
	Brief predictor.Statistics
	// Found says how well the map finds the spliced box.
	Found Found
	// Verified is the energy that the source's verifier gives, VerifierFound how well its map finds the box; where there is one.
	Verified      float64
	VerifierFound Found

	spliced *spliced // nil of anything but a splice
}

// spliced is where the source's tokens of a splice are how far from what was expected, and where the box is.
type spliced struct {
	distances []float32
	shape     stream.Shape
	box       image.Rectangle
	side      int
}

// jointly says how well the map that a learned energy of these sources draws finds the box.
func jointly(judged []Judged, sources []int) Found {
	one := judged[sources[0]].spliced
	var each [][]float32
	for _, source := range sources {
		each = append(each, judged[source].spliced.distances)
	}
	heat := make([]float32, len(one.distances))
	predictor.JointMap(each, one.shape.Places(), heat)
	return localise(heat, one.shape, one.box, one.side)
}

// Found says that the place with the largest energy lies in the spliced box, 1 or 0, and how well the map tells the places inside (AUROC);
// of anything but a splice both are NaN.
type Found struct{ Hit, Cells float64 }

// Measured is what all sources say of a window: of the genuine Y and of each negative that could be made.
type Measured struct {
	// Unit is what the bootstrap draws: the window's recording.
	Unit int
	// Static is as in Window: kinds of motion are not made then.
	Static    bool
	Genuine   []Judged
	Negatives map[negatives.Kind][]Judged
}

// Measure lets the sources judge every window and its negatives: those of kinds of motion where something moves, the others everywhere.
// The negatives depend on the seed and on the window's place in w, nothing else. progress may be nil; its calls do not overlap.
func Measure(ctx context.Context, w *Windows, sources []*Source, kinds []negatives.Kind, seed uint64, progress func(done, total int),
) ([]Measured, error) {
	measured := make([]Measured, len(w.Windows))
	err := parallel(ctx, len(w.Windows), progress, func(ctx context.Context, i int) error {
		window := w.Windows[i]
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		m, err := measure(ctx, random, w.Source(window), sources, applicable(kinds, window.Static), negatives.Make)
		if err != nil {
			return fmt.Errorf("measuring %s at frame %d: %w", w.Recordings[window.Recording].Name, window.Start, err)
		}
		m.Unit, m.Static = window.Recording, window.Static
		measured[i] = m
		return nil
	})
	return measured, err
}

// applicable leaves the kinds of motion out where nothing moves.
func applicable(kinds []negatives.Kind, static bool) []negatives.Kind {
	var left []negatives.Kind
	for _, kind := range kinds {
		if !static || !kind.Motion() {
			left = append(left, kind)
		}
	}
	return left
}

// parallel calls work for 0 to n-1, as many at once as there are processors.
func parallel(ctx context.Context, n int, progress func(done, total int), work func(ctx context.Context, i int) error) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	finished := make(chan struct{}, n)
	told := make(chan struct{})
	go func() {
		defer close(told)
		done := 0
		for range finished {
			done++
			if progress != nil {
				progress(done, n)
			}
		}
	}()
	for i := range n {
		group.Go(func() error {
			if err := working.Err(); err != nil {
				return err
			}
			if err := work(working, i); err != nil {
				return err
			}
			finished <- struct{}{}
			return nil
		})
	}
	err := group.Wait()
	close(finished)
	<-told
	return err
}

// maker makes a negative: negatives.Make or negatives.Draw.
type maker func(random *rand.Rand, kind negatives.Kind, w negatives.Window) (negatives.Negative, bool)

// measure judges one window. The negatives are made first, in the order of kinds, so that they do not depend on the sources.
func measure(
	ctx context.Context, random *rand.Rand, w negatives.Window, sources []*Source, kinds []negatives.Kind, make maker,
) (Measured, error) {
	m := Measured{Negatives: map[negatives.Kind][]Judged{}}
	var made []negatives.Negative
	for _, kind := range kinds {
		if negative, ok := make(random, kind, w); ok {
			made = append(made, negative)
		}
	}
	all := append([]negatives.Negative{{Frames: w.Y()}}, made...)
	for _, source := range sources {
		judged, err := source.judge(ctx, w, all)
		if err != nil {
			return m, err
		}
		m.Genuine = append(m.Genuine, judged[0])
		for i, negative := range made {
			m.Negatives[negative.Kind] = append(m.Negatives[negative.Kind], judged[i+1])
		}
	}
	return m, nil
}

// judge measures several Y after the X of a window.
func (s *Source) judge(ctx context.Context, w negatives.Window, all []negatives.Negative) ([]Judged, error) {
	expected, err := s.expect(ctx, w.X(), w.Side)
	if err != nil {
		return nil, err
	}
	judged := make([]Judged, len(all))
	for i, y := range all {
		if judged[i], err = expected.judge(ctx, y); err != nil {
			return nil, err
		}
	}
	expected.close()
	if n, _ := predictor.StatisticsOf(predictor.BriefFrames / s.Encoder.Info().FramesPerStep); n == 0 { // steps of several frames
		return judged, nil
	}
	if expected, err = s.expect(ctx, w.X()[negatives.Length-predictor.BriefFrames:], w.Side); err != nil {
		return nil, err
	}
	for i, y := range all {
		seen, err := expected.read(ctx, y.Frames[:predictor.BriefFrames])
		if err != nil {
			return nil, err
		}
		if judged[i].Brief, err = seen.measure(); err != nil {
			return nil, err
		}
	}
	expected.close()
	return judged, nil
}

// measure is the statistics of what was seen.
func (r *reading) measure() (predictor.Statistics, error) {
	gauge, err := predictor.NewGauge(r.shape.T, r.shape.Places(), r.shape.D)
	if err != nil {
		return predictor.Statistics{}, err
	}
	return gauge.Measure(r.x, r.y, r.expected)
}

// judge measures one Y.
func (e *expectation) judge(ctx context.Context, y negatives.Negative) (Judged, error) {
	r, err := e.read(ctx, y.Frames)
	if err != nil {
		return Judged{}, err
	}
	places := r.shape.Places()
	energies := make([]float32, r.shape.T*places)
	r.distances(energies)
	judged := Judged{Found: localise(energies, r.shape, y.Box, e.side)}
	if !y.Box.Empty() {
		judged.spliced = &spliced{energies, r.shape, y.Box, e.side}
	}
	for _, energy := range energies {
		judged.Raw += float64(energy) / float64(len(energies))
	}
	if verifier := e.source.Verifier; verifier != nil {
		x, came := stream.Tokens{Shape: r.shape, Data: r.x}, stream.Tokens{Shape: r.shape, Data: r.y}
		if judged.Verified, energies, err = verifier.Judge(ctx, &x, &came, r.expected); err != nil {
			return Judged{}, err
		}
		judged.VerifierFound = localise(energies, r.shape, y.Box, e.side)
	}
	if r.shape.T%4 != 0 {
		return judged, nil
	}
	judged.Statistics, err = r.measure()
	return judged, err
}

// localise says whether the largest place of a map, its steps together, has its centre in the box, and how well the map tells the places
// whose centres are inside from those outside.
func localise(energies []float32, shape stream.Shape, box image.Rectangle, side int) Found {
	if box.Empty() {
		return Found{math.NaN(), math.NaN()}
	}
	perPlace := make([]float64, shape.Places())
	for i, energy := range energies {
		perPlace[i%len(perPlace)] += float64(energy)
	}
	var inside, outside []float64
	best, bestInside := math.Inf(-1), false
	for place, energy := range perPlace {
		x := (float64(place%shape.W) + 0.5) * float64(side) / float64(shape.W)
		y := (float64(place/shape.W) + 0.5) * float64(side) / float64(shape.H)
		within := x >= float64(box.Min.X) && x < float64(box.Max.X) && y >= float64(box.Min.Y) && y < float64(box.Max.Y)
		if within {
			inside = append(inside, energy)
		} else {
			outside = append(outside, energy)
		}
		if energy > best {
			best, bestInside = energy, within
		}
	}
	found := Found{Cells: AUROC(outside, inside)}
	if bestInside {
		found.Hit = 1
	}
	return found
}
