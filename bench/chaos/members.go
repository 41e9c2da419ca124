package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ensue-video/ensue/bench/rig"
)

// member is one process of the pipeline, or the place of one that is away.
type member struct {
	name    string
	process *rig.Process
	// stopped says that it sleeps, asked that it was told to end.
	stopped, asked bool
	// guest members are not started again.
	guest bool
	// dumped members were asked where they stand, which ends them.
	dumped bool
}

func (m *member) runs() bool { return m.process != nil && !m.process.Ended() }

// due is something to do later.
type due struct {
	at time.Time
	do func() error
}

// members runs the pipeline's processes. One goroutine uses it.
type members struct {
	program, definition, dir string
	log                      *slog.Logger
	all                      []*member
	later                    []due
	made                     int
	happened                 map[kind]int
	// exits are processes that ended though nobody asked them to.
	exits []string
	// unclean are processes that were asked to end and did not end well.
	unclean []string
	// asked is how many were asked to end, cut are those that said that drain_timeout was too short for what was under way: what a process
	// does that has fallen behind.
	asked int
	cut   []string
	// away is when a broker was away last: who cannot reach it says so, and who waits for it takes longer to end.
	away time.Time
}

func (m *members) add(guest bool) error {
	m.made++
	added := &member{name: fmt.Sprintf("member-%d", m.made), guest: guest}
	m.all = append(m.all, added)
	return m.start(added)
}

func (m *members) start(which *member) (err error) {
	which.stopped, which.asked = false, false
	which.process, err = rig.Start(filepath.Join(m.dir, which.name+".log"), m.program, "run", "--log", "info", m.definition)
	return err
}

// awake are the members that run and do not sleep.
func (m *members) awake() []*member {
	var awake []*member
	for _, each := range m.all {
		if each.runs() && !each.stopped && !each.asked {
			awake = append(awake, each)
		}
	}
	return awake
}

// cause makes an event of the plan happen; false: there was nobody it could happen to.
func (m *members) cause(e event) (bool, error) {
	awake := m.awake()
	if e.kind == joinMember {
		if err := m.add(true); err != nil {
			return false, err
		}
		guest := m.all[len(m.all)-1]
		m.after(e.lasts, func() error {
			if guest.asked || guest.process.Ended() {
				return nil
			}
			if err := m.end(guest); err != nil {
				return err
			}
			return m.ended(guest, time.Now().Add(time.Minute), func() error { return nil })
		})
		m.log.Info("join", "who", guest.name, "for", e.lasts)
		m.happened[e.kind]++
		return true, nil
	}
	if len(awake) == 0 {
		return false, nil
	}
	target := awake[e.pick%len(awake)]
	m.log.Info(string(e.kind), "who", target.name, "for", e.lasts)
	m.happened[e.kind]++
	again := func() error {
		if target.guest || target.runs() {
			return nil
		}
		return m.start(target)
	}
	switch e.kind {
	case killMember:
		target.asked = true
		m.after(e.lasts, again)
		return true, target.process.Signal(syscall.SIGKILL)
	case endMember, leaveMember:
		if e.kind == leaveMember {
			target.guest = true
		}
		if err := m.end(target); err != nil {
			return true, err
		}
		return true, m.ended(target, time.Now().Add(time.Minute), func() error {
			m.after(e.lasts, again)
			return nil
		})
	case stopMember:
		target.stopped = true
		m.after(e.lasts, func() error { return m.wake(target) })
		return true, target.process.Signal(syscall.SIGSTOP)
	}
	return false, nil
}

func (m *members) after(pause time.Duration, do func() error) {
	m.later = append(m.later, due{at: time.Now().Add(pause), do: do})
}

// end asks a member to end, awake.
func (m *members) end(which *member) error {
	which.asked = true
	if which.stopped {
		if err := m.wake(which); err != nil {
			return err
		}
	}
	m.asked++
	return which.process.Signal(syscall.SIGTERM)
}

// ended waits, without blocking, until a member that was asked to end has ended, and looks how.
func (m *members) ended(which *member, until time.Time, then func() error) error {
	switch {
	case which.process.Ended():
		m.look(which)
		return then()
	case time.Since(m.away) < time.Second:
		until = time.Now().Add(time.Minute)
	case time.Now().After(until):
		m.unclean = append(m.unclean, which.name+" did not end within a minute of SIGTERM")
		return which.process.Signal(syscall.SIGKILL)
	}
	m.after(100*time.Millisecond, func() error { return m.ended(which, until, then) })
	return nil
}

// look notes a process that was asked to end and did not end well. One that SIGTERM killed had not come as far as to handle it: it had
// begun nothing. One that says that it cannot reach a broker which is away is right.
func (m *members) look(which *member) {
	const unreachable = 3
	code := which.process.Exit()
	if which.process.KilledBy() == syscall.SIGTERM || code == unreachable && !m.away.IsZero() && time.Since(m.away) < time.Minute {
		return
	}
	said := which.process.LastLine()
	if code == 1 && strings.Contains(said, "the drain ran out of time") {
		m.cut = append(m.cut, which.name+" ended before its work was done: drain_timeout was too short")
		return
	}
	if code != 0 {
		m.unclean = append(m.unclean, fmt.Sprintf("%s ended with %d after SIGTERM: %s", which.name, code, said))
	}
}

func (m *members) wake(which *member) error {
	which.stopped = false
	return which.process.Signal(syscall.SIGCONT)
}

// tick does what is due and starts again what ended by itself.
func (m *members) tick() error {
	now := time.Now()
	work := m.later
	m.later = nil
	for _, each := range work {
		if each.at.After(now) {
			m.later = append(m.later, each)
			continue
		}
		if err := each.do(); err != nil {
			return err
		}
	}
	m.all = slices.DeleteFunc(m.all, func(each *member) bool { return each.guest && each.asked && each.process.Ended() })
	for _, each := range m.all {
		if each.asked || !each.process.Ended() {
			continue
		}
		exit := fmt.Sprintf("%s ended with %d: %s", each.name, each.process.Exit(), each.process.LastLine())
		m.log.Warn("ended by itself", "exit", exit)
		m.exits = append(m.exits, exit)
		if code := each.process.Exit(); code == 2 || len(m.exits) > 100 {
			return fmt.Errorf("the pipeline does not run: %s", exit)
		}
		each.asked = true // a supervisor starts it again after a second
		m.after(time.Second, func() error { return m.start(each) })
	}
	return nil
}

// settle ends the disturbance: everybody wakes, and count members run.
func (m *members) settle(ctx context.Context, count int) error {
	for _, each := range m.all {
		if each.stopped && each.runs() {
			if err := m.wake(each); err != nil {
				return err
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); len(m.later) > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		if err := m.tick(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	for len(m.awake()) < count {
		if err := m.add(false); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// close asks everybody to end and waits for it.
func (m *members) close() error {
	var last error
	for _, each := range m.all {
		if each.runs() {
			if err := m.wake(each); err != nil {
				last = err
			}
			// A second SIGTERM would kill one that is already at it.
			if each.asked {
				continue
			}
			if err := m.end(each); err != nil {
				last = err
			}
		}
	}
	for _, each := range m.all {
		if each.process == nil {
			continue
		}
		if !each.process.Wait(time.Minute) {
			m.unclean = append(m.unclean, each.name+" did not end within a minute of SIGTERM")
			last = each.process.Signal(syscall.SIGKILL)
			each.process.Wait(time.Minute)
			continue
		}
		if each.asked && !each.dumped && each.process.KilledBy() != syscall.SIGKILL {
			m.look(each)
		}
	}
	return last
}
