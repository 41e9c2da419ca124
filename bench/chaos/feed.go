package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/bench/rig"
)

// feed sends segments: so many streams, each with a clip every 1/rate seconds, numbered one by one.
type feed struct {
	sender *rig.Sender
	clips  []rig.Clip
	random *rand.Rand
	// streams are healthy; of the sick ones a poisonous segment comes now and then in between.
	streams, sick int
	rate          float64
	// claims is the folder where every other payload goes; empty: all are in their records.
	claims string
	epoch  time.Time

	// poison is the part of records that must become dead letters.
	poison float64
	next   []int
	odd    int

	mu sync.Mutex
	// sentAt is when a segment was durable, due how many results and dead letters there must be.
	sentAt  map[string]time.Time
	results int
	letters int
	failed  error
}

// name is the stream's name: the sick ones come last.
func (f *feed) name(i int) string {
	if i >= f.streams {
		return fmt.Sprintf("sick-%02d", i-f.streams)
	}
	return fmt.Sprintf("cam-%02d", i)
}

// run sends until the time is over.
func (f *feed) run(ctx context.Context, length time.Duration) error {
	all := f.streams + f.sick
	pause := time.Duration(float64(time.Second) / f.rate / float64(all))
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	timer := time.NewTimer(length)
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return f.error()
		case <-ticker.C:
		}
		if err := f.one(ctx, i%all); err != nil {
			return err
		}
		if f.random.Float64() < f.poison/2 {
			f.stray(ctx)
		}
		if err := f.error(); err != nil {
			return err
		}
	}
}

// end sends the last segment of every stream and waits until everything is durable.
func (f *feed) end(ctx context.Context) error {
	if err := f.sender.Flush(ctx); err != nil {
		return fmt.Errorf("sending the last segments: %w", err)
	}
	return f.error()
}

func (f *feed) error() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// one sends the next segment of a stream.
func (f *feed) one(ctx context.Context, i int) error {
	clip := f.clips[(f.next[i]+7*i)%len(f.clips)]
	number := f.next[i]
	f.next[i]++
	segment := rig.Segment{
		Stream: f.name(i), Sequence: number, Epoch: f.epoch, Start: f.epoch.Add(time.Duration(number) * clip.Length), Length: clip.Length,
		Value: clip.Data, More: map[string]string{},
	}
	switch {
	case i >= f.streams && number > 0 && f.random.Float64() < f.poison*float64(f.streams+f.sick)/float64(max(f.sick, 1))/2:
		segment.Value = []byte("this is no video")
		segment.More[headerPoison] = "decode.not_video"
	case f.claims != "" && number%2 == 1:
		if err := f.claim(&segment); err != nil {
			return err
		}
	}
	f.send(ctx, segment)
	return nil
}

// claim puts the payload of a segment into the folder.
func (f *feed) claim(segment *rig.Segment) error {
	digest := sha256.Sum256(segment.Value)
	told := hex.EncodeToString(digest[:])
	path := filepath.Join(f.claims, told)
	if _, err := os.Stat(path); err != nil {
		if err := os.WriteFile(path, segment.Value, 0o600); err != nil {
			return fmt.Errorf("writing a claim: %w", err)
		}
	}
	segment.More["ensue-ref"], segment.More["ensue-sha256"] = "file://"+path, told
	segment.More["ensue-size"] = strconv.Itoa(len(segment.Value))
	segment.Value = []byte{}
	return nil
}

// stray sends a poisonous record of a stream of its own.
func (f *feed) stray(ctx context.Context) {
	f.odd++
	segment := rig.Segment{Stream: fmt.Sprintf("poison-%d", f.odd%16), Unordered: true, More: map[string]string{}}
	gone := "file://" + f.claims + "/gone"
	outside, missing := "ingest.claim_refused", "ingest.claim_expired"
	if f.claims == "" {
		outside, missing, gone = "ingest.claim_unsupported", "ingest.claim_unsupported", "file:///gone"
	}
	zeros := fmt.Sprintf("%064d", 0)
	kinds := []struct {
		code, value string
		more        map[string]string
	}{
		{"decode.not_video", "this is no video", nil},
		{"decode.not_video", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", nil},
		{"ingest.empty_value", "", nil},
		{"ingest.bad_header", "x", map[string]string{"ensue-sequence": "seven"}},
		{"decode.checksum", string(f.clips[0].Data), map[string]string{"ensue-sha256": zeros}},
		{outside, "", map[string]string{"ensue-ref": "s3://elsewhere/key", "ensue-sha256": zeros}},
		{missing, "", map[string]string{"ensue-ref": gone, "ensue-sha256": zeros}},
	}
	chosen := kinds[f.random.IntN(len(kinds))]
	segment.Value = []byte(chosen.value)
	maps.Copy(segment.More, chosen.more)
	segment.More[headerPoison] = chosen.code
	f.send(ctx, segment)
}

func (f *feed) send(ctx context.Context, segment rig.Segment) {
	// A phase that is over takes nothing back: a segment that is given up is a hole in its stream.
	f.sender.Send(context.WithoutCancel(ctx), segment.Record(), func(_ *kgo.Record, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err != nil:
			f.failed = errors.Join(f.failed, fmt.Errorf("sending %s/%d: %w", segment.Stream, segment.Sequence, err))
		case segment.More[headerPoison] != "":
			f.letters++
		default:
			f.results++
			f.sentAt[segment.Stream+"/"+strconv.Itoa(segment.Sequence)] = time.Now()
		}
	})
}

// due is how many results and dead letters there must be by now.
func (f *feed) due() (results, letters int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.results, f.letters
}

// sent is when a segment was durable.
func (f *feed) sent(segment string) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.sentAt[segment]
	return at, ok
}
