package pipelines

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/ingest"
)

// checkMembers looks at who is in the consumer group already: whoever reads with another delivery keeps this pipeline out.
func checkMembers(ctx context.Context, def *Definition) []Checked {
	if def.Ingest.Kafka == nil {
		return nil
	}
	return askSource(ctx, def, Checked{Name: "group " + def.Ingest.Kafka.Group}, membersOf)
}

// membersOf asks who is in the group of the definition.
func membersOf(ctx context.Context, client *kgo.Client, def *Definition, check Checked) Checked {
	kafka := def.Ingest.Kafka
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{kafka.Group}
	answer, err := request.RequestWith(ctx, client)
	if err == nil && len(answer.Groups) != 1 {
		err = fmt.Errorf("the broker told of %d groups", len(answer.Groups))
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.Groups[0].ErrorCode)
	}
	if err != nil && connect.Why(err) != "" {
		check.Detail, check.Hint = err.Error(), kafka.Security.Advice(err, connect.Below("ingest.kafka.security"))
		return check
	}
	check.OK, check.Detail = true, "has no members yet"
	switch {
	case err != nil && !errors.Is(err, kerr.GroupIDNotFound):
		check.Detail = "the brokers do not tell of it: " + err.Error()
		return check
	case err != nil || len(answer.Groups[0].Members) == 0:
		return check
	}
	group := answer.Groups[0]
	check.Detail = fmt.Sprintf("%d members share by %q", len(group.Members), group.Protocol)
	if group.ProtocolType != "consumer" || group.Protocol != "" && !ingest.SharesGroup(group.Protocol, exactly(def) != nil) {
		check.OK = false
		check.Hint = "members of one group all have the same sink.kafka.delivery: stop those that run before this pipeline starts, " +
			"or name another ingest.kafka.group"
	}
	return check
}
