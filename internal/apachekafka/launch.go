package apachekafka

import (
	"cmp"
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
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// startTimeout is how long the brokers may take to answer; on two busy cores one takes some 8 s.
	startTimeout = 5 * time.Minute
	// stopTimeout is how long one may take to end after SIGTERM before it is killed.
	stopTimeout = 30 * time.Second
	// maxMessageBytes is the largest record they take: a segment of 64 MiB with its headers.
	maxMessageBytes = 64<<20 + 64<<10
)

// Options say how brokers are to be. The zero value is one broker.
type Options struct {
	// Nodes is how many brokers make the cluster; 0 means one. With three, topics have three replicas of which two must be in sync.
	Nodes int
	// Dir is where their data and logs lie; it must be there.
	Dir string
	// Port is the port of the first broker, for who must know it beforehand; 0 takes a free one.
	Port int
	// Properties are lines behind those of every server.properties; of a key that is there twice the last counts.
	Properties []string
	// Patience is how long the brokers may take to answer after a start; 0 means five minutes.
	Patience time.Duration
	// HeapMiB is how much memory each Java virtual machine may take for its heap; 0 means 512.
	HeapMiB int
	// Security adds guarded listeners to the open one; nil: there are none. See Brokers.GuardedAddrs.
	Security *Security
}

// Brokers is a running cluster: one process a broker, all on this machine. Its methods are for one goroutine at a time.
type Brokers struct {
	options Options
	jars    string
	nodes   []*node
}

// node is one broker: its place on the disk, its port, and its process while it runs.
type node struct {
	id, port, controller int
	guarded, mutual      int // ports; 0: there are none
	dir                  string
	process              *process
}

// process is a Java virtual machine that runs, and how it ended.
type process struct {
	pid  int
	done chan struct{}
	err  error
}

// Launch starts the brokers and waits until they are ready. Close must be called. The kernel kills them with this process.
// Errors that wrap ErrUnavailable say what the machine lacks.
func Launch(ctx context.Context, options Options) (*Brokers, error) {
	jars, err := findJars(ctx)
	if err != nil {
		return nil, err
	}
	options.Nodes = max(options.Nodes, 1)
	options.HeapMiB = cmp.Or(options.HeapMiB, 512)
	options.Patience = cmp.Or(options.Patience, startTimeout)
	brokers := &Brokers{options: options, jars: jars}
	if err := brokers.prepare(ctx); err != nil {
		return nil, err
	}
	for i := range brokers.nodes {
		if err := brokers.begin(i); err != nil {
			return nil, errors.Join(err, brokers.Close())
		}
	}
	if err := brokers.Wait(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, brokers.Log())
		return nil, errors.Join(err, brokers.Close())
	}
	return brokers, nil
}

// Addrs are the addresses of the brokers, "127.0.0.1:port"; they stay the same over restarts.
func (b *Brokers) Addrs() []string {
	addrs := make([]string, len(b.nodes))
	for i, node := range b.nodes {
		addrs[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(node.port))
	}
	return addrs
}

// Begin starts a broker that does not run, on the data it has, and does not wait until it is ready (see Wait).
func (b *Brokers) Begin(i int) error { return b.begin(i) }

// Stop ends a broker in good order if it runs, or by force where that takes too long; killed says that.
func (b *Brokers) Stop(i int) (killed bool, err error) {
	running := b.nodes[i].process
	if running == nil {
		return false, nil
	}
	if err := running.signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	select {
	case <-running.done:
		b.nodes[i].process = nil
		return false, nil
	case <-time.After(stopTimeout):
		return true, b.Kill(i)
	}
}

// Kill ends a broker at once, as a power cut does. Begin brings it back.
func (b *Brokers) Kill(i int) error {
	running := b.nodes[i].process
	if running == nil {
		return nil
	}
	if err := running.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-running.done
	b.nodes[i].process = nil
	return nil
}

