package publish

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ensue-video/ensue/stream"
)

// ListenConfig says what a Listener takes.
type ListenConfig struct {
	// MaxBytes bounds one segment, Memory all that are on their way at once.
	MaxBytes, Memory int64
	// Token is what senders must show as "Authorization: Bearer …"; empty lets everybody in.
	Token string
	// Patience is how long a request waits until its segment is durable.
	Patience time.Duration
	Log      *slog.Logger
}

// DefaultListen is what is usual.
func DefaultListen() ListenConfig {
	return ListenConfig{MaxBytes: 64 << 20, Memory: 512 << 20, Patience: 30 * time.Second, Log: slog.New(slog.DiscardHandler)}
}

// Sender puts a segment on a topic; a Publisher is one.
type Sender interface {
	Send(ctx context.Context, segment *stream.Segment) (Sent, error)
}

// Listener takes segments by HTTP and puts them on a topic:
//
//	PUT or POST /streams/{stream}/segments              the container in the body, its headers as on the wire
//	PUT or POST /streams/{stream}/segments/{sequence}   the same, with the sequence in the path
//	GET /healthz                                        200 while it runs
//	GET /readyz                                         200 while it takes segments, 503 while it drains
//
// 201 is said once the segment is durable, never before; 200 where the very same segment was already. Every other answer has the
// reason as JSON: {"error":{"code":"publish.…","message":"…","retry":true}}.
type Listener struct {
	config   ListenConfig
	sender   Sender
	memory   *semaphore.Weighted
	recent   *recent
	draining atomic.Bool
	counts   struct{ segments, bytes, repeated, refused atomic.Int64 }
}

// NewListener makes the handler. It listens to nothing by itself.
func NewListener(config ListenConfig, sender Sender) *Listener {
	return &Listener{config: config, sender: sender, memory: semaphore.NewWeighted(config.Memory), recent: newRecent()}
}

// Drain refuses new segments from now on, with 503; those on their way are finished.
func (l *Listener) Drain() { l.draining.Store(true) }

// Handler is the listener's routes.
func (l *Listener) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		mux.HandleFunc(method+" /streams/{stream}/segments", l.take)
		mux.HandleFunc(method+" /streams/{stream}/segments/{sequence}", l.take)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if l.draining.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return mux
}

// Accepted is the answer to a segment that is durable.
type Accepted struct {
	Stream string `json:"stream"`
	// Sequence is missing where the sender told none: it is then the offset.
	Sequence  *int64 `json:"sequence,omitempty"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Bytes     int    `json:"bytes"`
	SHA256    string `json:"sha256,omitempty"`
	// Claim is the payload's address where it is too large for the topic.
	Claim string `json:"claim,omitempty"`
	// Repeated says that this very segment was here before: nothing was written this time.
	Repeated bool `json:"repeated,omitempty"`
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	code   stream.Code
	err    error
	// retry says after how many seconds the same request may succeed; zero: it will not.
	retry int
}

func (l *Listener) take(w http.ResponseWriter, r *http.Request) {
	accepted, refused := l.segment(w, r)
	w.Header().Set("Content-Type", "application/json")
	if refused == nil {
		status := http.StatusCreated
		if accepted.Repeated {
			status = http.StatusOK
			l.counts.repeated.Add(1)
		} else {
			l.counts.segments.Add(1)
			l.counts.bytes.Add(int64(accepted.Bytes))
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(accepted) // the sender is gone: it will ask again
		return
	}
	l.counts.refused.Add(1)
	l.config.Log.Warn("refusing a segment", "stream", r.PathValue("stream"), "status", refused.status, "code", refused.code, "error",
		refused.err)
	if refused.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(refused.retry))
	}
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ensue"`)
	}
	w.WriteHeader(refused.status)
	type told struct {
		Code    stream.Code `json:"code"`
		Message string      `json:"message"`
		Retry   bool        `json:"retry"`
	}
	_ = json.NewEncoder(w).Encode(map[string]told{"error": {refused.code, refused.err.Error(), refused.retry > 0}})
}

