package sink

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// kafkaError is an error code of franz-go as kafka-go has it: the protocol numbers them.
func kafkaError(told *kerr.Error) kafka.Error { return kafka.Error(told.Code) }

// brokerErrors is what the broker's error codes mean for a write (https://kafka.apache.org/protocol#protocol_error_codes).
// Codes that are not here pass by themselves.
func brokerErrors() map[kafka.Error]stream.Failure {
	transient := func(code stream.Code) stream.Failure { return stream.Failure{Code: code} }
	permanent := func(code stream.Code) stream.Failure { return stream.Failure{Code: code, Permanent: true} }
	return map[kafka.Error]stream.Failure{
		kafka.UnknownTopicOrPartition: transient(CodeTopicMissing),
		kafka.UnknownTopicID:          transient(CodeTopicMissing),
		kafka.InvalidTopic:            transient(CodeBadConfig),
		kafka.InvalidRequiredAcks:     transient(CodeBadConfig),

		kafka.TopicAuthorizationFailed:   transient(CodeNotAuthorized),
		kafka.ClusterAuthorizationFailed: transient(CodeNotAuthorized),
		kafka.SASLAuthenticationFailed:   transient(CodeLogin),
		kafka.UnsupportedSASLMechanism:   transient(CodeLogin),
		kafka.IllegalSASLState:           transient(CodeLogin),

		kafka.NotEnoughReplicas:            transient(CodeNotEnoughReplicas),
		kafka.NotEnoughReplicasAfterAppend: transient(CodeNotEnoughReplicas),

		kafka.MessageSizeTooLarge: permanent(CodeTooLarge),
		kafka.RecordListTooLarge:  permanent(CodeTooLarge),

		kafka.InvalidRecord:               permanent(CodeRejected),
		kafka.InvalidTimestamp:            permanent(CodeRejected),
		kafka.InvalidMessageSize:          permanent(CodeRejected),
		kafka.UnsupportedForMessageFormat: permanent(CodeRejected),
		kafka.PolicyViolation:             permanent(CodeRejected),
	}
}

// classify is the failure behind an error of kafka-go; nil for none. Everything that is not known is a broker that cannot be
// reached now: refused and broken connections, names that do not resolve, timeouts, elections.
func classify(err error) *stream.Failure {
	if err == nil {
		return nil
	}
	failure := &stream.Failure{Code: CodeBrokerUnreachable, Stage: "sink", Err: err}
	var told kafka.Error
	switch {
	case errors.As(err, &told):
		if known, ok := brokerErrors()[told]; ok {
			failure.Code, failure.Permanent = known.Code, known.Permanent
		}
	case errors.Is(err, protocol.ErrNoTopic):
		failure.Code = CodeTopicMissing
	case connect.Why(err) != "":
		failure.Code = stream.Code("sink." + string(connect.Why(err)))
	}
	return failure
}

// hint says what to do about a failure, in words that name the definition's keys.
func hint(config ProducerConfig, failure *stream.Failure) string {
	code, security := failure.Code, connect.Below(config.Key+".security")
	switch code {
	case CodeTLS, CodeLogin:
		return "; " + config.Security.Hint(connect.Why(failure.Err), failure.Err, security)
	case CodeBrokerUnreachable:
		if hint := config.Security.HintUnanswered(failure.Err, security); hint != "" {
			return "; " + hint
		}
	}
	texts := map[stream.Code]string{
		CodeBrokerUnreachable: "is the broker running, and is %[1]s.brokers its address?",
		CodeTopicMissing:      "create the topic %[2]q, or correct %[1]s.topic",
		CodeNotAuthorized:     "allow this client to write to the topic %[2]q",
		CodeTooLarge:          "raise max.message.bytes of the topic %[2]q",
		CodeNotEnoughReplicas: "bring replicas of the topic %[2]q back, or lower its min.insync.replicas",
	}
	text, ok := texts[code]
	if !ok {
		return ""
	}
	// Not every text names the topic: the explicit index of the empty last argument uses them all up.
	return "; " + fmt.Sprintf(text+"%[3]s", config.Key, config.Topic, "")
}
