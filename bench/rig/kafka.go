package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/internal/apachekafka"
)

// Kafka is the brokers of a run.
type Kafka struct {
	embedded *broker.Embedded
	brokers  *apachekafka.Brokers
}

// The kinds of brokers.
const (
	Embedded = "embedded"
	Apache   = "apache"
)

// StartBehind starts one broker of Apache Kafka that says to everybody that it is at the far end of the relay, which leads to it.
func StartBehind(ctx context.Context, relay *Relay, dir string) (*Kafka, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	relay.To(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	started, err := apachekafka.Launch(ctx, apachekafka.Options{
		Dir: dir, Port: port, Properties: []string{"advertised.listeners=PLAINTEXT://" + relay.Addr()},
	})
	return &Kafka{brokers: started}, err
}

// freePort is a loopback port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// StartKafka starts brokers: Embedded is one in this process, Apache so many processes with their data in dir.
func StartKafka(ctx context.Context, kind, dir string, nodes int) (*Kafka, error) {
	switch kind {
	case Embedded:
		started, err := broker.StartEmbedded(ctx, broker.Options{})
		return &Kafka{embedded: started}, err
	case Apache:
		heap := 512
		if nodes > 1 {
			heap = 320
		}
		started, err := apachekafka.Launch(ctx, apachekafka.Options{Nodes: nodes, Dir: dir, HeapMiB: heap, Patience: 6 * time.Minute})
		return &Kafka{brokers: started}, err
	}
	return nil, fmt.Errorf("brokers of the kind %q are not known: %s or %s", kind, Embedded, Apache)
}

// Addrs are the addresses of the brokers.
func (k *Kafka) Addrs() []string {
	if k.embedded != nil {
		return k.embedded.Addrs()
	}
	return k.brokers.Addrs()
}

// Topics makes topics.
func (k *Kafka) Topics(ctx context.Context, topics ...broker.Topic) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return broker.CreateTopics(ctx, k.Addrs(), topics)
}

// Restarts says whether brokers can be restarted: only those in processes of their own.
func (k *Kafka) Restarts() bool { return k.brokers != nil }

// Restart stops a broker, in good order or by force, and starts it again after a while. It waits until all are ready.
func (k *Kafka) Restart(ctx context.Context, node int, force bool, away time.Duration) error {
	var err error
	if force {
		err = k.brokers.Kill(node)
	} else {
		_, err = k.brokers.Stop(node)
	}
	if err != nil {
		return err
	}
	select {
	case <-time.After(away):
	case <-ctx.Done():
	}
	if err := k.brokers.Begin(node); err != nil {
		return err
	}
	return k.brokers.Wait(ctx)
}

// Close stops the brokers.
func (k *Kafka) Close() error {
	if k.embedded != nil {
		k.embedded.Close()
		return nil
	}
	if k.brokers != nil {
		return k.brokers.Close()
	}
	return nil
}

// Log is what Apache Kafka said last.
func (k *Kafka) Log() string {
	if k.brokers == nil {
		return ""
	}
	return k.brokers.Log()
}

// ErrUnavailable says that Apache Kafka cannot run on this machine.
var ErrUnavailable = apachekafka.ErrUnavailable

// Unavailable says whether the error says that.
func Unavailable(err error) bool { return errors.Is(err, ErrUnavailable) }
