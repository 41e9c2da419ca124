package pipelines

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/internal/topicread"
)

// checkState looks at where what is known of streams is kept.
func checkState(ctx context.Context, def *Definition) []Checked {
	kafka := def.Ingest.Kafka
	switch {
	case kafka == nil || !def.State.Durable():
		return nil
	case def.State.Topic == "":
		check := checkFolder(def.State.Folder + "/state")
		check.Name = "state " + def.State.Folder
		return []Checked{check}
	}
	return askSource(ctx, def, Checked{Name: "state " + def.State.Topic}, stateOf)
}

// stateOf asks for the topic that state is kept on.
func stateOf(ctx context.Context, client *kgo.Client, def *Definition, check Checked) Checked {
	count, err := topicread.Partitions(ctx, client, def.State.Topic)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		check.OK, check.Detail = true, "is not there yet; ensue run makes it"
	case err != nil:
		check.Detail, check.Hint = err.Error(), "see ingest.kafka.brokers: the topic of state.topic is there"
	default:
		return compacted(ctx, client, def.State.Topic, check, count)
	}
	return check
}

// compacted says whether the topic keeps the newest record of every stream, and no more for long.
func compacted(ctx context.Context, client *kgo.Client, topic string, check Checked, partitions int) Checked {
	policy, err := cleanupPolicy(ctx, client, topic)
	check.OK, check.Detail = true, fmt.Sprintf("%d partitions, cleanup.policy %s", partitions, policy)
	switch {
	case err != nil:
		check.Detail = fmt.Sprintf("%d partitions; its settings cannot be read: %v", partitions, err)
	case policy != "compact":
		check.OK = false
		check.Hint = "set cleanup.policy=compact: otherwise every state ever written is read at a take-over, or the one that counts is removed"
	}
	return check
}

func cleanupPolicy(ctx context.Context, client *kgo.Client, topic string) (string, error) {
	const key = "cleanup.policy"
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{key}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	for _, found := range response.Resources {
		if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
			return "", err
		}
		for _, config := range found.Configs {
			if config.Name == key && config.Value != nil {
				return *config.Value, nil
			}
		}
	}
	return "", errors.New("the broker does not tell " + key)
}
