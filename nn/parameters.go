package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// Parameter is a named array that is learned.
type Parameter struct {
	// Name is the path of the parameter in its model, as in a safetensors file.
	Name string
	// Frozen parameters get no gradient and no step.
	Frozen bool
	// Decay says that weight decay applies: by default to matrices, not to biases and norms.
	Decay bool

	shape   tensor.Shape
	dtype   tensor.Dtype
	value   *tensor.Dense
	grad    *tensor.Dense
	set     bool   // grad holds a gradient, not what was left in its memory
	version uint64 // counts changes, so that packed copies know when they are old
}

// NewParameter makes a parameter of a value; the value is not copied.
func NewParameter(name string, value *tensor.Dense) *Parameter {
	return &Parameter{Name: name, Decay: value.Dims() > 1, shape: value.Shape().Clone(), dtype: value.Dtype(), value: value}
}

// Shape is the shape of the parameter. It must not be changed.
func (p *Parameter) Shape() tensor.Shape { return p.shape }

// Size is the number of elements.
func (p *Parameter) Size() int { return p.shape.TotalSize() }

// Dense is the parameter's array. After writing to it call Changed. Of a parameter that a Device packed (Device.Pack) it is gone, and
// asking for it panics.
func (p *Parameter) Dense() *tensor.Dense {
	if p.value == nil {
		fail("reading parameter "+p.Name, "only its packed form was kept")
	}
	return p.value
}

// Grad is the gradient that Backward added up, or nil.
func (p *Parameter) Grad() *tensor.Dense {
	if !p.set {
		return nil
	}
	return p.grad
}

// ZeroGrad forgets the gradient; its memory stays.
func (p *Parameter) ZeroGrad() { p.set = false }

// Changed tells that the array was written to.
func (p *Parameter) Changed() { p.version++ }

// gradient makes sure that there is an array for the gradient, and tells whether something is in it.
func (p *Parameter) gradient() (add bool) {
	if p.grad == nil {
		p.grad = tensor.New(tensor.Of(p.dtype), tensor.WithShape(p.shape...))
	}
	add = p.set
	p.set = true
	return add
}

// Set replaces the array, of the same shape.
func (p *Parameter) Set(value *tensor.Dense) error {
	if !value.Shape().Eq(p.shape) {
		return fmt.Errorf("setting parameter %s: expected shape %v, found %v", p.Name, p.shape, value.Shape())
	}
	p.value, p.dtype, p.grad, p.set = value, value.Dtype(), nil, false
	p.Changed()
	return nil
}

// Init fills a new parameter of a shape. random depends on the seed and the name only (invariant 7).
type Init func(shape tensor.Shape, values []float64, random *rand.Rand)

// Zeros fills with 0.
func Zeros(_ tensor.Shape, values []float64, _ *rand.Rand) { clear(values) }

// Ones fills with 1.
func Ones(_ tensor.Shape, values []float64, _ *rand.Rand) {
	for i := range values {
		values[i] = 1
	}
}

// TruncatedNormal draws from the normal distribution of the given deviation, cut at two deviations, as ViTs are started.
func TruncatedNormal(deviation float64) Init {
	return func(_ tensor.Shape, values []float64, random *rand.Rand) {
		for i := range values {
			x := random.NormFloat64()
			for math.Abs(x) > 2 {
				x = random.NormFloat64()
			}
			values[i] = x * deviation
		}
	}
}

// XavierUniform draws from ±sqrt(6 / (in + out)) (Glorot & Bengio 2010). The first axis is out, the others are in.
func XavierUniform(shape tensor.Shape, values []float64, random *rand.Rand) {
	in := max(1, shape.TotalSize()/max(1, shape[0]))
	uniform(values, math.Sqrt(6/float64(in+shape[0])), random)
}

// Uniform draws from ±bound.
func Uniform(bound float64) Init {
	return func(_ tensor.Shape, values []float64, random *rand.Rand) { uniform(values, bound, random) }
}

func uniform(values []float64, bound float64, random *rand.Rand) {
	for i := range values {
		values[i] = (2*random.Float64() - 1) * bound
	}
}

// Parameters are the parameters of a model, in the order in which its layers made them.
type Parameters struct {
	seed  uint64
	dtype tensor.Dtype
	list  []*Parameter
	names map[string]*Parameter

	source Source
	err    error
}

// Source gives the values of parameters that are not drawn at random: of a file, say, under the names that the file has.
type Source func(name string, shape ...int) (*tensor.Dense, error)

// NewParametersFrom returns an empty set whose values come from source as they are made: a model that is loaded never holds two copies, and
// Device.Pack after each layer keeps it from holding even one. Check Err when all layers are made.
func NewParametersFrom(source Source) *Parameters {
	ps := NewParameters(0)
	ps.source = source
	return ps
}

// Err is the first error of the Source.
func (ps *Parameters) Err() error { return ps.err }

// NewParameters returns an empty set whose random numbers come from seed.
func NewParameters(seed uint64) *Parameters {
	return &Parameters{seed: seed, dtype: tensor.Float32, names: map[string]*Parameter{}}
}

// NewParameters64 is NewParameters in float64: slow, for checking gradients.
func NewParameters64(seed uint64) *Parameters {
	p := NewParameters(seed)
	p.dtype = tensor.Float64
	return p
}

// New makes a parameter. Two of the same name are a mistake in the program.
func (ps *Parameters) New(name string, init Init, shape ...int) *Parameter {
	if ps.names[name] != nil {
		fail("making parameter "+name, "there is one of that name already")
	}
	p := NewParameter(name, ps.first(name, init, shape))
	ps.Add(p)
	return p
}

// first is the value that a parameter begins with.
func (ps *Parameters) first(name string, init Init, shape []int) *tensor.Dense {
	if ps.source != nil {
		value, err := ps.source(name, shape...)
		switch {
		case err == nil && value.Shape().Eq(tensor.Shape(shape)):
			return value
		case err == nil:
			err = fmt.Errorf("expected shape %v, found %v", shape, value.Shape())
		}
		if ps.err == nil {
			ps.err = fmt.Errorf("loading parameter %s: %w", name, err)
		}
		return tensor.New(tensor.Of(ps.dtype), tensor.WithShape(shape...))
	}
	values := make([]float64, tensor.Shape(shape).TotalSize())
	init(shape, values, rand.New(rand.NewPCG(ps.seed, hashOf(name))))
	return denseOf(values, ps.dtype, shape)
}

// Add adds a parameter that is there already.
func (ps *Parameters) Add(p *Parameter) {
	ps.list = append(ps.list, p)
	ps.names[p.Name] = p
}

// All are the parameters, in the order of their making.
func (ps *Parameters) All() []*Parameter { return ps.list }

// Get returns the parameter of a name, or nil.
func (ps *Parameters) Get(name string) *Parameter { return ps.names[name] }

// Count is the number of learned numbers.
func (ps *Parameters) Count() int {
	n := 0
	for _, p := range ps.list {
		n += p.Size()
	}
	return n
}

// ZeroGrad forgets all gradients.
func (ps *Parameters) ZeroGrad() {
	for _, p := range ps.list {
		p.ZeroGrad()
	}
}

// Freeze sets Frozen of all parameters.
func (ps *Parameters) Freeze(frozen bool) {
	for _, p := range ps.list {
		p.Frozen = frozen
	}
}

func hashOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

func denseOf(values []float64, dtype tensor.Dtype, shape []int) *tensor.Dense {
	if dtype == tensor.Float64 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
	}
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(narrow))
}
