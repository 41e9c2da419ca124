package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// poisoned is a record that cannot be processed, and the code it must get.
type poisoned struct {
	value   []byte
	headers []kgo.RecordHeader
	code    string
}

// poisonous are the kinds of bad records that people send.
func poisonous() map[string]poisoned {
	video := func(name string) []byte { return []byte(name) }
	return map[string]poisoned{
		"text":     {value: video("this is no video"), code: "decode.not_video"},
		"playlist": {value: video("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"), code: "decode.not_video"},
		"empty":    {code: "ingest.empty_value"},
		"header": {
			value: video("x"), code: "ingest.bad_header",
			headers: []kgo.RecordHeader{{Key: "ensue-sequence", Value: []byte("seven")}},
		},
		"claim": {code: "ingest.claim_unsupported", headers: []kgo.RecordHeader{{Key: "ensue-ref", Value: []byte("s3://bucket/key")}}},
	}
}

func poison(t *testing.T, addr string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("video.segments"))
	require.NoError(t, err)
	defer client.Close()
	for name, record := range poisonous() {
		sent := client.ProduceSync(t.Context(), &kgo.Record{Key: []byte(name), Value: record.value, Headers: record.headers})
		require.NoError(t, sent.FirstErr())
	}
}

// deadCodes is the code of the first so many dead letters by their key, which must be that of the original record.
func deadCodes(t *testing.T, addr string, count int) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("video.dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	codes := map[string]string{}
	for len(codes) < count {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "dead letters so far: %v", codes)
		fetches.EachRecord(func(record *kgo.Record) {
			for _, header := range record.Headers {
				if header.Key == "ensue-error-code" {
					codes[string(record.Key)] = string(header.Value)
				}
			}
			require.Equal(t, poisonous()[string(record.Key)].value, record.Value, "the record is intact")
		})
	}
	return codes
}
