package predictor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
	"github.com/ensue-video/ensue/stream"
)

const (
	recurrentVersion = "2" // part of the digest
	// recurrentWarmup is how many steps a memory is built up from at least: more than twice the steps it is trained on.
	recurrentWarmup = 64
	// recurrentGroup is how many streams are worked off side by side, recurrentSteps how many steps of each of them at a time.
	recurrentGroup = 16
	recurrentSteps = 16
)

// Recurrent is the predictor of a model of the family model.FamilyRecurrent, a RecurrentNet, run live. It remembers a stream in
// H'·W'·Hidden numbers, whatever the length of the stream, and expects what follows from those and the last tokens alone.
//
// Steps that have a head (model.Recurrent.Ahead) are what the head says; steps between two of those lie on the line between them, those
// before the first on the line from the last tokens. What lies beyond the last head, a steps ahead, is rolled out: the expected steps up
// to a are fed to the memory as if they had come, each through the LayerNorm that every token comes out of, and the heads are asked again.
//
// Streams that wait at the same time are worked off together. That changes no bit (invariant 7): NewRecurrent tries whether the processor's
// matrix products allow it and works stream by stream where they do not.
type Recurrent struct {
	info   Info
	config model.Recurrent
	device *nn.Device
	net    *RecurrentNet
	tape   *nn.Tape // used inside device.Run only
	group  int

	remembering nn.Gathering[recollection]
	expecting   nn.Gathering[[]Question]
}

// recollection is what Remember is asked.
type recollection struct {
	tokens      []float32 // [T, H', W', D]
	before, out []float32
}

// NewRecurrent makes the predictor of a model on a device, which stays the caller's; Close the predictor before it. The model is not used
// after NewRecurrent.
func NewRecurrent(m *model.Model, device *nn.Device) (*Recurrent, error) {
	config := m.Config()
	p := &Recurrent{
		config: config.Ensue.Recurrent, device: device, group: recurrentGroup, tape: device.NewTape(nn.TapeConfig{}),
		info: Info{
			Name: config.ModelType, Warmup: recurrentWarmup,
			Digest: encoder.Digest(config.ModelType+" predictor", recurrentVersion, m.Digest()),
		},
	}
	if err := p.load(m, config); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the predictor of %s: %w", m.Where(), err), p.Close())
	}
	return p, nil
}

func (p *Recurrent) load(m *model.Model, config model.Config) error {
	if config.ModelType != model.FamilyRecurrent {
		return fmt.Errorf("model_type: %q: expected %s", config.ModelType, model.FamilyRecurrent)
	}
	ps := nn.NewParametersFrom(encoder.KeepSmall(m.Source("predictor.")))
	net := NewRecurrentNet(ps, config)
	if err := ps.Err(); err != nil {
		return err
	}
	ps.Freeze(true)
	if err := p.device.Pack(nn.Float32, net.Matrices()...); err != nil {
		return err
	}
	p.net = net
	return p.device.Run(func() error {
		for p.group > 1 && !p.agrees() {
			p.group /= 2
		}
		return nil
	})
}

// agrees tells whether streams worked off together get the bits that each gets alone.
func (p *Recurrent) agrees() bool {
	noise := func(size int) []float32 {
		values := make([]float32, size)
		for i := range values {
			values[i] = float32(int32(uint32(i+1)*2654435769)) / (1 << 31) // a multiplicative sequence in [-1, 1)
		}
		return values
	}
	tokens, memory := noise(p.group*p.step()), noise(p.group*p.Memory())
	step := func(first, count int) (next, heads []float32) {
		p.tape.Reset()
		x, h := p.place(tokens[first*p.step():], count, p.config.Dim), p.place(memory[first*p.Memory():], count, p.config.Hidden)
		after := p.net.Memory.Step(p.tape, p.net.Memory.Says(p.tape, x), h)
		return after.Float32s(), p.net.expect(p.tape, after, x).Float32s()
	}
	var aloneNext, aloneHeads []float32
	for i := range p.group {
		next, heads := step(i, 1)
		aloneNext, aloneHeads = append(aloneNext, next...), append(aloneHeads, heads...)
	}
	for count := 2; count <= p.group; count++ {
		next, heads := step(0, count)
		if !slices.Equal(next, aloneNext[:len(next)]) || !slices.Equal(heads, aloneHeads[:len(heads)]) {
			return false
		}
	}
	return true
}

// place puts numbers on the tape, [count, H', W', channels].
func (p *Recurrent) place(values []float32, count, channels int) *nn.Value {
	grid := p.config.Grid()
	return p.tape.Floats(values[:count*grid*grid*channels], count, grid, grid, channels)
}

// Info describes the predictor.
func (p *Recurrent) Info() Info { return p.info }

// Memory is how many numbers are remembered of a stream: H'·W'·Hidden.
func (p *Recurrent) Memory() int { return p.config.Grid() * p.config.Grid() * p.config.Hidden }

// step is how many numbers a step of tokens has.
func (p *Recurrent) step() int { return p.config.Grid() * p.config.Grid() * p.config.Dim }

