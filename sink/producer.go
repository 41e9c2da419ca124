package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

const (
	// batchBytes is how much is put into one request before the next is begun. It is below every broker's limit (1 MiB unless
	// raised); a record that is larger travels alone and the broker decides.
	batchBytes = 512 << 10
	// maxRequest is what a broker reads at most (socket.request.max.bytes); beyond it the connection just breaks, so a larger
	// record is refused here, with a reason.
	maxRequest = 100<<20 - 64<<10
	// attemptTimeout is how long one request may take (request.timeout.ms of Kafka's own producer).
	attemptTimeout = 30 * time.Second
	// dialTimeout is how long a broker may take to accept a connection.
	dialTimeout = 5 * time.Second
	// metadataTTL is how often brokers, leaders and partitions are asked for again while all is well (kafka-go also gives such a
	// request no longer than this); after a failure they are asked for at once.
	metadataTTL = 10 * time.Second
	// parallelPartitions is how many partitions are written to at once.
	parallelPartitions = 8
)

// ProducerConfig says where a Producer writes.
type ProducerConfig struct {
	// Brokers are "host:port".
	Brokers []string
	// Security is how to get into the brokers; nil is neither TLS nor login.
	Security *connect.Security
	Topic    string
	// Explicit has every record written to the partition it names, instead of the one its key leads to.
	Explicit bool
	// DeliveryTimeout is how long a write is tried again while the broker is away; zero means DefaultDeliveryTimeout.
	DeliveryTimeout time.Duration
	// Key is the definition's key, such as "sink.kafka": failures name it.
	Key string
	// Log hears about tries that failed; nil is silent.
	Log *slog.Logger
}

// Producer writes records to one topic, acknowledged by all in-sync replicas.
//
// It calls the broker itself instead of through kafka-go's Writer, which waits for a batch to fill, goes on with a partition's
// next batch after one failed (that would change the order of a stream), and cannot be interrupted.
type Producer struct {
	config    ProducerConfig
	log       *slog.Logger
	patience  patience
	client    *kafka.Client
	transport *kafka.Transport
	dialer    *trackingDialer
	// known is set once the topic was seen.
	known atomic.Bool
	// life ends with Close.
	life   context.Context //nolint:containedctx // the transport wants one for its goroutines, and Write has to know of Close
	cancel context.CancelFunc
}

// NewProducer makes a producer. It does not connect before the first Write.
func NewProducer(c ProducerConfig) (*Producer, error) {
	if len(c.Brokers) == 0 {
		return nil, fail(CodeBadConfig, "%s.brokers: is empty, and there is no ingest.kafka to take them from: "+
			`write the brokers' addresses, such as ["localhost:9092"]`, c.Key)
	}
	if c.DeliveryTimeout <= 0 {
		c.DeliveryTimeout = DefaultDeliveryTimeout
	}
	c.Log = orSilent(c.Log)
	ctx, cancel := context.WithCancel(context.Background())
	dialer := &trackingDialer{connect: c.Security.Dialer(dialTimeout), open: map[net.Conn]struct{}{}}
	transport := &kafka.Transport{
		Dial: dialer.dial, DialTimeout: dialTimeout, ClientID: "ensue", Context: ctx, SASL: c.Security.Login(),
		MetadataTTL: metadataTTL, MetadataTopics: []string{c.Topic},
	}
	return &Producer{
		config: c, log: c.Log.With("topic", c.Topic), patience: defaultPatience(),
		client:    &kafka.Client{Addr: kafka.TCP(c.Brokers...), Timeout: attemptTimeout, Transport: transport},
		transport: transport, dialer: dialer, life: ctx, cancel: cancel,
	}, nil
}

