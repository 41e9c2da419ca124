package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ensue-video/ensue/stream"
)

const (
	// DefaultWebhookTimeout is how long a receiver may take to answer.
	DefaultWebhookTimeout = 10 * time.Second
	// MaxWebhookBatch is how many results one request may take.
	MaxWebhookBatch = deliverBatch
	// secretPrefix marks a secret of Standard Webhooks; its key is base64 of minSecret to maxSecret bytes.
	secretPrefix         = "whsec_"
	minSecret, maxSecret = 24, 64
	// answerShown is how much of a refusal is told.
	answerShown = 200
	// deliverBatch is how many results a pipeline writes at once.
	deliverBatch = 128
	// retryAfterMost bounds what a receiver may ask for.
	retryAfterMost = 5 * time.Minute
)

// DefaultWebhook is what a definition's sink.webhook is before its keys are read.
func DefaultWebhook() WebhookConfig {
	return WebhookConfig{
		Verdicts: []string{string(stream.Breaks), string(stream.Stalls)}, Batch: 1,
		Timeout: DefaultWebhookTimeout, DeliveryTimeout: DefaultDeliveryTimeout,
	}
}

// Verdicts are those that results have.
func Verdicts() []string {
	return []string{
		string(stream.Breaks), string(stream.Stalls), string(stream.Continues), string(stream.WarmingUp), string(stream.Unscored),
	}
}

// CheckWebhookURL says what is wrong with the address of a receiver; nil where nothing is.
func CheckWebhookURL(text string) error {
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http":
		return errors.New("is no address of a receiver")
	case address.User != nil:
		return errors.New("holds a password: whoever receives checks the signature instead (sink.webhook.secret)")
	}
	return nil
}

// CheckWebhookSecret says what is wrong with a secret, without repeating it; nil where nothing is.
func CheckWebhookSecret(text string) error {
	_, err := signingKey(text)
	return err
}

func signingKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
	if err != nil || !strings.HasPrefix(text, secretPrefix) || len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("is no secret of a webhook: it is %s and %d to %d bytes in base64", secretPrefix, minSecret, maxSecret)
	}
	return key, nil
}

func (v *validation) webhook(c *WebhookConfig) {
	if err := CheckWebhookURL(c.URL); err != nil {
		v.fail("sink.webhook.url: %w: write https://host/path", err)
	}
	if c.Secret != "" {
		if err := CheckWebhookSecret(c.Secret); err != nil {
			v.fail("sink.webhook.secret: %w", err)
		}
	}
	for _, verdict := range c.Verdicts {
		if !slices.Contains(Verdicts(), verdict) {
			v.fail("sink.webhook.verdicts: %q is none: use %s", verdict, strings.Join(Verdicts(), ", "))
		}
	}
	if c.Batch < 1 || c.Batch > MaxWebhookBatch {
		v.fail("sink.webhook.batch: %d is not between 1 and %d", c.Batch, MaxWebhookBatch)
	}
	v.timeout("sink.webhook.timeout", c.Timeout)
	v.timeout("sink.webhook.delivery_timeout", c.DeliveryTimeout)
}

// webhookSink posts results to a URL, as https://www.standardwebhooks.com describes.
//
// Invariant 1: a write is over once the receiver has answered every request with 2xx. Invariant 2: requests are made one after the
// other, and a request that is made again has the same webhook-id, so that the receiver knows a repeated result.
//
// A receiver that cannot be reached or says that it cannot now (5xx, 408, 425, 429) is asked again; one that refuses for good (any other
// answer) makes a permanent failure of the results, which become a dead letter. Redirections are not followed: what is signed for one
// receiver is not for another.
type webhookSink struct {
	config   WebhookConfig
	key      []byte
	log      *slog.Logger
	patience patience
	client   *http.Client
	now      func() time.Time
	// taken are results of a write that failed which the receiver has: they are not sent again when that write is repeated.
	taken  map[string]bool
	closed bool
}