// Close ends every broker.
func (b *Brokers) Close() error {
	var errs []error
	for i := range b.nodes {
		// All are told first: a broker that is asked alone waits for the others to take over what it leads.
		if running := b.nodes[i].process; running != nil {
			errs = append(errs, running.signal(syscall.SIGTERM))
		}
	}
	for i := range b.nodes {
		_, err := b.Stop(i)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Log is the end of every broker's log.
func (b *Brokers) Log() string {
	const tail = 16 << 10
	var all strings.Builder
	for _, node := range b.nodes {
		text, err := os.ReadFile(node.logPath())
		if err != nil {
			fmt.Fprintf(&all, "Apache Kafka %d left no log: %v\n", node.id, err)
			continue
		}
		fmt.Fprintf(&all, "the end of the log of Apache Kafka %d:\n%s\n", node.id, text[max(0, len(text)-tail):])
	}
	return all.String()
}

// prepare writes the properties of every broker and formats its data folder, as KRaft wants it before the first start.
func (b *Brokers) prepare(ctx context.Context) error {
	ports, err := freePorts(4 * b.options.Nodes)
	if err != nil {
		return err
	}
	if b.options.Port != 0 {
		ports[0] = b.options.Port
	}
	for i := range b.options.Nodes {
		dir := filepath.Join(b.options.Dir, fmt.Sprintf("node-%d", i+1))
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("making the folder of Apache Kafka: %w", err)
		}
		made := &node{id: i + 1, port: ports[4*i], controller: ports[4*i+1], dir: dir}
		if b.options.Security != nil {
			made.guarded, made.mutual = ports[4*i+2], ports[4*i+3]
		}
		b.nodes = append(b.nodes, made)
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("making a cluster's id: %w", err)
	}
	id[0] &= 0x7f // an id that begins with a hyphen would be read as another option
	cluster := base64.RawURLEncoding.EncodeToString(id)
	for _, node := range b.nodes {
		text := strings.Join(append(b.properties(node), b.options.Properties...), "\n") + "\n"
		if err := os.WriteFile(node.propertiesPath(), []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing the properties of Apache Kafka: %w", err)
		}
		arguments := append([]string{"format", "--cluster-id", cluster, "--config", node.propertiesPath()}, b.options.Security.scram()...)
		format := exec.CommandContext(ctx, "java", b.arguments("kafka.tools.StorageTool", arguments...)...)
		if out, err := format.CombinedOutput(); err != nil {
			const tail = 2 << 10 // it begins with every setting there is
			return fmt.Errorf("formatting the data folder of Apache Kafka: %w\n%s", err, out[max(0, len(out)-tail):])
		}
	}
	return nil
}

// properties are those of a broker that is also a controller: small, without delays that a test would wait for.
func (b *Brokers) properties(n *node) []string {
	voters := make([]string, len(b.nodes))
	for i, other := range b.nodes {
		voters[i] = fmt.Sprintf("%d@127.0.0.1:%d", other.id, other.controller)
	}
	replicas := strconv.Itoa(len(b.nodes))
	insync := strconv.Itoa(len(b.nodes)/2 + 1)
	return append(b.options.Security.properties(), []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=%s,CONTROLLER://127.0.0.1:%d", n.listeners(), n.controller),
		"advertised.listeners=" + n.listeners(),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_SSL,MUTUAL:SSL",
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + filepath.Join(n.dir, "data"),
		fmt.Sprintf("message.max.bytes=%d", maxMessageBytes),
		fmt.Sprintf("replica.fetch.max.bytes=%d", maxMessageBytes),
		"socket.request.max.bytes=134217728",
		"auto.create.topics.enable=false",
		"num.partitions=1",
		"default.replication.factor=" + replicas,
		"min.insync.replicas=" + insync,
		"offsets.topic.num.partitions=1",
		"offsets.topic.replication.factor=" + replicas,
		"transaction.state.log.num.partitions=1",
		"transaction.state.log.replication.factor=" + replicas,
		"transaction.state.log.min.isr=" + insync,
		"share.coordinator.state.topic.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=" + replicas,
		"share.coordinator.state.topic.min.isr=" + insync,
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
	}...)
}

// begin starts the process of a broker.
func (b *Brokers) begin(i int) error {
	node := b.nodes[i]
	if node.process != nil {
		select {
		case <-node.process.done: // it ended by itself
		default:
			return nil
		}
	}
	log, err := os.OpenFile(node.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of Apache Kafka: %w", err)
	}
	java := exec.Command("java", b.arguments("kafka.Kafka", node.propertiesPath())...)
	java.Stdout, java.Stderr = log, log
	// The kernel kills the broker with this process, which a timeout of `go test` ends without any cleanup.
	java.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	running, err := run(java)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("starting Apache Kafka: %w", err)
	}
	node.process = running
	return nil
}

// run starts a command that is killed when this process ends.
func run(command *exec.Cmd) (*process, error) {
	started := make(chan error)
	running := &process{done: make(chan struct{})}
	go func() {
		// Pdeathsig means the thread that started the process, not the whole program: the thread has to stay.
		runtime.LockOSThread()
		if err := command.Start(); err != nil {
			started <- err
			return
		}
		running.pid = command.Process.Pid
		started <- nil
		running.err = command.Wait()
		close(running.done)
	}()
	return running, <-started
}

// arguments are those of the Java virtual machine for a class. The first tier of the compiler and the serial collector start
// fastest and leave the cores to the tests.
func (b *Brokers) arguments(class string, args ...string) []string {
	java := []string{
		"-Xms128m", fmt.Sprintf("-Xmx%dm", b.options.HeapMiB), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(b.jars, "*"), class,
	}
	return append(java, args...)
}

// Wait waits until the brokers that run answer and the group coordinator stands: until the topic of the offsets is made, which the
// first question for a coordinator sets off, a broker refuses to let anybody into a group (error 15).
func (b *Brokers) Wait(ctx context.Context) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, b.options.Patience)
	defer cancel()
	for i, node := range b.nodes {
		if node.process == nil {
			continue
		}
		client := &kafka.Client{Addr: kafka.TCP(b.Addrs()[i]), Transport: transport, Timeout: 5 * time.Second}
		if err := node.wait(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) wait(ctx context.Context, client *kafka.Client) error {
	for {
		err := coordinatorStands(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-n.process.done:
			ended := n.process.err
			n.process = nil
			return fmt.Errorf("broker %d of Apache Kafka ended while it was starting: %w", n.id, ended)
		case <-ctx.Done():
			return fmt.Errorf("broker of Apache Kafka at 127.0.0.1:%d was not ready in time: %w", n.port, err)
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

// signal sends sig to the process if it still runs.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to Apache Kafka: %w", sig, err)
	}
	return nil
}

func (n *node) propertiesPath() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) logPath() string        { return filepath.Join(n.dir, "broker.log") }

// freePorts are n loopback ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	listeners := make([]net.Listener, 0, n)
	ports := make([]int, 0, n)
	var errs []error
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for a free port: %w", err))
			break
		}
		listeners = append(listeners, listener)
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	// Only now, so that no port is given out twice.
	for _, listener := range listeners {
		errs = append(errs, listener.Close())
	}
	return ports, errors.Join(errs...)
}
