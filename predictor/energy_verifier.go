package predictor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

// VerifierFile is the file of a model directory that holds its verifier.
const VerifierFile = "verifier.safetensors"

// ErrNoVerifier is why a model has no verifier: it was not trained with one (objective.verifier).
var ErrNoVerifier = errors.New("the model has no verifier")

const (
	verifierFormat  = "ensue-verifier"
	verifierVersion = "1"
	verifierPrefix  = "verifier."
	// verifierShift is taken from every logit: at first all tokens are taken to be what ensues.
	verifierShift = -2
	verifierEps   = 1e-6
	verifierBase  = 100 // of the position embedding: a window has few places
	verifierTable = 16  // tables of places that are kept
)

// VerifierConfig are the sizes of a VerifierNet: Dim of a token, Width, Depth and Heads of the blocks.
type VerifierConfig struct{ Dim, Width, Depth, Heads int }

// Check tells sizes that no verifier can have.
func (c VerifierConfig) Check() error {
	switch {
	case c.Dim < 1 || c.Width < 1 || c.Depth < 1 || c.Heads < 1 || c.Depth > 1<<8 || c.Dim > 1<<16 || c.Width > 1<<16:
		return fmt.Errorf("dim, width, depth and heads are %d, %d, %d and %d; all are 1 or more", c.Dim, c.Width, c.Depth, c.Heads)
	case c.Width%c.Heads != 0 || c.Width/c.Heads < 6:
		return fmt.Errorf("width is %d; give a multiple of the heads, %d, of 6 or more each", c.Width, c.Heads)
	}
	return nil
}

// VerifierNet says of every token of a window whether it ensues, from what was expected there, what came, how far the two are apart, and
// how far what came is from the last token seen there; all tokens of the window attend to each other. It is trained together with the
// encoder and the predictor, on windows made up not to ensue (package train).
type VerifierNet struct {
	Embed  *nn.Linear
	Blocks []*nn.Block
	Norm   *nn.LayerNorm
	Out    *nn.Linear

	config VerifierConfig
	mu     sync.Mutex
	tables map[stream.Shape]*nn.Rotary
}

// NewVerifierNet makes the net with the parameters of ps, whose names begin with "verifier.".
func NewVerifierNet(ps *nn.Parameters, config VerifierConfig) *VerifierNet {
	const inputs = 4 // expected, seen, and two distances
	v := &VerifierNet{
		config: config, Embed: nn.NewLinear(ps, verifierPrefix+"embed", inputs*config.Dim, config.Width, true),
		tables: map[stream.Shape]*nn.Rotary{},
	}
	for i := range config.Depth {
		v.Blocks = append(v.Blocks, nn.NewBlock(ps, verifierPrefix+"layer."+strconv.Itoa(i), nn.BlockConfig{
			Size: config.Width, Heads: config.Heads, Hidden: 4 * config.Width, Eps: verifierEps,
		}))
	}
	v.Norm = nn.NewLayerNorm(ps, verifierPrefix+"norm", config.Width, verifierEps)
	v.Out = nn.NewLinear(ps, verifierPrefix+"out", config.Width, 1, true)
	return v
}

// Forward is a logit for each token of windows of a shape, [B*T*H*W]: above 0 where it does not ensue. expected and seen are the tokens,
// [B*T*H*W, D], last the tokens seen last at their places, of the same shape.
func (v *VerifierNet) Forward(t *nn.Tape, shape stream.Shape, expected, seen, last *nn.Value) *nn.Value {
	n := shape.T * shape.Places()
	batch := expected.Shape()[0] / n
	wrong, moved := t.Abs(t.Sub(seen, expected)), t.Abs(t.Sub(seen, last))
	x := v.Embed.Forward(t, t.ConcatColumns(expected, seen, wrong, moved))
	x = t.Reshape(x, batch, n, v.config.Width)
	place := nn.Place{Rotary: v.table(shape)}
	for _, b := range v.Blocks {
		x = b.Forward(t, x, place)
	}
	x = v.Out.Forward(t, v.Norm.Forward(t, x))
	return t.Affine(t.Reshape(x, batch*n), 1, verifierShift)
}

