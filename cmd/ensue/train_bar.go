package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ensue-video/ensue/train"
)

// trainBar are the progress bars of a training: files to decode, then steps. The zero value draws nothing.
type trainBar struct {
	progress *mpb.Progress
	footage  *mpb.Bar
	steps    *mpb.Bar
	// now is what the goroutine that draws shows.
	now atomic.Pointer[train.Progress]
}

func (a *app) trainBar() *trainBar {
	if !a.progress() {
		return &trainBar{}
	}
	return &trainBar{progress: mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(48))}
}

// trainLog writes above the bars where there are any: a line in the midst of one would be drawn over.
func (a *app) trainLog(bar *trainBar) slog.Handler {
	if bar.progress != nil {
		return a.loggerTo(bar.progress).Handler()
	}
	return a.logger().Handler()
}

// step shows how far the training is.
func (b *trainBar) step(p train.Progress) {
	switch {
	case b.progress == nil:
	case p.Footage.Total > 0:
		b.decoded(p.Footage)
	default:
		b.trained(p)
	}
}

func (b *trainBar) decoded(p train.FootageProgress) {
	if b.footage == nil {
		b.footage = b.progress.AddBar(int64(p.Total), mpb.PrependDecorators(decor.Name("decode "), decor.CountersNoUnit("%d / %d files")),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	b.footage.SetCurrent(int64(p.Files))
}

func (b *trainBar) trained(p train.Progress) {
	b.now.Store(&p)
	if b.steps == nil {
		b.steps = b.progress.AddBar(int64(max(1, p.Steps)), mpb.PrependDecorators(decor.Name("train "), decor.CountersNoUnit("%d / %d steps")),
			mpb.AppendDecorators(decor.Percentage(), decor.Any(b.describe)))
	}
	if b.steps.Completed() {
		return
	}
	b.steps.SetTotal(int64(max(p.Steps, p.Step)), false)
	b.steps.SetCurrent(int64(p.Step))
}

// describe is what stands behind the bar.
func (b *trainBar) describe(decor.Statistics) string {
	p := b.now.Load()
	return fmt.Sprintf(" left %s, loss %.4g", p.Left.Round(time.Second), p.Loss)
}

// end leaves the bars as they are.
func (b *trainBar) end() {
	if b.progress == nil {
		return
	}
	for _, bar := range []*mpb.Bar{b.footage, b.steps} {
		if bar != nil {
			bar.SetTotal(-1, true)
		}
	}
	b.progress.Wait()
}
