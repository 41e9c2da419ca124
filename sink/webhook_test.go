package sink

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

// testSecret is the example of the Standard Webhooks specification.
const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// received is one request.
type received struct {
	header http.Header
	body   []byte
}

// receiver is a real HTTP server that answers as it is told, request by request, and then with 204.
type receiver struct {
	*httptest.Server
	mutex   sync.Mutex
	answers []func(http.ResponseWriter)
	got     []received
}

func newReceiver(t *testing.T, answers ...func(http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.got = append(r.got, received{request.Header, body})
		if len(r.answers) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer := r.answers[0]
		r.answers = r.answers[1:]
		answer(w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests() []received {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.got
}

func status(code int, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "because\nof this")
	}
}

func webhook(t *testing.T, url string, change ...func(*WebhookConfig)) *webhookSink {
	t.Helper()
	c := DefaultWebhook()
	c.URL, c.Secret, c.DeliveryTimeout = url, testSecret, 20*time.Second
	for _, f := range change {
		f(&c)
	}
	s := open(t, Config{Webhook: &c}).(*webhookSink)
	s.patience.first, s.patience.most = time.Millisecond, 5*time.Millisecond
	return s
}

func alarm(n int) *stream.Result {
	r := result("lobby", n)
	r.Verdict = stream.Breaks
	return r
}

func TestAlarmsArePostedAndSigned(t *testing.T) {
	r := newReceiver(t)
	s := webhook(t, r.URL)
	s.now = func() time.Time { return time.Unix(1614265330, 0) }
	stalls := result("yard", 4)
	stalls.Verdict = stream.Stalls
	require.NoError(t, s.Write(t.Context(), []*stream.Result{alarm(1), result("lobby", 2), stalls}))
	got := r.requests()
	require.Len(t, got, 2, "what continues is not sent")
	require.Equal(t, alarm(1).ID, got[0].header.Get("webhook-id"))
	require.Equal(t, "1614265330", got[0].header.Get("webhook-timestamp"))
	require.Equal(t, "application/json", got[0].header.Get("content-type"))
	var body struct {
		Type      string
		Timestamp time.Time
		Data      json.RawMessage
	}
	require.NoError(t, json.Unmarshal(got[0].body, &body))
	require.Equal(t, "video.ensue.result.v1", body.Type)
	require.Equal(t, alarm(1).Y.End, body.Timestamp)
	read, err := stream.UnmarshalResult(body.Data, stream.EncodingJSON)
	require.NoError(t, err)
	require.Equal(t, alarm(1), read)
}

// TestTheSignatureIsThatOfTheSpecification has the specification's own example.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	key, err := signingKey(testSecret)
	require.NoError(t, err)
	require.Equal(t, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)))
}

const verify = `
import sys, json
from standardwebhooks import Webhook
request = json.load(sys.stdin)
print(json.dumps(Webhook(sys.argv[1]).verify(request["body"], request["headers"])["data"]["verdict"]))
try:
    Webhook(sys.argv[1]).verify(request["body"] + " ", request["headers"])
except Exception as e:
    print(type(e).__name__)
`

func TestTheLibraryOfReceiversAcceptsTheSignature(t *testing.T) {
	python := fixture.Python(t, "standardwebhooks")
	r := newReceiver(t)
	require.NoError(t, webhook(t, r.URL).Write(t.Context(), []*stream.Result{alarm(1)}))
	got := r.requests()[0]
	headers := map[string]string{}
	for name := range got.header {
		headers[strings.ToLower(name)] = got.header.Get(name)
	}
	input, err := json.Marshal(map[string]any{"body": string(got.body), "headers": headers})
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), python, "-c", verify, testSecret)
	command.Stdin = strings.NewReader(string(input))
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "\"breaks\"\nWebhookVerificationError\n", string(out))
}

func TestAReceiverThatCannotNowIsAskedAgain(t *testing.T) {
	broken := func(w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
	r := newReceiver(t, status(503), broken, status(429, "Retry-After", "0"), status(408), status(425))
	s := webhook(t, r.URL)
	require.NoError(t, s.Write(t.Context(), []*stream.Result{alarm(1)}))
	got := r.requests()
	require.Len(t, got, 6)
	for _, request := range got {
		require.Equal(t, got[0].body, request.body)
		require.Equal(t, alarm(1).ID, request.header.Get("webhook-id"), "the receiver knows it again")
	}
}

func TestAReceiverMaySayWhenToComeAgain(t *testing.T) {
	r := newReceiver(t, status(503, "Retry-After", "1"))
	s := webhook(t, r.URL)
	begin := time.Now()
	require.NoError(t, s.Write(t.Context(), []*stream.Result{alarm(1)}))
	require.GreaterOrEqual(t, time.Since(begin), time.Second)
	at := time.Unix(1614265330, 0).UTC()
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "nonsense": 0, "99999": retryAfterMost,
		at.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {text}}, at), text)
	}
}

