package decode

import (
	"errors"
	"fmt"
	"image"
	"unsafe"

	"github.com/asticode/go-astiav"
	"gocv.io/x/gocv"
)

// painter makes small RGB pictures of FFmpeg's frames. It keeps its Mats from frame to frame; Close frees them.
//
// OpenCV ends the process when an argument is wrong, so every size is checked before it is called.
type painter struct {
	size Size
	fit  Fit
	// small are the resized planes as they come, eight those in 8 bits; between is the step of a resize that shrinks one side and
	// stretches the other.
	small, eight [3]gocv.Mat
	between      gocv.Mat
	merged       gocv.Mat
	turned, half gocv.Mat
	matrices     map[colour]gocv.Mat
	shrinker     shrinker
	resampler    resampler
	// reference makes OpenCV do all resizing. Tests compare the two.
	reference bool

	converter  *astiav.SoftwareScaleContext
	convertKey conversion
	converted  *astiav.Frame
}

// conversion is what a fallback converter is made for.
type conversion struct {
	width, height int
	from, to      astiav.PixelFormat
}

func newPainter(size Size, fit Fit) *painter {
	p := &painter{size: size, fit: fit, matrices: map[colour]gocv.Mat{}, converted: astiav.AllocFrame()}
	for i := range p.small {
		p.small[i], p.eight[i] = gocv.NewMat(), gocv.NewMat()
	}
	p.between, p.merged, p.turned, p.half = gocv.NewMat(), gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	return p
}

// Close frees what the painter keeps.
func (p *painter) Close() {
	for i := range p.small {
		p.small[i].Close()
		p.eight[i].Close()
	}
	for _, m := range []*gocv.Mat{&p.between, &p.merged, &p.turned, &p.half} {
		m.Close()
	}
	for _, m := range p.matrices {
		m.Close()
	}
	p.dropConverter()
	p.converted.Free()
}

// paint writes the frame, turned upright, to dst: size.Height*size.Width*3 bytes.
func (p *painter) paint(frame *astiav.Frame, o orientation, dst []byte) error {
	width, height := frame.Width(), frame.Height()
	if width <= 0 || height <= 0 || len(dst) != p.size.Width*p.size.Height*3 {
		return fmt.Errorf("painting a %dx%d frame into %d bytes", width, height, len(dst))
	}
	l, ok := readLayout(frame)
	if !ok {
		if err := p.convert(frame); err != nil {
			return fmt.Errorf("converting %s: %w", frame.PixelFormat(), err)
		}
		if l, ok = readLayout(p.converted); !ok {
			return fmt.Errorf("converting %s gave no planes", frame.PixelFormat())
		}
	}
	return p.fill(l, o, dst)
}

func (p *painter) fill(l layout, o orientation, dst []byte) error {
	planes, err := p.resized(l, o)
	if err != nil {
		return err
	}
	if l.count == 1 { // grey: the matrix takes nothing from the other two
		gocv.Merge([]gocv.Mat{planes[0], planes[0], planes[0]}, &p.merged)
	} else {
		gocv.Merge(planes, &p.merged)
	}
	out, err := gocv.NewMatFromBytes(p.size.Height, p.size.Width, gocv.MatTypeCV8UC3, dst)
	if err != nil {
		return err
	}
	defer out.Close()
	target := &out
	if !o.upright() {
		target = &p.turned
	}
	gocv.Transform(p.merged, target, p.matrix(l.colour))
	if !o.upright() {
		o.apply(p.turned, &out, &p.half)
	}
	// OpenCV takes new memory for an output whose size or type is not the one it has. Sizes are ours, so that must not happen.
	written, err := out.DataPtrUint8()
	if err != nil || unsafe.SliceData(written) != unsafe.SliceData(dst) {
		return errors.New("the picture was not written to its place")
	}
	return nil
}

// resized are the planes, in 8 bits, of the size of the clip, not yet turned. They are the painter's own.
func (p *painter) resized(l layout, o orientation) ([]gocv.Mat, error) {
	if p.fit == Crop {
		return p.small[:], p.crop(l, newCut(l.planes[0].width, l.planes[0].height, p.size.Width, o))
	}
	size := image.Pt(p.size.Width, p.size.Height)
	if o.swap {
		size.X, size.Y = size.Y, size.X
	}
	for i := range l.count {
		if err := p.shrink(l, size, i); err != nil {
			return nil, err
		}
	}
	if l.depth == 8 {
		return p.small[:], nil
	}
	return p.eight[:], nil
}