// segment takes one request's segment, and answers once it is durable.
func (l *Listener) segment(w http.ResponseWriter, r *http.Request) (*Accepted, *refusal) {
	if refused := l.admit(r); refused != nil {
		return nil, refused
	}
	charge := r.ContentLength
	if charge < 0 {
		charge = l.config.MaxBytes
	}
	if !l.memory.TryAcquire(min(charge, l.config.Memory)) {
		return nil, refuse(http.StatusTooManyRequests, "publish.busy", 1,
			"%d bytes are on their way to the topic: send again in a moment", l.config.Memory)
	}
	defer l.memory.Release(min(charge, l.config.Memory))
	body, refused := l.read(w, r)
	if refused != nil {
		return nil, refused
	}
	segment, refused := segmentOf(r, body)
	if refused != nil {
		return nil, refused
	}
	return l.send(r.Context(), segment)
}

// admit looks at the request without its body.
func (l *Listener) admit(r *http.Request) *refusal {
	shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// Digests have one length, so that comparing tells nothing of the token's.
	got, want := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(l.config.Token))
	switch {
	case l.config.Token != "" && subtle.ConstantTimeCompare(got[:], want[:]) != 1:
		return refuse(http.StatusUnauthorized, "publish.unauthorized", 0, "send the token as Authorization: Bearer …")
	case l.draining.Load():
		return refuse(http.StatusServiceUnavailable, "publish.draining", 5, "this process is being stopped: send to another one, or later")
	case r.ContentLength > l.config.MaxBytes:
		return l.tooLarge()
	case r.Header.Get("Content-Encoding") != "":
		return refuse(http.StatusUnsupportedMediaType, "publish.content_encoding", 0,
			"Content-Encoding %q: send the container as it is", r.Header.Get("Content-Encoding"))
	}
	return checkType(r.Header.Get("Content-Type"))
}

// checkType wants a container: what is surely no video is told at once instead of becoming a dead letter.
func checkType(text string) *refusal {
	if text == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(text)
	kind, _, _ := strings.Cut(media, "/")
	known := []string{
		"application/octet-stream", "application/mp4", "application/x-matroska", "application/mxf", "application/ogg",
		"application/x-www-form-urlencoded", // what curl --data-binary says unless told otherwise
	}
	if err == nil && (kind == "video" || slices.Contains(known, media)) {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, "publish.content_type", 0,
		"Content-Type %q is no container of video: send video/mp4, video/mp2t, video/webm …, or none", text)
}

func (l *Listener) tooLarge() *refusal {
	return refuse(http.StatusRequestEntityTooLarge, "publish.too_large", 0,
		"a segment may have %d bytes here: cut shorter ones, or raise --max-bytes", l.config.MaxBytes)
}

func (l *Listener) read(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	body := make([]byte, 0, max(r.ContentLength, 512))
	from := http.MaxBytesReader(w, r.Body, l.config.MaxBytes)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var large *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.As(err, &large):
			return nil, l.tooLarge()
		case err != nil:
			return nil, refuse(http.StatusBadRequest, "publish.body", 1, "reading the body: %v", err)
		}
	}
}

// wireHeaders are the headers of a record that a request may have as its own.
var wireHeaders = []string{
	stream.HeaderVersion, stream.HeaderSequence, stream.HeaderStart, stream.HeaderEpoch, stream.HeaderDuration, stream.HeaderSHA256,
	stream.HeaderActions, stream.HeaderEnd, stream.HeaderTraceparent,
}

