package train

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// DigitSource draws moving digits (after Srivastava, Mansimov, Salakhutdinov 2015, arXiv:1502.04681, "Moving MNIST"): one to three digits
// that bounce off the borders, each in a colour, on a textured background.
type DigitSource struct {
	images [][]byte
	side   int
}

// Name is "digits".
func (*DigitSource) Name() string { return "digits" }

// OpenDigits reads pictures of digits: an idx file of images, gzipped or not, or a folder with *-images-idx3-ubyte files in it, of which
// those that begin with "train" are read where there are any.
func OpenDigits(path string) (*DigitSource, error) {
	paths, err := digitFiles(path)
	if err != nil {
		return nil, fmt.Errorf("opening data.digits.path: %w", err)
	}
	s := &DigitSource{}
	for _, path := range paths {
		images, side, err := readDigits(path)
		if err == nil && len(s.images) > 0 && side != s.side {
			err = fmt.Errorf("its images are %d pixels wide, those before it %d", side, s.side)
		}
		if err != nil {
			return nil, fmt.Errorf("opening data.digits.path: %s: %w", path, err)
		}
		s.images, s.side = append(s.images, images...), side
	}
	return s, nil
}

func digitFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	for _, pattern := range []string{"train*-images-idx3-ubyte*", "*-images-idx3-ubyte*"} {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, fmt.Errorf("the folder %s has no *-images-idx3-ubyte file", path)
}

func readDigits(path string) (images [][]byte, side int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	var reader io.Reader = bufio.NewReader(file)
	if strings.HasSuffix(path, ".gz") {
		if reader, err = gzip.NewReader(reader); err != nil {
			return nil, 0, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(reader, maxDigits+1))
	if err != nil {
		return nil, 0, err
	}
	return ParseImages(data)
}

// Bounds of an idx file.
const (
	maxDigits    = 256 << 20
	maxDigitSide = 256
	idxImages    = 0x0803 // unsigned bytes, three axes
)

// ParseImages reads an idx file of square grey pictures (LeCun's format): big-endian magic number 0x0803, count, rows, columns, then the
// pixels. The pictures share data's memory.
func ParseImages(data []byte) (images [][]byte, side int, err error) {
	var head struct{ Magic, Count, Rows, Columns uint32 }
	if err := binary.Read(bytes.NewReader(data), binary.BigEndian, &head); err != nil {
		return nil, 0, fmt.Errorf("reading the header: %w", err)
	}
	if head.Magic != idxImages {
		return nil, 0, fmt.Errorf("the file begins with %#x; an idx file of images begins with %#x", head.Magic, idxImages)
	}
	if head.Rows != head.Columns || head.Rows == 0 || head.Rows > maxDigitSide {
		return nil, 0, fmt.Errorf("the images are %dx%d; squares of up to %d are read", head.Rows, head.Columns, maxDigitSide)
	}
	size := uint64(head.Rows) * uint64(head.Columns)
	pixels := data[16:]
	if head.Count == 0 || uint64(len(pixels)) != uint64(head.Count)*size {
		return nil, 0, fmt.Errorf("%d images of %d bytes are announced, %d bytes follow", head.Count, size, len(pixels))
	}
	for at := uint64(0); at < uint64(len(pixels)); at += size {
		images = append(images, pixels[at:at+size])
	}
	return images, int(head.Rows), nil
}

// errSmall says that digits would not fit.
var errSmall = errors.New("digits need windows of at least 16 pixels")

// Window draws one to three digits.
func (s *DigitSource) Window(random *rand.Rand, frames, side int, out []byte) error {
	if side < 16 {
		return errSmall
	}
	background := newMover(random, side, 0)
	digits := make([]*digit, 1+random.IntN(3))
	for i := range digits {
		digits[i] = s.draw(random, side)
	}
	for i := range frames {
		frame := out[i*side*side*3 : (i+1)*side*side*3]
		background.cover(frame, side, i)
		for _, d := range digits {
			d.draw(frame, side)
			d.move(side)
		}
	}
	return nil
}

// digit is a picture in a colour that bounces about.
type digit struct {
	image          []byte // opacity
	side           int
	colour         [3]int
	x, y           float64
	speedX, speedY float64
}

// draw takes a digit, about a third to half as large as the picture.
func (s *DigitSource) draw(random *rand.Rand, side int) *digit {
	d := &digit{side: side/3 + random.IntN(side/6+1)}
	d.image = resize(s.images[random.IntN(len(s.images))], s.side, d.side)
	for k := range d.colour {
		d.colour[k] = random.IntN(256)
	}
	room := float64(side - d.side)
	d.x, d.y = random.Float64()*room, random.Float64()*room
	angle, speed := 2*math.Pi*random.Float64(), (0.5+3*random.Float64())*float64(side)/64
	d.speedX, d.speedY = speed*math.Cos(angle), speed*math.Sin(angle)
	return d
}

// resize makes a grey picture larger or smaller, bilinearly.
func resize(from []byte, source, side int) []byte {
	to := make([]byte, side*side)
	places := make([]tap, side)
	taps(places, float64(source)/2, float64(source), source)
	for y, row := range places {
		for x, c := range places {
			top := int(from[row.first*source+c.first])*(256-c.part) + int(from[row.first*source+c.second])*c.part
			bottom := int(from[row.second*source+c.first])*(256-c.part) + int(from[row.second*source+c.second])*c.part
			to[y*side+x] = byte((top*(256-row.part) + bottom*row.part) >> 16)
		}
	}
	return to
}

func (d *digit) draw(frame []byte, side int) {
	left, top := int(math.Round(d.x)), int(math.Round(d.y))
	for y := range d.side {
		for x := range d.side {
			opacity := int(d.image[y*d.side+x])
			at := ((top+y)*side + left + x) * 3
			for k, c := range d.colour {
				frame[at+k] = byte((int(frame[at+k])*(255-opacity) + c*opacity + 127) / 255)
			}
		}
	}
}

func (d *digit) move(side int) {
	room := float64(side - d.side)
	d.x, d.speedX = bounce(d.x+d.speedX, d.speedX, room)
	d.y, d.speedY = bounce(d.y+d.speedY, d.speedY, room)
}

// bounce mirrors a place at 0 and at room.
func bounce(x, speed, room float64) (place, velocity float64) {
	if x < 0 {
		x, speed = -x, -speed
	}
	if x > room {
		x, speed = 2*room-x, -speed
	}
	return min(max(x, 0), room), speed
}
