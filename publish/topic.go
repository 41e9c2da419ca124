package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes the topic with so many partitions unless it is there already.
func (p *Publisher) CreateTopic(ctx context.Context, partitions int32) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = p.config.Topic, partitions, -1
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, p.client)
	if err != nil {
		return fmt.Errorf("creating the topic %q: %w", p.config.Topic, err)
	}
	for _, answer := range response.Topics {
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating the topic %q: %w", p.config.Topic, err)
		}
	}
	return nil
}
