package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

// listening is a Listener behind a real server, and how to stop it.
type listening struct {
	url    string
	client *http.Client
	stop   context.CancelFunc
	served chan Served
	err    error
}

func listen(t *testing.T, config ListenConfig, sender Sender) *listening {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	on, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	transport := &http.Transport{}
	l := &listening{url: "http://" + on.Addr().String(), client: &http.Client{Transport: transport}, stop: stop, served: make(chan Served, 1)}
	go func() {
		var served Served
		served, l.err = NewListener(config, sender).Serve(ctx, on, Serving{Drain: 10 * time.Second})
		l.served <- served
		close(l.served)
	}()
	t.Cleanup(func() {
		stop()
		transport.CloseIdleConnections()
		<-l.served
	})
	return l
}

// answer is what came back.
type answer struct {
	status  int
	headers http.Header
	Accepted
	Error struct {
		Code    string
		Message string
		Retry   bool
	}
}

func (l *listening) put(t *testing.T, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.url+path, body)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := l.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	got := answer{status: response.StatusCode, headers: response.Header}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&got))
	return got
}

func publisherTo(t *testing.T, addrs []string) *Publisher {
	t.Helper()
	publisher, err := New(Config{Brokers: addrs, Topic: "in", Segment: time.Second, Loops: 1, Patience: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(publisher.Close)
	return publisher
}

func TestSegmentsTakenByHTTPAreOnTheTopicWithTheirHeaders(t *testing.T) {
	addrs := embedded(t)
	l := listen(t, DefaultListen(), publisherTo(t, addrs))
	digest := sha256.Sum256([]byte("some video"))
	got := l.put(t, "/streams/front%2Fdoor/segments", strings.NewReader("some video"),
		"Ensue-Sequence", "7", "Ensue-Start", "2026-05-01T12:00:14Z", "Ensue-Epoch", "2026-05-01T12:00:00Z", "Ensue-Duration", "2s",
		"Content-Type", "video/mp4", "Ensue-Sha256", hex.EncodeToString(digest[:]), "Ensue-Actions", "pan",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	require.Equal(t, http.StatusCreated, got.status, got.Error)
	require.Equal(t, "front/door", got.Stream)
	require.EqualValues(t, 7, *got.Sequence)
	require.EqualValues(t, 0, got.Offset)
	require.Equal(t, hex.EncodeToString(digest[:]), got.SHA256)
	got = l.put(t, "/streams/front%2Fdoor/segments/8", strings.NewReader("more video"), "Ensue-End", "true")
	require.Equal(t, http.StatusCreated, got.status, got.Error)

	segments := published(t, addrs, 2)
	first := segments[0]
	require.NoError(t, first.Problem)
	require.Equal(t, stream.SegmentID{Stream: "front/door", Sequence: 7}, first.ID())
	require.Equal(t, time.Date(2026, 5, 1, 12, 0, 14, 0, time.UTC), first.Start)
	require.Equal(t, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), first.Epoch)
	require.Equal(t, 2*time.Second, first.Duration)
	require.Equal(t, "video/mp4", first.ContentType)
	require.Equal(t, "some video", string(first.Payload))
	require.Equal(t, "pan", string(first.Actions))
	require.Equal(t, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", first.Traceparent)
	require.Equal(t, stream.MarkEnd, segments[1].Mark)
	require.EqualValues(t, 8, segments[1].Sequence)
}

func TestWhatIsSentAgainIsWrittenOnce(t *testing.T) {
	addrs := embedded(t)
	l := listen(t, DefaultListen(), publisherTo(t, addrs))
	var codes sync.Map
	var group sync.WaitGroup
	for range 8 { // a sender that does not wait for its answer
		group.Go(func() {
			got := l.put(t, "/streams/a/segments/1", strings.NewReader("video"))
			count, _ := codes.LoadOrStore(got.status, new(atomic.Int32))
			count.(*atomic.Int32).Add(1)
			require.EqualValues(t, 0, got.Offset)
		})
	}
	group.Wait()
	created, _ := codes.Load(http.StatusCreated)
	repeated, _ := codes.Load(http.StatusOK)
	require.EqualValues(t, 1, created.(*atomic.Int32).Load())
	require.EqualValues(t, 7, repeated.(*atomic.Int32).Load())

	got := l.put(t, "/streams/a/segments/1", strings.NewReader("other video"))
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "publish.conflict", got.Error.Code)
	require.False(t, got.Error.Retry)

	for range 2 { // without a number: known by its time and bytes
		got = l.put(t, "/streams/b/segments", strings.NewReader("video"), "Ensue-Start", "2026-05-01T12:00:00Z")
	}
	require.Equal(t, http.StatusOK, got.status)
	require.True(t, got.Repeated)
	for range 2 { // with neither nobody can tell
		got = l.put(t, "/streams/c/segments", strings.NewReader("video"))
		require.Equal(t, http.StatusCreated, got.status)
	}
	require.Len(t, published(t, addrs, 4), 4)
	l.stop()
	require.Equal(t, Served{Segments: 4, Bytes: 20, Repeated: 8, Refused: 1}, <-l.served)
	require.NoError(t, l.err)
}

func TestWhatCannotBeTakenIsRefusedWithItsReason(t *testing.T) {
	config := DefaultListen()
	config.MaxBytes, config.Token = 100, "hunter2"
	l := listen(t, config, publisherTo(t, embedded(t)))
	token := []string{"Authorization", "Bearer hunter2"}
	unsized := struct{ io.Reader }{bytes.NewReader(make([]byte, 101))} // no Content-Length
	for name, c := range map[string]struct {
		path    string
		body    io.Reader
		headers []string
		status  int
		code    string
	}{
		"no token": {"/streams/a/segments", strings.NewReader("x"), nil, 401, "publish.unauthorized"},
		"wrong token": {
			"/streams/a/segments", strings.NewReader("x"),
			[]string{"Authorization", "Bearer hunter3"},
			401,
			"publish.unauthorized",
		},
		"too large, told": {"/streams/a/segments", bytes.NewReader(make([]byte, 101)), token, 413, "publish.too_large"},
		"too large":       {"/streams/a/segments", unsized, token, 413, "publish.too_large"},
		"no video": {
			"/streams/a/segments", strings.NewReader("{}"), append(token, "Content-Type", "application/json"), 415,
			"publish.content_type",
		},
		"compressed": {
			"/streams/a/segments", strings.NewReader("x"), append(token, "Content-Encoding", "gzip"), 415,
			"publish.content_encoding",
		},
		"bad header":    {"/streams/a/segments", strings.NewReader("x"), append(token, "Ensue-Sequence", "seven"), 400, "ingest.bad_header"},
		"two sequences": {"/streams/a/segments/1", strings.NewReader("x"), append(token, "Ensue-Sequence", "2"), 400, "ingest.bad_header"},
		"empty":         {"/streams/a/segments", nil, token, 400, "ingest.empty_value"},
		"bad stream":    {"/streams/a%00b/segments", strings.NewReader("x"), token, 400, "ingest.bad_key"},
		"checksum": {
			"/streams/a/segments", strings.NewReader("x"), append(token, "Ensue-Sha256", strings.Repeat("0", 64)), 400,
			"publish.checksum",
		},
		"claim": {"/streams/a/segments", nil, append(token, "Ensue-Ref", "s3://a/b"), 400, "publish.claim"},
	} {
		got := l.put(t, c.path, c.body, c.headers...)
		require.Equal(t, c.status, got.status, name)
		require.Equal(t, c.code, got.Error.Code, name)
		require.NotContains(t, got.Error.Message, "hunter2")
		require.NotEmpty(t, got.Error.Message)
		require.Equal(t, c.code == "publish.checksum", got.Error.Retry, name)
	}
}

// slow delivers when it is told to.
type slow struct {
	begun   chan struct{}
	release chan error
}

func (s *slow) Send(ctx context.Context, _ *stream.Segment) (Sent, error) {
	s.begun <- struct{}{}
	select {
	case err := <-s.release:
		return Sent{}, err
	case <-ctx.Done():
		return Sent{}, ctx.Err()
	}
}

func TestWhatIsOnItsWayIsBoundedAndDrained(t *testing.T) {
	config := DefaultListen()
	config.MaxBytes, config.Memory = 100, 150
	sender := &slow{begun: make(chan struct{}), release: make(chan error)}
	l := listen(t, config, sender)
	answers := make(chan answer, 1)
	go func() {
		answers <- l.put(t, "/streams/a/segments/1", bytes.NewReader(make([]byte, 100))) //nolint:testifylint // its answer is waited for
	}()
	<-sender.begun
	got := l.put(t, "/streams/a/segments/2", bytes.NewReader(make([]byte, 100)))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "1", got.headers.Get("Retry-After"))
	require.True(t, got.Error.Retry)

	l.stop() // the segment on its way is finished and answered
	sender.release <- nil
	require.Equal(t, http.StatusCreated, (<-answers).status)
	require.Equal(t, Served{Segments: 1, Bytes: 100, Refused: 1}, <-l.served)
}

func TestASegmentThatIsNotDurableIsNotAccepted(t *testing.T) {
	config := DefaultListen()
	config.Patience = 200 * time.Millisecond
	sender := &slow{begun: make(chan struct{}, 10), release: make(chan error, 10)}
	l := listen(t, config, sender)
	got := l.put(t, "/streams/a/segments/1", strings.NewReader("x")) // the broker does not answer
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.True(t, got.Error.Retry)

	sender.release <- stream.Fail("publish", "publish.too_large", "the topic takes less")
	require.Equal(t, http.StatusRequestEntityTooLarge, l.put(t, "/streams/a/segments/1", strings.NewReader("x")).status)
	sender.release <- stream.Fail("publish", "publish.topic_missing", "no topic")
	got = l.put(t, "/streams/a/segments/1", strings.NewReader("x"))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "publish.topic_missing", got.Error.Code)
	sender.release <- nil
	require.Equal(t, http.StatusCreated, l.put(t, "/streams/a/segments/1", strings.NewReader("x")).status, "a failed one may be tried again")
}

