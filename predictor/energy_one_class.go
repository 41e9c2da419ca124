package predictor

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn"
)

// OneClass is the energy of statistics under what genuine continuations look like, learned from those alone, in closed form:
//
//	observed | given ~ N(A phi(c), s(c)² Sigma),  phi = (1, c, c²)
//
// with c the standardised given statistics, clipped to ±3; A and log s² by ridge regression on phi; Sigma the covariance of the
// residuals, shrunk towards its mean eigenvalue. The energy is the Mahalanobis distance of what was observed. It has two sides:
// what moves less than its past let expect (a frozen stream) is as far away as what moves more.
type OneClass struct {
	observed, given int

	givenMean, givenScale []float64  // [given]
	fit                   *mat.Dense // [phi, observed]
	width                 []float64  // [phi], log s²
	spread                []float64  // [observed], standard deviation of a residual divided by s
	covariance            *mat.SymDense
	cholesky              mat.Cholesky

	// mean and scale of the logarithm of the energy of genuine windows.
	mean, scale float64
}

// The constants of the fit.
const (
	oneClassClip  = 3
	oneClassRidge = 1e-2
	// oneClassShrink is half way to a covariance without correlations: of .02, .1, .3, .5, .7, .9 and 1 it was the best on training
	// footage, fitted on half of its clips and measured on the other half.
	oneClassShrink = 0.5
	// squareFloor keeps a residual that is exactly 0 from being infinitely certain.
	squareFloor = 1e-12
)

// ErrTooFewWindows is why nothing can be learned from the windows at hand: the law has more numbers than they tell.
var ErrTooFewWindows = errors.New("there are too few windows")

// FitOneClass learns from genuine windows. It fails when they are too few or their statistics do not vary.
func FitOneClass(genuine []Statistics) (*OneClass, error) {
	o, err := fitOneClass(genuine)
	if err != nil {
		return nil, fmt.Errorf("fitting a one-class energy to %d windows: %w", len(genuine), err)
	}
	return o, nil
}

func fitOneClass(genuine []Statistics) (*OneClass, error) {
	if len(genuine) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrTooFewWindows)
	}
	o := &OneClass{observed: len(genuine[0].Observed), given: len(genuine[0].Given)}
	if phi := 2*o.given + 1; len(genuine) <= phi {
		return nil, fmt.Errorf("%w: more than %d are needed", ErrTooFewWindows, phi)
	}
	for _, s := range genuine {
		if err := o.check(s); err != nil {
			return nil, err
		}
	}
	o.standardise(genuine)
	if err := o.regress(genuine); err != nil {
		return nil, err
	}
	err := o.Settle(genuine)
	return o, err
}

// standardise learns the mean and the scale of the given statistics.
func (o *OneClass) standardise(genuine []Statistics) {
	o.givenMean, o.givenScale = make([]float64, o.given), make([]float64, o.given)
	column := make([]float64, len(genuine))
	for i := range o.given {
		for k, s := range genuine {
			column[k] = s.Given[i]
		}
		o.givenMean[i], o.givenScale[i] = moments(column)
	}
}

// moments are mean and standard deviation; a deviation of 0 is told as 1, so that it can be divided by.
func moments(values []float64) (mean, deviation float64) {
	for _, value := range values {
		mean += value / float64(len(values))
	}
	square := 0.0
	for _, value := range values {
		square += (value - mean) * (value - mean) / float64(len(values))
	}
	if square <= 0 {
		return mean, 1
	}
	return mean, math.Sqrt(square)
}

// Condition is the given statistics, standardised and clipped.
func (o *OneClass) Condition(s Statistics) []float64 {
	c := make([]float64, o.given)
	for i, value := range s.Given {
		c[i] = min(max((value-o.givenMean[i])/o.givenScale[i], -oneClassClip), oneClassClip)
	}
	return c
}

// phi is 1, the condition, and its squares.
func (o *OneClass) phi(s Statistics) []float64 {
	c := o.Condition(s)
	phi := make([]float64, 0, 2*o.given+1)
	phi = append(append(phi, 1), c...)
	for _, value := range c {
		phi = append(phi, value*value)
	}
	return phi
}

