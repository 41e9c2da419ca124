package deploy

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/broker"
	"github.com/ensue-video/ensue/publish"
	"github.com/ensue-video/ensue/stream"
)

// listening is `ensue publish --listen` before a broker of its own; it returns the broker's addresses and the listener's.
func listening(t *testing.T) (brokers []string, address string) {
	t.Helper()
	embedded, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{{Name: "video.segments", Partitions: 1}}})
	require.NoError(t, err)
	t.Cleanup(embedded.Close)
	publisher, err := publish.New(publish.Config{Brokers: embedded.Addrs(), Topic: "video.segments"})
	require.NoError(t, err)
	t.Cleanup(publisher.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	config := publish.DefaultListen()
	config.Token = token
	inBackground(t, "the listener", func(ctx context.Context) error {
		_, err := publish.NewListener(config, publisher).Serve(ctx, listener, publish.Serving{Drain: time.Second})
		return err
	})
	return embedded.Addrs(), "http://" + listener.Addr().String()
}

// segments are the records of the topic as segments, so many of them.
func segments(t *testing.T, brokers []string, count int) []*stream.Segment {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("video.segments"))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var found []*stream.Segment
	for len(found) < count {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d segments came", len(found), count)
		fetches.EachRecord(func(r *kgo.Record) {
			record := stream.Record{Topic: r.Topic, Offset: r.Offset, Time: r.Timestamp, Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				record.Headers = append(record.Headers, stream.Header{Key: h.Key, Value: h.Value})
			}
			found = append(found, stream.SegmentFromRecord(record))
		})
	}
	return found
}

// needs skips the test with a message where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs the program %s", name)
		}
	}
}

func TestTheHookSendsASegmentAndRemovesItOnceItIsDurable(t *testing.T) {
	needs(t, "sh", "sed", "wget")
	brokers, address := listening(t)
	folder := t.TempDir()
	video, err := os.ReadFile("../examples/video/yard.mp4")
	require.NoError(t, err)
	path := filepath.Join(folder, "2026-05-01T12:00:00.250000Z.mp4")
	require.NoError(t, os.WriteFile(path, video, 0o600))
	secret := filepath.Join(folder, "token")
	require.NoError(t, os.WriteFile(secret, []byte(token+"\n"), 0o600))
	hook := exec.CommandContext(t.Context(), "sh", "mediamtx/segment.sh")
	hook.Env = append(os.Environ(), "MTX_PATH=halls/north 1", "MTX_SEGMENT_PATH="+path, "MTX_SEGMENT_DURATION=2.5", "ENSUE_INGEST="+address,
		"ENSUE_TOKEN_FILE="+secret)
	output, err := hook.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoFileExists(t, path)
	sent := segments(t, brokers, 1)[0]
	require.Equal(t, "halls/north 1", sent.Stream)
	require.Equal(t, time.Date(2026, 5, 1, 12, 0, 0, 250e6, time.UTC), sent.Start)
	require.Equal(t, 2500*time.Millisecond, sent.Duration)
	require.True(t, bytes.Equal(video, sent.Payload))
}

// TestMediaMTXSendsWhatItRecords runs MediaMTX as docker-compose.yml does, but for its folders and ports.
func TestMediaMTXSendsWhatItRecords(t *testing.T) {
	needs(t, "mediamtx", "ffmpeg", "sh", "sed", "wget")
	brokers, address := listening(t)
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	absolute := func(path string) string {
		whole, err := filepath.Abs(path)
		require.NoError(t, err)
		return whole
	}
	text, err := os.ReadFile("mediamtx/mediamtx.yml")
	require.NoError(t, err)
	config := strings.NewReplacer(
		"/recordings/", folder+"/recordings/", "/etc/mediamtx/", absolute("mediamtx")+"/", "/sample/", absolute("../examples/video")+"/",
		"rtmp: no", "rtmp: no\nrtspAddress: "+freeAddress(t)+"\nwebrtcAddress: "+freeAddress(t)+"\nwebrtcLocalUDPAddress: "+freeAddress(t),
		"localhost:$RTSP_PORT", "127.0.0.1:$RTSP_PORT",
	).Replace(string(text))
	command := exec.Command("mediamtx", write("mediamtx.yml", config))
	command.Env = append(os.Environ(), "TZ=UTC", "ENSUE_INGEST="+address, "ENSUE_TOKEN_FILE="+write("token", token))
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	began := time.Now()
	streams := map[string][]*stream.Segment{}
	for _, segment := range segments(t, brokers, 6) {
		require.NoError(t, segment.Problem)
		streams[segment.Stream] = append(streams[segment.Stream], segment)
	}
	require.Len(t, streams, 2)
	for _, sent := range streams {
		for i, segment := range sent {
			require.WithinDuration(t, began, segment.Start, time.Minute)
			require.Greater(t, segment.Duration, time.Second)
			if i > 0 { // one begins where the one before it ended: nearer than what counts as a hole (three steps at 8 frames a second)
				require.WithinDuration(t, sent[i-1].Start.Add(sent[i-1].Duration), segment.Start, 375*time.Millisecond)
			}
		}
	}
}
