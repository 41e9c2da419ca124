package nn

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/reference"
)

// Sum is the sum of all elements, one number.
func (t *Tape) Sum(x *Value) *Value { return t.total(x, 1) }

// Mean is the mean of all elements, one number.
func (t *Tape) Mean(x *Value) *Value { return t.total(x, 1/float64(x.size)) }

func (t *Tape) total(x *Value, scale float64) *Value {
	y := t.alloc(x.dtype, 1)
	if x.dtype == tensor.Float64 {
		elements[float64](y)[0] = sumOf(elements[float64](x)) * scale
	} else {
		elements[float32](y)[0] = float32(sumOf(elements[float32](x)) * scale)
	}
	t.record(y, backTotal, x)
	y.saved.floats[0] = scale
	return y
}

func sumOf[F floating](x []F) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

func backTotal(t *Tape, y *Value) {
	g := t.zeroed(y.in[0])
	if y.dtype == tensor.Float64 {
		shift(slot[float64](g), upstream[float64](y)[0]*y.saved.floats[0])
	} else {
		shift(slot[float32](g), upstream[float32](y)[0]*float32(y.saved.floats[0]))
	}
}

func shift[F floating](x []F, by F) {
	for i := range x {
		x[i] += by
	}
}

// MeanRows is the mean over all axes but the last: [..., D] to [D].
func (t *Tape) MeanRows(x *Value) *Value {
	y := t.alloc(x.dtype, x.last())
	if x.dtype == tensor.Float64 {
		meanRows(elements[float64](y), elements[float64](x))
	} else {
		meanRows(elements[float32](y), elements[float32](x))
	}
	return t.record(y, backMeanRows, x)
}

func meanRows[F floating](y, x []F) {
	n := len(y)
	for c := range y {
		sum := 0.0
		for i := c; i < len(x); i += n {
			sum += float64(x[i])
		}
		y[c] = F(sum * float64(n) / float64(len(x)))
	}
}

func backMeanRows(t *Tape, y *Value) {
	x := y.in[0]
	g := t.zeroed(x)
	if y.dtype == tensor.Float64 {
		spread(slot[float64](g), upstream[float64](y), 1/float64(x.rows()))
	} else {
		spread(slot[float32](g), upstream[float32](y), 1/float32(x.rows()))
	}
}

func spread[F floating](x, row []F, scale F) {
	for first := 0; first < len(x); first += len(row) {
		for i, v := range row {
			x[first+i] += v * scale
		}
	}
}

// MeanLast is the mean over the last axis: [..., D] to [...].
func (t *Tape) MeanLast(x *Value) *Value {
	y := t.alloc(x.dtype, x.dims[:max(1, x.rank-1)]...)
	if x.rank == 1 {
		y.dims[0], y.size = 1, 1
	}
	if x.dtype == tensor.Float64 {
		meanLast(elements[float64](y), elements[float64](x))
	} else {
		meanLast(elements[float32](y), elements[float32](x))
	}
	return t.record(y, backMeanLast, x)
}

func meanLast[F floating](y, x []F) {
	n := len(x) / len(y)
	for r := range y {
		y[r] = F(sumOf(x[r*n:(r+1)*n]) / float64(n))
	}
}

func backMeanLast(t *Tape, y *Value) {
	x := y.in[0]
	g := t.zeroed(x)
	if y.dtype == tensor.Float64 {
		spreadLast(slot[float64](g), upstream[float64](y))
	} else {
		spreadLast(slot[float32](g), upstream[float32](y))
	}
}

func spreadLast[F floating](x, rows []F) {
	n := len(x) / len(rows)
	for r, v := range rows {
		shift(x[r*n:(r+1)*n], v/F(n))
	}
}

// NormalizeRows divides each vector of the last axis by its length, or by eps where that is larger.
func (t *Tape) NormalizeRows(x *Value, eps float64) *Value {
	y := t.like(x)
	t.record(y, backNormalizeRows, x)
	y.saved.floats[0] = eps
	if x.dtype == tensor.Float64 {
		normalizeRows(elements[float64](y), elements[float64](x), x.last(), eps)
	} else {
		normalizeRows(elements[float32](y), elements[float32](x), x.last(), eps)
	}
	return y
}

