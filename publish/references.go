package publish

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/topicread"
	"github.com/ensue-video/ensue/stream"
)

// References are the claims that records of topics hold.
type References struct {
	// Refs are their addresses, written one way.
	Refs map[string]bool
	// Records is how many were read.
	Records int64
}

// FindReferences reads the topics from their oldest record to where they ended when it began, and gathers the claims. An error means that
// it did not see all of them.
func FindReferences(ctx context.Context, brokers []string, security *connect.Security, topics []string) (References, error) {
	found := References{Refs: map[string]bool{}}
	reader := topicread.Reader{Options: append(connect.Options(brokers, security), kgo.ClientID("ensue-claims"))}
	for _, topic := range topics {
		if err := reader.All(ctx, topic, found.note); err != nil {
			return found, fmt.Errorf("reading the claims of the topic %q: %w", topic, err)
		}
	}
	return found, nil
}

// note keeps the claim of a record, where it holds one.
func (r *References) note(record *kgo.Record) error {
	r.Records++
	for _, header := range record.Headers {
		if header.Key != stream.HeaderRef {
			continue
		}
		if ref, err := claim.ParseRef(string(header.Value)); err == nil {
			r.Refs[ref.String()] = true
		}
	}
	return nil
}