// Write returns nil once all records are acknowledged by all in-sync replicas (invariant 1). Records of one key go to one
// partition in the order given; a record's Topic, Offset and Time are ignored, and its Partition unless the config is Explicit.
// Failures that may pass are tried again until the delivery timeout has passed or ctx ends. After an error any part of the records
// may have been written, but of one key never a later record without those before it (invariant 2).
func (p *Producer) Write(ctx context.Context, records []stream.Record) error {
	if len(records) == 0 {
		return nil
	}
	if p.life.Err() != nil {
		return failTransient(CodeClosed, "writing to topic %q: %s is closed", p.config.Topic, p.config.Key)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.DeliveryTimeout, errDelivery)
	defer cancel()
	if err := p.write(ctx, records); err != nil {
		failure := stream.AsFailure(err, "sink")
		return &stream.Failure{
			Code: failure.Code, Stage: "sink", Permanent: failure.Permanent,
			Err: fmt.Errorf("writing %d records to topic %q of %s: %w%s",
				len(records), p.config.Topic, strings.Join(p.config.Brokers, ", "), failure.Err, hint(p.config, failure)),
		}
	}
	return nil
}

// Close ends the connections, also those that are waiting for an answer. The producer cannot be used afterwards.
func (p *Producer) Close() error {
	p.cancel()
	p.transport.CloseIdleConnections()
	p.dialer.closeAll()
	return nil
}

func (p *Producer) write(ctx context.Context, records []stream.Record) error {
	partitions, err := p.partitions(ctx)
	if err != nil {
		return err
	}
	byPartition := map[int][]stream.Record{}
	for _, record := range records {
		n := p.partitionFor(&record, partitions)
		byPartition[n] = append(byPartition[n], record)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelPartitions)
	for _, n := range slices.Sorted(maps.Keys(byPartition)) {
		group.Go(func() error { return p.writePartition(ctx, n, byPartition[n]) })
	}
	return group.Wait()
}

// retry tries again with fresh knowledge of the cluster: kafka-go keeps what it knew of leaders and topics until metadataTTL has
// passed, and for ever while no broker answers; without its connections it starts from the configured brokers.
func (p *Producer) retry(ctx context.Context, try func(context.Context) *stream.Failure) error {
	patience := p.patience
	if p.known.Load() {
		// A topic that was there before is not spelled wrongly: it is missing because a broker is just starting.
		patience.missing = p.config.DeliveryTimeout
	}
	return patience.retry(ctx, p.log, func(ctx context.Context) *stream.Failure {
		failure := try(ctx)
		if failure != nil && !failure.Permanent {
			p.transport.CloseIdleConnections()
		}
		return failure
	})
}

// partitions is how many partitions the topic has.
func (p *Producer) partitions(ctx context.Context) (count int, err error) {
	err = p.retry(ctx, func(ctx context.Context) *stream.Failure {
		count, err = p.ask(ctx)
		return classify(err)
	})
	return count, err
}

// ask is how many partitions kafka-go knows the topic to have, or why it knows of none.
func (p *Producer) ask(ctx context.Context) (count int, err error) {
	answer, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{p.config.Topic}})
	if err == nil {
		err = answer.Topics[0].Error
		count = len(answer.Topics[0].Partitions)
	}
	if err == nil && count == 0 {
		err = kafka.LeaderNotAvailable
	}
	p.known.CompareAndSwap(false, err == nil)
	return count, err
}

// partitionFor is the partition that a record goes to.
func (p *Producer) partitionFor(record *stream.Record, partitions int) int {
	if p.config.Explicit {
		return record.Partition
	}
	return partitionOf(record.Key, partitions)
}

// partitionOf is the partition of a key, as Java's producer chooses it. A nil key is hashed like an empty one.
func partitionOf(key []byte, partitions int) int {
	numbers := make([]int, partitions)
	for i := range numbers {
		numbers[i] = i
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, numbers...)
}

