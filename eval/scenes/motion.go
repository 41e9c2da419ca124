package scenes

// point is a place in pixels: x to the right, y down.
type point struct{ x, y float64 }

// motion is where something is and how fast it moves, per frame.
type motion struct{ x, y, vx, vy float64 }

// world is the physics of one object: gravity and a wall. The borders of the picture throw it back too, without loss.
type world struct {
	gravity float64
	wall    int
}

// substeps is how finely a frame is computed.
const substeps = 4

// path is where an object is at every frame of a scene and as many before and after it.
type path [3 * Frames]motion

// at is the place at a frame of [-Frames, 2*Frames).
func (p *path) at(frame int) point {
	m := p[frame+Frames]
	return point{m.x, m.y}
}

// state is place and speed at a frame.
func (p *path) state(frame int) motion { return p[frame+Frames] }

// path computes an object's way, forwards from frame 0 and back from it: physics without loss runs both ways.
func (w world) path(start motion, radius float64) path {
	var p path
	b := w.bounds(start.x, radius)
	p[Frames] = start
	for now, frame := start, Frames+1; frame < len(p); frame++ {
		now = w.forward(now, b)
		p[frame] = now
	}
	for now, frame := start, Frames-1; frame >= 0; frame-- {
		now = w.back(now, b)
		p[frame] = now
	}
	return p
}

// bounds is where the centre of an object can be.
type bounds struct{ left, right, top, bottom float64 }

func (w world) bounds(x, radius float64) bounds {
	b := bounds{left: radius, right: Side - radius, top: radius, bottom: Side - radius}
	switch {
	case w.wall == 0:
	case x < float64(w.wall):
		b.right = float64(w.wall) - radius
	default:
		b.left = float64(w.wall+wallWidth) + radius
	}
	return b
}

// forward is one frame: speed before place, the symplectic Euler rule.
func (w world) forward(m motion, b bounds) motion {
	const dt = 1.0 / substeps
	for range substeps {
		m.vy += w.gravity * dt
		m.x += m.vx * dt
		m.y += m.vy * dt
		m = b.mirror(m)
	}
	return m
}

// back undoes forward.
func (w world) back(m motion, b bounds) motion {
	const dt = 1.0 / substeps
	for range substeps {
		m.x -= m.vx * dt
		m.y -= m.vy * dt
		m = b.mirror(m)
		m.vy -= w.gravity * dt
	}
	return m
}

func (b bounds) mirror(m motion) motion {
	m.x, m.vx = mirror(m.x, m.vx, b.left, b.right)
	m.y, m.vy = mirror(m.y, m.vy, b.top, b.bottom)
	return m
}

func mirror(x, v, low, high float64) (place, speed float64) {
	switch {
	case x < low:
		return 2*low - x, -v
	case x > high:
		return 2*high - x, -v
	}
	return x, v
}
