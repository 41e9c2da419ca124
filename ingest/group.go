package ingest

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The protocols by which a group shares its partitions. Those of one driver know none of the other's: all members of a group have the same.
const (
	protocolRange       = "range"
	protocolRoundRobin  = "roundrobin"
	protocolCooperative = "cooperative-sticky"
)

// SharesGroup says whether a source can be in a group whose members share its partitions by that protocol; exactly says that it reads for
// exactly-once delivery.
func SharesGroup(protocol string, exactly bool) bool {
	if exactly {
		return protocol == protocolCooperative
	}
	return protocol == protocolRange || protocol == protocolRoundRobin
}

// joinError says what to do where the group does not take this member because of the others.
func joinError(group string, err error) error {
	if !errors.Is(err, kafka.InconsistentGroupProtocol) && !errors.Is(err, kerr.InconsistentGroupProtocol) {
		return err
	}
	return fmt.Errorf("members of the group %q read in another way, as those do that run with another sink.kafka.delivery: stop all of them "+
		"first, or name another ingest.kafka.group; waiting until they are gone: %w", group, err)
}
