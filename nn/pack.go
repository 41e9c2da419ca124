package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/onednn"
)

// pack is a linear map's weights [out, in] in oneDNN's layout. There are three forms: float32; bfloat16 where the processor multiplies
// that; and bfloat16 numbers in float32's layout, to be widened before each product, where it does not.
type pack struct {
	version uint64
	half    bool
	weights *onednn.Packed // nil in the third form
	narrow  []uint16       // the third form
	room    *room          // the third form's float32 memory
}

// room is float32 memory in oneDNN's layout, shared by all narrow weights of a shape.
type room struct {
	weights *onednn.Packed
	holds   *pack // whose numbers are in it
}

// Pack packs the weights of linear maps for a precision and drops what they were packed from: the model then takes only the packed memory,
// and can only be used on this Device's tapes of that precision. Parameters that are not such weights stay.
func (d *Device) Pack(precision Precision, weights ...*Parameter) error {
	return d.Run(func() error {
		for _, p := range weights {
			if len(p.shape) != 2 || p.dtype != tensor.Float32 {
				return fmt.Errorf("packing parameter %s: %v of shape %v is no float32 matrix", p.Name, p.dtype, p.shape)
			}
			d.packed(p, precision == BFloat16)
			p.value, p.grad, p.set, p.Frozen = nil, nil, false, true
		}
		return nil
	})
}

// Forget frees the packed copies of weights that are used no more.
func (d *Device) Forget(weights ...*Parameter) error {
	return d.Run(func() error {
		for _, p := range weights {
			d.forget(p)
		}
		return nil
	})
}

func (d *Device) forget(p *Parameter) {
	k, ok := d.packs[p]
	if !ok {
		return
	}
	if k.weights != nil {
		k.weights.Close()
	}
	if k.room != nil && k.room.holds == k {
		k.room.holds = nil
	}
	delete(d.packs, p)
}

// packed returns p's packed form, made anew when p changed.
func (d *Device) packed(p *Parameter, half bool) *pack {
	k, ok := d.packs[p]
	if ok && k.version == p.version && k.half == half {
		return k
	}
	if p.value == nil {
		fail("packing parameter "+p.Name, "it was packed for another precision and only that was kept")
	}
	if ok && k.half != half {
		d.forget(p)
		ok = false
	}
	if !ok {
		k = d.newPack(p, half)
		d.packs[p] = k
	}
	d.fill(k, p)
	k.version = p.version
	return k
}

func (d *Device) newPack(p *Parameter, half bool) *pack {
	s := onednn.Shape{N: p.shape[0], K: p.shape[1], TransW: true}
	if half && !d.half {
		r := d.room(s)
		return &pack{half: true, room: r, narrow: make([]uint16, len(r.weights.Floats()))}
	}
	s.HalfX, s.HalfW = half, half
	weights, err := d.dnnl.Pack(s)
	must("packing parameter "+p.Name, err)
	return &pack{half: half, weights: weights}
}

// room returns the room for a shape.
func (d *Device) room(s onednn.Shape) *room {
	r, ok := d.rooms[s]
	if !ok {
		weights, err := d.dnnl.Pack(s)
		must("making room for weights", err)
		r = &room{weights: weights}
		d.rooms[s] = r
	}
	return r
}

func (d *Device) fill(k *pack, p *Parameter) {
	weights := k.weights
	if k.room != nil {
		weights = k.room.weights
		k.room.holds = nil
	}
	if err := d.dnnl.Fill(weights, p.value.Float32s()); err != nil {
		must("packing parameter "+p.Name, err)
	}
	if k.room != nil {
		d.kernels.Narrow(k.narrow, weights.Floats())
	}
}

// ready returns weights to multiply with, widening them first where that is their form.
func (d *Device) ready(k *pack) *onednn.Packed {
	if k.room == nil {
		return k.weights
	}
	if k.room.holds != k {
		d.kernels.Widen(k.room.weights.Floats(), k.narrow)
		k.room.holds = k
	}
	return k.room.weights
}
