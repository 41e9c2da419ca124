package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/nn/internal/onednn"
)

// pack is a linear map's weights [out, in], laid out for products. There are three forms: float32; bfloat16 in oneDNN's layout where the
// processor multiplies that; and bfloat16 numbers in float32's layout, to be widened before each product, where it does not.
type pack struct {
	version uint64
	half    bool
	full    block          // the first form
	native  *onednn.Packed // the second
	narrow  []uint16       // the third
}

// room is float32 memory that narrow weights are widened into, one at a time.
type room struct {
	memory scratch
	holds  *pack // whose numbers are in it
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
	if k, ok := d.turns[p]; ok {
		k.floats.close()
		delete(d.turns, p)
	}
	k, ok := d.packs[p]
	if !ok {
		return
	}
	k.full.close()
	if k.native != nil {
		k.native.Close()
	}
	if d.room.holds == k {
		d.room.holds = nil
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
	out, in := p.shape[0], p.shape[1]
	n := d.kernels.PackSize(in, out)
	switch {
	case !half:
		return &pack{full: newBlock(n)}
	case !d.half:
		return &pack{half: true, narrow: make([]uint16, n)}
	}
	native, err := d.dnnl.Pack(onednn.Shape{N: out, K: in, TransW: true, HalfX: true, HalfW: true})
	mustFor("packing parameter", p, err)
	return &pack{half: true, native: native}
}

func (d *Device) fill(k *pack, p *Parameter) {
	values, out, in := p.value.Float32s(), p.shape[0], p.shape[1]
	switch {
	case k.native != nil:
		mustFor("packing parameter", p, d.dnnl.Fill(k.native, values))
	case k.narrow != nil:
		d.room.holds = nil
		full := d.room.memory.floats(len(k.narrow))
		d.kernels.Pack(full, values, in, out, true)
		d.kernels.Narrow(k.narrow, full)
	default:
		d.kernels.Pack(k.full.floats, values, in, out, true)
	}
}

// ready returns float32 weights to multiply with, widening them first where that is their form.
func (d *Device) ready(k *pack) []float32 {
	if k.narrow == nil {
		return k.full.floats
	}
	full := d.room.memory.floats(len(k.narrow))
	if d.room.holds != k {
		d.kernels.Widen(full, k.narrow)
		d.room.holds = k
	}
	return full
}
