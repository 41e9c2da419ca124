package pipelines

import (
	"context"

	"github.com/ensue-video/ensue/web"
)

// WithVersion names the program on the live page.
func WithVersion(version string) Option { return func(e *Engine) { e.version = version } }

// Page is the live page of the definition's `serve`, before Run the place to add routes to; nil where there is none.
func (e *Engine) Page() *web.Server { return e.page }

// buildPage makes the live page where the definition wants one. It watches like any other observer.
func (e *Engine) buildPage() (err error) {
	if e.def.Serve == nil {
		return nil
	}
	about := web.About{Name: e.def.Name, Model: e.Model(), Version: e.version, Decode: e.def.Decode, Status: e.pageStatus}
	if e.page, err = web.New(*e.def.Serve, about, e.log); err != nil {
		return err
	}
	e.observers = append(e.observers, e.page)
	e.addRoutes()
	return nil
}

// openPage begins to serve the page and returns how to end that, which waits for it. The page outlives ctx: while the pipeline drains there
// is something to see.
func (e *Engine) openPage(ctx context.Context) (end func() error, err error) {
	if e.page == nil {
		return func() error { return nil }, nil
	}
	if err := e.page.Listen(ctx); err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- e.page.Serve(serving) }()
	return func() error {
		stop()
		return <-ended
	}, nil
}

// pageStatus is what the page is told twice a second.
func (e *Engine) pageStatus() web.Status {
	status := web.Status{
		Received: e.counts.Received.Load(), Dropped: e.counts.Dropped.Load(), Results: e.counts.Results.Load(), Dead: e.counts.Dead.Load(),
		Stages: []web.Stage{},
	}
	for _, s := range e.Stages() {
		status.Stages = append(status.Stages, web.NewStage(s.Name, s.Waiting, s.Room, s.Done, s.Busy))
	}
	return status
}
