package deploy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/demo"
	"github.com/ensue-video/ensue/examples/video"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
)

const token = "a-token-for-these-tests"

// running is a pipeline on the embedded broker that is sent sample video, and now and then something that is none, until the test ends.
type running struct{ address string }

func run(t *testing.T) *running {
	t.Helper()
	topics := []broker.Topic{
		{Name: "video.segments", Partitions: 3},
		{Name: "video.energy", Partitions: 3},
		{Name: "video.dead", Partitions: 1},
	}
	embedded, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: topics})
	require.NoError(t, err)
	t.Cleanup(embedded.Close)
	address := freeAddress(t)
	def, findings := pipelines.Parse("test", fmt.Appendf(nil, `
version: 1
name: lobby
ingest: {kafka: {brokers: ["%s"], topic: video.segments, max_wait: 100ms}}
predictor: {calibrate: {warmup: 8s, false_alarms_per_day: 50}}
sink: {kafka: {topic: video.energy}, dead_letter: {kafka: {topic: video.dead}}}
state: {topic: video.state}
serve: {address: "%s", token: %s, streams: 2}
`, embedded.Addrs()[0], address, token), nil)
	require.NotNil(t, def, "%v", findings)
	engine, err := pipelines.New(def, pipelines.WithVersion("v1.2.3"))
	require.NoError(t, err)
	r := &running{address: "http://" + address + "/"}
	inBackground(t, "the pipeline", engine.Run)
	require.Eventually(t, func() bool {
		status, _ := fetch(t, r.address+"healthz")
		return status == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	inBackground(t, "the sender", func(ctx context.Context) error { return send(ctx, t.TempDir(), embedded.Addrs()) })
	return r
}

// demonstrated is the demo with its live page, at the speed that it has then.
func demonstrated(t *testing.T) *running {
	t.Helper()
	pages := make(chan string, 1)
	options := demo.Options{Folder: t.TempDir(), Speed: 1, Serve: "127.0.0.1:0", OnPage: func(address string) { pages <- address }}
	inBackground(t, "the demo", func(ctx context.Context) error {
		_, err := demo.Run(ctx, options)
		return err
	})
	select {
	case address := <-pages:
		return &running{address: address}
	case <-time.After(time.Minute):
		t.Fatal("the demo has no page")
		return nil
	}
}

// inBackground runs work until the test ends; being told to stop is no failure.
func inBackground(t *testing.T, what string, work func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			require.NoError(t, err, what)
		}
	})
}

func send(ctx context.Context, folder string, brokers []string) error {
	if err := os.CopyFS(folder, video.FS()); err != nil {
		return err
	}
	publisher, err := publish.New(publish.Config{
		Brokers: brokers, Topic: "video.segments", Segment: 2 * time.Second, Speed: 4, Start: time.Now(),
	})
	if err != nil {
		return err
	}
	defer publisher.Close()
	ended := make(chan error, 4)
	for _, name := range []string{"yard", "shelf", "garden"} {
		go func() {
			_, err := publisher.File(ctx, filepath.Join(folder, name+".mp4"), name, nil)
			ended <- err
		}()
	}
	go func() { ended <- sendRubbish(ctx, brokers) }()
	for range cap(ended) {
		err = <-ended
	}
	return err
}

func sendRubbish(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("video.segments"))
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		err = client.ProduceSync(ctx, &kgo.Record{Key: []byte("rubbish"), Value: []byte("this is no video")}).FirstErr()
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return err
}

// fetch asks an address with the token.
func fetch(t *testing.T, address string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil // not there yet
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}
