package otlp

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is what a collector was told of a span.
type Span struct {
	Trace, ID, Parent string
	Name              string
	Start, End        time.Time
	Attributes        map[string]string
	// Failed says that its status is an error, Message what that is.
	Failed  bool
	Message string
}

// Collector keeps what it is told.
type Collector struct {
	// URL is where it listens.
	URL string

	mu       sync.Mutex
	spans    []Span
	resource map[string]string
	bearer   string
	// Status is what it answers where it is not 200.
	status int
}

// Start starts a collector that ends with the test.
func Start(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(c.take))
	tb.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Answer has it answer with a status from now on, and keep nothing unless that is 200.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Spans are all spans so far; Resource is what they are of, Bearer what was shown.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Resource is the resource of the last request, Bearer its authorization.
func (c *Collector) Resource() (attributes map[string]string, bearer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource, c.bearer
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	request := &collector.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(data, request)
	}
	switch {
	case err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf":
		http.Error(w, "no OTLP traces", http.StatusBadRequest)
		return
	case c.status != http.StatusOK:
		w.WriteHeader(c.status)
		return
	}
	c.bearer = r.Header.Get("Authorization")
	c.keep(request)
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (c *Collector) keep(request *collector.ExportTraceServiceRequest) {
	for _, of := range request.GetResourceSpans() {
		c.resource = texts(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attributes: texts(s.GetAttributes()), Failed: s.GetStatus().GetCode() == 2, Message: s.GetStatus().GetMessage(),
				})
			}
		}
	}
}

func texts(pairs []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, pair := range pairs {
		switch value := pair.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[pair.GetKey()] = value.StringValue
		default:
			all[pair.GetKey()] = pair.GetValue().String()
		}
	}
	return all
}
