package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/bench/rig"
	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

type settings struct {
	rounds                 int
	rate                   int64
	video, program, report string
	sizes                  []int
}

// Row is one case.
type Row struct {
	MiB int `json:"mib"`
	// Way is how the payload travels: record or claim.
	Way string `json:"way"`
	// Link is how many bytes a second the link passes; 0 is as many as it can.
	Link    int64   `json:"link_bytes_per_second"`
	N       int     `json:"n"`
	Median  float64 `json:"median_seconds"`
	Longest float64 `json:"max_seconds"`
	// Peak is the most memory the pipeline had.
	Peak float64 `json:"peak_mib"`
}

func main() {
	s := settings{sizes: []int{8, 64}}
	flag.Func("mib", "sizes, in MiB and with commas between them (default 8,64)", func(text string) (err error) {
		s.sizes = nil
		for part := range strings.SplitSeq(text, ",") {
			size, wrong := strconv.Atoi(part)
			s.sizes, err = append(s.sizes, size), errors.Join(err, wrong)
		}
		return err
	})
	flag.IntVar(&s.rounds, "rounds", 3, "segments of each kind")
	flag.Int64Var(&s.rate, "link", 4<<20, "bytes a second of the slow link")
	flag.StringVar(&s.video, "video", "examples/video/shelf.mp4", "the footage")
	flag.StringVar(&s.program, "ensue", "bin/ensue", "the program")
	flag.StringVar(&s.report, "json", "", "file that the report is written to, as JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	rows, err := run(ctx, s)
	if err == nil && s.report != "" {
		var text []byte
		if text, err = json.MarshalIndent(rows, "", "  "); err == nil {
			err = os.WriteFile(s.report, append(text, '\n'), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "large:", err)
		if rig.Unavailable(err) {
			os.Exit(3) //nolint:gocritic // nothing is left to stop
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "ensue-large-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	clip, err := first(ctx, s.video)
	if err != nil {
		return nil, err
	}
	for _, link := range []int64{0, s.rate} {
		for _, size := range s.sizes {
			for _, way := range []string{"record", "claim"} {
				c := &trial{settings: s, dir: dir, clip: clip, row: Row{MiB: size, Way: way, Link: link}}
				if err := c.run(ctx); err != nil {
					return rows, fmt.Errorf("%d MiB by %s: %w", size, way, err)
				}
				rows = append(rows, c.row)
				fmt.Printf("%3d MiB by %-6s  link %-10s  median %6.2f s  max %6.2f s  peak %5.0f MiB (n = %d)\n",
					size, way, linkName(link), c.row.Median, c.row.Longest, c.row.Peak, c.row.N)
			}
		}
	}
	return rows, nil
}

func linkName(rate int64) string {
	if rate == 0 {
		return "plain"
	}
	return fmt.Sprintf("%.0f MiB/s", float64(rate)/(1<<20))
}

// first is the first two seconds of the footage.
func first(ctx context.Context, path string) (*stream.Segment, error) {
	enough := errors.New("enough")
	var found *stream.Segment
	err := ingest.SegmentsOf(ctx, path, "clip", 2*time.Second, func(segment *stream.Segment) error {
		found = segment
		return enough
	})
	if !errors.Is(err, enough) {
		return nil, fmt.Errorf("cutting %s: %w", path, err)
	}
	return found, found.Problem
}

// padded is the clip with a box behind it that players pass over, so many bytes in all.
func padded(clip []byte, size int, mark byte) []byte {
	all := make([]byte, size)
	copy(all, clip)
	binary.BigEndian.PutUint32(all[len(clip):], uint32(size-len(clip)))
	copy(all[len(clip)+4:], "free")
	all[size-1] = mark // every segment has bytes of its own
	return all
}

// trial is one case: a broker, a pipeline, and a link in between.
type trial struct {
	settings
	dir    string
	clip   *stream.Segment
	row    Row
	kafka  *rig.Kafka
	claims string
}

func (c *trial) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(c.dir, "case-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c.claims = filepath.Join(dir, "claims")
	relay, err := rig.NewRelay(ctx, c.row.Link)
	if err != nil {
		return err
	}
	// Whoever asks the broker where it is, is led through the link. The sender is, too: what counts is from when its record is durable.
	c.kafka, err = rig.StartBehind(ctx, relay, dir)
	if err != nil {
		return errors.Join(err, relay.Close())
	}
	defer func() { err = errors.Join(err, c.kafka.Close(), relay.Close()) }()
	if err := c.kafka.Topics(ctx, broker.Topic{Name: "in", Partitions: 1}, broker.Topic{Name: "out", Partitions: 1},
		broker.Topic{Name: "dead", Partitions: 1}); err != nil {
		return err
	}
	store, err := c.startStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	process, err := c.pipeline(dir, relay.Addr(), store)
	if err != nil {
		return err
	}
	err = c.send(ctx, relay.Addr(), store, process)
	c.row.Peak = float64(process.Peak()) / (1 << 20)
	err = errors.Join(err, process.Signal(syscall.SIGTERM))
	if !process.Wait(time.Minute) {
		err = errors.Join(err, process.Signal(syscall.SIGKILL))
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, process.LastLine())
	}
	return err
}

func (c *trial) pipeline(dir, address string, store *store) (*rig.Process, error) {
	path := filepath.Join(dir, "large.yaml")
	text := fmt.Sprintf(`version: 1
name: large
ingest:
  kafka: {brokers: ["%s"], topic: in, group: large, drain_timeout: 80s, rebalance_timeout: 100s, session_timeout: 90s,
	read_batch_timeout: 60s}
  claims:
    allow: ["s3://%s"]
    s3: {endpoint: "%s", tls: false, region: us-east-1, access_key: %s, secret_key: "%s"}
    timeout: 50s
sink:
  kafka: {topic: out}
  dead_letter: {kafka: {topic: dead}}
`, address, bucket, store.endpoint, keyName, keySecret)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return rig.Start(filepath.Join(dir, "ensue.log"), c.program, "run", path)
}

// send sends one segment after the other, each after the result on the one before it.
func (c *trial) send(ctx context.Context, _ string, store *store, process *rig.Process) error {
	sender, err := rig.NewSender(c.kafka.Addrs(), "in")
	if err != nil {
		return err
	}
	defer sender.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.kafka.Addrs()...), kgo.ConsumeTopics("out", "dead"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	var took []time.Duration
	epoch := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	// The first one is not counted: the pipeline may not have joined its group yet.
	for i := range c.rounds + 1 {
		payload := padded(c.clip.Payload, c.row.MiB<<20, byte(i))
		length := c.clip.Duration
		segment := rig.Segment{
			Stream: "large", Sequence: i, Epoch: epoch, Start: epoch.Add(time.Duration(i) * length), Length: length, Value: payload,
			More: map[string]string{},
		}
		if c.row.Way == "claim" {
			digest := sha256.Sum256(payload)
			told := hex.EncodeToString(digest[:])
			if err := store.put(ctx, told, payload); err != nil {
				return err
			}
			segment.Value = []byte{}
			segment.More["ensue-ref"], segment.More["ensue-sha256"] = "s3://"+bucket+"/"+told, told
			segment.More["ensue-size"] = strconv.Itoa(len(payload))
		}
		durable := make(chan error, 1)
		sender.Send(ctx, segment.Record(), func(_ *kgo.Record, err error) { durable <- err })
		select {
		case err := <-durable:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		begin := time.Now()
		if err := result(ctx, client, process); err != nil {
			return err
		}
		if i > 0 {
			took = append(took, time.Since(begin))
		}
	}
	slices.Sort(took)
	c.row.N, c.row.Median, c.row.Longest = len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds()
	return nil
}

// result waits for the next result.
func result(ctx context.Context, client *kgo.Client, process *rig.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		polling, stop := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(polling)
		stop()
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			if record.Topic != "dead" {
				return nil
			}
			for _, header := range record.Headers {
				if header.Key == "ensue-error-message" {
					return fmt.Errorf("a segment became a dead letter: %s", header.Value)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case process.Ended():
			return fmt.Errorf("the pipeline ended with %d", process.Exit())
		}
	}
}