func lengthOf[F floating](row []F) float64 {
	sum := 0.0
	for _, v := range row {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

func normalizeRows[F floating](y, x []F, n int, eps float64) {
	for first := 0; first < len(x); first += n {
		inverse := 1 / max(lengthOf(x[first:first+n]), eps)
		for i := range n {
			y[first+i] = F(float64(x[first+i]) * inverse)
		}
	}
}

func backNormalizeRows(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backNormalizeRowsOf[float64](t, y)
	} else {
		backNormalizeRowsOf[float32](t, y)
	}
}

// With y = x/|x|: dx = (dy - y (y.dy)) / |x|.
func backNormalizeRowsOf[F floating](t *Tape, y *Value) {
	x, n := y.in[0], y.last()
	to, up, u, v := slot[F](t.zeroed(x)), upstream[F](y), elements[F](x), elements[F](y)
	for first := 0; first < len(u); first += n {
		length, dot := lengthOf(u[first:first+n]), 0.0
		if length > y.saved.floats[0] {
			for i := range n {
				dot += float64(v[first+i]) * float64(up[first+i])
			}
		}
		inverse := 1 / max(length, y.saved.floats[0])
		for i := range n {
			to[first+i] += F((float64(up[first+i]) - float64(v[first+i])*dot) * inverse)
		}
	}
}

// CrossEntropy is the mean over rows of -log softmax(logits)[target]: logits [N, C], one target a row. The targets are copied.
func (t *Tape) CrossEntropy(logits *Value, targets []int) *Value {
	if len(targets) != logits.rows() {
		fail("computing the cross-entropy", "%d targets for logits %v", len(targets), logits.Shape())
	}
	for _, c := range targets {
		if c < 0 || c >= logits.last() {
			fail("computing the cross-entropy", "target %d of %d classes", c, logits.last())
		}
	}
	y := t.alloc(logits.dtype, 1)
	if logits.dtype == tensor.Float64 {
		elements[float64](y)[0] = crossEntropy(elements[float64](logits), targets)
	} else {
		elements[float32](y)[0] = float32(crossEntropy(elements[float32](logits), targets))
	}
	t.record(y, backCrossEntropy, logits)
	y.saved.indices = append(y.saved.indices[:0], targets...)
	return y
}

func logSum[F floating](row []F) float64 {
	top := math.Inf(-1)
	for _, v := range row {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func crossEntropy[F floating](logits []F, targets []int) float64 {
	n, sum := len(logits)/len(targets), 0.0
	for r, c := range targets {
		row := logits[r*n : (r+1)*n]
		sum += logSum(row) - float64(row[c])
	}
	return sum / float64(len(targets))
}

func backCrossEntropy(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backCrossEntropyOf[float64](t, y)
	} else {
		backCrossEntropyOf[float32](t, y)
	}
}

func backCrossEntropyOf[F floating](t *Tape, y *Value) {
	x := y.in[0]
	to, logits, n := slot[F](t.zeroed(x)), elements[F](x), x.last()
	up := float64(upstream[F](y)[0]) / float64(len(y.saved.indices))
	for r, c := range y.saved.indices {
		row := logits[r*n : (r+1)*n]
		total := logSum(row)
		for i, v := range row {
			to[r*n+i] += F(up * math.Exp(float64(v)-total))
		}
		to[r*n+c] -= F(up)
	}
}

// L1 is the mean of |a - b|, one number.
func (t *Tape) L1(a, b *Value) *Value { return t.distance(a, b, 0, 1) }

// MSE is the mean of (a - b)², one number.
func (t *Tape) MSE(a, b *Value) *Value { return t.distance(a, b, math.Inf(1), 2) }

// SmoothL1 is the mean of (a-b)²/(2 beta) where |a-b| < beta, of |a-b| - beta/2 elsewhere (Girshick 2015), one number.
func (t *Tape) SmoothL1(a, b *Value, beta float64) *Value { return t.distance(a, b, beta, 1) }

// RowL1 is the mean of |a - b| over each row of a's last axis: [..., D] to as many numbers as there are rows.
func (t *Tape) RowL1(a, b *Value) *Value {
	if a.dtype != b.dtype || a.size != b.size {
		fail("measuring distances", "between %v %v and %v %v", a.dtype, a.Shape(), b.dtype, b.Shape())
	}
	y := t.alloc(a.dtype, a.rows())
	if n := a.last(); a.dtype == tensor.Float64 {
		reference.RowL1(elements[float64](y), elements[float64](a), elements[float64](b), n, 1/float64(n))
	} else {
		t.device.kernels.RowL1(&kernel.RowL1{
			Y: elements[float32](y), A: elements[float32](a), B: elements[float32](b), N: n, Scale: 1 / float32(n),
		})
	}
	return t.record(y, backRowL1, a, b)
}

func backRowL1(t *Tape, y *Value) {
	a, b := y.in[0], y.in[1]
	n := a.last()
	if a.dtype == tensor.Float64 {
		for i, x := range [2]*Value{a, b} {
			if x.needs {
				g := t.gradient(x)
				other := [2]*Value{b, a}[i]
				reference.RowL1Grad(slot[float64](g), elements[float64](x), elements[float64](other), upstream[float64](y), n, 1/float64(n), g.add)
			}
		}
		return
	}
	k := kernel.RowL1{A: elements[float32](a), B: elements[float32](b), DY: upstream[float32](y), N: n, Scale: 1 / float32(n)}
	if a.needs {
		g := t.gradient(a)
		k.DA, k.AddA = slot[float32](g), g.add
	}
	if b.needs {
		g := t.gradient(b)
		k.DB, k.AddB = slot[float32](g), g.add
	}
	t.device.kernels.RowL1Grad(&k)
}

// distance is the mean of scale times the Huber-like function with a parabola of half width beta; beta infinite: d²/2.
func (t *Tape) distance(a, b *Value, beta, scale float64) *Value {
	if a.dtype != b.dtype || a.size != b.size {
		fail("measuring a distance", "between %v %v and %v %v", a.dtype, a.Shape(), b.dtype, b.Shape())
	}
	y := t.alloc(a.dtype, 1)
	if a.dtype == tensor.Float64 {
		elements[float64](y)[0] = distance(elements[float64](a), elements[float64](b), beta) * scale
	} else {
		elements[float32](y)[0] = float32(distance(elements[float32](a), elements[float32](b), beta) * scale)
	}
	t.record(y, backDistance, a, b)
	y.saved.floats = [2]float64{beta, scale}
	return y
}

func distance[F floating](a, b []F, beta float64) float64 {
	sum := 0.0
	for i, v := range a {
		d := math.Abs(float64(v) - float64(b[i]))
		switch {
		case math.IsInf(beta, 1):
			sum += d * d / 2
		case d < beta:
			sum += d * d / (2 * beta)
		default:
			sum += d - beta/2
		}
	}
	return sum / float64(len(a))
}

func slopeOfDistance(d, beta float64) float64 {
	switch {
	case math.IsInf(beta, 1):
		return d
	case math.Abs(d) < beta:
		return d / beta
	}
	return step(d) - step(-d)
}

func backDistance(t *Tape, y *Value) {
	if y.dtype == tensor.Float64 {
		backDistanceOf[float64](t, y)
	} else {
		backDistanceOf[float32](t, y)
	}
}

func backDistanceOf[F floating](t *Tape, y *Value) {
	a, b := y.in[0], y.in[1]
	u, v, beta := elements[F](a), elements[F](b), y.saved.floats[0]
	scale := float64(upstream[F](y)[0]) * y.saved.floats[1] / float64(a.size)
	for side, x := range [2]*Value{a, b} {
		if !x.needs {
			continue
		}
		to := slot[F](t.zeroed(x))
		sign := scale * float64(1-2*side)
		for i := range u {
			to[i] += F(sign * slopeOfDistance(float64(u[i])-float64(v[i]), beta))
		}
	}
}
