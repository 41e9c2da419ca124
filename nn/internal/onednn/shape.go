package onednn

// Shape says which matrix product: y [M, N] = x [M, K] w [K, N], and what is fused into it. It is the key of the cache.
type Shape struct {
	M, N, K int
	// TransX: x is stored [K, M]. TransW: w is stored [N, K].
	TransX, TransW bool
	// HalfX, HalfW, HalfY: stored as bfloat16.
	HalfX, HalfW, HalfY bool
	// Bias adds a row to every row of y; GELU applies x Phi(x) after it; Sum adds what y held before.
	Bias, GELU, Sum bool
}

// Buffer is memory of either type; exactly one is set.
type Buffer struct {
	Full []float32
	Half []uint16
}
