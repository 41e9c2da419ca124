package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/ensue-video/ensue/bench/rig"
	"github.com/ensue-video/ensue/claim"
)

const (
	bucket    = "video"
	keyName   = "bench"
	keySecret = "bench-secret"
)

// store is an object store behind the link, and a way to write to it beside the link.
type store struct {
	endpoint string
	relay    *rig.Relay
	server   *http.Server
	served   chan struct{}
	direct   claim.Store
}

func (c *trial) startStore(ctx context.Context) (*store, error) {
	backend := s3mem.New()
	if err := backend.CreateBucket(ctx, bucket); err != nil {
		return nil, fmt.Errorf("making a bucket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &store{served: make(chan struct{})}
	s.server = &http.Server{
		Handler: gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{keyName: keySecret})).Server(), ReadHeaderTimeout: time.Minute,
	}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with close
	}()
	if s.relay, err = rig.NewRelay(ctx, c.row.Link); err != nil {
		return nil, err
	}
	s.relay.To(ctx, listener.Addr().String())
	s.endpoint = s.relay.Addr()
	s.direct, err = claim.NewS3(claim.Place{Scheme: claim.SchemeS3, Bucket: bucket}, claim.S3Config{
		Endpoint: listener.Addr().String(), Region: "us-east-1", AccessKey: keyName, SecretKey: keySecret,
	})
	return s, err
}

func (s *store) put(ctx context.Context, key string, payload []byte) error {
	return s.direct.Put(ctx, key, "video/mp4", payload)
}

func (s *store) close() error {
	err := s.direct.Close()
	if closing := s.server.Close(); err == nil {
		err = closing
	}
	<-s.served
	if closing := s.relay.Close(); err == nil {
		err = closing
	}
	return err
}
