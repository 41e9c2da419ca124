package eval

// shrink writes a picture, [side, side, 3], to out, [to, to, 3], as averages of areas; to is side or less.
func shrink(picture []byte, side int, out []byte, to int) {
	if side == to {
		copy(out, picture)
		return
	}
	weights := areas(side, to)
	rows := make([]float32, to*side*3) // shrunk vertically
	for y, area := range weights {
		line := rows[y*side*3 : (y+1)*side*3]
		for k, w := range area.weights {
			for i, value := range picture[(area.first+k)*side*3 : (area.first+k+1)*side*3] {
				line[i] += w * float32(value)
			}
		}
	}
	for y := range to {
		for x, area := range weights {
			for c := range 3 {
				sum := float32(0.5)
				for k, w := range area.weights {
					sum += w * rows[(y*side+area.first+k)*3+c]
				}
				out[(y*to+x)*3+c] = byte(min(sum, 255))
			}
		}
	}
}

// area is the pixels that one of a smaller picture is made of.
type area struct {
	first   int
	weights []float32
}

// areas are those of a line of side pixels that becomes one of to pixels.
func areas(side, to int) []area {
	all := make([]area, to)
	width := float64(side) / float64(to)
	for i := range all {
		from, end := float64(i)*width, float64(i+1)*width
		all[i].first = int(from)
		for p := int(from); p < side && float64(p) < end-1e-9; p++ {
			cover := min(float64(p+1), end) - max(float64(p), from)
			all[i].weights = append(all[i].weights, float32(cover/width))
		}
	}
	return all
}
