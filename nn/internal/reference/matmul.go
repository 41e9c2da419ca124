package reference

// MatMul computes y = a b + keep y for row-major matrices: a is [m, k], or [k, m] with transA; b is [k, n], or [n, k] with transB.
// bias [n], where it is not nil, is added to every row.
func MatMul[F Float](y, a, b, bias []F, m, n, k int, transA, transB bool, keep F) {
	for i := range m {
		row := y[i*n : (i+1)*n]
		scaleRow(row, keep)
		for c := range bias {
			row[c] += bias[c]
		}
		if transB {
			rowTimesTransposed(row, a, b, i, m, k, transA)
		} else {
			rowTimes(row, a, b, i, m, k, transA)
		}
	}
}

// scaleRow treats keep 0 as "overwrite": what was there may be anything, a NaN too.
func scaleRow[F Float](row []F, keep F) {
	if keep == 0 {
		clear(row)
		return
	}
	if keep != 1 {
		for c := range row {
			row[c] *= keep
		}
	}
}

func at[F Float](a []F, i, l, m, k int, trans bool) F {
	if trans {
		return a[l*m+i]
	}
	return a[i*k+l]
}

func rowTimes[F Float](row, a, b []F, i, m, k int, transA bool) {
	n := len(row)
	for l := range k {
		x := at(a, i, l, m, k, transA)
		for c, v := range b[l*n : (l+1)*n] {
			row[c] += x * v
		}
	}
}

func rowTimesTransposed[F Float](row, a, b []F, i, m, k int, transA bool) {
	for c := range row {
		sum := 0.0
		for l, v := range b[c*k : (c+1)*k] {
			sum += float64(at(a, i, l, m, k, transA)) * float64(v)
		}
		row[c] += F(sum)
	}
}
