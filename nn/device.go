package nn

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ensue-video/ensue/nn/internal/kernel"
	"github.com/ensue-video/ensue/nn/internal/onednn"
)

// Config says how a Device computes. The zero Config is the usual one.
type Config struct {
	// Threads is how many threads the Device computes on; 0: as many as the process may use (GOMAXPROCS).
	Threads int
	// WidenHalf computes bfloat16 weights in float32 even where the processor multiplies bfloat16 faster.
	WidenHalf bool
	// NativeHalf multiplies in bfloat16 even where the processor does not do it faster, if oneDNN can. For comparisons.
	NativeHalf bool
}

// Device owns the compute of a part of the program: an OS thread, its team, and what is cached for it (invariant 1).
// Open as many as there are independent workers and give each its share of the cores.
type Device struct {
	threads int
	half    bool       // bfloat16 is multiplied as it is
	kernels kernel.Set // on team
	team    *kernel.Team
	dnnl    *onednn.Engine
	packs   map[*Parameter]*pack
	turns   map[*Parameter]*turned
	room    room

	products scratch // inside a matrix product
	operands scratch // what a product multiplies, laid out for it
	inside   scratch // inside attention
	narrowed scratch // activations turned into bfloat16

	mu      sync.Mutex // held by the caller of Run
	closed  bool
	jobs    chan func() error
	results chan result
	owner   atomic.Int64 // threadID of the owner
	busy    atomic.Bool
}

type result struct {
	err      error
	panicked any
	ended    bool // the goroutine ended inside
}

// Open starts a Device.
func Open(c Config) (*Device, error) {
	threads := c.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	d := &Device{
		threads: threads, packs: map[*Parameter]*pack{}, turns: map[*Parameter]*turned{},
		half: onednn.Native && (c.NativeHalf || kernel.FastBFloat16() && !c.WidenHalf),
		jobs: make(chan func() error), results: make(chan result),
	}
	var err error
	if d.team, err = kernel.OpenTeam(threads); err != nil {
		return nil, fmt.Errorf("opening a compute device of %d threads: %w", threads, err)
	}
	d.kernels = kernel.Best().On(d.team)
	go d.serve()
	if err := d.Run(d.start); err != nil {
		d.stop()
		return nil, fmt.Errorf("opening a compute device: %w", err)
	}
	return d, nil
}

func (d *Device) start() (err error) {
	d.dnnl, err = onednn.New(d.products.floats)
	if err == nil && d.half {
		d.half = d.multipliesHalf()
	}
	return err
}

// multipliesHalf asks oneDNN: it has no bfloat16 product for older processors.
func (d *Device) multipliesHalf() bool {
	p, err := d.dnnl.Pack(onednn.Shape{N: 16, K: 16, TransW: true, HalfX: true, HalfW: true})
	if err != nil {
		return false
	}
	p.Close()
	return true
}

// serve is the owner: it stays on its OS thread, and ends it, so that OpenMP takes the team down with it.
func (d *Device) serve() {
	runtime.LockOSThread()
	finished := false
	defer func() {
		if finished {
			return
		}
		// f ended this goroutine (runtime.Goexit, a failed test): the caller is to end too, and a new owner takes over.
		d.busy.Store(false)
		go d.serve()
		d.results <- result{ended: true}
	}()
	d.owner.Store(int64(threadID()))
	onednn.SetThreads(d.threads)
	for f := range d.jobs {
		d.busy.Store(true)
		r := attempt(f)
		d.busy.Store(false)
		d.results <- r
	}
	finished = true
}

// attempt turns an *Error panic into an error, and carries any other to the caller.
func attempt(f func() error) (r result) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *Error:
			r.err = p
		default:
			r.panicked = p
		}
	}()
	return result{err: f()}
}

// Run runs f on the Device's thread and returns f's error, or the *Error of an operation inside. Calls from several goroutines wait for
// each other. Run may be called inside f: it then runs at once.
func (d *Device) Run(f func() error) error {
	if d.onOwner() {
		return f()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.jobs <- f
	r := <-d.results
	if r.ended {
		runtime.Goexit()
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

// onOwner tells whether the caller runs on the owner's thread: no other goroutine can.
func (d *Device) onOwner() bool { return d.busy.Load() && int64(threadID()) == d.owner.Load() }

// check enforces invariant 1 as far as it is free: it sees an operation while nothing runs, not one beside another's run.
func (d *Device) check() {
	if !d.busy.Load() {
		panic("nn: an operation was called outside Device.Run")
	}
}

// Close frees what the Device holds. Packed weights and scratch memory go; tapes are closed by their owners, before.
func (d *Device) Close() error {
	err := d.Run(func() error {
		for p := range d.packs {
			d.forget(p)
		}
		for p := range d.turns {
			d.forget(p)
		}
		d.dnnl.Close()
		for _, s := range []*scratch{&d.products, &d.operands, &d.inside, &d.narrowed, &d.room.memory} {
			s.close()
		}
		return nil
	})
	if err == nil {
		d.stop()
	}
	return err
}

func (d *Device) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	close(d.jobs)
	d.team.Close()
}

// Threads is how many threads the Device computes on.
func (d *Device) Threads() int { return d.threads }

// Describe says in a few words what the Device computes with.
func (d *Device) Describe() string {
	half := "widened to float32"
	if d.half {
		half = "multiplied by oneDNN"
	}
	return fmt.Sprintf("%d threads, kernels for %s, bfloat16 %s", d.threads, d.kernels.Name(), half)
}
