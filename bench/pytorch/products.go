package main

import (
	"errors"
	"time"

	"gorgonia.org/tensor"

	"github.com/ensue-video/ensue/internal/rawdnnl"
	"github.com/ensue-video/ensue/nn"
)

// linear is one linear map of this project.
type linear struct {
	device *nn.Device
	tape   *nn.Tape
	layer  *nn.Linear
	x      *tensor.Dense
}

func openLinear(s [3]int, threads int) (*linear, error) {
	device, err := nn.Open(nn.Config{Threads: threads})
	if err != nil {
		return nil, err
	}
	x := make([]float32, s[0]*s[2])
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	return &linear{
		device: device, tape: device.NewTape(nn.TapeConfig{}), layer: nn.NewLinear(nn.NewParameters(1), "linear", s[2], s[1], true),
		x: tensor.New(tensor.WithShape(s[0], s[2]), tensor.WithBacking(x)),
	}, nil
}

// measure returns the fastest call: that is how oneDNN alone is measured too.
func (l *linear) measure(atLeast time.Duration) (time.Duration, error) {
	fastest := time.Hour
	err := l.device.Run(func() error {
		for begin := time.Now(); fastest == time.Hour || time.Since(begin) < atLeast; {
			start := time.Now()
			l.tape.Reset()
			l.layer.Forward(l.tape, l.tape.Input(l.x))
			fastest = min(fastest, time.Since(start))
		}
		return nil
	})
	return fastest, err
}

func (l *linear) close() error {
	l.tape.Close()
	return l.device.Close()
}

// alone is oneDNN, one primitive in a loop, in the layout of its own choice.
type alone struct {
	shape   [3]int
	threads int
}

var errNoDNNL = errors.New("oneDNN does not multiply this")

func (a alone) measure(atLeast time.Duration) (time.Duration, error) {
	type answer struct {
		seconds float64
		ok      bool
	}
	done := make(chan answer)
	go func() { // the goroutine's thread, and oneDNN's team, end with it
		seconds, ok := rawdnnl.Fastest(a.shape[0], a.shape[1], a.shape[2], false, a.threads, a.repeats(atLeast))
		done <- answer{seconds, ok}
	}()
	got := <-done
	if !got.ok {
		return 0, errNoDNNL
	}
	return time.Duration(got.seconds * float64(time.Second)), nil
}

// repeats is how many calls last about so long, at 150 GFLOP/s a thread.
func (a alone) repeats(atLeast time.Duration) int {
	gflop := 2e-9 * float64(a.shape[0]) * float64(a.shape[1]) * float64(a.shape[2])
	return max(5, int(atLeast.Seconds()*150*float64(a.threads)/gflop))
}

func (alone) close() error { return nil }

// productTurn is long enough for the fastest of many calls.
const productTurn = 150 * time.Millisecond

func (b *bench) product(s [3]int) error {
	our, err := openLinear(s, b.threads)
	if err != nil {
		return err
	}
	short := *b
	short.seconds = min(b.seconds, productTurn)
	took, err := short.turns(our, alone{s, b.threads})
	if err != nil {
		return errors.Join(err, our.close())
	}
	b.out.add(row{
		Case: productName(s), What: "f32 / oneDNN alone", Threads: b.threads, Ours: took[0], Theirs: took[1], Goal: goalProduct,
		gflop: 2e-9 * float64(s[0]) * float64(s[1]) * float64(s[2]), peak: b.peak,
	})
	return our.close()
}