// segmentOf is the segment of a request. It is read as a record of the same headers would be, so that whatever a pipeline would turn
// into a dead letter is refused here, while somebody listens.
func segmentOf(r *http.Request, body []byte) (*stream.Segment, *refusal) {
	record := stream.Record{Key: []byte(r.PathValue("stream")), Value: body}
	add := func(name, value string) {
		if value != "" {
			record.Headers = append(record.Headers, stream.Header{Key: name, Value: []byte(value)})
		}
	}
	for _, name := range wireHeaders {
		add(name, r.Header.Get(name))
	}
	if media := r.Header.Get("Content-Type"); strings.HasPrefix(media, "video/") {
		add(stream.HeaderContentType, media)
	}
	if r.Header.Get(stream.HeaderRef) != "" {
		return nil, refuse(http.StatusBadRequest, "publish.claim", 0,
			"%s: send the video itself; large ones are put into the store here (--store)",
			stream.HeaderRef)
	}
	if sequence := r.PathValue("sequence"); sequence != "" {
		if told := r.Header.Get(stream.HeaderSequence); told != "" && told != sequence {
			return nil, refuse(http.StatusBadRequest, stream.CodeBadHeader, 0, "%s is %q, the path says %q", stream.HeaderSequence, told, sequence)
		}
		add(stream.HeaderSequence, sequence)
	}
	segment := stream.SegmentFromRecord(record)
	if segment.Problem != nil {
		return nil, refuse(http.StatusBadRequest, stream.AsFailure(segment.Problem, "publish").Code, 0, "%v", segment.Problem)
	}
	if len(body) > 0 {
		digest := sha256.Sum256(body)
		got := hex.EncodeToString(digest[:])
		if segment.SHA256 != "" && segment.SHA256 != got {
			return nil, refuse(http.StatusBadRequest, "publish.checksum", 1, "the body's SHA-256 is %s, %s told %s", got, stream.HeaderSHA256,
				segment.SHA256)
		}
		segment.SHA256 = got
	}
	return segment, nil
}

// send makes the segment durable, once: a request that is repeated while or after the first one is served gets its answer.
func (l *Listener) send(ctx context.Context, segment *stream.Segment) (*Accepted, *refusal) {
	key, told := identity(segment)
	if told {
		known, mine := l.recent.begin(key)
		if !mine {
			return l.repeated(ctx, segment, known)
		}
		defer l.recent.end(key, known)
		accepted, refused := l.deliver(ctx, segment)
		known.sha, known.accepted = segment.SHA256, accepted
		return accepted, refused
	}
	return l.deliver(ctx, segment)
}

func (l *Listener) deliver(ctx context.Context, segment *stream.Segment) (*Accepted, *refusal) {
	// A sender that hangs up does not undo the delivery: whether it came through is what its next try asks.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.Patience)
	defer cancel()
	sent, err := l.sender.Send(ctx, segment)
	if err != nil {
		return nil, undelivered(err)
	}
	accepted := &Accepted{
		Stream: segment.Stream, Partition: sent.Partition, Offset: sent.Offset, Bytes: len(segment.Payload), SHA256: sent.SHA256, Claim: sent.Ref,
	}
	if segment.Sequenced {
		accepted.Sequence = &segment.Sequence
	}
	return accepted, nil
}

// repeated answers a request whose segment was, or is being, delivered by another one.
func (l *Listener) repeated(ctx context.Context, segment *stream.Segment, known *delivery) (*Accepted, *refusal) {
	select {
	case <-known.done:
	case <-ctx.Done():
		return nil, refuse(http.StatusServiceUnavailable, "publish.interrupted", 1, "the same segment is on its way: %v", ctx.Err())
	}
	switch {
	case known.accepted == nil:
		return nil, refuse(http.StatusServiceUnavailable, "publish.interrupted", 1, "another request with the same segment failed: send it again")
	case known.sha != segment.SHA256:
		return nil, refuse(http.StatusConflict, "publish.conflict", 0,
			"segment %s was sent before with other bytes (SHA-256 %s): numbers are not used twice",
			segment.ID(), known.sha)
	}
	again := *known.accepted
	again.Repeated = true
	return &again, nil
}

// undelivered classifies why a segment did not get to the topic.
func undelivered(err error) *refusal {
	var failure *stream.Failure
	switch {
	case errors.As(err, &failure) && failure.Code == "publish.too_large":
		return refuse(http.StatusRequestEntityTooLarge, failure.Code, 0, "%v", err)
	case errors.As(err, &failure) && failure.Permanent:
		// What is wrong with the topic is for whoever runs this process to mend; the sender keeps its segment until then.
		return refuse(http.StatusServiceUnavailable, failure.Code, 30, "%v", err)
	case failure != nil:
		return refuse(http.StatusServiceUnavailable, failure.Code, 1, "%v", err)
	}
	return refuse(http.StatusServiceUnavailable, "publish.undelivered", 1,
		"the segment is not known to be on the topic, send it again: %v", err)
}

func refuse(status int, code stream.Code, retry int, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, retry: retry, err: fmt.Errorf(format, args...)}
}
