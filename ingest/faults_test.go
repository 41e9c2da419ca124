package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/stream"
)

// What brokers do to a source that reads, and what it makes of it; the same for both drivers.

// driven is a source at work, whose pipeline acknowledges everything.
type driven struct {
	segments func() []*stream.Segment
	stop     func() error
	stats    func() Stats
}

// ids are the segments that were processed, in their order, without what was read again as context.
func (d *driven) ids() []string {
	var ids []string
	for _, s := range d.segments() {
		if s.Mark == stream.MarkNone && !s.ContextOnly {
			ids = append(ids, s.ID().String())
		}
	}
	return ids
}

func (d *driven) waitFor(t *testing.T, ids ...string) {
	t.Helper()
	for deadline := time.Now().Add(soon); len(d.ids()) < len(ids) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	require.Equal(t, ids, d.ids())
}

// withDrivers runs a test with each driver on a broker of its own.
func withDrivers(
	t *testing.T, nodes int, test func(t *testing.T, b *broker, begin func(edits ...func(*Kafka)) *driven), opts ...kfake.Opt,
) {
	t.Helper()
	cluster := func(t *testing.T) *broker {
		t.Helper()
		all := append([]kfake.Opt{kfake.NumBrokers(nodes), kfake.SeedTopics(1, testTopic), kfake.SeedTopics(2, testResults)}, opts...)
		made, err := kfake.NewCluster(all...)
		require.NoError(t, err)
		t.Cleanup(made.Close)
		return &broker{made, t}
	}
	t.Run("kafka-go", func(t *testing.T) {
		b := cluster(t)
		test(t, b, func(edits ...func(*Kafka)) *driven {
			source := b.source(edits...)
			p := start(t, source, true)
			return &driven{p.segments, p.stop, source.Stats}
		})
	})
	t.Run("franz-go", func(t *testing.T) {
		b := cluster(t)
		test(t, b, func(edits ...func(*Kafka)) *driven {
			source := b.transactor(func(f *Franz) {
				for _, edit := range edits {
					edit(f.Kafka)
				}
				f.overhead.Store(int64(f.cfg.ReadBatchTimeout))
			})
			s := write(t, source, nil)
			return &driven{s.segments, s.stop, source.Stats}
		})
	})
}

func TestReadingOutlastsWhatBrokersDo(t *testing.T) {
	faults := map[string]func(b *broker){
		"another broker leads": func(b *broker) {
			for node := range int32(3) {
				if node != b.LeaderFor(testTopic, 0) {
					require.NoError(b.t, b.MoveTopicPartition(testTopic, 0, node))
					return
				}
			}
		},
		"the leader is not known": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.NotLeaderForPartition, Count: 4})
		},
		"the group has another coordinator": func(b *broker) { b.RehashCoordinators() },
		"the coordinator loads": func(b *broker) {
			b.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.OffsetCommit, kmsg.TxnOffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: 3,
			})
		},
		"the topic is not known": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.UnknownTopicOrPartition, Count: 4})
		},
		"the right to read is taken away and given back": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: 5})
		},
		"the right to commit is taken away and given back": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: 5})
		},
		"the group forgets the member": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
		},
		"the broker hangs up": func(b *broker) {
			hung := 0
			b.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
				if hung++; hung > 4 {
					return nil, nil, false
				}
				b.KeepControl()
				return nil, errors.New("the broker hangs up"), true
			})
		},
		"the broker throttles": func(b *broker) {
			throttled := 0
			b.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
				if throttled++; throttled > 3 {
					return nil, nil, false
				}
				b.KeepControl()
				answer := request.ResponseKind().(*kmsg.FetchResponse)
				answer.ThrottleMillis = 300
				return answer, nil, true
			})
		},
		"its disk fails": func(b *broker) {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.KafkaStorageError, Count: 3})
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			withDrivers(t, 3, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
				var want []string
				for i := range 3 {
					b.publish(counted(0, "a", i))
					want = append(want, fmt.Sprint("a/", i))
				}
				d := begin()
				d.waitFor(t, want...)
				fault(b)
				for i := 3; i < 8; i++ {
					b.publish(counted(0, "a", i))
					want = append(want, fmt.Sprint("a/", i))
					time.Sleep(30 * time.Millisecond)
				}
				d.waitFor(t, want...)
				require.NoError(t, d.stop())
				eventuallyCommitted(t, b, 0, 7)
			})
		})
	}
}

func TestATopicThatIsRemovedAndMadeAnewIsReadFromItsBeginning(t *testing.T) {
	withDrivers(t, 1, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
		b.publish(counted(0, "a", 0), counted(0, "a", 1))
		d := begin()
		d.waitFor(t, "a/0", "a/1")
		b.deleteTopic()
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, b.CreateTopic(testTopic, 1, nil))
		// No more than the old one had: kafka-go knows no ids of topics, so what is found at the offset wanted next is taken for what
		// comes next (docs/reliability.md).
		b.publish(counted(0, "b", 0))
		d.waitFor(t, "a/0", "a/1", "b/0")
		require.NoError(t, d.stop())
	})
}