// table turns a third of each head's features by the row, a third by the column and the rest by the step.
func (v *VerifierNet) table(shape stream.Shape) *nn.Rotary {
	shape.D = 0
	v.mu.Lock()
	defer v.mu.Unlock()
	if r, ok := v.tables[shape]; ok {
		return r
	}
	if len(v.tables) >= verifierTable {
		clear(v.tables)
	}
	head := v.config.Width / v.config.Heads
	across := 2 * (head * 3 / 16) // 12 of 32, and 8 for the step
	var places []float64
	for step := range shape.T {
		for place := range shape.Places() {
			places = append(places, float64(step), float64(place/shape.W), float64(place%shape.W))
		}
	}
	r := nn.NewRotary(nn.RotaryConfig{
		Widths: []int{2 * ((head - 2*across) / 2), across, across}, Base: verifierBase, Pairing: nn.Halves,
	}, head, places)
	v.tables[shape] = r
	return r
}

// Energies are the energies of tokens by their logits: softplus, which is minus the logarithm of how likely they ensue.
func (v *VerifierNet) Energies(t *nn.Tape, logits *nn.Value) *nn.Value { return t.Softplus(logits) }

// WriteVerifier writes a net to a model directory. ps holds its parameters, under the names of NewVerifierNet; digest is that of the model
// it was trained with: its tokens mean nothing to another.
func WriteVerifier(dir string, config VerifierConfig, ps *nn.Parameters, digest string) error {
	file := &nn.TensorFile{Metadata: map[string]string{
		"format": verifierFormat, "version": verifierVersion, "model": digest,
		"dim": strconv.Itoa(config.Dim), "width": strconv.Itoa(config.Width),
		"depth": strconv.Itoa(config.Depth), "heads": strconv.Itoa(config.Heads),
	}}
	ps.Put(file, "", nn.Float32)
	if err := file.Write(filepath.Join(dir, VerifierFile)); err != nil {
		return fmt.Errorf("writing the verifier: %w", err)
	}
	return nil
}

// HasVerifier says whether a model directory has one.
func HasVerifier(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, VerifierFile))
	return err == nil && info.Mode().IsRegular()
}

// Verifier is the energy of a VerifierNet. It is safe for use by several goroutines. Close it before its device.
type Verifier struct {
	device *nn.Device
	tape   *nn.Tape // used inside device.Run only
	net    *VerifierNet
	digest string
	config VerifierConfig
}

