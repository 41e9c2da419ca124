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

const (
	// emergence is how many frames before an emerging thing nothing may be seen near its place.
	emergence = 2
	// awaited is how many frames around it count with it.
	awaited = 6
)

// markEmerging tells of every place of a window where something comes up that was not there, nor beside it, two frames before: what comes
// out from behind another thing, or into the picture. The frames around count too, so that expecting it too early or too late costs as
// much as not expecting it.
func markEmerging(emerging, moving []bool, frames, grid int) {
	clear(emerging)
	places := grid * grid
	for t := emergence; t < frames; t++ {
		for place := range places {
			if !moving[t*places+place] || nearby(moving[(t-emergence)*places:][:places], place, grid) {
				continue
			}
			for around := max(0, t-awaited); around <= min(t+awaited, frames-1); around++ {
				emerging[around*places+place] = true
			}
		}
	}
}

// nearby says whether something moves at a place of a frame or beside it.
func nearby(moving []bool, place, grid int) bool {
	y, x := place/grid, place%grid
	for row := max(0, y-1); row <= min(y+1, grid-1); row++ {
		for column := max(0, x-1); column <= min(x+1, grid-1); column++ {
			if moving[row*grid+column] {
				return true
			}
		}
	}
	return false
}
