package nn

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// recentCase is a block of vivid weights and streams of frames for it.
type recentCase struct {
	per, size, keep int
	block           *Block
	rotary          *Rotary
}

func newRecentCase(rotary bool) recentCase {
	c := recentCase{per: 3, size: 16, keep: 4}
	ps := NewParameters(1)
	c.block = NewBlock(ps, "block", BlockConfig{Size: c.size, Heads: 2, Hidden: 32})
	for i, p := range ps.All() {
		for k, v := range randoms64(uint64(i), p.Size()) {
			p.Dense().Float32s()[k] += float32(0.2 * v)
		}
	}
	if rotary {
		c.rotary = NewRotary(RotaryConfig{Widths: []int{8}, Base: 100, Tiled: true}, 8, randoms64(9, c.keep*c.per))
	}
	return c
}

// frames are n frames of a stream: [1, n*per, size].
func (c recentCase) frames(seed uint64, n int) *tensor.Dense {
	return dense32(seed, 1, n*c.per, c.size)
}

// window is what the whole block says of the last of some frames.
func (c recentCase) window(tape *Tape, x *tensor.Dense, first, last int) []float32 {
	part := x.Float32s()[first*c.per*c.size : last*c.per*c.size]
	tokens := (last - first) * c.per
	place := Place{}
	if c.rotary != nil {
		place.Rotary = c.rotary.Slice(0, tokens)
	}
	y := c.block.Forward(tape, tape.Floats(part, 1, tokens, c.size), place).Float32s()
	return slices.Clone(y[len(y)-c.per*c.size:])
}

// A frame gets what it gets as the last one of its window, bit for bit, whichever frames of other streams, or of its own, come with it.
func TestARecentFrameSeesItsWindow(t *testing.T) {
	for _, rotary := range []bool{false, true} {
		for _, together := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("rotary %t, %d together", rotary, together), func(t *testing.T) {
				c := newRecentCase(rotary)
				const frames = 11
				streams := []*tensor.Dense{c.frames(1, frames), c.frames(2, frames)}
				recents := []*Recent{NewRecent(c.per, c.size, c.keep), NewRecent(c.per, c.size, c.keep)}
				onTape(t, TapeConfig{}, func(tape *Tape) {
					for first := 0; first < frames; first += together {
						last := min(first+together, frames)
						var x []float32
						var of []*Recent
						for s := range streams {
							x = append(x, streams[s].Float32s()[first*c.per*c.size:last*c.per*c.size]...)
							of = append(of, slices.Repeat([]*Recent{recents[s]}, last-first)...)
						}
						tape.Reset()
						y := c.block.ForwardRecent(tape, tape.Floats(x, len(of), c.per, c.size), of, Place{Rotary: c.rotary})
						got := slices.Clone(y.Float32s())
						for i := range of {
							frame := first + i%(last-first)
							want := c.window(tape, streams[i/(last-first)], max(0, frame+1-c.keep), frame+1)
							require.Equal(t, want, got[i*c.per*c.size:(i+1)*c.per*c.size], "frame %d", frame)
						}
					}
					require.Equal(t, c.keep, recents[0].Len())
				})
			})
		}
	}
}

func TestAClearedRecentBeginsAnew(t *testing.T) {
	c := newRecentCase(true)
	x := c.frames(1, 1)
	r := NewRecent(c.per, c.size, c.keep)
	onTape(t, TapeConfig{}, func(tape *Tape) {
		run := func() []float32 {
			y := c.block.ForwardRecent(tape, tape.Floats(x.Float32s(), 1, c.per, c.size), []*Recent{r}, Place{Rotary: c.rotary})
			return slices.Clone(y.Float32s())
		}
		first := run()
		require.NotEqual(t, first, run())
		r.Clear()
		require.Equal(t, first, run())
	})
}

func TestRecentFramesThatDoNotFitAreRefused(t *testing.T) {
	c := newRecentCase(true)
	d := newDevice(t, Config{})
	tape := d.NewTape(TapeConfig{})
	tests := []struct {
		name    string
		x       []int
		streams []*Recent
		says    string
	}{
		{"more frames than streams", []int{2, 3, 16}, []*Recent{NewRecent(3, 16, 4)}, "of 1 streams"},
		{"frames of another size", []int{1, 5, 16}, []*Recent{NewRecent(3, 16, 4)}, "a frame of 5 tokens of 16, where 3 of 16 are kept"},
		{"tables of another window", []int{1, 3, 16}, []*Recent{NewRecent(3, 16, 5)}, "a frame of 3 tokens"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := d.Run(func() error {
				c.block.ForwardRecent(tape, tape.Zeros(test.x...), test.streams, Place{Rotary: c.rotary})
				return nil
			})
			require.ErrorContains(t, err, test.says)
		})
	}
	require.NoError(t, d.Run(func() error { tape.Close(); return nil }))
}

// Tables may be one item's, or every item's own.
func TestEveryItemMayHavePlacesOfItsOwn(t *testing.T) {
	const batch, tokens, size = 3, 5, 16
	x, positions := dense32(1, batch, tokens, 3*size), randoms64(2, batch*tokens)
	config := RotaryConfig{Widths: []int{8}, Base: 100}
	onTape(t, TapeConfig{}, func(tape *Tape) {
		attend := func(x []float32, batch int, positions []float64) []float32 {
			y := tape.Attend(tape.Floats(x, batch, tokens, 3*size), AttentionConfig{Heads: 2, Rotary: NewRotary(config, 8, positions)})
			return slices.Clone(y.Float32s())
		}
		all := attend(x.Float32s(), batch, positions)
		for item := range batch {
			one := attend(x.Float32s()[item*tokens*3*size:(item+1)*tokens*3*size], 1, positions[item*tokens:(item+1)*tokens])
			require.Equal(t, one, all[item*tokens*size:(item+1)*tokens*size], "item %d", item)
		}
	})
}
