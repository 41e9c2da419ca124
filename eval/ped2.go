package eval

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/eval/negatives"
)

// The protocol of frame-level anomalies: the map of the prediction error of every frame, averaged over the windows that cover it;
// standardised at every place by footage without anomalies; the mean of the largest places; smoothed over time. It was chosen on dev by
// the study it comes from; here nothing is chosen on labels.
const (
	// AnomalySide is the size that frames are taken at: no smaller than Ped2's own 360 by 240, so that nothing is lost. What a source looks at
	// is shrunk to the size of its encoder.
	AnomalySide = 360

	anomalyHop    = 2
	anomalyPlaces = 4
	anomalySmooth = 4.0 // frames
)

// Labels say of every frame of a clip, by the clip's name, whether it is anomalous.
type Labels map[string][]bool

// ParseLabels reads a CSV file with the columns clip, frame_index0 and anomalous (0 or 1), a row for each frame; others are passed over.
func ParseLabels(r io.Reader) (Labels, error) {
	reader := csv.NewReader(r)
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	columns := [3]int{}
	for i, name := range [3]string{"clip", "frame_index0", "anomalous"} {
		if columns[i] = slices.Index(header, name); columns[i] < 0 {
			return nil, fmt.Errorf("reading labels: the header has no column %q; it has %s", name, strings.Join(header, ", "))
		}
	}
	labels := Labels{}
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return labels, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading labels: %w", err)
		}
		line, _ := reader.FieldPos(0)
		clip, frame := row[columns[0]], row[columns[1]]
		if index, err := strconv.Atoi(frame); err != nil || index != len(labels[clip]) {
			return nil, fmt.Errorf("reading labels, line %d: frame_index0 is %q, the next frame of %s is %d", line, frame, clip, len(labels[clip]))
		}
		anomalous, err := strconv.ParseBool(row[columns[2]])
		if err != nil {
			return nil, fmt.Errorf("reading labels, line %d: anomalous is %q; it must be 0 or 1", line, row[columns[2]])
		}
		labels[clip] = append(labels[clip], anomalous)
	}
}

// Of are the labels of a recording: those of the clip whose name its own ends with, before the extension.
func (l Labels) Of(recording string) []bool {
	stem, _, _ := strings.Cut(recording, ".")
	for clip, labels := range l {
		if stem == clip || strings.HasSuffix(stem, "_"+clip) {
			return labels
		}
	}
	return nil
}

// Anomalies is the table of frame-level anomaly detection.
type Anomalies struct {
	Clips     int             `json:"clips"`
	Frames    int             `json:"frames"`
	Anomalous int             `json:"anomalous"`
	Normal    int             `json:"normal_clips"`
	Draws     int             `json:"bootstrap_draws"`
	Results   []AnomalyResult `json:"results"`
}

// AnomalyResult is the AUROC of a source over all frames of all clips, one threshold for all; the interval is of the clips.
type AnomalyResult struct {
	Name  string   `json:"name"`
	AUROC Interval `json:"auroc"`
}