// writePartition writes batch after batch and stops at the first that fails, so that nothing overtakes it (invariant 2).
func (p *Producer) writePartition(ctx context.Context, partition int, records []stream.Record) error {
	for len(records) > 0 {
		batch := records[:batchLength(records)]
		err := p.writeBatch(ctx, partition, batch)
		if stream.AsFailure(err, "sink").Permanent && len(batch) > 1 {
			// The broker refuses a batch as a whole; one by one it is only the record that it means.
			err = p.writeSingly(ctx, partition, batch)
		}
		if err != nil {
			return err
		}
		records = records[len(batch):]
	}
	return nil
}

func (p *Producer) writeSingly(ctx context.Context, partition int, records []stream.Record) error {
	for i := range records {
		if err := p.writeBatch(ctx, partition, records[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *Producer) writeBatch(ctx context.Context, partition int, batch []stream.Record) error {
	if size := recordSize(&batch[0]); size > maxRequest {
		return fail(CodeTooLarge, "a record of %d bytes is more than a broker reads at once", size)
	}
	return p.retry(ctx, func(ctx context.Context) *stream.Failure {
		answer, err := p.client.Produce(ctx, &kafka.ProduceRequest{
			Topic: p.config.Topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafkaRecords(batch),
		})
		if err == nil {
			err = answer.Error
			for _, of := range answer.RecordErrors {
				err = errors.Join(err, of)
			}
		}
		if errors.Is(err, protocol.ErrNoTopic) {
			// That is what kafka-go says of every topic for as long as no broker answers; asked for the topic it tells why.
			if _, why := p.ask(ctx); why != nil {
				err = why
			}
		}
		failure := classify(err)
		if failure != nil && failure.Permanent && len(batch) == 1 {
			failure.Err = fmt.Errorf("record %q of %d bytes: %w", batch[0].Key, recordSize(&batch[0]), failure.Err)
		}
		return failure
	})
}

// batchLength is how many of records go into one request: at least one.
func batchLength(records []stream.Record) int {
	size := 0
	for i := range records {
		if size += recordSize(&records[i]); size > batchBytes && i > 0 {
			return i
		}
	}
	return len(records)
}

// recordSize is how large a record is on the wire, give or take a few bytes.
func recordSize(r *stream.Record) int {
	size := len(r.Key) + len(r.Value) + 32
	for _, header := range r.Headers {
		size += len(header.Key) + len(header.Value) + 8
	}
	return size
}

// kafkaRecords is a fresh reader over the records: a request consumes it, and every try needs its own. The time is that of
// writing (kafka-go fills it in), so that a topic's retention counts from then.
func kafkaRecords(records []stream.Record) kafka.RecordReader {
	out := make([]kafka.Record, len(records))
	for i, record := range records {
		out[i] = kafka.Record{Key: kafka.NewBytes(record.Key), Value: kafka.NewBytes(record.Value)}
		for _, header := range record.Headers {
			out[i].Headers = append(out[i].Headers, kafka.Header{Key: header.Key, Value: header.Value})
		}
	}
	return kafka.NewRecordReader(out...)
}

// trackingDialer knows every open connection, so that closing does not have to wait for a broker that never answers.
type trackingDialer struct {
	connect connect.DialFunc
	mutex   sync.Mutex
	open    map[net.Conn]struct{}
	closed  bool
}

func (d *trackingDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	tracked := &trackedConn{Conn: conn, dialer: d}
	d.open[tracked] = struct{}{}
	return tracked, nil
}

func (d *trackingDialer) closeAll() {
	d.mutex.Lock()
	d.closed = true
	open := slices.Collect(maps.Keys(d.open))
	d.mutex.Unlock()
	for _, conn := range open {
		// A connection that is given up has nothing to tell.
		_ = conn.Close()
	}
}

type trackedConn struct {
	net.Conn
	dialer *trackingDialer
}

func (c *trackedConn) Close() error {
	c.dialer.mutex.Lock()
	delete(c.dialer.open, c)
	c.dialer.mutex.Unlock()
	return c.Conn.Close()
}