// OpenVerifier reads the verifier of a model directory; digest is that of the model (model.Model.Digest), with which the verifier must have
// been trained; "" asks nothing. A directory without one is an ErrNoVerifier.
func OpenVerifier(dir, digest string, device *nn.Device) (_ *Verifier, err error) {
	path := filepath.Join(dir, VerifierFile)
	s, err := nn.OpenSafetensors(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the verifier of %s: %w: train one with objective.verifier", dir, ErrNoVerifier)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the verifier: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v, err := ReadVerifier(s, digest, device)
	if err != nil {
		return nil, fmt.Errorf("opening the verifier %s: %w", path, err)
	}
	return v, nil
}

// ReadVerifier reads a verifier from tensors; see OpenVerifier.
func ReadVerifier(s *nn.Safetensors, digest string, device *nn.Device) (*Verifier, error) {
	about := s.Metadata
	if about["format"] != verifierFormat || about["version"] != verifierVersion {
		return nil, fmt.Errorf("its format is %q version %q, not %s version %s", about["format"], about["version"],
			verifierFormat, verifierVersion)
	}
	if digest != "" && about["model"] != digest {
		return nil, fmt.Errorf("it was trained with the model %s, not with %s", about["model"], digest)
	}
	var c VerifierConfig
	for key, to := range map[string]*int{"dim": &c.Dim, "width": &c.Width, "depth": &c.Depth, "heads": &c.Heads} {
		n, err := strconv.Atoi(about[key])
		if err != nil {
			return nil, fmt.Errorf("its %s is %q, which is no number", key, about[key])
		}
		*to = n
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	ps := nn.NewParametersFrom(encoder.KeepSmall(s.Float32))
	net := NewVerifierNet(ps, c)
	err := ps.Err()
	if err == nil {
		err = device.Pack(nn.Float32, net.Matrices()...)
	}
	if err != nil {
		return nil, err
	}
	ps.Freeze(true)
	v := &Verifier{device: device, net: net, config: c, tape: device.NewTape(nn.TapeConfig{})}
	v.digest, err = verifierDigest(s, c, ps)
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// verifierDigest is over the sizes and the weights.
func verifierDigest(s *nn.Safetensors, c VerifierConfig, ps *nn.Parameters) (string, error) {
	parts := []string{fmt.Sprint(c)}
	for _, p := range ps.All() {
		sum := sha256.New()
		if err := s.CopyTo(sum, p.Name); err != nil {
			return "", err
		}
		parts = append(parts, p.Name, hex.EncodeToString(sum.Sum(nil)))
	}
	return encoder.Digest("verifier", verifierVersion, parts...), nil
}

// Matrices are the weights that nn.Device.Pack takes.
func (v *VerifierNet) Matrices() []*nn.Parameter {
	all := v.Embed.Matrices()
	for _, b := range v.Blocks {
		all = append(all, b.Matrices()...)
	}
	return append(all, v.Out.Matrices()...)
}

// Digest identifies what the verifier computes.
func (v *Verifier) Digest() string { return v.digest }

// Judge says how badly y ensues from x, where expected was expected: the energy of every token of y, [T, H, W], 0 or more, and their mean.
// All three are in the space of the predictor's targets (Targeting); of x only the last step matters.
func (v *Verifier) Judge(ctx context.Context, x, y *stream.Tokens, expected []float32) (energy float64, tokens []float32, err error) {
	if err := v.check(x, y, expected); err != nil {
		return 0, nil, err
	}
	if err := ctx.Err(); err != nil {
		return 0, nil, fmt.Errorf("judging a window: %w", err)
	}
	n, last := y.T*y.Places(), x.At(x.T-1)
	tokens = make([]float32, n)
	err = v.device.Run(func() error {
		t := v.tape
		t.Reset()
		before := make([]float32, 0, len(y.Data))
		for range y.T {
			before = append(before, last...)
		}
		logits := v.net.Forward(t, y.Shape, t.Floats(expected, n, y.D), t.Floats(y.Data, n, y.D), t.Floats(before, n, y.D))
		v.net.Energies(t, logits).CopyTo(tokens)
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("judging a window: %w", err)
	}
	return mean(tokens), tokens, nil
}

func (v *Verifier) check(x, y *stream.Tokens, expected []float32) error {
	switch {
	case x.T < 1 || y.T < 1 || x.H != y.H || x.W != y.W || y.Places() < 1 || x.D != v.config.Dim || y.D != v.config.Dim,
		len(x.Data) != x.Len() || len(y.Data) != y.Len() || len(expected) != y.Len():
		return stream.Fail("predict", "predict.shape", "verifying tokens of shape %v (%d values) after %v (%d values) with %d expected: "+
			"the verifier takes %d channels", y.Shape, len(y.Data), x.Shape, len(x.Data), len(expected), v.config.Dim)
	}
	return nil
}

// Close gives back the memory of the weights and of the computation. The device may be closed already.
func (v *Verifier) Close() error {
	err := v.device.Run(func() error {
		v.tape.Close()
		return v.device.Forget(v.net.Matrices()...)
	})
	if errors.Is(err, nn.ErrClosed) {
		return nil
	}
	return err
}