// MeasureAnomalies learns from normal recordings what is usual at every place, and judges the frames of labelled ones. Recordings are
// taken at the protocol's rate (every frame at 10 fps); those without labels, or of another length, are refused.
func MeasureAnomalies(
	ctx context.Context, normal, test *Windows, labels Labels, judges []AnomalyJudge, seed uint64, progress func(done, total int),
) (*Anomalies, error) {
	table := &Anomalies{Clips: len(test.Recordings), Normal: len(normal.Recordings), Draws: bootstrapDraws}
	for _, r := range test.Recordings {
		marks := labels.Of(r.Name)
		if len(marks) != r.Len() {
			return nil, fmt.Errorf("judging frames of %s: it has %d, the labels have %d", r.Name, r.Len(), len(marks))
		}
		table.Frames += len(marks)
		for _, mark := range marks {
			if mark {
				table.Anomalous++
			}
		}
	}
	total, done := len(judges)*(len(normal.Recordings)+len(test.Recordings)), 0
	for _, judge := range judges {
		scores, err := judge.scores(ctx, normal, test, func(int, int) {
			done++
			if progress != nil {
				progress(done, total)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("judging frames with %s: %w", judge.name(), err)
		}
		table.Results = append(table.Results, AnomalyResult{Name: judge.name(), AUROC: anomalyAUROC(test, labels, scores, seed)})
	}
	return table, nil
}

// AnomalyJudge says how odd every frame is. *Source and Motion do.
type AnomalyJudge interface {
	name() string
	// scores are those of every frame of the tested recordings; what is usual is learned from the normal ones.
	scores(ctx context.Context, normal, test *Windows, progress func(done, total int)) ([][]float64, error)
}

func (s *Source) name() string { return s.Name }

func anomalyAUROC(test *Windows, labels Labels, scores [][]float64, seed uint64) Interval {
	var normal, odd []float64
	var normalOf, oddOf []int
	for i, r := range test.Recordings {
		for frame, mark := range labels.Of(r.Name) {
			if mark {
				odd, oddOf = append(odd, scores[i][frame]), append(oddOf, i)
			} else {
				normal, normalOf = append(normal, scores[i][frame]), append(normalOf, i)
			}
		}
	}
	ranking := NewRanking(normal, odd)
	var a, b []float64
	return Bootstrap(len(test.Recordings), bootstrapDraws, seed, func(weights []float64) []float64 {
		a, b = spread(weights, normalOf, a), spread(weights, oddOf, b)
		return []float64{ranking.AUROC(a, b)}
	})[0]
}

// scores standardises the prediction error at every place by normal footage.
func (s *Source) scores(ctx context.Context, normal, test *Windows, progress func(done, total int)) ([][]float64, error) {
	usual, err := s.frameMaps(ctx, normal, progress)
	if err != nil {
		return nil, err
	}
	places := len(usual[0][0])
	means, deviations := make([]float64, places), make([]float64, places)
	for place := range places {
		var values []float64
		for _, maps := range usual {
			for _, m := range maps {
				values = append(values, m[place])
			}
		}
		means[place], deviations[place] = meanDeviation(values)
	}
	tested, err := s.frameMaps(ctx, test, progress)
	if err != nil {
		return nil, err
	}
	scores := make([][]float64, len(tested))
	for i, maps := range tested {
		standard := make([][]float64, len(maps))
		for frame, m := range maps {
			for place, energy := range m {
				standard[frame] = append(standard[frame], (energy-means[place])/deviations[place])
			}
		}
		scores[i] = frameScores(standard)
	}
	return scores, nil
}

// frameScores are the mean of the largest places of every frame's map, smoothed over time.
func frameScores(maps [][]float64) []float64 {
	scores := make([]float64, 0, len(maps))
	for _, m := range maps {
		sorted := slices.Sorted(slices.Values(m))
		scores = append(scores, mean(sorted[max(0, len(sorted)-anomalyPlaces):]...))
	}
	return smooth(scores, anomalySmooth)
}

func meanDeviation(values []float64) (m, deviation float64) {
	m = mean(values...)
	squares := 0.0
	for _, value := range values {
		squares += (value - m) * (value - m)
	}
	return m, math.Sqrt(squares/float64(len(values))) + 1e-9
}

// smooth is a Gaussian mean over time.
func smooth(values []float64, sigma float64) []float64 {
	out := make([]float64, len(values))
	for i := range values {
		sum, total := 0.0, 0.0
		for k, value := range values {
			w := math.Exp(-float64((i-k)*(i-k)) / (2 * sigma * sigma))
			sum, total = sum+w*value, total+w
		}
		out[i] = sum / total
	}
	return out
}

// frameMaps are the maps of every frame of recordings.
func (s *Source) frameMaps(ctx context.Context, w *Windows, progress func(done, total int)) ([][][]float64, error) {
	all := make([][][]float64, len(w.Recordings))
	err := parallel(ctx, len(w.Recordings), progress, func(ctx context.Context, i int) error {
		var err error
		if all[i], err = s.mapsOf(ctx, w.Recordings[i], w.Side); err != nil {
			return fmt.Errorf("reading %s: %w", w.Recordings[i].Name, err)
		}
		return nil
	})
	return all, err
}

// mapsOf averages the error of every place over the windows that cover a frame. The first frames, which nothing predicts, are taken to be
// as the first that something does.
func (s *Source) mapsOf(ctx context.Context, r *Recording, side int) ([][]float64, error) {
	const length = negatives.Length
	if r.Len() < 2*length {
		return nil, fmt.Errorf("it has %d frames; %d are needed", r.Len(), 2*length)
	}
	maps, counts := make([][]float64, r.Len()), make([]float64, r.Len())
	var energies []float32
	for start := 0; start+2*length <= r.Len(); start += anomalyHop {
		expected, err := s.expect(ctx, r.Frames(start, start+length), side)
		if err != nil {
			return nil, err
		}
		read, err := expected.read(ctx, r.Frames(start+length, start+2*length))
		if err != nil {
			return nil, err
		}
		places := read.shape.Places()
		energies = slices.Grow(energies[:0], read.shape.T*places)[:read.shape.T*places]
		read.distances(energies)
		for i := range length {
			frame := start + length + i
			if maps[frame] == nil {
				maps[frame] = make([]float64, places)
			}
			counts[frame]++
			for place, energy := range energies[i*read.shape.T/length*places:][:places] {
				maps[frame][place] += float64(energy)
			}
		}
		expected.close()
	}
	for frame := length; frame < len(maps); frame++ {
		if maps[frame] == nil { // an odd frame at the end
			maps[frame] = maps[frame-1]
			continue
		}
		for place := range maps[frame] {
			maps[frame][place] /= counts[frame]
		}
	}
	for frame := range length {
		maps[frame] = maps[length]
	}
	return maps, nil
}
