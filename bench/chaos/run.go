package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/ensue-video/ensue/bench/rig"
	"github.com/ensue-video/ensue/broker"
)

// topicNames are the topics of a run.
type topicNames struct{ segments, results, dead, state string }

// stall is how long nothing may come before what has not come is taken for lost. It is longer than any outage that is caused.
const stall = 90 * time.Second

// scene is a run with everything it started.
type scene struct {
	settings
	topics  topicNames
	dir     string
	log     *slog.Logger
	kafka   *rig.Kafka
	feed    *feed
	watcher *watcher
	members *members
	plan    []event
	begun   time.Time
	report  *Report
}

// errEnvironment says that this machine cannot do it.
var errEnvironment = errors.New("this machine lacks something")

func exitOf(err error) int {
	if errors.Is(err, errEnvironment) || rig.Unavailable(err) {
		return 3
	}
	return 1
}

// run is a whole run. An error means that nothing can be said.
func run(ctx context.Context, s settings) (report *Report, err error) {
	sc := &scene{settings: s, topics: topicNames{"chaos.segments", "chaos.results", "chaos.dead", "chaos.state"}}
	if err := sc.open(); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil && report.OK && !s.keep && s.dir == "" {
			err = os.RemoveAll(sc.dir)
			return
		}
		fmt.Printf("logs are kept in %s; the same plan again: --seed %d\n", sc.dir, s.seed)
	}()
	sc.kafka, err = rig.StartKafka(ctx, s.broker, sc.dir, s.nodes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sc.kafka.Close()) }()
	if err := sc.prepare(ctx); err != nil {
		return nil, err
	}
	if err := sc.perform(ctx); err != nil {
		return nil, err
	}
	if err := sc.sabotage(ctx); err != nil {
		return nil, err
	}
	return sc.report, sc.judge(ctx)
}

// open makes the folder and the log.
func (sc *scene) open() (err error) {
	if sc.settings.dir != "" {
		err = os.MkdirAll(sc.settings.dir, 0o750)
	}
	if err == nil {
		sc.dir, err = os.MkdirTemp(sc.settings.dir, "ensue-chaos-")
	}
	if err != nil {
		return fmt.Errorf("making a folder for logs: %w", err)
	}
	if sc.program, err = filepath.Abs(sc.program); err != nil {
		return err
	}
	if _, err := exec.LookPath(sc.program); err != nil {
		return fmt.Errorf("%w: the program under test: %w (make build)", errEnvironment, err)
	}
	file, err := os.Create(filepath.Join(sc.dir, "chaos.log"))
	if err != nil {
		return fmt.Errorf("making a log: %w", err)
	}
	sc.log = slog.New(slog.NewTextHandler(file, nil)) // closed with the process: it is written to the end
	return nil
}

// prepare makes topics, clips and the definition, and looks whether the definition is one.
func (sc *scene) prepare(ctx context.Context) error {
	length := time.Duration(sc.minutes * float64(time.Minute))
	sc.plan = makePlan(sc.seed, length, sc.kafka.Restarts())
	if sc.churn {
		sc.plan = makeChurn(sc.seed, length)
	}
	fmt.Printf("chaos: seed %d, %s, %d broker(s) %s, %d members, %d partitions, %d streams, %.3g minutes, %d events\n",
		sc.seed, sc.delivery, sc.nodes, sc.broker, sc.settings.members, sc.partitions, sc.streams, sc.minutes, len(sc.plan))
	for _, e := range sc.plan {
		sc.log.Info("planned", "event", e.String())
	}
	compacted := map[string]string{"cleanup.policy": "compact"}
	if err := sc.kafka.Topics(ctx,
		broker.Topic{Name: sc.topics.segments, Partitions: sc.partitions}, broker.Topic{Name: sc.topics.results, Partitions: 6},
		broker.Topic{Name: sc.topics.dead, Partitions: 2}, broker.Topic{Name: sc.topics.state, Partitions: sc.partitions, Configs: compacted},
	); err != nil {
		return err
	}
	clips, err := rig.Clips(ctx, sc.dir, sc.video, rig.ClipFormat{Width: 64, Height: 48, FPS: 8, Length: time.Second})
	if err != nil {
		return fmt.Errorf("%w: %w", errEnvironment, err)
	}
	sender, err := rig.NewSender(sc.kafka.Addrs(), sc.topics.segments)
	if err != nil {
		return err
	}
	sc.feed = &feed{
		sender: sender, clips: clips, random: rand.New(rand.NewPCG(sc.seed, 2)), streams: sc.streams, rate: sc.rate,
		epoch: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), sentAt: map[string]time.Time{},
	}
	if sc.poison > 0 {
		sc.feed.sick = max(sc.streams/8, 1)
	}
	sc.feed.next = make([]int, sc.feed.streams+sc.feed.sick)
	if sc.claims {
		sc.feed.claims = filepath.Join(sc.dir, "claims")
		if err := os.MkdirAll(sc.feed.claims, 0o750); err != nil {
			return fmt.Errorf("making a folder for claims: %w", err)
		}
	}
	return sc.define(ctx)
}