// regress learns A, s and Sigma.
func (o *OneClass) regress(genuine []Statistics) error {
	n, features := len(genuine), 2*o.given+1
	phis, observed := mat.NewDense(n, features, nil), mat.NewDense(n, o.observed, nil)
	for i, s := range genuine {
		phis.SetRow(i, o.phi(s))
		observed.SetRow(i, s.Observed)
	}
	var err error
	if o.fit, err = ridge(phis, observed); err != nil {
		return err
	}
	var residuals mat.Dense
	residuals.Mul(phis, o.fit)
	residuals.Sub(observed, &residuals)

	spread := deviations(&residuals)
	widths := mat.NewDense(n, 1, nil)
	for i := range n {
		square := 0.0
		for k, r := range residuals.RawRowView(i) {
			square += r * r / (spread[k] * spread[k]) / float64(o.observed)
		}
		widths.Set(i, 0, math.Log(square+squareFloor))
	}
	width, err := ridge(phis, widths)
	if err != nil {
		return err
	}
	o.width = mat.Col(nil, 0, width)
	for i := range n {
		row, s := residuals.RawRowView(i), o.scaleOf(phis.RawRowView(i))
		for k := range row {
			row[k] /= s
		}
	}
	o.spread = deviations(&residuals)
	return o.shrink(&residuals)
}

// ridge solves for the B that makes X B nearest to Y; the first column of X, the ones, is not held back.
func ridge(x, y *mat.Dense) (*mat.Dense, error) {
	n, features := x.Dims()
	_, outputs := y.Dims()
	var gram mat.SymDense
	gram.SymOuterK(1/float64(n), x.T())
	for i := 1; i < features; i++ {
		gram.SetSym(i, i, gram.At(i, i)+oneClassRidge)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(&gram) {
		return nil, errors.New("their statistics do not vary")
	}
	right, solution := mat.NewDense(features, outputs, nil), mat.NewDense(features, outputs, nil)
	right.Mul(x.T(), y)
	right.Scale(1/float64(n), right)
	if err := cholesky.SolveTo(solution, right); err != nil {
		return nil, fmt.Errorf("solving a ridge regression: %w", err)
	}
	return solution, nil
}

// deviations are the root mean squares of the columns.
func deviations(m *mat.Dense) []float64 {
	rows, columns := m.Dims()
	d := make([]float64, columns)
	for i := range rows {
		for k, value := range m.RawRowView(i) {
			d[k] += value * value / float64(rows)
		}
	}
	for k := range d {
		d[k] = math.Sqrt(max(d[k], squareFloor))
	}
	return d
}

// scaleOf is s: how much wider than usual what is observed spreads under this condition.
func (o *OneClass) scaleOf(phi []float64) float64 {
	log := 0.0
	for i, value := range phi {
		log += o.width[i] * value
	}
	return math.Exp(log / 2)
}

// shrink takes the covariance of the standardised residuals.
func (o *OneClass) shrink(residuals *mat.Dense) error {
	rows, _ := residuals.Dims()
	for i := range rows {
		row := residuals.RawRowView(i)
		for k := range row {
			row[k] /= o.spread[k]
		}
	}
	var covariance mat.SymDense
	covariance.SymOuterK(1/float64(rows), residuals.T())
	level := oneClassShrink * mat.Trace(&covariance) / float64(o.observed)
	covariance.ScaleSym(1-oneClassShrink, &covariance)
	for i := range o.observed {
		covariance.SetSym(i, i, covariance.At(i, i)+level)
	}
	o.covariance = &covariance
	if !o.cholesky.Factorize(&covariance) {
		return errors.New("their statistics do not vary")
	}
	return nil
}

// Settle learns where the energies of genuine windows lie: the scale of Standard. FitOneClass does it by the windows it fits; do it again
// where others are more like those that will be judged.
func (o *OneClass) Settle(genuine []Statistics) error {
	if len(genuine) == 0 {
		return errors.New("settling the scale of a one-class energy: there are no genuine windows")
	}
	logs := make([]float64, 0, len(genuine))
	for _, s := range genuine {
		energy, err := o.Energy(s)
		if err != nil {
			return err
		}
		logs = append(logs, math.Log(energy+logFloor))
	}
	o.mean, o.scale = moments(logs)
	return nil
}

// Residual is how far what was observed lies from what the condition lets expect, in standard deviations, a number for each.
func (o *OneClass) Residual(s Statistics) ([]float64, error) {
	if err := o.check(s); err != nil {
		return nil, err
	}
	phi := o.phi(s)
	scale := o.scaleOf(phi)
	residual := make([]float64, o.observed)
	for k, value := range s.Observed {
		for i, p := range phi {
			value -= p * o.fit.At(i, k)
		}
		residual[k] = value / (scale * o.spread[k])
	}
	return residual, nil
}

// Energy is the Mahalanobis distance; the larger, the less the window is like a genuine one, to either side.
func (o *OneClass) Energy(s Statistics) (float64, error) {
	residual, err := o.Residual(s)
	if err != nil {
		return 0, err
	}
	r := mat.NewVecDense(len(residual), residual)
	var solved mat.VecDense
	if err := o.cholesky.SolveVecTo(&solved, r); err != nil {
		return 0, fmt.Errorf("measuring a one-class energy: %w", err)
	}
	return math.Sqrt(max(0, mat.Dot(r, &solved))), nil
}

// Standard is an energy on the scale of genuine windows: standard deviations of its logarithm from their mean.
func (o *OneClass) Standard(energy float64) float64 {
	return (math.Log(energy+logFloor) - o.mean) / o.scale
}

func (o *OneClass) check(s Statistics) error {
	if len(s.Observed) != o.observed || len(s.Given) != o.given {
		return fmt.Errorf("a window has %d observed and %d given statistics, not %d and %d: other sources measured it",
			len(s.Observed), len(s.Given), o.observed, o.given)
	}
	for _, values := range [2][]float64{s.Observed, s.Given} {
		for i, value := range values {
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return fmt.Errorf("statistic %d of a window is %v", i, value)
			}
		}
	}
	return nil
}

