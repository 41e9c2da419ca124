package main

import (
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/ensue-video/ensue/stream"
)

// encodeBar is the progress bar of an encode. The zero value draws nothing.
type encodeBar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

// encodeBar counts the bytes of files.
func (a *app) encodeBar(paths []string) *encodeBar {
	var total int64
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // the reader tells what is wrong with it
			total += info.Size()
		}
	}
	return a.newEncodeBar(total, decor.CountersKibiByte("% .1f / % .1f"))
}

// countBar counts clips.
func (a *app) countBar(clips int) *encodeBar {
	return a.newEncodeBar(int64(clips), decor.CountersNoUnit("%d / %d clips"))
}

func (a *app) newEncodeBar(total int64, counters decor.Decorator) *encodeBar {
	if !a.progress() {
		return &encodeBar{}
	}
	b := &encodeBar{progress: mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(64))}
	b.bar = b.progress.AddBar(total, mpb.PrependDecorators(decor.Name("encode "), counters),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" left "), decor.AverageETA(decor.ET_STYLE_GO)))
	return b
}

func (b *encodeBar) step(segment *stream.Segment) {
	if b.bar != nil {
		b.bar.IncrBy(len(segment.Payload))
	}
}

func (b *encodeBar) one() {
	if b.bar != nil {
		b.bar.Increment()
	}
}

// end leaves the bar as it is; a second call does nothing.
func (b *encodeBar) end() {
	if b == nil || b.bar == nil {
		return
	}
	b.bar.SetTotal(-1, true)
	b.progress.Wait()
	b.bar = nil
}