// define writes the definition and lints it.
func (sc *scene) define(ctx context.Context) error {
	claims, sink := "", "{topic: "+sc.topics.results+"}"
	if sc.claims {
		claims = fmt.Sprintf("  claims: {allow: [\"file://%s\"], timeout: 1s}\n", sc.feed.claims)
	}
	if sc.delivery == exactlyOnce {
		sink = "{topic: " + sc.topics.results + ", delivery: exactly_once, transaction: {timeout: 5s}}"
	}
	text := fmt.Sprintf(`version: 1
name: chaos
ingest:
  kafka:
    brokers: ["%s"]
    topic: %s
    group: chaos
    session_timeout: 6s
    rebalance_timeout: 10s
    drain_timeout: 5s
%s  order: {grace: 2s, evict: 10m}
decode:
  limits: {bytes: 4MiB, timeout: 3s}
encoder: {model: pixels}
predictor:
  model: persistence
  calibrate: {warmup: 5s, false_alarms_per_day: 50}
state: {topic: %s}
sink:
  kafka: %s
  dead_letter: {kafka: {topic: %s}}
`, strings.Join(sc.kafka.Addrs(), `", "`), sc.topics.segments, claims, sc.topics.state, sink, sc.topics.dead)
	path := filepath.Join(sc.dir, "chaos.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the definition: %w", err)
	}
	if out, err := exec.CommandContext(ctx, sc.program, "lint", path).CombinedOutput(); err != nil {
		return fmt.Errorf("linting the definition %s: %w\n%s", path, err, out)
	}
	sc.members = &members{program: sc.program, definition: path, dir: sc.dir, log: sc.log, happened: map[kind]int{}}
	return nil
}

// perform runs everything until all results are there, or none come any more.
func (sc *scene) perform(ctx context.Context) (err error) {
	watching, unwatch := context.WithCancel(ctx)
	sc.watcher, err = watch(watching, sc.kafka.Addrs(), sc.topics, sc.delivery == exactlyOnce, sc.feed)
	if err != nil {
		unwatch()
		return err
	}
	defer func() {
		unwatch()
		sc.watcher.close()
		sc.feed.sender.Close()
	}()
	defer func() { err = errors.Join(err, sc.members.close()) }()
	for range sc.settings.members {
		if err := sc.members.add(false); err != nil {
			return err
		}
	}
	sc.begun = time.Now()
	if err := sc.calmPhases(ctx); err != nil {
		return err
	}
	if err := sc.disturb(ctx); err != nil {
		return err
	}
	if err := sc.members.settle(ctx, sc.settings.members); err != nil {
		return err
	}
	if err := sc.feed.end(ctx); err != nil {
		return err
	}
	return sc.finish(ctx)
}

