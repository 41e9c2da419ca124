package apachekafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
)

const (
	// startTimeout is how long the broker may take to answer; on two busy cores it takes some 8 s.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long it may take to end after SIGTERM before it is killed.
	stopTimeout = 30 * time.Second
	// maxMessageBytes is the largest record it takes.
	maxMessageBytes = 64 << 20
)

// Cluster is one Apache Kafka broker of a test. Its methods end the test where something goes wrong.
type Cluster struct {
	tb      testing.TB
	dir     string
	jars    string
	port    int
	process *process
}

// process is a Java virtual machine that runs, and how it ended.
type process struct {
	pid  int
	done chan struct{}
	err  error
}

// Start starts a broker and waits until it is ready. It ends with the test; where the test failed its log is told.
// The test is skipped where ENSUE_KAFKA is not 1, or Java or Maven are missing.
func Start(tb testing.TB) *Cluster {
	tb.Helper()
	cluster := &Cluster{tb: tb, jars: requirements(tb), dir: tb.TempDir()}
	cluster.configure()
	cluster.format()
	tb.Cleanup(func() {
		cluster.stop()
		if tb.Failed() {
			cluster.tellLog()
		}
	})
	cluster.launch()
	return cluster
}

// Addr is the address of the broker, "127.0.0.1:port"; it stays the same over restarts.
func (c *Cluster) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

// Restart stops the broker in good order if it runs, starts it again on the same data and waits until it is ready.
func (c *Cluster) Restart() {
	c.tb.Helper()
	c.stop()
	c.launch()
}

// Kill ends the broker at once, as a power cut does. Restart brings it back.
func (c *Cluster) Kill() {
	c.tb.Helper()
	if c.process == nil {
		return
	}
	c.signal(syscall.SIGKILL)
	<-c.process.done
	c.process = nil
}

// configure writes the broker's properties: one process that is both broker and controller, small, without delays that a test
// would wait for.
func (c *Cluster) configure() {
	c.tb.Helper()
	ports := freePorts(c.tb, 2)
	c.port = ports[0]
	properties := []string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", ports[1]),
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", ports[0], ports[1]),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d", ports[0]),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + filepath.Join(c.dir, "data"),
		fmt.Sprintf("message.max.bytes=%d", maxMessageBytes),
		fmt.Sprintf("replica.fetch.max.bytes=%d", maxMessageBytes),
		"socket.request.max.bytes=134217728",
		"auto.create.topics.enable=false",
		"num.partitions=1",
		"default.replication.factor=1",
		"min.insync.replicas=1",
		"offsets.topic.num.partitions=1",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
	}
	text := strings.Join(properties, "\n") + "\n"
	require.NoError(c.tb, os.WriteFile(c.propertiesPath(), []byte(text), 0o600))
}

// format prepares the data folder, as KRaft wants it before the first start.
func (c *Cluster) format() {
	c.tb.Helper()
	id := make([]byte, 16)
	_, err := rand.Read(id)
	require.NoError(c.tb, err)
	format := exec.CommandContext(c.tb.Context(), "java", c.arguments("kafka.tools.StorageTool", "format",
		"--cluster-id", base64.RawURLEncoding.EncodeToString(id), "--config", c.propertiesPath())...)
	if out, err := format.CombinedOutput(); err != nil {
		c.tb.Fatalf("formatting the data folder of Apache Kafka: %v\n%s", err, out)
	}
}

// launch starts the broker and waits until it is ready.
func (c *Cluster) launch() {
	c.tb.Helper()
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(c.tb, err)
	defer func() { require.NoError(c.tb, log.Close()) }()

	java := exec.Command("java", c.arguments("kafka.Kafka", c.propertiesPath())...)
	java.Stdout, java.Stderr = log, log
	// The kernel kills the broker with the test binary, which a timeout of `go test` ends without any cleanup.
	java.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	running := &process{done: make(chan struct{})}
	go func() {
		// Pdeathsig means the thread that started the process, not the whole program: the thread has to stay.
		runtime.LockOSThread()
		if err := java.Start(); err != nil {
			started <- err
			return
		}
		running.pid = java.Process.Pid
		started <- nil
		running.err = java.Wait()
		close(running.done)
	}()
	require.NoError(c.tb, <-started, "starting Apache Kafka")
	c.process = running
	c.waitReady()
}

// arguments are those of the Java virtual machine for a class. The first tier of the compiler and the serial collector start
// fastest and leave the cores to the tests.
func (c *Cluster) arguments(class string, args ...string) []string {
	java := []string{
		"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(c.jars, "*"), class,
	}
	return append(java, args...)
}

// waitReady waits until the broker answers and the group coordinator stands: until the topic of the offsets is made, which the
// first question for a coordinator sets off, a broker refuses to let anybody into a group (error 15).
func (c *Cluster) waitReady() {
	c.tb.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(c.Addr()), Transport: transport, Timeout: 5 * time.Second}
	ctx, cancel := context.WithTimeout(c.tb.Context(), startTimeout)
	defer cancel()
	var last error
	for {
		if last = coordinatorStands(ctx, client); last == nil {
			return
		}
		select {
		case <-c.process.done:
			err := c.process.err
			c.process = nil
			c.tellLog()
			c.tb.Fatalf("Apache Kafka ended while it was starting: %v", err)
		case <-ctx.Done():
			c.tb.Fatalf("Apache Kafka at %s was not ready after %s: %v", c.Addr(), startTimeout, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func coordinatorStands(ctx context.Context, client *kafka.Client) error {
	found, err := client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: "ready", KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err != nil {
		return err
	}
	if found.Error != nil {
		return found.Error
	}
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "ready"})
	if err != nil {
		return err
	}
	return offsets.Error
}

// stop ends the broker in good order, or by force where that takes too long.
func (c *Cluster) stop() {
	c.tb.Helper()
	if c.process == nil {
		return
	}
	c.signal(syscall.SIGTERM)
	select {
	case <-c.process.done:
		c.process = nil
	case <-time.After(stopTimeout):
		c.tb.Logf("Apache Kafka did not stop within %s and is killed", stopTimeout)
		c.Kill()
	}
}

// signal sends sig to the broker if it still runs.
func (c *Cluster) signal(sig syscall.Signal) {
	c.tb.Helper()
	select {
	case <-c.process.done:
		return
	default:
	}
	if err := syscall.Kill(c.process.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		c.tb.Errorf("sending %s to Apache Kafka: %v", sig, err)
	}
}

// tellLog puts the end of the broker's log into the log of the test.
func (c *Cluster) tellLog() {
	c.tb.Helper()
	text, err := os.ReadFile(c.logPath())
	if err != nil {
		c.tb.Logf("Apache Kafka left no log: %v", err)
		return
	}
	const tail = 16 << 10
	if len(text) > tail {
		text = text[len(text)-tail:]
	}
	c.tb.Logf("the end of the log of Apache Kafka:\n%s", text)
}

func (c *Cluster) propertiesPath() string { return filepath.Join(c.dir, "server.properties") }
func (c *Cluster) logPath() string        { return filepath.Join(c.dir, "broker.log") }

// freePorts are n loopback ports that nobody listens on.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	listeners := make([]net.Listener, n)
	ports := make([]int, n)
	for i := range listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(tb, err)
		listeners[i] = listener
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	// Only now, so that no port is given out twice.
	for _, listener := range listeners {
		require.NoError(tb, listener.Close())
	}
	return ports
}
