package pipelines

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// readyFor is how long an answer about what is around the pipeline holds: whoever asks more often asks no broker.
	readyFor = 5 * time.Second
	// readyTime is how long asking may take.
	readyTime = 5 * time.Second
	// stuckAfter is how long a write may take before the sinks count as away.
	stuckAfter = 10 * time.Second
)

// readiness is what was last found out about what is around the pipeline. Who asks meanwhile waits for the same answer.
type readiness struct {
	mu   sync.Mutex
	at   time.Time
	last []Checked
}

func (r *readiness) around(ctx context.Context, def *Definition) []Checked {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < readyFor {
		return r.last
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	found := checkAround(ctx, def)
	if !errors.Is(ctx.Err(), context.Canceled) { // who asked is gone: what was found then says nothing
		r.last, r.at = found, time.Now()
	}
	return found
}

// Ready says of the pipeline and of everything it depends on whether they are as they should be: the pipeline itself, the model, brokers,
// topics and folders, and whether the sinks take what is written. It may be called at any time; an answer holds for some seconds.
func (e *Engine) Ready(ctx context.Context) []Checked {
	phases := map[int32]string{phaseMade: "starting", phaseRunning: "running", phaseDraining: "draining", phaseStopped: "stopped"}
	phase := e.phase.Load()
	checks := []Checked{
		{Name: "pipeline", OK: phase == phaseRunning, Detail: phases[phase]},
		{Name: "model", OK: true, Detail: e.Model()},
	}
	checks = append(checks, e.readiness.around(ctx, e.def)...)
	writing := Checked{Name: "sinks", OK: true, Detail: "no write waits"}
	if since := e.meter.underWay(); since > stuckAfter {
		writing.OK, writing.Detail = false, "a write has been under way for "+formatDuration(since.Round(time.Second))
		writing.Hint = "are the sinks' brokers there? The log tells what they answer"
	}
	return append(checks, writing)
}
