package claim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ensue-video/ensue/connect"
)

// S3Config says how an object store is reached. Where no keys are given they are those of the environment (AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) or of the file that AWS_SHARED_CREDENTIALS_FILE names (~/.aws/credentials).
type S3Config struct {
	// Endpoint is host or host:port.
	Endpoint string `def:"endpoint"`
	Region   string `def:"region"`
	// TLS is off for stores that speak plain HTTP.
	TLS bool `def:"tls"`
	// AccessKey, SecretKey and SessionToken sign the requests.
	AccessKey    string         `def:"access_key"`
	SecretKey    connect.Secret `def:"secret_key"`
	SessionToken connect.Secret `def:"session_token"`
}

// DefaultS3 is what a definition does not say.
func DefaultS3() S3Config { return S3Config{Endpoint: "s3.amazonaws.com", TLS: true} }

// S3 is a Store in a bucket.
type S3 struct {
	place     Place
	endpoint  string
	core      *minio.Core
	transport *http.Transport
}

// NewS3 makes the store of a bucket. It connects to nothing.
func NewS3(place Place, config S3Config) (*S3, error) {
	if place.Scheme != SchemeS3 {
		return nil, fmt.Errorf("making a store of claims: %s is no bucket: write s3://bucket/prefix", place)
	}
	if strings.Contains(config.Endpoint, "/") || strings.Contains(config.Endpoint, "@") {
		return nil, errors.New("making a store of claims: the endpoint of S3 is host:port, without a scheme, a path or a user")
	}
	transport, err := minio.DefaultTransport(config.TLS)
	if err != nil {
		return nil, fmt.Errorf("making a store of claims: %w", err)
	}
	core, err := minio.NewCore(config.Endpoint, &minio.Options{
		Creds: config.credentials(), Secure: config.TLS, Region: config.Region, Transport: transport,
		// Whoever calls tries again, and counts that.
		MaxRetries: 1,
		// Path-style works with every store; a bucket's own host name needs DNS for it.
		BucketLookup: lookup(config.Endpoint),
	})
	if err != nil {
		return nil, fmt.Errorf("making a store of claims at %q: %w", config.Endpoint, err)
	}
	core.SetAppInfo("ensue", "1")
	return &S3{place: place, endpoint: config.Endpoint, core: core, transport: transport}, nil
}

func (c S3Config) credentials() *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), string(c.SessionToken))
	}
	return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
}

func lookup(endpoint string) minio.BucketLookupType {
	if strings.HasSuffix(endpoint, ".amazonaws.com") {
		return minio.BucketLookupAuto
	}
	return minio.BucketLookupPath
}

// Place implements Store.
func (s *S3) Place() Place { return s.place }

// Close implements Store.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Put implements Store.
func (s *S3) Put(ctx context.Context, key, contentType string, data []byte) error {
	name := s.place.ref(key).Key
	// The client's parts are buffers of their own; what is in memory already is sent as it is, up to S3's limit for one request.
	options := minio.PutObjectOptions{ContentType: contentType, SendContentMd5: true, DisableMultipart: len(data) < 5<<30}
	_, err := s.core.Client.PutObject(ctx, s.place.Bucket, name, bytes.NewReader(data), int64(len(data)), options)
	if err != nil {
		return s.explain("writing", key, err)
	}
	return nil
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	body, info, _, err := s.core.GetObject(ctx, s.place.Bucket, s.place.ref(key).Key, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, s.explain("reading", key, err)
	}
	return body, info.Size, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Object, error) {
	info, err := s.core.StatObject(ctx, s.place.Bucket, s.place.ref(key).Key, minio.StatObjectOptions{})
	if err != nil {
		return Object{}, s.explain("looking at", key, err)
	}
	return Object{Key: key, Size: info.Size, Modified: info.LastModified}, nil
}

// List implements Store.
func (s *S3) List(ctx context.Context, each func(Object) error) error {
	prefix := s.place.Prefix
	if prefix != "" {
		prefix += "/"
	}
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
	for info := range s.core.ListObjectsIter(ctx, s.place.Bucket, options) {
		if info.Err != nil {
			return s.explain("listing", "", info.Err)
		}
		if strings.HasSuffix(info.Key, "/") {
			continue // a folder, as consoles make them
		}
		if err := each(Object{Key: strings.TrimPrefix(info.Key, prefix), Size: info.Size, Modified: info.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Remove implements Store.
func (s *S3) Remove(ctx context.Context, key string) error {
	err := s.core.RemoveObject(ctx, s.place.Bucket, s.place.ref(key).Key, minio.RemoveObjectOptions{})
	if err != nil && !errors.Is(s.explain("removing", key, err), ErrGone) {
		return s.explain("removing", key, err)
	}
	return nil
}

// explain says which of a claim's errors an answer of the store is. Invariant 6: the client's errors hold no keys.
func (s *S3) explain(doing, key string, err error) error {
	what := s.place.String()
	if key != "" {
		what = s.place.ref(key).String()
	}
	answer := minio.ToErrorResponse(err)
	switch {
	case answer.Code == "NoSuchKey" || answer.StatusCode == http.StatusNotFound && answer.Code != "NoSuchBucket":
		return fmt.Errorf("%s %s at %s: %w", doing, what, s.endpoint, ErrGone)
	case answer.Code == "NoSuchBucket":
		return fmt.Errorf("%s %s at %s: %w: there is no bucket %q", doing, what, s.endpoint, ErrDenied, s.place.Bucket)
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s %s at %s: %w (%s)", doing, what, s.endpoint, ErrDenied, answer.Code)
	}
	return fmt.Errorf("%s %s at %s: %w", doing, what, s.endpoint, err)
}

// clockSkew is how much the clocks of a store and of this machine may differ without a sweep noticing.
const clockSkew = 5 * time.Minute
