package negatives

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
)

// The qualities that frames are encoded again with.
const worstQuality, bestQuality = 60, 90

// code encodes every frame and decodes it again.
func code(random *rand.Rand, frames [][]byte, side int) [][]byte {
	return each(frames, func(from, to []byte) {
		var file bytes.Buffer
		options := jpeg.Options{Quality: worstQuality + random.IntN(bestQuality-worstQuality+1)}
		if err := jpeg.Encode(&file, picture{from, side}, &options); err != nil {
			panic(fmt.Sprintf("negatives: encoding %d×%d pixels: %v", side, side, err)) // memory takes everything
		}
		decoded, err := jpeg.Decode(&file)
		if err != nil {
			panic(fmt.Sprintf("negatives: decoding what was encoded: %v", err))
		}
		for i := range side * side {
			r, g, b, _ := decoded.At(i%side, i/side).RGBA()
			to[3*i], to[3*i+1], to[3*i+2] = byte(r>>8), byte(g>>8), byte(b>>8)
		}
	})
}

// picture is a frame as an image.
type picture struct {
	pixels []byte
	side   int
}

func (picture) ColorModel() color.Model { return color.RGBAModel }

func (p picture) Bounds() image.Rectangle { return image.Rect(0, 0, p.side, p.side) }

func (p picture) At(x, y int) color.Color {
	at := p.pixels[3*(y*p.side+x):]
	return color.RGBA{at[0], at[1], at[2], 255}
}