// Close gives back the memory of the weights and of the computation. Nothing may use the predictor any more; its device may be closed
// already.
func (p *Recurrent) Close() error {
	err := p.device.Run(func() error {
		p.tape.Close()
		if p.net == nil {
			return nil
		}
		return p.device.Forget(p.net.Matrices()...)
	})
	if errors.Is(err, nn.ErrClosed) {
		return nil
	}
	return err
}

// Remember writes to out, [tokens.T, Memory()], what is remembered after every step, before being what was remembered before them; nil at
// the beginning of a stream.
func (p *Recurrent) Remember(ctx context.Context, tokens *stream.Tokens, before, out []float32) error {
	if err := p.check(tokens); err != nil {
		return err
	}
	if before != nil && len(before) != p.Memory() || len(out) != tokens.T*p.Memory() {
		return stream.Fail("predict", "predict.shape", "remembering %d steps: %d values before and %d after, a memory has %d",
			tokens.T, len(before), len(out), p.Memory())
	}
	for first := 0; first < tokens.T; first += recurrentSteps {
		last := min(first+recurrentSteps, tokens.T)
		some := recollection{tokens.Data[first*p.step() : last*p.step()], before, out[first*p.Memory() : last*p.Memory()]}
		if err := p.remembering.Do(ctx, some, 1, p.group, p.remember); err != nil {
			return fmt.Errorf("remembering steps [%d, %d): %w", first, last, err)
		}
		before = out[(last-1)*p.Memory() : last*p.Memory()]
	}
	return nil
}

func (p *Recurrent) check(tokens *stream.Tokens) error {
	grid := p.config.Grid()
	if tokens.T < 1 || tokens.H != grid || tokens.W != grid || tokens.D != p.config.Dim || len(tokens.Data) != tokens.Len() {
		return stream.Fail("predict", "predict.shape", "predicting from tokens of shape %v with %d values: the model has %d×%d×%d",
			tokens.Shape, len(tokens.Data), grid, grid, p.config.Dim)
	}
	return nil
}

// remember works off recollections of several streams: step by step, and at each step those that are not over side by side.
func (p *Recurrent) remember(some []recollection) error {
	some = slices.Clone(some)
	slices.SortStableFunc(some, func(a, b recollection) int { return len(b.tokens) - len(a.tokens) }) // the longest first
	return p.device.Run(func() error {
		p.tape.Reset()
		memory := p.tape.Zeros(len(some), p.config.Grid(), p.config.Grid(), p.config.Hidden)
		for i, r := range some {
			copy(memory.Float32s()[i*p.Memory():(i+1)*p.Memory()], r.before)
		}
		for step := 0; len(some) > 0; step++ {
			memory = p.next(memory, p.tokensAt(some, step))
			for i, r := range some {
				copy(r.out[step*p.Memory():(step+1)*p.Memory()], memory.Float32s()[i*p.Memory():])
			}
			for len(some) > 0 && len(some[len(some)-1].tokens) == (step+1)*p.step() {
				some = some[:len(some)-1]
			}
			memory = p.shortened(memory, len(some))
		}
		return nil
	})
}

func (p *Recurrent) tokensAt(some []recollection, step int) *nn.Value {
	grid := p.config.Grid()
	x := p.tape.Zeros(len(some), grid, grid, p.config.Dim)
	for i, r := range some {
		copy(x.Float32s()[i*p.step():(i+1)*p.step()], r.tokens[step*p.step():])
	}
	return x
}

// next is the memory after one more step; what it was and the tokens are used up.
func (p *Recurrent) next(memory, tokens *nn.Value) *nn.Value {
	says := p.net.Memory.Says(p.tape, tokens)
	next := p.net.Memory.Step(p.tape, says, memory)
	for _, v := range []*nn.Value{says, memory, tokens} {
		p.tape.Release(v)
	}
	return next
}

// shortened are the first count streams of a value.
func (p *Recurrent) shortened(v *nn.Value, count int) *nn.Value {
	if count == v.Shape()[0] {
		return v
	}
	first := p.tape.Rows(v, 0, count)
	p.tape.Release(v)
	return first
}

// Expect writes the tokens expected for the steps [lead, lead+steps) after the past. Where the past brings no memory it is made from the
// tokens of the context.
func (p *Recurrent) Expect(ctx context.Context, past Past, lead, steps int, out []float32) error {
	return p.ExpectEach(ctx, []Question{{Past: past, Lead: lead, Steps: steps, Out: out}})
}

// ExpectEach answers several questions. Those about the same past share the work.
func (p *Recurrent) ExpectEach(ctx context.Context, questions []Question) error {
	questions = slices.Clone(questions)
	for i := range questions {
		if err := p.prepare(ctx, &questions[i]); err != nil {
			return err
		}
	}
	return p.expecting.Do(ctx, questions, len(questions), p.group, p.expect)
}

