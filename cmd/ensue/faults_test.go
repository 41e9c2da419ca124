package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/stream"
)

// A result that its topic does not take becomes a dead letter with what to raise; it stops nothing.
func TestAResultThatIsTooLargeForItsTopicBecomesADeadLetter(t *testing.T) {
	replayed := replay(t, samples()[:1])
	for _, delivery := range []string{"at_least_once", "exactly_once"} {
		t.Run(delivery, func(t *testing.T) {
			addr := embedded(t)
			require.NoError(t, broker.CreateTopics(t.Context(), []string{addr}, []broker.Topic{
				{Name: "video.segments", Partitions: 1},
				{Name: "video.dead", Partitions: 1},
				{Name: "video.energy", Partitions: 1, Configs: map[string]string{"max.message.bytes": "1000"}},
			}))
			got := ensue(t, "publish", "--brokers", addr, samples()[0])
			require.Zero(t, got.code, got.err)
			text := strings.Replace(textOf(t, definition(t, addr, "breaker: {failed: 100, of: 100}")), "topic: video.energy",
				"topic: video.energy, delivery: "+delivery, 1)
			pipeline := start(t, "run", write(t, "tight.yaml", text))
			require.Eventually(t, func() bool {
				return len(listedDead(t, addr).Letters) == len(replayed)
			}, patience, time.Second, pipeline.err.String())
			require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
			require.Zero(t, pipeline.end(t), pipeline.err.String())
			table := listedDead(t, addr)
			require.Equal(t, map[string]int{"sink.too_large": len(replayed)}, table.Codes)
			require.Contains(t, table.Letters[0].Message, "max.message.bytes")
		})
	}
}

// One broker for all of it: it takes longer to start than everything else.
func TestFaultsOfTheBrokerOnApacheKafka(t *testing.T) {
	cluster := apachekafka.Start(t)
	addr := cluster.Addr()
	topics(t, addr)
	t.Run("a client that is throttled loses nothing", func(t *testing.T) { throttled(t, addr) })
	t.Run("what HTTP acknowledged outlasts a kill", func(t *testing.T) { killedWhileListening(t, cluster) })
	t.Run("a hook waits for the broker", func(t *testing.T) { hookWaits(t, cluster) })
}

// into is the test's definition with topics and a group of its own.
func into(t *testing.T, addr, name string) string {
	t.Helper()
	require.NoError(t, broker.CreateTopics(t.Context(), []string{addr}, []broker.Topic{
		{Name: name + ".segments", Partitions: 2}, {Name: name + ".energy", Partitions: 2},
	}))
	return write(t, name+".yaml", strings.NewReplacer("video.segments", name+".segments", "video.energy", name+".energy", "group: test",
		"group: "+name).Replace(textOf(t, definition(t, addr))))
}

// requireReplayed runs the pipeline and holds what comes out against a replay.
func requireReplayed(t *testing.T, path string, replayed map[string]*stream.Result) {
	t.Helper()
	pipeline := start(t, "run", path)
	published := tailedBy(t, []string{"--definition", path}, len(replayed), pipeline)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	requireSame(t, replayed, published)
}

func throttled(t *testing.T, addr string) {
	t.Helper()
	replayed := replay(t, samples()[:1])
	path := into(t, addr, "throttled")
	got := ensue(t, "publish", "--definition", path, samples()[0])
	require.Zero(t, got.code, got.err)
	info, err := os.Stat(samples()[0])
	require.NoError(t, err)
	// The whole of it takes twenty seconds, and the broker mutes the connection for as long as too much was asked.
	quota(t, addr, float64(info.Size()/20)) // brokers take whole bytes, and count over ten seconds
	begun := time.Now()
	requireReplayed(t, path, replayed)
	require.Greater(t, time.Since(begun), 3*time.Second, "the broker did not throttle")
}

// quota bounds how many bytes a second clients that call themselves ensue may read and write.
func quota(t *testing.T, addr string, rate float64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	require.NoError(t, err)
	defer client.Close()
	request := kmsg.NewPtrAlterClientQuotasRequest()
	entry, entity := kmsg.NewAlterClientQuotasRequestEntry(), kmsg.NewAlterClientQuotasRequestEntryEntity()
	entity.Type, entity.Name = "client-id", new("ensue")
	entry.Entity = append(entry.Entity, entity)
	for _, key := range []string{"consumer_byte_rate", "producer_byte_rate"} {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value = key, rate
		entry.Ops = append(entry.Ops, op)
	}
	request.Entries = append(request.Entries, entry)
	response, err := request.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(response.Entries[0].ErrorCode))
}

// killedWhileListening sends a file by HTTP while the broker is killed and started again; the sender does what the answers say.
func killedWhileListening(t *testing.T, cluster *apachekafka.Cluster) {
	t.Helper()
	file := samples()[0]
	replayed := replay(t, []string{file})
	path := into(t, cluster.Addr(), "listening")
	t.Setenv("ENSUE_PUBLISH_TOKEN_FILE", write(t, "token", "hunter2-listen\n"))
	address := freeAddress(t)
	startListening(t, address, "--definition", path, "--delivery-timeout", "3s")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	refused := 0
	require.NoError(t, ingest.SegmentsOf(t.Context(), file, "shelf", 2*time.Second, func(segment *stream.Segment) error {
		if segment.Sequence == 6 {
			cluster.Kill()
		}
		for {
			switch status := putSegment(t, client, address, segment); status {
			case http.StatusCreated, http.StatusOK:
				return nil
			case http.StatusServiceUnavailable:
				if refused++; refused == 2 {
					cluster.Restart()
				}
			default:
				t.Fatalf("segment %d: %d", segment.Sequence, status)
			}
		}
	}))
	require.GreaterOrEqual(t, refused, 2, "nothing was sent while the broker was away")
	requireReplayed(t, path, replayed)
}

// hookWaits calls the hook while the broker is away.
func hookWaits(t *testing.T, cluster *apachekafka.Cluster) {
	t.Helper()
	file := samples()[0]
	path := into(t, cluster.Addr(), "hook")
	recording := filepath.Join(t.TempDir(), "1970-01-01_00-00-00.mp4")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(recording, text, 0o600))
	for name, value := range map[string]string{"MTX_PATH": "shelf", "MTX_SEGMENT_PATH": recording, "MTX_SEGMENT_DURATION": "39.85"} {
		t.Setenv(name, value)
	}
	cluster.Kill()
	hook := start(t, "publish", "--hook", "--definition", path, "--delivery-timeout", "5m")
	time.Sleep(3 * time.Second)
	cluster.Restart()
	require.Zero(t, hook.end(t), hook.err.String())
	require.Contains(t, hook.out.String(), "shelf: 20 segments")
	pipeline := start(t, "run", path)
	require.Len(t, tailedBy(t, []string{"--definition", path}, 20, pipeline), 20)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
}
