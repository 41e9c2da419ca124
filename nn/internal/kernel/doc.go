// Package kernel holds the float32 kernels that have no fused form in oneDNN: LayerNorm, GELU, rotary position embedding, tiled attention,
// the optimiser's step, and a few sums.
//
// On Linux with cgo they are C (kernels.h): one source, compiled for three instruction sets, chosen when a Set is made. With the build tag
// purego, or without cgo, they are the loops of package reference. Tests compare all of them with each other.
//
// Invariants:
//
//  1. A kernel allocates nothing; scratch memory comes from the caller.
//  2. The result does not depend on the number of threads.
//  3. A row of attention depends on its query and on the keys it sees, bit for bit, not on what else is computed in the same call.
package kernel
