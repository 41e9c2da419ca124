package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/picture"
	"github.com/ensue-video/ensue/stream"
)

// About is what the page says of the pipeline, and where it asks for the rest.
type About struct {
	Name, Model, Version string
	// Decode is the pipeline's own configuration, for pictures of alarms.
	Decode decode.Config
	// Status is asked twice a second while somebody looks; it may be nil.
	Status func() Status
}

// Server is the live page. It is a pipelines.Observer. The order is New, Handle, Listen, Serve.
type Server struct {
	config  Config
	about   About
	log     *slog.Logger
	state   *state
	frames  *frames
	clients *clients
	mux     *http.ServeMux
	// free are the paths of others' routes that need no token.
	free  map[string]bool
	wrong chan struct{}

	listener net.Listener
	bound    chan struct{}
}

// New makes a server; it fails with what Config.Validate says.
func New(config Config, about About, log *slog.Logger) (*Server, error) {
	config = config.Default()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("making the live page: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		config: config, about: about, log: log, state: newState(), frames: newFrames(about.Decode, log), clients: newClients(),
		mux: http.NewServeMux(), free: map[string]bool{}, wrong: make(chan struct{}, wrongAtOnce), bound: make(chan struct{}),
	}
	s.routes()
	return s, nil
}

// Handle adds a route of others' to the listener: a pattern as http.ServeMux takes it, for a path alone ("GET /metrics" is for "/metrics").
// Without free it needs the token as the page does. It must be called before Serve.
func (s *Server) Handle(pattern, path string, handler http.Handler, free bool) {
	s.mux.Handle(pattern, handler)
	s.free[path] = free
}

// Listen binds the address, so that what is wrong with it is told before anything runs. The failure has the code serve.listen.
func (s *Server) Listen(ctx context.Context) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", s.config.Address)
	if err != nil {
		return stream.FailTransient(stage, CodeListen, "serve.address: listening on %s: %w", s.config.Address, err)
	}
	s.listener = listener
	close(s.bound)
	s.log.Info("live page", "address", s.URL())
	return nil
}

// Bound is closed once Listen has bound the address.
func (s *Server) Bound() <-chan struct{} { return s.bound }

// URL is where the page is, once Bound is closed.
func (s *Server) URL() string {
	host, _, _ := net.SplitHostPort(s.config.Address)
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if host == "" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// The limits of one connection.
const (
	headerTime, idleTime = 10 * time.Second, 2 * time.Minute
	headerBytes          = 16 << 10
	farewell             = 3 * time.Second
)

// Serve serves until ctx is done; open pages are told that it ends. Every goroutine has ended when it returns.
func (s *Server) Serve(ctx context.Context) error {
	server := &http.Server{
		Handler: s.guard(http.NewCrossOriginProtection().Handler(s.mux)), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	working, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { s.publish(working) })
	group.Go(func() { s.frames.work(working, s.state.pictured) })
	group.Go(func() {
		<-working.Done()
		s.clients.close()
		ending, done := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer done()
		if err := server.Shutdown(ending); err != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(s.listener)
	stop()
	group.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return stream.FailTransient(stage, CodeListen, "serve.address: serving the live page: %w", err)
	}
	return nil
}

// status asks the pipeline what it is doing.
func (s *Server) status() Status {
	if s.about.Status == nil {
		return Status{Stages: []Stage{}}
	}
	return s.about.Status()
}

// Scored takes the frame of a stream that somebody looks at, and the picture of an alarm. It is a pipelines.Observer's.
func (s *Server) Scored(segment *stream.Segment, clip *stream.Clip, result *stream.Result) {
	if clip == nil || result == nil || clip.T == 0 || segment.ContextOnly {
		return
	}
	usual, id, pictured := s.state.observe(result)
	if s.frames.wants(id, time.Now()) {
		heat := picture.HeatAt(result, picture.Last(result, clip).Step, usual)
		if frame := s.frames.show(id, picture.FrameOf(clip, clip.T-1, frameSide), heat); frame > 0 {
			s.state.shows(result.Stream, frame)
		}
	}
	if !pictured && (result.Verdict == stream.Breaks || result.Verdict == stream.Stalls) {
		s.frames.hand(segment, clip, result, usual)
	}
}

// Done books a result or a dead letter. It is a pipelines.Observer's.
func (s *Server) Done(segment *stream.Segment, result *stream.Result, failure *stream.Failure) {
	if failure != nil && !segment.ContextOnly {
		s.state.failure(segment, failure, time.Now())
	}
	if result != nil {
		s.state.result(segment, result, time.Now())
	}
}
