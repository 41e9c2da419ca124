package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// kind is what happens.
type kind string

// What can happen.
const (
	killMember    kind = "kill -9"
	endMember     kind = "SIGTERM"
	stopMember    kind = "SIGSTOP"
	joinMember    kind = "join"
	leaveMember   kind = "leave"
	restartBroker kind = "broker restart"
	killBroker    kind = "broker kill -9"
)

// event is one thing of the plan.
type event struct {
	at   time.Duration
	kind kind
	// lasts is how long the member is stopped, stays, or is away, or the broker is away.
	lasts time.Duration
	// pick chooses the member or broker among those there are.
	pick int
}

func (e event) String() string {
	return fmt.Sprintf("%7.1fs %-15s for %4.1fs (%d)", e.at.Seconds(), e.kind, e.lasts.Seconds(), e.pick)
}

// choice is how often a kind happens, and how long it lasts.
type choice struct {
	kind        kind
	weight      int
	least, most time.Duration
}

// makePlan is everything that will happen in so long: a function of the seed.
func makePlan(seed uint64, length time.Duration, brokers bool) []event {
	choices := []choice{
		{killMember, 6, 0, 6 * time.Second},
		{endMember, 4, 0, 6 * time.Second},
		// Longer than the session: the group gives its partitions away while it sleeps.
		{stopMember, 4, time.Second, 15 * time.Second},
		{joinMember, 3, 8 * time.Second, 30 * time.Second},
	}
	if brokers {
		choices = append(choices, choice{restartBroker, 1, 0, 5 * time.Second}, choice{killBroker, 1, 0, 5 * time.Second})
	}
	return draw(seed, length, 8*time.Second, choices)
}

// makeChurn is members joining and leaving every five seconds.
func makeChurn(seed uint64, length time.Duration) []event {
	random := rand.New(rand.NewPCG(seed, 1))
	var plan []event
	for at := 5 * time.Second; at < length; at += 5 * time.Second {
		e := event{at: at, kind: joinMember, lasts: length, pick: random.IntN(1 << 20)}
		if len(plan)%2 == 1 {
			e.kind = leaveMember
		}
		plan = append(plan, e)
	}
	return plan
}

func draw(seed uint64, length, every time.Duration, choices []choice) []event {
	random := rand.New(rand.NewPCG(seed, 0))
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	var plan []event
	for at := 5 * time.Second; ; {
		at += time.Duration(random.ExpFloat64() * float64(every))
		if at >= length {
			return plan
		}
		weight := random.IntN(total)
		for _, c := range choices {
			if weight -= c.weight; weight < 0 {
				plan = append(plan, event{
					at: at, kind: c.kind, lasts: c.least + time.Duration(random.Int64N(int64(c.most-c.least))), pick: random.IntN(1 << 20),
				})
				break
			}
		}
	}
}
