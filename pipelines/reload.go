package pipelines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
	"github.com/ensue-video/ensue/stream"
)

// CodeReloadRefused: a changed definition changes something that only a restart can change.
const CodeReloadRefused stream.Code = "reload.refused"

// settings is what may change while an engine runs. Whoever uses one sees all of it from one definition.
type settings struct {
	def    *Definition
	scorer *predictor.Scorer
}

// reloading is the engine's side of Reload.
type reloading struct {
	now atomic.Pointer[settings]
	// mu lets one reload go on at a time.
	mu sync.Mutex
	// swaps are sinks to change to, for the last stage, which does it between two writes.
	swaps chan swap
	// ended is closed when Run is over.
	ended chan struct{}
	// brought says that sinks are the caller's, who alone can change them.
	brought bool
}

// swap asks for sinks to be made of a definition; what came of it is sent to done.
type swap struct {
	def  *Definition
	done chan error
}

// Change is one key whose value is another in a changed definition.
type Change struct {
	Path string `json:"path"`
	// From and To are the values as a definition has them; empty where the key, or the object around it, is not there.
	From string `json:"from"`
	To   string `json:"to"`
	// Refused is why it cannot change without a restart; empty where it can.
	Refused string `json:"refused,omitempty"`
}

// Changes is what differs between two definitions, in the order of the spec. Secrets are told to differ, and not shown.
func Changes(old, next *Definition) []Change {
	var changes []Change
	definitionTree().each(func(b *branch) {
		if !b.leaf() {
			return
		}
		from, secretFrom := old.written(b)
		to, secretTo := next.written(b)
		if from == to {
			return
		}
		if secretFrom || secretTo {
			from, to = hidden(from), hidden(to)
		}
		change := Change{Path: b.Path, From: scrub(from), To: scrub(to)}
		if !b.Reload {
			change.Refused = b.Fixed
		}
		changes = append(changes, change)
	})
	return changes
}

// written is the value of a key as a definition has it, and whether it is a secret.
func (d *Definition) written(b *branch) (text string, secret bool) {
	value, ok := lookup(d, b.Path)
	if !ok {
		return "", false
	}
	o, _ := d.source.origin(b.Path)
	return formatValue(b.Field, value), b.Secret || o.secret
}

func hidden(text string) string {
	if text == "" {
		return ""
	}
	return secretText
}

// Reload has the running engine go on by a changed definition: calibration, limits, sinks, retries and the breaker. Nothing is lost or
// judged twice: every segment is decoded, scored and written by the old values or by the new ones. It is all or nothing: where something
// changed that needs a restart, nothing is taken over, and the error (reload.refused) says which keys and why. The changes are returned
// in either case.
func (e *Engine) Reload(ctx context.Context, next *Definition) ([]Change, error) {
	e.reloading.mu.Lock()
	defer e.reloading.mu.Unlock()
	before := e.reloading.now.Load()
	changes := e.refusals(before.def, next, Changes(before.def, next))
	if err := refusal(changes); err != nil {
		e.counts.Refuse()
		return changes, err
	}
	if len(changes) == 0 {
		e.counts.reloaded(0)
		return nil, nil
	}
	after := &settings{def: next, scorer: before.scorer}
	if touches(changes, "predictor.calibrate") {
		scorer, err := before.scorer.Recalibrated(next.Predictor.Calibrate)
		if err != nil {
			e.counts.Refuse()
			return changes, err
		}
		after.scorer = scorer
	}
	if touches(changes, "sink") {
		if err := e.swap(ctx, next); err != nil {
			e.counts.Refuse()
			return changes, err
		}
	}
	e.intake.gate.setLimits(next.Decode.Limits)
	e.reloading.now.Store(after)
	e.counts.reloaded(len(changes))
	for _, change := range changes {
		e.log.Info("the definition changed", "key", change.Path, "from", change.From, "to", change.To)
	}
	return changes, nil
}

// refusals adds what this engine cannot change, whatever the spec says.
func (e *Engine) refusals(old, next *Definition, changes []Change) []Change {
	for i, change := range changes {
		why := ""
		switch {
		case covers("sink", change.Path) && e.reloading.brought:
			why = "the program that runs the pipeline brought its sinks"
		case covers("sink", change.Path) && (transactional(old) || transactional(next)):
			why = "with delivery exactly_once the source holds the transactions that sinks write in"
		case change.Path == "decode.limits.bytes" && e.claims != nil:
			why = "what reads claims has its limit from the start"
		}
		if why != "" && change.Refused == "" {
			changes[i].Refused = why
		}
	}
	return changes
}

func transactional(def *Definition) bool {
	return def.Sink.Kafka != nil && def.Sink.Kafka.Delivery == sink.DeliverExactlyOnce
}

// refusal is the error of changes that need a restart; nil where none does.
func refusal(changes []Change) error {
	var lines []string
	for _, change := range changes {
		if change.Refused != "" {
			lines = append(lines, fmt.Sprintf("%s: %s, so it needs a restart", change.Path, change.Refused))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return stream.Fail("definition", CodeReloadRefused, "the changed definition is not taken over: %s", strings.Join(lines, "; "))
}

func touches(changes []Change, path string) bool {
	for _, change := range changes {
		if covers(path, change.Path) {
			return true
		}
	}
	return false
}

// swap has the last stage change its sinks between two writes.
func (e *Engine) swap(ctx context.Context, next *Definition) error {
	asked := swap{def: next, done: make(chan error, 1)}
	select {
	case e.reloading.swaps <- asked:
	case <-e.reloading.ended:
		return errors.New("changing the sinks: the pipeline has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-asked.done:
		return err
	case <-e.reloading.ended:
		return errors.New("changing the sinks: the pipeline has ended")
	}
}

// swapSinks closes the sinks, which writes what they hold, and opens those of the new definition; a file cannot be open twice. Where that
// fails the old ones are opened again, and told is the reason. The error ends the pipeline: there is nowhere to write.
func (e *Engine) swapSinks(out *deliver, asked swap) (told, fatal error) {
	old := e.reloading.now.Load().def
	if err := e.closeSinks(); err != nil {
		return err, fmt.Errorf("changing the sinks: %w", err)
	}
	if told = e.openSinks(asked.def); told != nil {
		told = fmt.Errorf("opening the sinks of the changed definition, the old ones go on: %w", told)
		if err := e.openSinks(old); err != nil {
			return told, fmt.Errorf("opening the old sinks again: %w", err)
		}
	}
	out.results, out.dead = e.results, e.dead
	return told, nil
}

func (e *Engine) closeSinks() error {
	err := errors.Join(e.results.Close(), e.dead.Close())
	e.results, e.dead = nil, nil
	return err
}

func (e *Engine) openSinks(def *Definition) error {
	to := def.sinks()
	results, err := sink.New(to, def.Brokers(), e.log)
	if err != nil {
		return err
	}
	dead, err := sink.NewDeadLetters(to, def.Brokers(), e.log)
	if err != nil {
		return errors.Join(err, results.Close())
	}
	e.results, e.dead = results, dead
	return nil
}

// retries is how things are tried again now.
func (e *Engine) retries() Retry { return e.reloading.now.Load().def.Retry }

// LogLevel is from which level on a pipeline logs.
func (d *Definition) LogLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(d.Log)); err != nil {
		return slog.LevelWarn
	}
	return level
}
