package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// retryPause is how long CreateTopics waits before it asks a broker again that is not ready yet.
const retryPause = 100 * time.Millisecond

// Topic says how a topic is to be.
type Topic struct {
	Name string
	// Partitions is how many it gets; 0 leaves it to the broker. One stream lives in one partition.
	Partitions int
	// Replicas is how many copies are kept; 0 leaves it to the broker.
	Replicas int
	// Configs are the topic's own settings ("max.message.bytes", "retention.ms", …).
	Configs map[string]string
}

// CreateTopics creates the topics that do not exist and returns when every one of them has a leader for every partition, so that
// the first record written finds its place. Topics that exist are left as they are. While the broker is starting it keeps
// trying until the context ends.
//
// Errors: broker.unreachable (transient: no broker answered before the context ended) and broker.topic (permanent: the broker
// refuses the topic).
func CreateTopics(ctx context.Context, brokers []string, topics []Topic) error {
	return CreateTopicsSecurely(ctx, brokers, nil, topics)
}

// CreateTopicsSecurely is CreateTopics on brokers that want TLS or a login. A refusal of either is final: broker.tls_failed,
// broker.login_failed, broker.not_authorized.
func CreateTopicsSecurely(ctx context.Context, brokers []string, security *connect.Security, topics []Topic) error {
	if len(topics) == 0 {
		return nil
	}
	client, transport := connect.KafkaGo(brokers, security, 0)
	defer transport.CloseIdleConnections()

	create := func() (bool, error) { return createOnce(ctx, client, topics) }
	if err := retry(ctx, brokers, create); err != nil {
		return err
	}
	ready := func() (bool, error) { return haveLeaders(ctx, client, topics) }
	return retry(ctx, brokers, ready)
}

// retry calls step until it is done or fails for good. What it says while it is not done is told when the context ends.
func retry(ctx context.Context, brokers []string, step func() (done bool, err error)) error {
	for {
		done, err := step()
		if done {
			return err
		}
		if why := connect.Why(err); why != "" {
			return stream.FailTransient("broker", stream.Code("broker."+string(why)), "asking %s: %w", strings.Join(brokers, ","), err)
		}
		select {
		case <-ctx.Done():
			return stream.FailTransient("broker", "broker.unreachable",
				"waiting for the broker at %s: %w (%w)", strings.Join(brokers, ","), cmp.Or(err, errNotReady), ctx.Err())
		case <-time.After(retryPause):
		}
	}
}

var errNotReady = errors.New("the topics have no leaders yet")

// createOnce is done when every topic exists or one is refused.
func createOnce(ctx context.Context, client *kafka.Client, topics []Topic) (bool, error) {
	request := &kafka.CreateTopicsRequest{}
	for _, topic := range topics {
		request.Topics = append(request.Topics, topic.config())
	}
	response, err := client.CreateTopics(ctx, request)
	if err != nil {
		return false, err
	}
	var again error
	for _, topic := range topics {
		err := response.Errors[topic.Name]
		var code kafka.Error
		switch {
		case err == nil, errors.Is(err, kafka.TopicAlreadyExists):
		case errors.As(err, &code) && (code.Temporary() || code == kafka.NotController):
			again = err
		default:
			return true, stream.Fail("broker", "broker.topic", "creating topic %q with %s: %w", topic.Name, topic, err)
		}
	}
	return again == nil, again
}

func haveLeaders(ctx context.Context, client *kafka.Client, topics []Topic) (bool, error) {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = topic.Name
	}
	response, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return false, err
	}
	for _, topic := range response.Topics {
		if topic.Error != nil {
			return false, fmt.Errorf("topic %q: %w", topic.Name, topic.Error)
		}
		for i := range topic.Partitions {
			if partition := &topic.Partitions[i]; partition.Error != nil {
				return false, fmt.Errorf("topic %q, partition %d: %w", topic.Name, partition.ID, partition.Error)
			}
		}
	}
	return len(response.Topics) == len(slices.Compact(slices.Sorted(slices.Values(names)))), nil
}

// config is the topic as the client asks for it; -1 means that the broker decides.
func (t Topic) config() kafka.TopicConfig {
	config := kafka.TopicConfig{Topic: t.Name, NumPartitions: cmp.Or(t.Partitions, -1), ReplicationFactor: cmp.Or(t.Replicas, -1)}
	for name, value := range t.Configs {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	slices.SortFunc(config.ConfigEntries, func(a, b kafka.ConfigEntry) int { return cmp.Compare(a.ConfigName, b.ConfigName) })
	return config
}

// String is what was asked for, for messages.
func (t Topic) String() string {
	config := t.config()
	var text strings.Builder
	fmt.Fprintf(&text, "partitions=%d replicas=%d", config.NumPartitions, config.ReplicationFactor)
	for _, entry := range config.ConfigEntries {
		fmt.Fprintf(&text, " %s=%s", entry.ConfigName, entry.ConfigValue)
	}
	return text.String()
}
