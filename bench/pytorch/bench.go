package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ensue-video/ensue/nn"
)

// bench measures cases with one number of threads.
type bench struct {
	settings
	threads int
	peak    float64 // GFLOP/s of float32 that the processor can do
	peer    *peer
	out     *table
	modes   map[string]string // PyTorch's better mode, by kind and type
}

const (
	f32, bf16 = "f32", "bf16"
	// pause lets the threads of whoever computed last stop waiting for more work.
	pause = 50 * time.Millisecond
	// tolerance is how far two float32 results may be apart. What leaves the last LayerNorm is of the order of 1.
	tolerance = 1e-3
	// clearlySlower is when a mode is not tried a second time.
	clearlySlower = 1.5
)

// rounds lets contenders take turns and returns each one's seconds a call, round by round.
func (b *bench) turns(contenders ...contender) ([][]float64, error) {
	took := make([][]float64, len(contenders))
	for round := range b.rounds {
		for turn := range contenders {
			i := (turn + round) % len(contenders) // nobody always goes first
			time.Sleep(pause)
			one, err := contenders[i].measure(b.seconds)
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], one.Seconds())
		}
	}
	return took, nil
}

// best opens a case at the peer in PyTorch's better mode. Large models take minutes to compile: they run in the mode that was better for
// the model of the same kind before them, eager where there was none (its products are large, there is little to fuse).
func (b *bench) best(c netCase, f files, dtype string) (*theirs, error) {
	key := fmt.Sprint(c.train, dtype, c.layers > 6)
	if c.large {
		return b.warm(c, f, dtype, cmp.Or(b.modes[key], "eager"))
	}
	var chosen *theirs
	fastest := time.Duration(math.MaxInt64)
	for _, mode := range []string{"eager", "compile"} {
		t, err := b.warm(c, f, dtype, mode)
		if err != nil {
			return nil, err
		}
		took, err := b.trial(t, fastest)
		if err != nil {
			return nil, err
		}
		if took > fastest {
			chosen, t = t, chosen // the loser is closed
		}
		chosen, t = t, chosen
		fastest = min(fastest, took)
		if t != nil {
			if err := t.close(); err != nil {
				return nil, err
			}
		}
	}
	b.modes[key] = chosen.mode
	return chosen, nil
}

// warm opens a case and calls it once, which compiles it where that is the mode.
func (b *bench) warm(c netCase, f files, dtype, mode string) (*theirs, error) {
	t, err := b.peer.open(c, f, dtype, mode)
	if err == nil {
		_, err = t.measure(0)
	}
	return t, err
}

func (b *bench) trial(t *theirs, fastest time.Duration) (time.Duration, error) {
	took, err := t.measure(b.seconds)
	if err != nil || took.Seconds() > clearlySlower*fastest.Seconds() {
		return took, err
	}
	again, err := t.measure(b.seconds)
	return min(took, again), err
}

// forward measures a forward pass in both precisions.
func (b *bench) forward(c netCase) (err error) {
	f := c.files(b.cache)
	if err := f.make(c); err != nil {
		return err
	}
	full, err := openOurs(c, f, b.threads, nn.Float32, b.own)
	if err != nil {
		return err
	}
	half, err := openOurs(c, f, b.threads, nn.BFloat16, b.own)
	if err != nil {
		return err
	}
	torch, err := b.best(c, f, f32)
	if err != nil {
		return err
	}
	all := []contender{full, half, torch}
	names := []string{"", "", torch.mode, "", "onnxruntime"}
	var torchHalf, onnx *theirs
	if b.half && (!c.large || b.threads > 1) {
		if torchHalf, err = b.best(c, f, bf16); err != nil {
			return err
		}
		all, names[3] = append(all, torchHalf), torchHalf.mode
	}
	if !c.large {
		if onnx, err = b.warm(c, f, f32, "onnxruntime"); err != nil {
			return err
		}
		all = append(all, onnx)
	}
	defer func() {
		for _, one := range all {
			err = errors.Join(err, one.close())
		}
	}()
	note, err := compare(full, half, torch, torchHalf, onnx)
	if err != nil {
		return err
	}
	took, err := b.turns(all...)
	if err != nil {
		return err
	}
	b.row(c, "f32 / torch f32 "+names[2], took[0], took[2], goalForward, note)
	b.row(c, "bf16 / torch f32 "+names[2], took[1], took[2], goalHalfFull, note)
	if torchHalf != nil {
		b.row(c, "bf16 / torch bf16 "+names[3], took[1], took[3], goalHalf, note)
	}
	if onnx != nil {
		b.row(c, "f32 / onnxruntime f32", took[0], took[len(took)-1], 0, note)
	}
	return nil
}

// train measures a training step.
func (b *bench) train(c netCase) (err error) {
	f := c.files(b.cache)
	if err := f.make(c); err != nil {
		return err
	}
	our, err := openOurs(c, f, b.threads, nn.Float32, b.own)
	if err != nil {
		return err
	}
	first, err := b.peer.open(c, f, f32, "eager")
	if err != nil {
		return err
	}
	note, err := compareSteps(our, first)
	if err != nil {
		return err
	}
	if err := first.close(); err != nil {
		return err
	}
	torch, err := b.best(c, f, f32)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, our.close(), torch.close()) }()
	took, err := b.turns(our, torch)
	if err != nil {
		return err
	}
	b.row(c, "f32 / torch f32 "+torch.mode, took[0], took[1], goalTrain, note)
	return nil
}

func (b *bench) row(c netCase, what string, ours, theirs []float64, goal float64, note string) {
	b.out.add(row{
		Case: c.name, What: what, Threads: b.threads, Ours: ours, Theirs: theirs, Goal: goal, Note: note, gflop: c.gflop(), peak: b.peak,
	})
}
