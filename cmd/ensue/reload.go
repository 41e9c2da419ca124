package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ensue-video/ensue/pipelines"
)

// lookEvery is how often a watched definition is looked at.
const lookEvery = time.Second

// reloader has a running pipeline take over its changed definition: at SIGHUP, and where it watches whenever the file has changed.
type reloader struct {
	*app
	name   string
	engine *pipelines.Engine
	log    *slog.Logger
	// known is the digest of what was last taken over or refused, so that a watched file is told about once.
	known [sha256.Size]byte
	watch bool
}

// run reloads until ctx is done.
func (r *reloader) run(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-hangups:
			r.reload(ctx, true)
		case <-ticker.C:
			if r.watch {
				r.reload(ctx, false)
			}
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the definition again and hands it to the engine. What is wrong with it is logged, finding by finding, and the pipeline goes
// on as it is.
func (r *reloader) reload(ctx context.Context, asked bool) {
	if r.name == "-" {
		r.log.Warn("the definition came from the standard input and cannot be read again")
		r.engine.Counts().Refuse()
		return
	}
	data, err := r.read(r.name)
	if err != nil {
		if asked { // a watched file may be away for a moment while an editor writes it
			r.log.Warn("the definition cannot be read; the pipeline goes on as it is", "file", r.name, "error", err)
			r.engine.Counts().Refuse()
		}
		return
	}
	digest := sha256.Sum256(bytes.TrimSpace(data))
	if !asked && digest == r.known {
		return
	}
	r.known = digest
	def, findings := pipelines.Parse(r.name, data, r.env)
	if def != nil {
		findings = append(findings, pipelines.Review(def)...)
	}
	if pipelines.HasErrors(findings) {
		r.engine.Counts().Refuse()
		for _, finding := range findings {
			r.log.Warn("the changed definition has errors; the pipeline goes on as it is", "finding", finding.String())
		}
		return
	}
	r.take(ctx, def)
}

func (r *reloader) take(ctx context.Context, def *pipelines.Definition) {
	level := r.levels.Level()
	r.levelOf(def)
	changes, err := r.engine.Reload(ctx, def)
	if err != nil {
		r.levels.Set(level)
	}
	for _, change := range changes {
		if change.Refused != "" {
			r.log.Warn("this change needs a restart", "key", change.Path, "from", change.From, "to", change.To, "because", change.Refused)
		}
	}
	switch {
	case err != nil:
		r.log.Warn("the changed definition is not taken over; the pipeline goes on as it is", "error", err)
	case len(changes) == 0:
		r.log.Info("the definition has not changed")
	default:
		r.watch = r.watch || def.Reload
		r.log.Info("the changed definition is taken over", "changes", len(changes))
	}
}
