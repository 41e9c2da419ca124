// Package encoder turns clips into tokens: `[T, H, W, 3]` frames become float32 `[T', H', W', D]`, with the stretch of the
// stream that every step covers.
//
//   - Encoder: one model, shared by every stream; New makes the one a definition names, Names lists them.
//   - State: what a model remembers of one stream between clips. A model whose steps cover several frames keeps the frames
//     left over there, so a short clip may give no token at all.
//   - Pixels: the hand-made encoder every learned one is measured against.
//   - VJEPA2: a V-JEPA 2 model of a directory, live. VisionTransformer is its net alone, for training and for whole clips.
//   - Recurrent: the encoder of ensue's own family with a memory, live: it sees every frame alone, the memory is the predictor's.
//     ConvEncoder is its net.
//   - Continuity: tells, from the times of frames, whether a clip follows on the ones before it. Where it does not, whoever feeds an
//     encoder resets its State.
//
// # V-JEPA 2 in a stream
//
// Tokens see their own tubelet (model.Tubelet), a sliding window of tubelets (model.BlockCausal), or are left as embeddings for the
// predictor to run the transformer on (model.Full): see VJEPA2. What a block-causal stream remembers is, in numbers,
//
//	2 × layers × window × H' × W' × D    window = ContextFrames / TubeletSize
//
// float32 each (bfloat16 where it computes in that natively): 4.5 MiB for 6 layers of 192 channels, 64 tokens and 16 frames; 1.5 GiB for
// ViT-L at 256 pixels and 64 frames.
//
// The frame axis of the rotary position embedding needs a choice, since a stream has no end and V-JEPA 2's embedding is no rotation
// (sin and cos are tiled over pairs of neighbours), so that not only distances matter. A tubelet's place is its place in the window:
// 0, 1, 2 … while a stream begins, and from then on the newest is always the last of the window. Keys are therefore kept as they were
// before they were turned, and turned anew for each tubelet (nn.Recent), which costs little beside the attention itself. Places never
// grow, every place occurs in training, and a clip no longer than the window gets what it gets as a whole.
//
// Invariants: no token depends on a later frame (invariant 5); the tokens of a stream do not depend on how it was cut into
// segments, nor on what other streams do (invariant 7).
package encoder
