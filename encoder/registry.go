package encoder

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

const (
	// Builtin is the model that comes with the program (package weights). Whoever makes an encoder of it gives it to New: WithModel.
	Builtin = "builtin"
	// DefaultModel is the encoder of a definition that names none.
	DefaultModel = "pixels"
)

// The values of Config.Attention and Config.Precision that are not the model's.
const (
	AttentionAuto = "auto"
	PrecisionF32  = "f32"
	PrecisionBF16 = "bf16"
)

// constructors is the table of encoders that need no model: to add one, add a line.
var constructors = map[string]func() Encoder{
	"pixels":  func() Encoder { return NewPixels() },
	"patches": func() Encoder { return NewPatches() },
}

// families is the table of those that are read from a model, by its family.
var families = map[string]func(*model.Model, *nn.Device, Config) (Encoder, error){
	model.FamilyVJEPA2: func(m *model.Model, device *nn.Device, cfg Config) (Encoder, error) {
		options := []VJEPA2Option{WithPrecision(cfg.NumberFormat())}
		if cfg.Attention != AttentionAuto {
			options = append(options, WithAttention(cfg.Attention))
		}
		return NewVJEPA2(m, device, options...)
	},
	model.FamilyRecurrent: func(m *model.Model, device *nn.Device, _ Config) (Encoder, error) { return NewRecurrent(m, device) },
}

// Names are the encoders New knows by name, sorted.
func Names() []string {
	names := []string{Builtin}
	for name := range constructors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Option is what New needs beside the definition.
type Option func(*building)

type building struct {
	device *nn.Device
	model  *model.Model
}

// WithDevice sets what a model of a directory computes on. The device stays the caller's: close it after the encoder.
func WithDevice(device *nn.Device) Option { return func(b *building) { b.device = device } }

// WithModel gives New the model that Config.Model names, open already: another part of the program wants it too. It stays the caller's.
func WithModel(m *model.Model) Option { return func(b *building) { b.model = m } }

// IsDirectory tells whether a model is named by its directory: it has a slash, or there is a directory of that name. The names of the table
// come first.
func IsDirectory(name string) bool {
	if slices.Contains(Names(), name) {
		return false
	}
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// New makes the encoder that cfg names; no name means DefaultModel. A directory is opened (a relative one is relative to where the program
// runs) and needs WithDevice; an encoder that was made of one is an io.Closer. A name that is not in the table is a permanent failure
// encode.unknown_model around an *UnknownModel, a directory that cannot be used encode.bad_model.
func New(cfg Config, options ...Option) (Encoder, error) {
	cfg = cfg.Default()
	if construct, ok := constructors[cfg.Model]; ok {
		return construct(), nil
	}
	var b building
	for _, option := range options {
		option(&b)
	}
	if b.model == nil && cfg.Model != Builtin && !IsDirectory(cfg.Model) {
		unknown := &UnknownModel{Key: "encoder.model", Name: cfg.Model, Known: Names()}
		return nil, &stream.Failure{Code: "encode.unknown_model", Stage: "encode", Permanent: true, Err: unknown}
	}
	made, err := b.load(cfg)
	if err != nil {
		return nil, stream.Fail("encode", "encode.bad_model", "encoder.model: %w", err)
	}
	return made, nil
}

func (b building) load(cfg Config) (made Encoder, err error) {
	m := b.model
	if m == nil && cfg.Model == Builtin {
		return nil, fmt.Errorf("%s: the program does not bring its model here; name pixels, or the directory of a model", Builtin)
	}
	if m == nil {
		if m, err = model.Open(cfg.Model); err != nil {
			return nil, err
		}
		defer func() {
			if closing := m.Close(); closing != nil && err == nil {
				err = errors.Join(closing, Close(made))
			}
		}()
	}
	if err := cfg.Fits(m.Config()); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Where(), err)
	}
	if b.device == nil {
		return nil, fmt.Errorf("%s: there is no device to compute on", m.Where())
	}
	return families[m.Config().ModelType](m, b.device, cfg)
}

// Close frees what an encoder holds, where it holds something. Its device may be closed already.
func Close(made Encoder) error {
	if closer, ok := made.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Fits tells which of cfg's values a model cannot follow, naming the key.
func (c Config) Fits(config model.Config) error {
	c = c.Default()
	if _, err := config.WithAttention(c.Attention); err != nil {
		return fmt.Errorf("encoder.attention: %w", err)
	}
	if c.Precision != PrecisionF32 && c.Precision != PrecisionBF16 {
		return fmt.Errorf("encoder.precision: %q: expected %s or %s", c.Precision, PrecisionF32, PrecisionBF16)
	}
	if c.Precision == PrecisionBF16 && config.ModelType == model.FamilyRecurrent {
		return fmt.Errorf("encoder.precision: %s: a model of the family %s computes in %s", c.Precision, config.ModelType, PrecisionF32)
	}
	if families[config.ModelType] == nil {
		return fmt.Errorf("model_type: there is no encoder of the family %s", config.ModelType)
	}
	return nil
}

// NumberFormat is Precision as package nn has it.
func (c Config) NumberFormat() nn.Precision {
	if c.Precision == PrecisionBF16 {
		return nn.BFloat16
	}
	return nn.Float32
}

// Describe is what Info of a model's encoder says, without its digest: nothing is read but the configuration. A block-causal token depends,
// layer by layer, on one window more: what lies further back than all of them cannot reach it.
func Describe(config model.Config) Info {
	info := Info{
		Name: config.ModelType, Width: config.Side(), Height: config.Side(), GridHeight: config.Grid(), GridWidth: config.Grid(),
		Dim: config.HiddenSize, FramesPerStep: config.TubeletSize, Crop: true, Warmup: warmup(config),
	}
	if config.ModelType == model.FamilyRecurrent {
		info.Dim, info.FramesPerStep, info.Crop = config.Ensue.Recurrent.Dim, 1, false
	} else if config.Ensue.Attention == model.BlockCausal {
		info.Warmup = config.NumHiddenLayers * (Window(config) - 1)
	}
	return info
}

// Default fills what cfg leaves open.
func (c Config) Default() Config {
	if c.Model == "" {
		c.Model = DefaultModel
	}
	if c.Attention == "" {
		c.Attention = AttentionAuto
	}
	if c.Precision == "" {
		c.Precision = PrecisionF32
	}
	return c
}

// Digest identifies a model: "sha256:" and the SHA-256, in hex, of its name, its version and the parameters that determine what
// it computes. Every part is preceded by its length, so that no two lists of parts look the same.
func Digest(name, version string, parameters ...string) string {
	hash := sha256.New()
	for _, part := range append([]string{name, version}, parameters...) {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write([]byte(part))
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}