func TestARefusalIsAFailureOfTheResult(t *testing.T) {
	for code, want := range map[int]stream.Code{
		400: CodeRejected, 401: CodeRejected, 404: CodeRejected, 410: CodeRejected, 413: CodeTooLarge, 302: CodeRejected,
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			r := newReceiver(t, status(code, "Location", "http://127.0.0.1:1/elsewhere"))
			failure := failureOf(t, webhook(t, r.URL).Write(t.Context(), []*stream.Result{alarm(1)}))
			require.Equal(t, want, failure.Code)
			require.True(t, failure.Permanent)
			require.ErrorContains(t, failure, r.URL)
			require.Len(t, r.requests(), 1, "not asked again, nor sent elsewhere")
			if code == 400 {
				require.ErrorContains(t, failure, "because of this")
			}
		})
	}
}

// TestWhatWasTakenIsNotSentAgain: a pipeline writes a batch that was refused one by one, to find what is meant.
func TestWhatWasTakenIsNotSentAgain(t *testing.T) {
	r := newReceiver(t, status(204), status(400), status(422))
	s := webhook(t, r.URL)
	batch := []*stream.Result{alarm(1), alarm(2), alarm(3)}
	require.True(t, failureOf(t, s.Write(t.Context(), batch)).Permanent)
	require.NoError(t, s.Write(t.Context(), batch[:1]))
	require.True(t, failureOf(t, s.Write(t.Context(), batch[1:2])).Permanent)
	require.NoError(t, s.Write(t.Context(), batch[2:]))
	var ids []string
	for _, request := range r.requests() {
		ids = append(ids, request.header.Get("webhook-id"))
	}
	require.Equal(t, []string{batch[0].ID, batch[1].ID, batch[1].ID, batch[2].ID}, ids)
	require.NoError(t, s.Write(t.Context(), batch[:1]))
	require.Len(t, r.requests(), 5, "but a result that is written again later is")
}

func TestResultsAreBatchedWhereThatIsWanted(t *testing.T) {
	r := newReceiver(t)
	s := webhook(t, r.URL, func(c *WebhookConfig) { c.Batch = 2 })
	require.NoError(t, s.Write(t.Context(), []*stream.Result{alarm(1), alarm(2), alarm(3)}))
	var sizes []int
	ids := map[string]bool{}
	for _, request := range r.requests() {
		var body struct{ Data []*stream.Result }
		require.NoError(t, json.Unmarshal(request.body, &body))
		sizes = append(sizes, len(body.Data))
		ids[request.header.Get("webhook-id")] = true
	}
	require.Equal(t, []int{2, 1}, sizes)
	require.Len(t, ids, 2)
}

func TestAReceiverThatStaysAwayStopsTheWriteInTime(t *testing.T) {
	r := newReceiver(t)
	url := r.URL
	r.Close()
	s := webhook(t, url, func(c *WebhookConfig) { c.DeliveryTimeout = 200 * time.Millisecond })
	failure := failureOf(t, s.Write(t.Context(), []*stream.Result{alarm(1)}))
	require.Equal(t, CodeUnreachable, failure.Code)
	require.False(t, failure.Permanent)
	require.ErrorIs(t, failure, errDelivery)

	slow := newReceiver(t, func(http.ResponseWriter) { time.Sleep(300 * time.Millisecond) })
	require.NoError(t, webhook(t, slow.URL, func(c *WebhookConfig) { c.Timeout = 100 * time.Millisecond }).
		Write(t.Context(), []*stream.Result{alarm(1)}), "an answer that takes too long is asked for again")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, webhook(t, url).Write(ctx, []*stream.Result{alarm(1)}), context.Canceled)
}

func TestTheSecretIsNeverTold(t *testing.T) {
	var said logged
	r := newReceiver(t, status(503), status(400))
	c := DefaultWebhook()
	c.URL, c.Secret = r.URL, testSecret
	s, err := New(Config{Webhook: &c}, nil, said.logger())
	require.NoError(t, err)
	defer s.Close()
	err = s.Write(t.Context(), []*stream.Result{alarm(1)})
	require.Error(t, err)
	require.NotContains(t, err.Error()+said.String(), testSecret[6:])
	c.Secret = "whsec_hunter2"
	_, err = New(Config{Webhook: &c}, nil, nil)
	require.ErrorContains(t, err, "sink.webhook.secret: is no secret of a webhook")
	require.NotContains(t, err.Error(), "hunter2")
}
