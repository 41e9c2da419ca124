package scenes

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
)

const (
	sheetScale = 2 // screen pixels a pixel
	sheetGap   = 4
)

// WriteSheet draws clips as a PNG: a row for each, every step-th of its frames from left to right. Clips are [T, side, side, 3] RGB,
// of any T.
func WriteSheet(w io.Writer, step, side int, clips ...[]uint8) error {
	frame, columns := side*side*channels, 0
	for _, clip := range clips {
		columns = max(columns, (len(clip)/frame+step-1)/step)
	}
	cell := side*sheetScale + sheetGap
	sheet := image.NewRGBA(image.Rect(0, 0, columns*cell+sheetGap, len(clips)*cell+sheetGap))
	for i := range sheet.Pix {
		sheet.Pix[i] = 0xff
	}
	for r, clip := range clips {
		for t := 0; t < len(clip)/frame; t += step {
			paste(sheet, sheetGap+t/step*cell, sheetGap+r*cell, side, clip[t*frame:][:frame])
		}
	}
	if err := png.Encode(w, sheet); err != nil {
		return fmt.Errorf("writing a sheet of scenes: %w", err)
	}
	return nil
}

// paste puts a frame at a place of the sheet.
func paste(sheet *image.RGBA, left, top, side int, frame []uint8) {
	for y := range side * sheetScale {
		for x := range side * sheetScale {
			at := (y/sheetScale*side + x/sheetScale) * channels
			sheet.SetRGBA(left+x, top+y, color.RGBA{frame[at], frame[at+1], frame[at+2], 0xff})
		}
	}
}