// calmPhases send without disturbance, once without poison and once with it, so that what poison costs others can be told.
func (sc *scene) calmPhases(ctx context.Context) error {
	if sc.poison == 0 {
		return nil
	}
	// The time in which the members find themselves counts for nothing.
	const settling, patience = 15 * time.Second, 3 * time.Minute
	for begin := time.Now(); ; {
		if err := sc.feeding(ctx, settling, func() error { return nil }); err != nil {
			return err
		}
		due, _ := sc.feed.due()
		if came, _, _ := sc.watcher.progress(); came >= due-2*sc.streams || time.Since(begin) > patience {
			break
		}
	}
	for _, phase := range []struct {
		name   string
		length time.Duration
		poison float64
	}{{"clean", sc.calm, 0}, {"poisoned", sc.calm, sc.poison}} {
		sc.watcher.begin(phase.name)
		sc.feed.poison = phase.poison
		if err := sc.feeding(ctx, phase.length, func() error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// feeding sends for so long and looks after the members meanwhile.
func (sc *scene) feeding(ctx context.Context, length time.Duration, each func() error) error {
	fed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { fed <- sc.feed.run(ctx, length) }()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-fed:
			return err
		case <-ticker.C:
		}
		if err := errors.Join(sc.members.tick(), each()); err != nil {
			cancel()
			return errors.Join(err, <-fed)
		}
	}
}

// disturb sends while the plan happens.
func (sc *scene) disturb(ctx context.Context) error {
	sc.watcher.begin("chaos")
	sc.feed.poison = sc.poison
	begin, plan, told := time.Now(), sc.plan, time.Now()
	restarted := make(chan error, 1)
	restarting, back := false, moment{}
	err := sc.feeding(ctx, time.Duration(sc.minutes*float64(time.Minute)), func() error {
		if time.Since(told) > time.Minute {
			told = time.Now()
			sc.tell()
		}
		select {
		case err := <-restarted:
			restarting, back = false, sc.now()
			return err
		default:
		}
		if restarting {
			sc.members.away = time.Now()
		}
		if len(plan) == 0 || time.Since(begin) < plan[0].at {
			return nil
		}
		e := plan[0]
		if e.kind == restartBroker || e.kind == killBroker {
			// One at a time, and not before the pipeline has found its way again; the plan waits, and what comes after it with it.
			if restarting || !sc.flows(back) {
				begin = time.Now().Add(-e.at)
				return nil
			}
			restarting = true
			node := e.pick % sc.nodes
			sc.log.Info(string(e.kind), "node", node+1, "for", e.lasts)
			sc.members.happened[e.kind]++
			go func() { restarted <- sc.kafka.Restart(ctx, node, e.kind == killBroker, e.lasts) }()
			plan = plan[1:]
			return nil
		}
		happened, err := sc.members.cause(e)
		if happened || err != nil {
			plan = plan[1:]
		}
		return err
	})
	if restarting {
		err = errors.Join(err, <-restarted)
	}
	return err
}

// moment is when, and how many results had come by then.
type moment struct {
	at      time.Time
	results int
}

func (sc *scene) now() moment {
	came, _, _ := sc.watcher.progress()
	return moment{time.Now(), came}
}

// flows says whether results came since then, or should have: a machine that is busy takes minutes to start a broker, and one that is
// stopped again at once shows nothing.
func (sc *scene) flows(since moment) bool {
	const some, patience = 200, 90 * time.Second
	now := sc.now()
	return since.at.IsZero() || now.results >= since.results+some || now.at.Sub(since.at) > patience
}

func (sc *scene) tell() {
	due, _ := sc.feed.due()
	came, letters, _ := sc.watcher.progress()
	fmt.Printf("  %4.0f s: %d segments sent, %d results, %d dead letters, %d members awake\n",
		time.Since(sc.begun).Seconds(), due, came, letters, len(sc.members.awake()))
}

// finish waits until everything that is due has come, or nothing comes any more.
func (sc *scene) finish(ctx context.Context) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	begin := time.Now()
	for {
		due, dead := sc.feed.due()
		came, letters, last := sc.watcher.progress()
		if came >= due && letters >= dead && time.Since(last) > 3*time.Second {
			return nil
		}
		if time.Since(last) > stall && time.Since(begin) > stall {
			sc.log.Warn("nothing comes any more", "results", came, "due", due, "dead letters", letters, "due_dead", dead)
			return sc.dump()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := sc.members.tick(); err != nil {
			return err
		}
	}
}

// dump has everybody that stands still say where: the members in their logs, which ends them, and this process, whose broker it may be.
func (sc *scene) dump() error {
	for _, member := range sc.members.awake() {
		member.asked, member.dumped = true, true
		if err := member.process.Signal(syscall.SIGQUIT); err != nil {
			return err
		}
	}
	file, err := os.Create(filepath.Join(sc.dir, "goroutines.txt"))
	if err != nil {
		return fmt.Errorf("making a file for the goroutines: %w", err)
	}
	const whole = 2
	return errors.Join(pprof.Lookup("goroutine").WriteTo(file, whole), file.Close())
}

// judge reads everything anew and holds it against what was sent.
func (sc *scene) judge(ctx context.Context) error {
	sent, err := readAll(ctx, sc.kafka.Addrs(), sc.topics.segments, false)
	if err != nil {
		return err
	}
	results, err := readAll(ctx, sc.kafka.Addrs(), sc.topics.results, sc.delivery == exactlyOnce)
	if err != nil {
		return err
	}
	letters, err := readAll(ctx, sc.kafka.Addrs(), sc.topics.dead, sc.delivery == exactlyOnce)
	if err != nil {
		return err
	}
	sc.report = sc.conclude(check(sent, results, letters))
	return nil
}