// crop cuts every plane into small.
func (p *painter) crop(l layout, c cut) error {
	for i := range l.count {
		pixels, err := p.bytes(i, image.Pt(c.x.keep, c.y.keep))
		if err != nil {
			return err
		}
		from := part{plane: l.planes[i], covers: [2]float64{float64(c.x.from), float64(c.y.from)}}
		if i > 0 && !l.colour.rgb {
			from.chroma = true
			from.covers[0] /= float64(int(1) << l.chroma.X)
			from.covers[1] /= float64(int(1) << l.chroma.Y)
		}
		if l.depth > 8 {
			from.deep = true
			from.scale, from.offset = l.colour.toEight(l.depth, i > 0)
		}
		p.resampler.cut(from, c, pixels)
	}
	return nil
}

// bytes is small[i] as a picture of bytes of the size.
func (p *painter) bytes(i int, size image.Point) ([]byte, error) {
	if p.small[i].Cols() != size.X || p.small[i].Rows() != size.Y || p.small[i].Type() != gocv.MatTypeCV8U {
		p.small[i].Close()
		p.small[i] = gocv.NewMatWithSize(size.Y, size.X, gocv.MatTypeCV8U)
	}
	return p.small[i].DataPtrUint8()
}

// shrink resizes plane i into small[i], and into eight[i] where it has more than 8 bits.
func (p *painter) shrink(l layout, size image.Point, i int) error {
	from := l.planes[i]
	if l.depth == 8 && !p.reference && p.shrinker.takes(from, size.X, size.Y) {
		return p.average(from, size, i)
	}
	bytes, kind := 1, gocv.MatTypeCV8U
	if l.depth > 8 {
		bytes, kind = 2, gocv.MatTypeCV16U
	}
	memory := unsafe.Slice((*byte)(from.data), (from.height-1)*from.stride+from.width*bytes)
	rows, err := gocv.NewMatFromBytes(from.height, from.stride/bytes, kind, memory)
	if err != nil {
		return err
	}
	defer rows.Close()
	picture := rows.Region(image.Rect(0, 0, from.width, from.height))
	defer picture.Close()
	p.resize(picture, &p.small[i], image.Pt(from.width, from.height), size)
	if l.depth > 8 {
		scale, offset := l.colour.toEight(l.depth, i > 0)
		p.small[i].ConvertToWithParams(&p.eight[i], gocv.MatTypeCV8U, float32(scale), float32(offset))
	}
	return nil
}

// average resizes an 8-bit plane that shrinks into small[i].
func (p *painter) average(from plane, size image.Point, i int) error {
	pixels, err := p.bytes(i, size)
	if err != nil {
		return err
	}
	p.shrinker.shrink(from, pixels, size.X, size.Y)
	return nil
}

// resize averages areas. OpenCV does that only where neither side grows; where one grows and the other shrinks it would leave
// out pixels, so the side that shrinks goes first.
func (p *painter) resize(src gocv.Mat, dst *gocv.Mat, from, to image.Point) {
	if (from.X > to.X) != (from.Y > to.Y) && from.X != to.X && from.Y != to.Y {
		first := image.Pt(min(from.X, to.X), min(from.Y, to.Y))
		gocv.Resize(src, &p.between, first, 0, 0, gocv.InterpolationArea)
		src = p.between
	}
	gocv.Resize(src, dst, to, 0, 0, gocv.InterpolationArea)
}

func (p *painter) matrix(c colour) gocv.Mat {
	m, ok := p.matrices[c]
	if !ok {
		m = c.mat()
		p.matrices[c] = m
	}
	return m
}

// convert makes a planar 8-bit frame of one in a layout of its own (palettes, packed pixels, rows from bottom to top): at full size
// and without resampling, because these are rare.
func (p *painter) convert(frame *astiav.Frame) error {
	to := astiav.PixelFormatYuv444P
	if isRGB(frame) {
		to = astiav.PixelFormatGbrp
	}
	key := conversion{width: frame.Width(), height: frame.Height(), from: frame.PixelFormat(), to: to}
	if p.converter == nil || p.convertKey != key {
		p.dropConverter()
		flags := astiav.NewSoftwareScaleContextFlags(astiav.SoftwareScaleContextFlagPoint)
		converter, err := astiav.CreateSoftwareScaleContext(key.width, key.height, key.from, key.width, key.height, key.to, flags)
		if err != nil {
			return err
		}
		p.converter, p.convertKey = converter, key
		p.converted.SetWidth(key.width)
		p.converted.SetHeight(key.height)
		p.converted.SetPixelFormat(key.to)
		if err := p.converted.AllocBuffer(0); err != nil {
			p.dropConverter()
			return err
		}
	}
	if err := p.converter.ScaleFrame(frame, p.converted); err != nil {
		return err
	}
	copyColour(p.converted, frame)
	return nil
}

func (p *painter) dropConverter() {
	if p.converter == nil {
		return
	}
	p.converter.Free()
	p.converter = nil
	p.converted.Unref()
}
