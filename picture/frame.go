package picture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"time"

	"gocv.io/x/gocv"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// Frame is one picture: `[Height, Width, 3]` RGB.
type Frame struct {
	Pixels        []byte
	Width, Height int
	// Shown is the size to show it in: the shape that people see.
	Shown image.Point
	// At is its time, since the first frame of the stream.
	At time.Duration
}

// FrameOf copies frame t of the clip, to be shown with its longer side that long.
func FrameOf(clip *stream.Clip, t, side int) Frame {
	return Frame{
		Pixels: slices.Clone(clip.Frame(t)), Width: clip.W, Height: clip.H, Shown: shown(clip, side), At: clip.Times[t],
	}
}

// shown is the shape that people see, with the longer side that long. Invariant 1.
func shown(clip *stream.Clip, side int) image.Point {
	width, height := float64(clip.ShownWidth), float64(clip.ShownHeight)
	if clip.Cropped || width <= 0 || height <= 0 {
		width, height = float64(clip.W), float64(clip.H)
	}
	const steepest = 8 // of what claims to be a thousand times as wide as high nothing would be seen
	width, height = min(width, steepest*height), min(height, steepest*width)
	scale := float64(side) / max(width, height)
	return image.Pt(max(1, int(width*scale+0.5)), max(1, int(height*scale+0.5)))
}

// Nearest is the number of the last frame of the clip that is not after at; the first one where all are.
func Nearest(clip *stream.Clip, at time.Duration) int {
	after, _ := slices.BinarySearch(clip.Times, at+1)
	return max(0, after-1)
}

// grabBytes bounds the memory of Grab.
const grabBytes = 64 << 20

// Grab decodes the segment once more, larger than an encoder wants it, and returns the frame at that time; clip is what the pipeline made
// of the segment, from which only the times and the shape are taken. It is for the few moments that somebody will look at: it costs as
// much as decoding the segment. Of a segment so long that its frames would take more than 64 MiB the pipeline's own frame is taken.
// config is the pipeline's own.
func Grab(
	ctx context.Context, config decode.Config, segment *stream.Segment, clip *stream.Clip, at time.Duration, side int,
) (Frame, error) {
	if len(segment.Payload) == 0 {
		return Frame{}, errors.New("grabbing a frame: the segment has no payload")
	}
	size, fit := shown(clip, side), decode.Squash
	if clip.T*size.X*size.Y*3 > grabBytes {
		return FrameOf(clip, Nearest(clip, at), side), nil
	}
	if clip.Cropped {
		fit = decode.Crop
	}
	decoder, err := decode.New(config, decode.Size{Width: size.X, Height: size.Y}, decode.WithFit(fit))
	if err != nil {
		return Frame{}, fmt.Errorf("grabbing a frame: %w", err)
	}
	defer decoder.Close()
	larger, err := decoder.Decode(ctx, segment, clip.Start)
	if err != nil {
		return Frame{}, fmt.Errorf("grabbing a frame: %w", err)
	}
	defer larger.Release()
	if larger.T == 0 {
		return Frame{}, fmt.Errorf("grabbing a frame: segment %s gave none", segment.ID())
	}
	return FrameOf(larger, Nearest(larger, at), side), nil
}

// JPEG is the frame as people see it, with the heat laid over it; heat may be nil. quality is 1 to 100.
func JPEG(frame Frame, heat *Heat, quality int) ([]byte, error) {
	if len(frame.Pixels) != frame.Width*frame.Height*3 || len(frame.Pixels) == 0 {
		return nil, fmt.Errorf("drawing a frame: %d bytes are no %dx%d picture", len(frame.Pixels), frame.Width, frame.Height)
	}
	source, err := gocv.NewMatFromBytes(frame.Height, frame.Width, gocv.MatTypeCV8UC3, frame.Pixels)
	if err != nil {
		return nil, fmt.Errorf("drawing a frame: %w", err)
	}
	defer source.Close()
	whole := gocv.NewMat()
	defer whole.Close()
	gocv.CvtColor(source, &whole, gocv.ColorBGRToRGB)
	if frame.Shown != image.Pt(frame.Width, frame.Height) && frame.Shown.X > 0 && frame.Shown.Y > 0 {
		gocv.Resize(whole, &whole, frame.Shown, 0, 0, gocv.InterpolationCubic)
	}
	if heat != nil {
		if err := heat.blend(&whole); err != nil {
			return nil, err
		}
	}
	return encode(gocv.JPEGFileExt, whole, gocv.IMWriteJpegQuality, quality)
}

func encode(format gocv.FileExt, mat gocv.Mat, parameter, value int) ([]byte, error) {
	buffer, err := gocv.IMEncodeWithParams(format, mat, []int{parameter, value})
	if err != nil {
		return nil, fmt.Errorf("writing a picture: %w", err)
	}
	defer buffer.Close()
	return slices.Clone(buffer.GetBytes()), nil
}
