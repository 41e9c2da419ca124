package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/stream"
)

// The codes of claims. They never change their meaning; docs/errors.md lists them.
const (
	// CodeClaim: the record holds a claim instead of the video, and the definition does not say where claims may lie.
	CodeClaim stream.Code = "ingest.claim_unsupported"
	// CodeClaimRefused: the claim's address is none, or leads out of the places that are allowed.
	CodeClaimRefused stream.Code = "ingest.claim_refused"
	// CodeClaimUnverified: the claim does not tell the SHA-256 of the payload.
	CodeClaimUnverified stream.Code = "ingest.claim_unverified"
	// CodeClaimExpired: there is nothing (any more) at the claim's address.
	CodeClaimExpired stream.Code = "ingest.claim_expired"
	// CodeClaimMismatch: what lies there has another size or SHA-256 than was claimed.
	CodeClaimMismatch stream.Code = "ingest.claim_mismatch"
	// CodeClaimTooLarge: what lies there is larger than decode.limits.bytes.
	CodeClaimTooLarge stream.Code = "ingest.claim_too_large"
	// CodeClaimDenied: the store does not let this process read.
	CodeClaimDenied stream.Code = "ingest.claim_denied"
	// CodeClaimUnreachable: the store did not give the payload in time.
	CodeClaimUnreachable stream.Code = "ingest.claim_unreachable"
)

// ClaimsConfig says which claims are resolved. A claim that lies in none of the allowed places is refused.
type ClaimsConfig struct {
	// Allow are the places: s3://bucket/prefix, file:///folder.
	Allow []string       `def:"allow"`
	S3    claim.S3Config `def:"s3"`
	// Timeout is how long getting one payload may take, tries again included.
	Timeout time.Duration `def:"timeout"`
	// TTL is how long the store keeps payloads; it is compared with how long the topic keeps records.
	TTL time.Duration `def:"ttl"`
	// Workers is how many payloads, of different streams, are got side by side.
	Workers int `def:"workers"`
}

// DefaultClaims is what a definition with claims does not say about them.
func DefaultClaims() ClaimsConfig {
	return ClaimsConfig{S3: claim.DefaultS3(), Timeout: 15 * time.Second, TTL: 168 * time.Hour, Workers: 4}
}

func (c *ClaimsConfig) validate() []error {
	var errs []error
	if len(c.Allow) == 0 {
		errs = append(errs, errors.New("ingest.claims.allow is empty: name the places claims may lie in"))
	}
	for _, place := range c.Allow {
		if _, err := claim.ParsePlace(place); err != nil {
			errs = append(errs, fmt.Errorf("ingest.claims.allow: %w", err))
		}
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("ingest.claims.timeout is %s: use more than 0", c.Timeout))
	}
	if c.Workers < 1 {
		errs = append(errs, fmt.Errorf("ingest.claims.workers is %d: use 1 or more", c.Workers))
	}
	return errs
}

// Claims gets the payloads of segments that came as claims. It is safe for use by several goroutines.
type Claims struct{ reader *claim.Reader }

// NewClaims makes it; limit is how large a payload may be. It connects to nothing. Close must be called.
func NewClaims(cfg ClaimsConfig, limit int64) (*Claims, error) {
	reader, err := claim.NewReader(claim.ReaderConfig{Allow: cfg.Allow, S3: cfg.S3, Limit: limit, Timeout: cfg.Timeout})
	if err != nil {
		return nil, &stream.Failure{Code: CodeConfig, Stage: "ingest", Permanent: true, Err: fmt.Errorf("ingest.claims: %w", err)}
	}
	return &Claims{reader: reader}, nil
}

// Stores are the stores of the allowed places.
func (c *Claims) Stores() []claim.Store { return c.reader.Stores() }

// Close ends the connections.
func (c *Claims) Close() error { return c.reader.Close() }

// Resolve gets the payload of a segment that is a claim, and leaves every other segment as it is. Its error is a Failure; trouble of
// the store was tried again before it is one.
func (c *Claims) Resolve(ctx context.Context, segment *stream.Segment) error {
	if !IsClaim(segment) {
		return nil
	}
	if segment.SHA256 == "" {
		return stream.Fail("ingest", CodeClaimUnverified, "%s holds a claim without its digest: send %s with it",
			segment.ID(), stream.HeaderSHA256)
	}
	payload, tries, err := c.reader.Read(ctx, claim.Claim{Ref: segment.Ref, Size: segment.Size, SHA256: segment.SHA256})
	if err != nil {
		failure := claimFailure(err)
		failure.Err = fmt.Errorf("resolving the claim of %s (%s): %w", segment.ID(), segment.Ref, failure.Err)
		failure.Attempts = max(tries, 1)
		return failure
	}
	segment.Payload = payload
	return nil
}

// IsClaim says that the segment's payload lies elsewhere and is not here yet.
func IsClaim(segment *stream.Segment) bool {
	return segment.Ref != "" && len(segment.Payload) == 0 && segment.Problem == nil
}

// claimFailure finds the code. What is about the claim is permanent: it is the same however often it is tried.
func claimFailure(err error) *stream.Failure {
	for _, known := range []struct {
		is   error
		code stream.Code
	}{
		{claim.ErrRefused, CodeClaimRefused},
		{claim.ErrGone, CodeClaimExpired},
		{claim.ErrMismatch, CodeClaimMismatch},
		{claim.ErrTooLarge, CodeClaimTooLarge},
	} {
		if errors.Is(err, known.is) {
			return &stream.Failure{Code: known.code, Stage: "ingest", Permanent: true, Err: err}
		}
	}
	code := CodeClaimUnreachable
	if errors.Is(err, claim.ErrDenied) {
		code = CodeClaimDenied
	}
	return &stream.Failure{Code: code, Stage: "ingest", Err: err}
}