// Put adds what was learned to a file, under prefix.
func (o *OneClass) Put(f *nn.TensorFile, prefix string) {
	put := func(name string, values []float64, shape ...int) {
		f.Put(prefix+name, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)))
	}
	features := 2*o.given + 1
	put("given.mean", o.givenMean, o.given)
	put("given.scale", o.givenScale, o.given)
	put("fit", mat.DenseCopyOf(o.fit).RawMatrix().Data, features, o.observed)
	put("width", o.width, features)
	put("spread", o.spread, o.observed)
	put("covariance", mat.DenseCopyOf(o.covariance).RawMatrix().Data, o.observed, o.observed)
	put("genuine", []float64{o.mean, o.scale}, 2)
}

// LoadOneClass reads what Put wrote.
func LoadOneClass(s *nn.Safetensors, prefix string) (*OneClass, error) {
	o, err := loadOneClass(s, prefix)
	if err != nil {
		return nil, fmt.Errorf("loading a one-class energy: %w", err)
	}
	return o, nil
}

func loadOneClass(s *nn.Safetensors, prefix string) (*OneClass, error) {
	info, ok := s.Info(prefix + "fit")
	if !ok || len(info.Shape) != 2 || info.Shape[0] < 3 || info.Shape[0]%2 == 0 || info.Shape[1] < 1 {
		return nil, fmt.Errorf("tensor %q: there must be one of shape [2 given + 1, observed], found %v", prefix+"fit", info.Shape)
	}
	features, observed := info.Shape[0], info.Shape[1]
	o := &OneClass{given: features / 2, observed: observed}
	var errs []error
	get := func(name string, shape ...int) []float64 {
		values, err := s.Float64(prefix+name, shape...)
		if err != nil {
			errs = append(errs, err)
			return make([]float64, tensor.Shape(shape).TotalSize())
		}
		return values.Data().([]float64)
	}
	o.givenMean, o.givenScale = get("given.mean", o.given), get("given.scale", o.given)
	o.fit = mat.NewDense(features, observed, get("fit", features, observed))
	o.width, o.spread = get("width", features), get("spread", observed)
	o.covariance = mat.NewSymDense(observed, get("covariance", observed, observed))
	genuine := get("genuine", 2)
	o.mean, o.scale = genuine[0], genuine[1]
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if !o.cholesky.Factorize(o.covariance) {
		return nil, fmt.Errorf("tensor %q is no covariance", prefix+"covariance")
	}
	return o, nil
}
