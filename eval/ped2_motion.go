package eval

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gocv.io/x/gocv"
	"gonum.org/v1/gonum/mat"
)

// MotionName is how tables call Motion.
const MotionName = "motion"

// How motion is described. The law is one for the whole picture: laws of places overfit
// held-out normal clips; figures on labelled clips had been seen when that was decided.
const (
	motionGrid  = 24   // places a side
	motionTime  = 2    // frames before and after that are averaged with a frame: a step is a few frames long
	motionSmall = 0.05 // of a feature's variance is added to it

	// The flow's settings are those of OpenCV's example, as in predictor.Flow.
	motionPyramid, motionLevels, motionWindow, motionIterations, motionPolyN, motionSigma = 0.5, 3, 15, 3, 5, 1.2
)

// The features of a place in a frame.
const (
	motionX          = iota // mean flow
	motionY                 //
	motionSpeed             // mean length of the flow
	motionSquare            // root of the mean square of it: few pixels that are fast
	motionDifference        // mean difference to the frame before
	motionFeatures
)

// Motion judges frames by what moves in them, and how, at the full size of the footage: a Gaussian of optical flow and differences, learned
// from normal footage. It is one law for all places: a few minutes of a camera leave most places without enough to learn one of their own
// (laws of a place and its neighbours raised several times as many false alarms on normal clips that were held out). It has no learned
// representation: it is what one is to be compared with.
type Motion struct{}

func (Motion) name() string { return MotionName }

// scores are those of every frame of the tested recordings.
func (Motion) scores(ctx context.Context, normal, test *Windows, progress func(done, total int)) ([][]float64, error) {
	usual, err := motionOf(ctx, normal, progress)
	if err != nil {
		return nil, err
	}
	law, err := fitMotion(usual)
	if err != nil {
		return nil, err
	}
	tested, err := motionOf(ctx, test, progress)
	if err != nil {
		return nil, err
	}
	scores := make([][]float64, len(tested))
	for i, frames := range tested {
		maps := make([][]float64, len(frames))
		for k, frame := range frames {
			maps[k] = law.judge(frame)
		}
		scores[i] = frameScores(maps)
	}
	return scores, nil
}

// motionOf are the features of every recording, frame and place.
func motionOf(ctx context.Context, w *Windows, progress func(done, total int)) ([][][]float64, error) {
	all := make([][][]float64, len(w.Recordings))
	err := parallel(ctx, len(w.Recordings), progress, func(ctx context.Context, i int) error {
		raw, err := flowFeatures(ctx, w.Recordings[i], w.Side)
		if err != nil {
			return fmt.Errorf("measuring the motion of %s: %w", w.Recordings[i].Name, err)
		}
		all[i] = overTime(raw)
		return nil
	})
	return all, err
}

// flowFeatures are those of each frame against the one before; the first is taken to be as the second.
func flowFeatures(ctx context.Context, r *Recording, side int) ([][]float64, error) {
	f := newFlowField(side)
	defer f.close()
	features := make([][]float64, r.Len())
	for i := range features {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.next(r.Frame(i)); err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		var err error
		if features[i], err = f.describe(); err != nil {
			return nil, err
		}
	}
	if len(features) < 2 {
		return nil, fmt.Errorf("it has %d frames; 2 are needed", len(features))
	}
	features[0] = features[1]
	return features, nil
}

// overTime averages features over a few frames.
func overTime(raw [][]float64) [][]float64 {
	out := make([][]float64, len(raw))
	for i := range raw {
		first, last := max(0, i-motionTime), min(len(raw)-1, i+motionTime)
		sum := make([]float64, len(raw[i]))
		for k := first; k <= last; k++ {
			for c, value := range raw[k] {
				sum[c] += value / float64(last-first+1)
			}
		}
		out[i] = sum
	}
	return out
}

// flowField is the optical flow between the last two frames. It owns its Mats until close.
type flowField struct {
	side              int
	colour, last, now gocv.Mat
	flow              gocv.Mat
}

