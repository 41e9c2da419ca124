package train

import "slices"

// movingThreshold is how far a place must be from its median over the window, the mean over its pixels and channels, to count as moving: a
// quarter of the unit that pixels are normalised to, (v/255 - .45)/.25, in grey levels.
const movingThreshold = 0.25 * 0.25 * 255

// markMoving tells of every place of a window, `[frames, grid, grid]`, whether what is there is something other than what is there most of
// the time. It is told from the pixels alone, without labels.
func markMoving(moving []bool, pixels []byte, frames, side, grid int) {
	medians := medianFrame(pixels, frames, side)
	size := len(medians)
	cell := side / grid
	limit := int(movingThreshold * float64(cell*cell*3))
	for t := range frames {
		frame := pixels[t*size : (t+1)*size]
		for y := range grid {
			for x := range grid {
				sum := 0
				for row := range cell {
					first := ((y*cell+row)*side + x*cell) * 3
					sum += distanceOfBytes(frame[first:first+3*cell], medians[first:first+3*cell])
				}
				moving[(t*grid+y)*grid+x] = sum > limit
			}
		}
	}
}

func distanceOfBytes(a, b []byte) (sum int) {
	for i, v := range a {
		d := int(v) - int(b[i])
		sum += max(d, -d)
	}
	return sum
}

// medianFrame is the median over the frames of each value; of an even number of frames the lower of the two in the middle.
func medianFrame(pixels []byte, frames, side int) []byte {
	size := side * side * 3
	medians, column := make([]byte, size), make([]byte, frames)
	for i := range medians {
		for t := range column {
			column[t] = pixels[t*size+i]
		}
		slices.Sort(column)
		medians[i] = column[(frames-1)/2]
	}
	return medians
}
