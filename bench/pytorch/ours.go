package main

import (
	"errors"
	"time"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

// contender is one way to compute a case.
type contender interface {
	// measure computes for at least so long, at least once, and returns the time of a call.
	measure(atLeast time.Duration) (time.Duration, error)
	close() error
}

// ours is this project's side of a case.
type ours struct {
	device  *nn.Device
	encoder *encoder.VJEPA2 // owns net's weights; nil when training
	tape    *nn.Tape
	net     interface { // what gives a forward pass its result
		Forward(t *nn.Tape, pixels *nn.Value) *nn.Value
	}
	pixels *tensor.Dense
	now    clock

	// Of a training step:
	target *tensor.Dense
	params []*nn.Parameter
	adamw  *nn.AdamW
	loss   float64
}

func openOurs(c netCase, f files, threads int, precision nn.Precision, own bool) (_ *ours, err error) {
	o := &ours{now: clockOf(own)}
	if o.device, err = nn.Open(nn.Config{Threads: threads}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	o.tape = o.device.NewTape(nn.TapeConfig{Gradients: c.train, Precision: precision})
	values, err := readFloats(f.input)
	if err != nil {
		return nil, err
	}
	shape := []int{c.batch, c.frames, c.crop, c.crop, 3}
	if c.recurrent {
		shape = []int{c.frames * c.batch, c.crop, c.crop, 3}
	}
	o.pixels = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(channelsLast(values, 3, c.crop*c.crop)))
	if err := o.load(c, f, precision); err != nil {
		return nil, err
	}
	return o, o.device.Run(o.once)
}

// load makes the net and, for training, the optimiser.
func (o *ours) load(c netCase, f files, precision nn.Precision) error {
	m, err := model.Open(f.model)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if !c.train {
		e, err := encoder.NewVJEPA2(m, o.device, encoder.WithPrecision(precision))
		if err != nil {
			return err
		}
		o.net, o.encoder = e.Transformer(), e
		return nil
	}
	if c.recurrent {
		if o.net, o.params, err = loadRecurrent(m, c.batch); err != nil {
			return err
		}
	} else {
		ps := nn.NewParametersFrom(model.Layers(copied(m.Source("encoder.")), m.Config()))
		o.net, o.params = encoder.NewVisionTransformer(ps, m.Config()), ps.All()
		if err := ps.Err(); err != nil {
			return err
		}
	}
	target, err := readFloats(f.target)
	if err != nil {
		return err
	}
	o.target = tensor.New(tensor.WithShape(len(target)/c.width(), c.width()), tensor.WithBacking(target))
	o.adamw = nn.NewAdamW(o.params, nn.AdamWConfig{Decay: 0.05})
	return nil
}

// copied gives arrays that stay when the file is closed and can be learned.
func copied(source nn.Source) nn.Source {
	return func(name string, shape ...int) (*tensor.Dense, error) {
		x, err := source(name, shape...)
		if err != nil {
			return nil, err
		}
		return x.Clone().(*tensor.Dense), nil
	}
}

// once is a call: a forward pass, or a training step.
func (o *ours) once() error {
	t := o.tape
	t.Reset()
	y := o.net.Forward(t, t.Input(o.pixels))
	if o.adamw == nil {
		return nil
	}
	loss := t.SmoothL1(y, t.Input(o.target), 1)
	t.Backward(loss)
	o.adamw.Step(o.device, 1e-4)
	o.loss = loss.Item()
	return nil
}

func (o *ours) measure(atLeast time.Duration) (took time.Duration, err error) {
	err = o.device.Run(func() error {
		calls, start := 0, o.now()
		for ; calls == 0 || o.now()-start < atLeast; calls++ {
			if err := o.once(); err != nil {
				return err
			}
		}
		took = (o.now() - start) / time.Duration(calls)
		return nil
	})
	return took, err
}

// output is the result of one more forward pass.
func (o *ours) output() (y []float32, err error) {
	err = o.device.Run(func() error {
		o.tape.Reset()
		v := o.net.Forward(o.tape, o.tape.Input(o.pixels))
		y = make([]float32, v.Size())
		v.CopyTo(y)
		return nil
	})
	return y, err
}

func (o *ours) close() error {
	if o.tape != nil {
		o.tape.Close()
	}
	if o.encoder != nil {
		if err := o.encoder.Close(); err != nil {
			return err
		}
	}
	return o.device.Close()
}