func newFlowField(side int) *flowField {
	return &flowField{
		side: side, colour: gocv.NewMatWithSize(side, side, gocv.MatTypeCV8UC3), last: gocv.NewMat(), now: gocv.NewMat(),
		flow: gocv.NewMatWithSize(side, side, gocv.MatTypeCV32FC2),
	}
}

func (f *flowField) close() {
	for _, m := range []*gocv.Mat{&f.colour, &f.last, &f.now, &f.flow} {
		m.Close()
	}
}

// next takes a frame.
func (f *flowField) next(frame []byte) error {
	pixels, err := f.colour.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("reaching a frame's memory: %w", err)
	}
	copy(pixels, frame)
	f.last, f.now = f.now, f.last
	gocv.CvtColor(f.colour, &f.now, gocv.ColorRGBToGray)
	return nil
}

// describe is the features of every place.
func (f *flowField) describe() ([]float64, error) {
	gocv.CalcOpticalFlowFarneback(f.last, f.now, &f.flow,
		motionPyramid, motionLevels, motionWindow, motionIterations, motionPolyN, motionSigma, 0)
	flow, err := f.flow.DataPtrFloat32()
	if err != nil {
		return nil, fmt.Errorf("reaching the flow's memory: %w", err)
	}
	last, err := f.last.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("reaching a frame's memory: %w", err)
	}
	now, err := f.now.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("reaching a frame's memory: %w", err)
	}
	features, counts := make([]float64, motionGrid*motionGrid*motionFeatures), make([]float64, motionGrid*motionGrid)
	for i, value := range now {
		place := i / f.side * motionGrid / f.side * motionGrid
		place += i % f.side * motionGrid / f.side
		x, y := float64(flow[2*i]), float64(flow[2*i+1])
		to, square := features[place*motionFeatures:][:motionFeatures], x*x+y*y
		to[motionX] += x
		to[motionY] += y
		to[motionSpeed] += math.Sqrt(square)
		to[motionSquare] += square
		to[motionDifference] += math.Abs(float64(value) - float64(last[i]))
		counts[place]++
	}
	for i := range features {
		features[i] /= counts[i/motionFeatures]
		if i%motionFeatures == motionSquare {
			features[i] = math.Sqrt(features[i])
		}
	}
	return features, nil
}

// motionLaw is what motion is usual.
type motionLaw struct {
	mean [motionFeatures]float64
	// factor is that of the covariance.
	factor mat.Cholesky
}

// fitMotion learns from the places of all frames of normal recordings.
func fitMotion(all [][][]float64) (*motionLaw, error) {
	law, count := &motionLaw{}, 0.0
	var squares [motionFeatures][motionFeatures]float64
	for _, frames := range all {
		for _, frame := range frames {
			for at := 0; at < len(frame); at += motionFeatures {
				x := frame[at:][:motionFeatures]
				count++
				for i, value := range x {
					law.mean[i] += value
					for k := i; k < motionFeatures; k++ {
						squares[i][k] += value * x[k]
					}
				}
			}
		}
	}
	covariance := mat.NewSymDense(motionFeatures, nil)
	for i := range law.mean {
		law.mean[i] /= count
	}
	for i := range motionFeatures {
		for k := i; k < motionFeatures; k++ {
			covariance.SetSym(i, k, squares[i][k]/count-law.mean[i]*law.mean[k])
		}
		covariance.SetSym(i, i, covariance.At(i, i)*(1+motionSmall)+1e-9)
	}
	if !law.factor.Factorize(covariance) {
		return nil, errors.New("learning what motion is usual: its covariance is not positive")
	}
	return law, nil
}

// judge is how far, in deviations, every place of a frame is from what is usual.
func (l *motionLaw) judge(frame []float64) []float64 {
	distances := make([]float64, len(frame)/motionFeatures)
	var x, solved mat.VecDense
	x.ReuseAsVec(motionFeatures)
	for at := range distances {
		for k := range motionFeatures {
			x.SetVec(k, frame[at*motionFeatures+k]-l.mean[k])
		}
		if l.factor.SolveVecTo(&solved, &x) == nil {
			distances[at] = math.Sqrt(max(0, mat.Dot(&x, &solved)))
		}
	}
	return distances
}
