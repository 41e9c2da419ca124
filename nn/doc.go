// Package nn computes: differentiable operations on arrays, the layers and optimisers built from them, and the files they are kept in.
//
// The main types:
//
//   - [Device] owns the compute: one OS thread, a team of threads beside it, packed weights, the cache of oneDNN's primitives, scratch
//     memory. Everything that computes runs inside [Device.Run].
//   - [Tape] runs operations. With gradients it records them for [Tape.Backward]; without, it fuses them and reuses memory on the way.
//   - [Value] is what operations take and give; its array is a *tensor.Dense.
//   - [Parameter] and [Parameters] are the named weights of a model, seeded, loaded from and saved to safetensors.
//   - Layers: [Linear], [LayerNorm], [MLP], [SelfAttention], [CrossAttention], [Block], [CrossBlock], [Conv2d], [PatchEmbed], [GRU],
//     [ConvGRU], [Embedding].
//   - Training: [AdamW], [CosineSchedule], [EMA], [ClipGradients].
//   - [Gathering] has jobs of several goroutines that wait for a Device computed together.
//   - [Engine] lets gorgonia.org/tensor multiply matrices on a Device.
//
// Arrays are row-major. Float32 runs on C kernels, bfloat16 on oneDNN where the processor multiplies it; float64 runs on plain Go loops
// and is the reference that gradients are checked with. Weights of a linear map are [out, in], as PyTorch keeps them.
//
// Invariants:
//
//  1. A Device computes on one OS thread and its team: operations outside Device.Run panic. Goroutines never multiply the team.
//  2. What an operation finds wrong (a shape, a type) it panics with as an *Error; Device.Run returns it.
//  3. A Value lives until its Tape is reset. Copy out what must live longer.
//  4. A step that repeats the shapes of the step before allocates nothing: neither on the Go heap nor from the system.
//  5. The same operations on the same values give the same bits, whatever else ran before. A row of a float32 product depends on its row
//     of the input only; the number of threads matters to nothing but oneDNN's bfloat16 products.
//  6. The attention matrix is never stored: tiles of it live in a thread's scratch memory. A row of attention depends, bit for bit, on its
//     query and the keys it sees only.
//  7. Random numbers of a parameter depend on the seed and the parameter's name: adding a layer changes no other.
//
// The build tag purego, or a platform without cgo, gives the same package in plain Go.
package nn