func openWebhook(c *Config, _ []string, log *slog.Logger, _ []Option) (Sink, error) {
	if c.Webhook == nil {
		return nil, nil
	}
	s := &webhookSink{config: *c.Webhook, log: orSilent(log), patience: defaultPatience(), now: time.Now, taken: map[string]bool{}}
	if s.config.Secret != "" {
		key, err := signingKey(s.config.Secret)
		if err != nil {
			return nil, fail(CodeBadConfig, "sink.webhook.secret: %w", err)
		}
		s.key = key
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.client = &http.Client{
		Transport: transport, Timeout: s.config.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Write sends those of the results whose verdict is wanted.
func (s *webhookSink) Write(ctx context.Context, results []*stream.Result) error {
	if s.closed {
		return failTransient(CodeClosed, "sink.webhook: writing: it is closed")
	}
	var wanted []*stream.Result
	for _, result := range results {
		if slices.Contains(s.config.Verdicts, string(result.Verdict)) && !s.taken[result.ID] {
			wanted = append(wanted, result)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.DeliveryTimeout, errDelivery)
	defer cancel()
	for batch := range slices.Chunk(wanted, s.config.Batch) {
		if err := s.send(ctx, batch); err != nil {
			failure := stream.AsFailure(err, "sink")
			failure.Err = fmt.Errorf("sending %d results to %s: %w", len(batch), s.config.URL, failure.Err)
			return failure
		}
		for _, result := range batch {
			s.taken[result.ID] = true
		}
	}
	for _, result := range results {
		delete(s.taken, result.ID)
	}
	if len(s.taken) > deliverBatch { // of writes that were not repeated
		clear(s.taken)
	}
	return nil
}

// envelope is the body of a request, as Standard Webhooks recommends it.
type envelope struct {
	Type string `json:"type"`
	// Timestamp is when it happened: the end of the last Y.
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// send sends results in one request, and again until they are taken or refused.
func (s *webhookSink) send(ctx context.Context, results []*stream.Result) error {
	id, body, err := s.envelope(results)
	if err != nil {
		return err
	}
	pause := time.Duration(0)
	return s.patience.retry(ctx, s.log, func(ctx context.Context) *stream.Failure {
		if failure := s.wait(ctx, pause); failure != nil {
			return failure
		}
		var failure *stream.Failure
		failure, pause = s.post(ctx, id, body)
		return failure
	})
}

// wait waits as long as the receiver asked for.
func (s *webhookSink) wait(ctx context.Context, pause time.Duration) *stream.Failure {
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return failTransient(CodeUnreachable, "the receiver asked to wait %s: %w", pause, context.Cause(ctx))
	}
}

// envelope is the id and the body of a request with the results: a result as it is where requests have one each, else a list.
func (s *webhookSink) envelope(results []*stream.Result) (id string, body []byte, err error) {
	hash := sha256.New()
	data := make([]json.RawMessage, len(results))
	last := results[0].Y.End
	for i, result := range results {
		if data[i], err = stream.MarshalResult(result, stream.EncodingJSON); err != nil {
			return "", nil, err
		}
		hash.Write([]byte(result.ID + "\x00"))
		if result.Y.End.After(last) {
			last = result.Y.End
		}
	}
	about := envelope{Type: stream.EventType(), Timestamp: last.UTC(), Data: data}
	if id = hex.EncodeToString(hash.Sum(nil)[:16]); s.config.Batch == 1 {
		id, about.Data = results[0].ID, data[0]
	}
	body, err = json.Marshal(about)
	return id, body, err
}

// post makes one request. It also says how long the receiver asks to wait before the next.
func (s *webhookSink) post(ctx context.Context, id string, body []byte) (*stream.Failure, time.Duration) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return fail(CodeBadConfig, "sink.webhook.url: %w", err), 0
	}
	at := strconv.FormatInt(s.now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "ensue")
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", at)
	if s.key != nil {
		request.Header.Set("Webhook-Signature", "v1,"+signature(s.key, id, at, body))
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return failTransient(CodeUnreachable, "%w", err), 0
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	said, _ := io.ReadAll(io.LimitReader(answer.Body, answerShown))
	// What is left is read, within reason, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10)
	later := []int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests}
	switch {
	case answer.StatusCode/100 == 2:
		return nil, 0
	case answer.StatusCode/100 == 5, slices.Contains(later, answer.StatusCode):
		return failTransient(CodeUnreachable, "the receiver answers %s: %s", answer.Status, oneLine(said)), retryAfter(answer.Header, s.now())
	case answer.StatusCode == http.StatusRequestEntityTooLarge:
		return fail(CodeTooLarge, "the receiver refuses %d bytes: %s: %s", len(body), answer.Status, oneLine(said)), 0
	case answer.StatusCode/100 == 3:
		return fail(CodeRejected, "the receiver answers %s to %s: write that address where it is meant", answer.Status,
			answer.Header.Get("Location")), 0
	}
	return fail(CodeRejected, "the receiver refuses it: %s: %s", answer.Status, oneLine(said)), 0
}

// signature is the one of Standard Webhooks: HMAC-SHA256 over id, time and body.
func signature(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// retryAfter is how long the header asks to wait, in seconds or until a time, bounded.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if text == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(text); err == nil {
		return min(max(time.Duration(seconds)*time.Second, 0), retryAfterMost)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMost)
	}
	return 0
}

func oneLine(text []byte) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "�")), " ")
}

// Close ends the connections.
func (s *webhookSink) Close() error {
	s.closed = true
	s.client.CloseIdleConnections()
	return nil
}

var _ Sink = (*webhookSink)(nil)