// prepare checks a question and brings the memory it lacks.
func (p *Recurrent) prepare(ctx context.Context, q *Question) error {
	if err := p.check(q.Past.Tokens); err != nil {
		return err
	}
	if q.Lead < 0 || q.Steps < 1 || len(q.Out) != q.Steps*p.step() {
		return stream.Fail("predict", "predict.shape", "predicting %d steps, %d ahead, into %d values", q.Steps, q.Lead, len(q.Out))
	}
	if q.Past.Memory == nil {
		all := make([]float32, q.Past.Tokens.T*p.Memory())
		if err := p.Remember(ctx, q.Past.Tokens, nil, all); err != nil {
			return err
		}
		q.Past.Memory = all[len(all)-p.Memory():]
	}
	if len(q.Past.Memory) != p.Memory() {
		return stream.Fail("predict", "predict.shape", "predicting from a memory of %d values, not %d", len(q.Past.Memory), p.Memory())
	}
	return nil
}

// outlook is one past and all that is asked about it.
type outlook struct {
	memory, tokens []float32
	questions      []Question
	reach          int // how many steps ahead
}

// expect answers the questions of several callers.
func (p *Recurrent) expect(all [][]Question) error {
	outlooks := p.outlooks(all)
	slices.SortStableFunc(outlooks, func(a, b *outlook) int { return b.reach - a.reach }) // the farthest first
	return p.device.Run(func() error {
		for first := 0; first < len(outlooks); first += p.group {
			p.roll(outlooks[first:min(first+p.group, len(outlooks))])
		}
		return nil
	})
}

// outlooks puts the questions about the same past together: those whose memories are the same memory.
func (p *Recurrent) outlooks(all [][]Question) []*outlook {
	var outlooks []*outlook
	known := map[*float32]*outlook{}
	for _, q := range slices.Concat(all...) {
		o := known[&q.Past.Memory[0]]
		if o == nil {
			o = &outlook{memory: q.Past.Memory, tokens: q.Past.Tokens.At(q.Past.Tokens.T - 1)}
			outlooks = append(outlooks, o)
			known[&q.Past.Memory[0]] = o
		}
		o.questions = append(o.questions, q)
		o.reach = max(o.reach, q.Lead+q.Steps)
	}
	return outlooks
}

// roll answers all questions of some outlooks, side by side, the farthest first: as many steps at a time as there are heads for.
func (p *Recurrent) roll(outlooks []*outlook) {
	p.tape.Reset()
	grid, stride := p.config.Grid(), p.config.Ahead[len(p.config.Ahead)-1]
	memory := p.tape.Zeros(len(outlooks), grid, grid, p.config.Hidden)
	tokens := p.tape.Zeros(len(outlooks), grid, grid, p.config.Dim)
	for i, o := range outlooks {
		copy(memory.Float32s()[i*p.Memory():], o.memory)
		copy(tokens.Float32s()[i*p.step():], o.tokens)
	}
	for done := 0; ; done += stride {
		heads := p.net.expect(p.tape, memory, tokens)
		ahead := p.between(heads, tokens)
		p.tape.Release(heads)
		p.tape.Release(tokens)
		for i, o := range outlooks {
			p.answer(o, ahead, i, done)
		}
		for len(outlooks) > 0 && outlooks[len(outlooks)-1].reach <= done+stride {
			outlooks = outlooks[:len(outlooks)-1]
		}
		if len(outlooks) == 0 {
			return
		}
		memory = p.shortened(memory, len(outlooks))
		memory, tokens = p.feed(memory, ahead, len(outlooks))
	}
}

// between are all steps up to the last head's, each [N, H', W', D]: of heads [N, H', W', K D], and on the lines between them and the last
// tokens.
func (p *Recurrent) between(heads, tokens *nn.Value) []*nn.Value {
	var ahead []*nn.Value
	before, at := tokens.Float32s(), 0
	for k, to := range p.config.Ahead {
		head := p.tape.Columns(heads, k*p.config.Dim, (k+1)*p.config.Dim)
		for step := at + 1; step < to; step++ {
			share := float32(step-at) / float32(to-at)
			x := p.tape.Copy(head)
			for i, value := range x.Float32s() {
				x.Float32s()[i] = before[i] + float32(share*(value-before[i])) // invariant 7: product and sum are not fused
			}
			ahead = append(ahead, x)
		}
		ahead = append(ahead, head)
		before, at = head.Float32s(), to
	}
	return ahead
}

// answer copies the steps that questions want from those ahead, which begin done steps after the past; i is the outlook's place.
func (p *Recurrent) answer(o *outlook, ahead []*nn.Value, i, done int) {
	for _, q := range o.questions {
		for step := max(q.Lead, done); step < min(q.Lead+q.Steps, done+len(ahead)); step++ {
			copy(q.Out[(step-q.Lead)*p.step():(step-q.Lead+1)*p.step()], ahead[step-done].Float32s()[i*p.step():])
		}
	}
}

// feed has the memory of the first count streams take the expected steps for tokens that came; the last of them is returned, too.
func (p *Recurrent) feed(memory *nn.Value, ahead []*nn.Value, count int) (next, last *nn.Value) {
	for i, x := range ahead {
		x = p.shortened(x, count)
		token := p.tape.LayerNorm(x, nil, nil, recurrentEps)
		p.tape.Release(x)
		if i == len(ahead)-1 {
			last = p.tape.Copy(token)
		}
		memory = p.next(memory, token)
	}
	return memory, last
}
