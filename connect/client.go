package connect

import (
	"time"

	"github.com/segmentio/kafka-go"
	kafkasasl "github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options are franz-go's options for reaching the brokers.
func Options(brokers []string, s *Security) []kgo.Opt {
	options := []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.Dialer(s.Dialer(2 * DefaultTimeout)), kgo.DisableClientMetrics()}
	if login := s.mechanism(); login != nil {
		options = append(options, kgo.SASL(login))
	}
	return options
}

// Login is kafka-go's login, for its Transport and Dialer; nil for none.
func (s *Security) Login() kafkasasl.Mechanism {
	if login := s.mechanism(); login != nil {
		return kafkaGoMechanism{login}
	}
	return nil
}

// KafkaGo is a client of kafka-go, and the transport to close its connections by.
func KafkaGo(brokers []string, s *Security, timeout time.Duration) (*kafka.Client, *kafka.Transport) {
	transport := &kafka.Transport{Dial: s.Dialer(DefaultTimeout), DialTimeout: 2 * DefaultTimeout, SASL: s.Login(), ClientID: "ensue"}
	return &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: timeout, Transport: transport}, transport
}
