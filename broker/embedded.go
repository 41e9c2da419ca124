package broker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/ensue-video/ensue/stream"
)

// DefaultMaxMessageBytes is how large a record of the embedded broker may be unless Options say otherwise: a segment of video is
// far larger than the 1 MiB that brokers allow by default.
const DefaultMaxMessageBytes = 64 << 20

// overhead is what a batch needs beside the payload of its one record: its own header, the key and the headers of the record.
const overhead = 64 << 10

// Options say how an embedded broker is to be.
type Options struct {
	// Port is the loopback port to listen on; 0 takes a free one.
	Port int
	// Topics stand when StartEmbedded returns.
	Topics []Topic
	// MaxMessageBytes is how large the payload of a record may be; 0 means DefaultMaxMessageBytes.
	MaxMessageBytes int64
	// Retain is how many bytes every partition of Topics keeps; the oldest records beyond it are dropped within seconds.
	// 0 keeps everything until Close.
	Retain int64
	// Log takes the broker's warnings and errors; nil drops them.
	Log *slog.Logger
}

// Embedded is a Kafka broker inside this process.
type Embedded struct {
	cluster  *kfake.Cluster
	sessions *sessions
	conns    *connections
	addrs    []string
	close    sync.Once
}

// StartEmbedded starts a broker with the topics of the options and returns when clients can use them. The context bounds the
// start only; the broker runs until Close.
//
// Errors: broker.options, broker.listen (the port is taken), and those of CreateTopics.
func StartEmbedded(ctx context.Context, options Options) (*Embedded, error) {
	if options.MaxMessageBytes < 0 || options.Retain < 0 || options.Port < 0 || options.Port > 65535 {
		return nil, stream.Fail("broker", "broker.options", "embedded broker: port %d, %d bytes a message, %d bytes retained: "+
			"want a port up to 65535 and no negative sizes", options.Port, options.MaxMessageBytes, options.Retain)
	}
	if options.MaxMessageBytes == 0 {
		options.MaxMessageBytes = DefaultMaxMessageBytes
	}
	conns := &connections{}
	cluster, err := kfake.NewCluster(options.cluster(conns)...)
	if err != nil {
		return nil, stream.FailTransient("broker", "broker.listen",
			"starting the embedded broker on 127.0.0.1:%d: %w; is the port taken? port 0 takes a free one", options.Port, err)
	}
	embedded := &Embedded{cluster: cluster, conns: conns, addrs: cluster.ListenAddrs()}
	if embedded.sessions, err = watchSessions(ctx, cluster, embedded.addrs); err != nil {
		embedded.Close()
		return nil, fmt.Errorf("preparing the embedded broker: %w", err)
	}
	if err := CreateTopics(ctx, embedded.addrs, options.topics()); err != nil {
		embedded.Close()
		return nil, fmt.Errorf("preparing the embedded broker: %w", err)
	}
	return embedded, nil
}

// Addrs are the addresses of the broker, "127.0.0.1:port".
func (e *Embedded) Addrs() []string { return e.addrs }

// Close stops the broker and waits until it has let go of every connection; all records are gone. It may be called again.
func (e *Embedded) Close() {
	e.close.Do(func() {
		if e.sessions != nil {
			e.sessions.close()
		}
		e.cluster.Close()
	})
	e.conns.wait()
}

func (o Options) cluster(conns *connections) []kfake.Opt {
	limit := strconv.FormatInt(o.MaxMessageBytes+overhead, 10)
	configs := map[string]string{"message.max.bytes": limit}
	if o.Retain > 0 {
		// The broker looks at what it may drop when it looks at what it may compact: once an hour unless told.
		configs["log.cleaner.backoff.ms"] = "1000"
	}
	chosen := []kfake.Opt{
		kfake.Ports(o.Port),
		kfake.ListenFn(conns.listen),
		kfake.BrokerConfigs(configs),
	}
	if o.Log != nil {
		chosen = append(chosen, kfake.WithLogger(logger{o.Log}))
	}
	return chosen
}

// topics are the topics with the limits of the broker written into them, where they have none of their own.
func (o Options) topics() []Topic {
	if o.Retain == 0 {
		return o.Topics
	}
	limited := make([]Topic, len(o.Topics))
	for i, topic := range o.Topics {
		configs := map[string]string{
			"retention.bytes": strconv.FormatInt(o.Retain, 10),
			// Memory is given back by whole log segments.
			"segment.bytes": strconv.FormatInt(max(o.Retain/4, 1<<20), 10),
		}
		maps.Copy(configs, topic.Configs)
		topic.Configs = configs
		limited[i] = topic
	}
	return limited
}

// connections counts the connections of a broker, so that Close can wait for the goroutines that serve them. A listener counts
// until its first error, after which the broker accepts nothing more: so none is added once the count has come to nothing.
type connections struct {
	open sync.WaitGroup
}

func (c *connections) listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countingListener{Listener: listener, conns: c, ended: sync.OnceFunc(c.open.Done)}, nil
}

func (c *connections) wait() { c.open.Wait() }

type countingListener struct {
	net.Listener
	conns *connections
	ended func()
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		l.ended()
		return nil, err
	}
	l.conns.open.Add(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(l.conns.open.Done)}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// logger passes the broker's warnings and errors on; what it says beside them is of use to its authors only.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}
