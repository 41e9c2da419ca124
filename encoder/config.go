package encoder

import (
	"context"

	"github.com/ensue-video/ensue/stream"
)

// Config is the definition's `encoder`.
type Config struct {
	// Model is a name of the table of encoders ("builtin", "patches", "pixels"), or the directory of a model (see package model).
	Model string `def:"model"`
	// Attention replaces what the tokens of a vision transformer attend to: "full", "block_causal", "tubelet"; "auto" leaves the model's own.
	Attention string `def:"attention"`
	// Precision is what a learned model computes in: "f32" or "bf16".
	Precision string `def:"precision"`
	// Threads is how many threads compute; 0: as many as there are processors. It is for who opens the device (WithDevice).
	Threads int `def:"threads"`
}

// Encoder turns clips into tokens. It is safe for use by several goroutines; what it remembers of a stream is in the State,
// which one goroutine uses at a time.
//
// Invariant 5: a token depends on frames up to the end of its own span only.
type Encoder interface {
	Info() Info
	// NewState is the state of a stream that begins.
	NewState() State
	// Encode encodes the clip as what follows in the stream of the state. The clip is still the caller's.
	Encode(ctx context.Context, clip *stream.Clip, state State) (*stream.Tokens, error)
}

// State is what an encoder remembers of one stream.
type State interface {
	// Reset forgets everything, as after a gap.
	Reset()
}

// Info describes an encoder.
type Info struct {
	// Name is its name in the table, or the family of the model; Digest is a SHA-256 over everything that determines its tokens
	// ("sha256:…").
	Name, Digest string
	// Width and Height are the size in pixels of the frames it wants.
	Width, Height int
	// GridHeight and GridWidth are H' and W', Dim is D.
	GridHeight, GridWidth, Dim int
	// FramesPerStep is how many frames one token step covers.
	FramesPerStep int
	// Crop says that frames are resized by their shorter side and cropped at the centre, as transformers' processor of V-JEPA 2 does;
	// otherwise the whole picture is squashed to the size.
	Crop bool
	// Warmup is after how many steps a state that began with nothing is as good as one of a longer past; 0 where a step depends on its own
	// frames alone. So many steps are read again after a restart, before those that are needed.
	Warmup int
}

// SeesAs says whether the tokens are of the same places and steps as those of another encoder.
func (i Info) SeesAs(other Info) bool {
	return i.GridHeight == other.GridHeight && i.GridWidth == other.GridWidth && i.FramesPerStep == other.FramesPerStep
}
