package train

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/ensue-video/ensue/nn"
)

// Sample is a look at what is learned: one row of the telemetry.
type Sample struct {
	// Step is the step, Seconds the time trained so far.
	Step    int     `json:"step"`
	Seconds float64 `json:"seconds"`
	// Rate and Momentum are the step's.
	Rate     float64 `json:"rate"`
	Momentum float64 `json:"momentum"`
	// Loss is the weighted sum of Terms, which are told without their weights.
	Loss  float64 `json:"loss"`
	Terms []Term  `json:"terms"`
	// GradientNorm is the length of the gradient before it was cut.
	GradientNorm float64 `json:"gradient_norm"`
	// Deviation is the mean over features of the standard deviation over tokens, Covariance the sum of squared covariances of two features
	// over their number, both of the learning encoder's tokens through LayerNorm.
	Deviation  float64 `json:"deviation"`
	Covariance float64 `json:"covariance"`
	// EncoderRank and PredictorRank are effective ranks of tokens and of predictions.
	EncoderRank   float64 `json:"rank_encoder"`
	PredictorRank float64 `json:"rank_predictor"`
	// Horizons are prediction against persistence.
	Horizons []Horizon `json:"horizons"`
	// Verifier is how well the verifier does, where there is one.
	Verifier *VerifierSample `json:"verifier,omitempty"`
	// WindowsPerSecond is the speed since the look before.
	WindowsPerSecond float64 `json:"windows_per_second"`
}

// Term is one part of the loss.
type Term struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Horizon is how far predictions are from what came, so many seconds ahead (0: places hidden by a mask), beside how far the last token seen
// at the same place is; Moving is the same for places that move alone, where somebody told which do.
type Horizon struct {
	Seconds     float64  `json:"seconds"`
	Prediction  float64  `json:"prediction"`
	Persistence float64  `json:"persistence"`
	Moving      *Horizon `json:"moving,omitempty"`
}

// columns are the names and the values of a sample, in the order of the file.
func (s *Sample) columns() (names []string, values []float64) {
	add := func(name string, value float64) { names, values = append(names, name), append(values, value) }
	add("step", float64(s.Step))
	add("seconds", s.Seconds)
	add("rate", s.Rate)
	add("momentum", s.Momentum)
	add("loss", s.Loss)
	for _, t := range s.Terms {
		add("term_"+t.Name, t.Value)
	}
	add("gradient_norm", s.GradientNorm)
	add("deviation", s.Deviation)
	add("covariance", s.Covariance)
	add("rank_encoder", s.EncoderRank)
	add("rank_predictor", s.PredictorRank)
	for _, h := range s.Horizons {
		at := strconv.FormatFloat(h.Seconds, 'f', -1, 64) + "s"
		if h.Seconds == 0 {
			at = "masked"
		}
		add("prediction_"+at, h.Prediction)
		add("persistence_"+at, h.Persistence)
		if h.Moving != nil {
			add("moving_prediction_"+at, h.Moving.Prediction)
			add("moving_persistence_"+at, h.Moving.Persistence)
		}
	}
	if s.Verifier != nil {
		add("verifier_paired", s.Verifier.Paired)
		add("verifier_cells", s.Verifier.Cells)
	}
	add("windows_per_second", s.WindowsPerSecond)
	return names, values
}

// record is the telemetry of a training: a CSV file, and the same in memory for the page.
type record struct {
	path  string
	names []string
	rows  [][]float64
}

// openRecord begins a telemetry, or goes on with one: what was written after the given step is taken back.
func openRecord(path string, upTo int) (*record, error) {
	r := &record{path: path}
	if upTo == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("beginning the telemetry: %w", err)
		}
		return r, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil // it began after the checkpoint, or somebody took it away
	}
	if err != nil {
		return nil, fmt.Errorf("going on with the telemetry: %w", err)
	}
	err = errors.Join(r.read(file, upTo), file.Close())
	if err == nil {
		err = r.rewrite()
	}
	if err != nil {
		return nil, fmt.Errorf("going on with the telemetry %s: %w", path, err)
	}
	return r, nil
}

// read takes the rows up to a step. A last row that a killed process left unfinished is after it.
func (r *record) read(from io.Reader, upTo int) error {
	reader := csv.NewReader(from)
	names, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	r.names = names
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		values, ok := parseRow(row)
		if err != nil || !ok || int(values[0]) > upTo {
			return nil //nolint:nilerr // whatever follows the step is written again
		}
		r.rows = append(r.rows, values)
	}
}

func parseRow(row []string) (values []float64, ok bool) {
	for _, text := range row {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}

// rewrite writes the file anew from what is in memory.
func (r *record) rewrite() error {
	var text []byte
	if len(r.names) > 0 {
		text = line(r.names)
	}
	for _, row := range r.rows {
		text = append(text, line(formatRow(row))...)
	}
	return writeAtomically(r.path, text)
}

func line(fields []string) []byte {
	var text []byte
	for i, field := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, field...)
	}
	return append(text, '\n')
}

func formatRow(values []float64) []string {
	fields := make([]string, len(values))
	for i, v := range values {
		fields[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fields
}

// add appends a sample.
func (r *record) add(s *Sample) (err error) {
	names, values := s.columns()
	file, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("writing the telemetry: %w", err)
	}
	text := line(formatRow(values))
	if r.names == nil {
		r.names = names
		text = append(line(names), text...)
	}
	r.rows = append(r.rows, values)
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing the telemetry: %w", err)
	}
	return nil
}

// column is the curve of a name; ok is false where there is none.
func (r *record) column(name string) (values []float64, ok bool) {
	for i, n := range r.names {
		if n != name {
			continue
		}
		for _, row := range r.rows {
			if i < len(row) {
				values = append(values, row[i])
			}
		}
		return values, true
	}
	return nil, false
}

// describe measures what a step's views look like, on evenly spaced rows.
func describe(s *Sample, v *views, rows int) {
	d := v.tokens.Shape()[1]
	tokens := spaced(v.tokens, rows)
	s.Deviation, s.Covariance = spreadOf(tokens, d)
	s.EncoderRank = EffectiveRank(tokens, d)
	p := v.predictions[len(v.predictions)-1].predicted // the farthest ahead
	s.PredictorRank = EffectiveRank(spaced(p, rows), p.Shape()[1])
	s.Horizons = v.horizons()
	if v.verified != nil && v.verified.measure != nil {
		sample := v.verified.measure()
		s.Verifier = &sample
	}
}

// spaced are up to n rows of a value.
func spaced(v *nn.Value, n int) []float32 {
	count, d := v.Shape()[0], v.Shape()[1]
	n = min(n, count)
	all, some := v.Float32s(), make([]float32, 0, n*d)
	for i := range n {
		row := i * count / n
		some = append(some, all[row*d:(row+1)*d]...)
	}
	return some
}

// spreadOf is the mean standard deviation of d features, and VICReg's C.
func spreadOf(rows []float32, d int) (deviation, covariance float64) {
	n := len(rows) / d
	if n < 2 {
		return 0, 0
	}
	c := centred(widened(rows), d).RawMatrix().Data
	products := make([]float64, d*d)
	for r := range n {
		row := c[r*d : (r+1)*d]
		for i, a := range row {
			for j := i; j < d; j++ {
				products[i*d+j] += a * row[j]
			}
		}
	}
	for i := range d {
		deviation += math.Sqrt(products[i*d+i]/float64(n-1)) / float64(d)
		for j := i + 1; j < d; j++ {
			v := products[i*d+j] / float64(n-1)
			covariance += 2 * v * v / float64(d)
		}
	}
	return deviation, covariance
}