func TestNothingIsTakenWhileDraining(t *testing.T) {
	listener := NewListener(DefaultListen(), nil)
	listener.Drain()
	server := &http.Server{Handler: listener.Handler(), ReadHeaderTimeout: time.Second}
	on, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(on) })
	defer serving.Wait()
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	l := &listening{url: "http://" + on.Addr().String(), client: &http.Client{Transport: transport}}
	got := l.put(t, "/streams/a/segments", strings.NewReader("x"))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "publish.draining", got.Error.Code)
	response, err := l.client.Get(l.url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
}

func TestReferencesOfATopicAreFoundToItsEnd(t *testing.T) {
	addrs, store := embedded(t), folder(t)
	publisher, err := New(Config{Brokers: addrs, Topic: "in", Segment: time.Second, Loops: 1, Store: store, ClaimAbove: 5})
	require.NoError(t, err)
	defer publisher.Close()
	want := map[string]bool{}
	for i, payload := range []string{"a", "a large payload", "another large one", "b"} {
		sent, err := publisher.Send(t.Context(), &stream.Segment{Stream: "a", Sequence: int64(i), Sequenced: true, Payload: []byte(payload)})
		require.NoError(t, err)
		if sent.Ref != "" {
			want[sent.Ref] = true
		}
	}
	require.Len(t, want, 2)
	found, err := FindReferences(t.Context(), addrs, nil, []string{"in"})
	require.NoError(t, err)
	require.Equal(t, References{Refs: want, Records: 4}, found)
	_, err = FindReferences(t.Context(), addrs, nil, []string{"in", "nowhere"})
	require.Error(t, err)
}
