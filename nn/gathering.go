package nn

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Gathering lets jobs that wait for a Device at the same time be computed together. It has no goroutine of its own: one of those that wait
// computes its own job and as many others as fit, then hands on to the next one. The zero value is ready.
type Gathering[J any] struct {
	mu      sync.Mutex
	busy    bool
	waiting []*gathered[J]
}

// gathered is a job that was brought.
type gathered[J any] struct {
	job  J
	size int
	err  error
	// turn says true when the job's goroutine is to compute what waits, false when the job was computed.
	turn chan bool
}

// errAbandoned is the error of jobs whose computation panicked; the panic itself goes on in the goroutine that computed.
var errAbandoned = errors.New("the computation of a group was abandoned")

// Do returns when the job, of a size, is computed by compute: alone, or with others whose sizes add up to at most limit. It also returns
// when ctx ends, unless the computation has begun: then the job's memory is in use until it is over. An error of compute is that of all.
func (g *Gathering[J]) Do(ctx context.Context, job J, size, limit int, compute func([]J) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := &gathered[J]{job: job, size: size, turn: make(chan bool, 1)}
	if !g.enter(mine) && !g.wait(ctx, mine) {
		return mine.err
	}
	g.lead(mine, limit, compute)
	return mine.err
}

// enter tells whether nobody computes; if somebody does, the job waits.
func (g *Gathering[J]) enter(mine *gathered[J]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy {
		g.waiting = append(g.waiting, mine)
		return false
	}
	g.busy = true
	return true
}

// wait tells whether it is this job's turn to compute; otherwise the job is over.
func (g *Gathering[J]) wait(ctx context.Context, mine *gathered[J]) bool {
	select {
	case lead := <-mine.turn:
		return lead
	case <-ctx.Done():
	}
	if g.leave(mine) {
		mine.err = ctx.Err()
		return false
	}
	return <-mine.turn
}

// leave takes a job that still waits back.
func (g *Gathering[J]) leave(mine *gathered[J]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, mine)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// lead computes the job and others that wait, and hands on.
func (g *Gathering[J]) lead(mine *gathered[J], limit int, compute func([]J) error) {
	group, jobs := g.take(mine, limit)
	err := errAbandoned
	defer func() {
		for _, each := range group {
			each.err = err
			if each != mine {
				each.turn <- false
			}
		}
		g.handOn()
	}()
	err = compute(jobs)
}

// take is the job and those that waited longest, as many as fit.
func (g *Gathering[J]) take(mine *gathered[J], limit int) (group []*gathered[J], jobs []J) {
	g.mu.Lock()
	defer g.mu.Unlock()
	group, jobs, size, n := []*gathered[J]{mine}, []J{mine.job}, mine.size, 0
	for n < len(g.waiting) && size+g.waiting[n].size <= limit {
		size += g.waiting[n].size
		group, jobs = append(group, g.waiting[n]), append(jobs, g.waiting[n].job)
		n++
	}
	g.waiting = slices.Delete(g.waiting, 0, n)
	return group, jobs
}

// handOn lets the next one compute.
func (g *Gathering[J]) handOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.busy = false
		return
	}
	g.waiting[0].turn <- true
	g.waiting = slices.Delete(g.waiting, 0, 1)
}
