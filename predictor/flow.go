package predictor

import (
	"context"
	"fmt"
	"image/color"
	"time"

	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/stream"
)

// The parameters of the optical flow, those of OpenCV's example: Farnebäck, "Two-frame motion estimation based on polynomial
// expansion" (2003). They are part of the digest.
const (
	flowScale      = 0.5 // each level of the pyramid is half the size of the one below
	flowLevels     = 3
	flowWindow     = 15 // pixels that are averaged over
	flowIterations = 3
	flowPolyN      = 5 // pixels a polynomial is fitted to
	flowPolySigma  = 1.2
)

// Flow expects the picture to go on moving as it moved between the last two frames: the last frame, warped k times the optical
// flow for the k-th frame ahead, goes through the encoder. The warp is backward (the flow is read where a pixel arrives, not
// where it leaves), what comes in from outside repeats the border. With one frame there is no motion.
//
// An encoder that remembers its stream meets the warped frames with an empty memory.
type Flow struct {
	encoder encoder.Encoder
	info    Info
}

// NewFlow makes the predictor for the tokens of enc.
func NewFlow(enc encoder.Encoder) *Flow {
	return &Flow{encoder: enc, info: Info{
		Name: "flow", Frames: 2,
		Digest: encoder.Digest("flow", "1",
			fmt.Sprint(flowScale, flowLevels, flowWindow, flowIterations, flowPolyN, flowPolySigma)),
	}}
}

// Info describes the predictor.
func (f *Flow) Info() Info { return f.info }

// Expect warps the last frame and encodes it.
func (f *Flow) Expect(ctx context.Context, past Past, lead, steps int, out []float32) error {
	if len(past.Frames) == 0 {
		return stream.Fail("predict", "predict.no_frames", "predicting by flow: the past has no frames")
	}
	info := f.encoder.Info()
	first, count := lead*info.FramesPerStep+1, steps*info.FramesPerStep
	clip := newFlowClip(count, info)
	warp, err := newWarp(past.Frames, info.Height, info.Width)
	if err != nil {
		return err
	}
	defer warp.close()
	for i := range count {
		if err := warp.to(float64(first+i), clip.Frame(i)); err != nil {
			return err
		}
	}
	tokens, err := f.encoder.Encode(ctx, clip, f.encoder.NewState())
	if err != nil {
		return fmt.Errorf("encoding the frames the flow expects: %w", err)
	}
	if len(tokens.Data) != len(out) {
		return stream.Fail("predict", "predict.shape", "predicting by flow: %d frames gave %d values of tokens, not %d",
			count, len(tokens.Data), len(out))
	}
	copy(out, tokens.Data)
	return nil
}

// newFlowClip is room for count frames that have not been seen; their times only keep their order.
func newFlowClip(count int, info encoder.Info) *stream.Clip {
	clip := stream.NewClip(make([]byte, count*info.Height*info.Width*3), count, info.Height, info.Width, nil)
	clip.Step = time.Millisecond
	clip.Times = make([]time.Duration, count)
	for i := range clip.Times {
		clip.Times[i] = time.Duration(i) * clip.Step
	}
	clip.End = time.Duration(count) * clip.Step
	return clip
}

// warp moves a frame along the flow. It owns its Mats until close.
type warp struct {
	last gocv.Mat // 8UC3, the frame
	flow gocv.Mat // 32FC2, how far a pixel moves in a frame
	here gocv.Mat // 32FC2, where it is
	// Reused by every to.
	from, moved, none gocv.Mat
}

func newWarp(frames [][]byte, height, width int) (*warp, error) {
	last, before := frames[len(frames)-1], frames[max(len(frames)-2, 0)]
	w := &warp{
		last: gocv.NewMatWithSize(height, width, gocv.MatTypeCV8UC3),
		flow: gocv.NewMatWithSize(height, width, gocv.MatTypeCV32FC2),
		here: gocv.NewMatWithSize(height, width, gocv.MatTypeCV32FC2),
		from: gocv.NewMat(), moved: gocv.NewMat(), none: gocv.NewMat(),
	}
	if err := w.read(before, last); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *warp) read(before, last []byte) error {
	if err := fill(&w.last, last); err != nil {
		return err
	}
	earlier := gocv.NewMatWithSize(w.last.Rows(), w.last.Cols(), gocv.MatTypeCV8UC3)
	defer earlier.Close()
	if err := fill(&earlier, before); err != nil {
		return err
	}
	greyBefore, greyLast := gocv.NewMat(), gocv.NewMat()
	defer greyBefore.Close()
	defer greyLast.Close()
	gocv.CvtColor(earlier, &greyBefore, gocv.ColorRGBToGray)
	gocv.CvtColor(w.last, &greyLast, gocv.ColorRGBToGray)
	gocv.CalcOpticalFlowFarneback(greyBefore, greyLast, &w.flow,
		flowScale, flowLevels, flowWindow, flowIterations, flowPolyN, flowPolySigma, 0)
	return w.locate()
}

// locate writes its own coordinates to every place of here.
func (w *warp) locate() error {
	places, err := w.here.DataPtrFloat32()
	if err != nil {
		return matFailure(err)
	}
	width := w.here.Cols()
	for i := range len(places) / 2 {
		places[2*i], places[2*i+1] = float32(i%width), float32(i/width)
	}
	return nil
}

// to writes the frame moved by ahead times the flow to out.
func (w *warp) to(ahead float64, out []byte) error {
	gocv.AddWeighted(w.here, 1, w.flow, -ahead, 0, &w.from)
	gocv.Remap(w.last, &w.moved, &w.from, &w.none, gocv.InterpolationLinear, gocv.BorderReplicate, color.RGBA{})
	pixels, err := w.moved.DataPtrUint8()
	if err != nil {
		return matFailure(err)
	}
	copy(out, pixels)
	return nil
}

func (w *warp) close() {
	for _, mat := range []*gocv.Mat{&w.last, &w.flow, &w.here, &w.from, &w.moved, &w.none} {
		mat.Close()
	}
}

// fill copies a frame into a Mat of its size.
func fill(mat *gocv.Mat, frame []byte) error {
	pixels, err := mat.DataPtrUint8()
	if err != nil {
		return matFailure(err)
	}
	if len(pixels) != len(frame) {
		return stream.Fail("predict", "predict.frame_size", "predicting by flow: a frame has %d bytes, not the %d of %d×%d pixels",
			len(frame), len(pixels), mat.Cols(), mat.Rows())
	}
	copy(pixels, frame)
	return nil
}

func matFailure(err error) error {
	return stream.Fail("predict", "predict.internal", "predicting by flow: reaching a Mat's memory: %w", err)
}