// eventuallyDone waits until the group knows that the first so many records of partition 0 are done.
func (b *broker) eventuallyDone(count int64) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		offset, metadata := b.committed(0)
		p, err := parseProgress(offset, metadata)
		return err == nil && p.Next == count && len(p.Pending) == 0
	}, soon, 10*time.Millisecond)
}

// deleteTopic removes the topic of segments.
func (b *broker) deleteTopic() {
	b.t.Helper()
	client := b.client()
	defer client.Close()
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TimeoutMillis, request.TopicNames = 5000, []string{testTopic}
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = new(testTopic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(b.t.Context(), client)
	require.NoError(b.t, err)
	require.NoError(b.t, kerr.ErrorForCode(response.Topics[0].ErrorCode))
}

func TestABrokerThatComesLaterIsWaitedFor(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	withDrivers(t, 1, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
		d := begin(func(k *Kafka) {
			k.cfg.Brokers = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
			k.timing.reach = soon
		})
		time.Sleep(500 * time.Millisecond)
		later, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(1, testTopic), kfake.SeedTopics(2, testResults))
		require.NoError(t, err)
		defer later.Close()
		(&broker{later, t}).publish(counted(0, "a", 0))
		d.waitFor(t, "a/0")
		require.NoError(t, d.stop())
	})
}

func TestATopicThatAppearsInAMomentIsWaitedFor(t *testing.T) {
	withDrivers(t, 1, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
		b.deleteTopic()
		d := begin(func(k *Kafka) { k.timing.topic = soon })
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, b.CreateTopic(testTopic, 1, nil))
		b.publish(counted(0, "a", 0))
		d.waitFor(t, "a/0")
		require.NoError(t, d.stop())
	})
}

func TestWhoMayNotReadIsToldAtTheStartWhatToGrant(t *testing.T) {
	for right, fault := range map[string]kfake.Fault{
		`the group "` + testGroup + `"`: {Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: -1},
		`the topic "` + testTopic + `"`: {Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: kerr.TopicAuthorizationFailed, Count: -1},
	} {
		t.Run(right, func(t *testing.T) {
			withDrivers(t, 1, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
				b.publish(counted(0, "a", 0))
				b.Fault(fault)
				begun := time.Now()
				d := begin()
				ended := make(chan error, 1)
				go func() {
					for len(d.segments()) == 0 && time.Since(begun) < 3*time.Second {
						time.Sleep(10 * time.Millisecond)
					}
					ended <- d.stop()
				}()
				err := <-ended
				require.EqualValues(t, "ingest.not_authorized", stream.AsFailure(err, "ingest").Code, "%v", err)
				require.ErrorContains(t, err, right)
				require.ErrorContains(t, err, "the right to")
			})
		})
	}
}

// A record that takes longer than read_batch_timeout, on a link that brings 2 MiB/s, and one that is larger than max_bytes: both arrive.
func TestWhatIsLargerThanItShouldBeArrives(t *testing.T) {
	slow := kfake.ListenFn(func(network, address string) (net.Listener, error) {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), network, address)
		return slowListener{listener}, err
	})
	withDrivers(t, 1, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
		big := strings.Repeat("v", 900<<10)
		for i := range 3 {
			b.publish(counted(0, "a", i))
			b.publish(record(0, "b", big, "ensue-sequence", strconv.Itoa(i)))
		}
		d := begin(func(k *Kafka) { k.cfg.MaxBytes, k.cfg.ReadBatchTimeout = 256<<10, 100*time.Millisecond })
		require.Eventually(t, func() bool { return len(d.ids()) >= 6 }, 2*soon, 20*time.Millisecond)
		require.Equal(t, []string{"a/0", "b/0", "a/1", "b/1", "a/2", "b/2"}, d.ids())
		for _, s := range d.segments() {
			require.Equal(t, s.Stream == "b", len(s.Payload) == len(big))
		}
		require.NoError(t, d.stop())
	}, slow)
}

func TestABrokerThatIsAwayForAWhileLosesNothing(t *testing.T) {
	withDrivers(t, 3, func(t *testing.T, b *broker, begin func(...func(*Kafka)) *driven) {
		b.publish(counted(0, "a", 0))
		d := begin()
		d.waitFor(t, "a/0")
		b.eventuallyDone(1) // what is not committed when it happens would be done again
		var away atomic.Bool
		away.Store(true)
		b.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
			if !away.Load() {
				return nil, nil, false
			}
			b.KeepControl()
			return nil, errors.New("away"), true
		})
		time.Sleep(1500 * time.Millisecond)
		away.Store(false)
		b.publish(counted(0, "a", 1), counted(0, "a", 2))
		d.waitFor(t, "a/0", "a/1", "a/2")
		require.NoError(t, d.stop())
	})
}
