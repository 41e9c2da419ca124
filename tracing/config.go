package tracing

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/ensue-video/ensue/stream"
)

// Config is the definition's `traces`.
type Config struct {
	// OTLP is where the collector takes OTLP over HTTP.
	OTLP string `def:"otlp"`
	// Sample is the share of segments whose trace is recorded, of those whose sender has not decided.
	Sample float64 `def:"sample"`
	// Token is shown to the collector as a bearer; it may be empty.
	Token string `def:"token"`
}

// DefaultSample is the share that is recorded where nobody says otherwise.
const DefaultSample = 0.01

// CodeConfig: the address or the share cannot work.
const CodeConfig stream.Code = "traces.config"

// tracesPath is where collectors take traces (OTLP/HTTP).
const tracesPath = "/v1/traces"

// Validate tells what is wrong with c: a permanent failure that names its key; nil if nothing is.
func (c Config) Validate() error {
	if _, err := Endpoint(c.OTLP); err != nil {
		return stream.Fail("traces", CodeConfig, "traces.otlp: %q %w", c.OTLP, err)
	}
	if c.Sample < 0 || c.Sample > 1 {
		return stream.Fail("traces", CodeConfig, "traces.sample: %v is no share between 0 and 1", c.Sample)
	}
	return nil
}

// Endpoint is the whole address that traces are sent to: where it has no path, that of OTLP.
func Endpoint(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("is no http or https address, as in http://localhost:4318")
	case u.User != nil:
		return "", fmt.Errorf("holds a login: use traces.token for %s", u.Host)
	case u.Path == "" || u.Path == "/":
		u.Path = tracesPath
	}
	return u.String(), nil
}
