package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// progress is how far a partition is done. As text it travels in the metadata of the committed offset, so that whoever owns
// the partition next does not write results again.
type progress struct {
	// Base is the committed offset: everything before it is done and needed by nobody.
	Base int64
	// Next is the first offset nobody read. What lies between Base and Next is done, but for Pending.
	Next int64
	// Pending are offsets that are not done, Needed those that are done but still wanted as context; both ascending, and no
	// offset is in both.
	Pending, Needed []int64
}

const (
	// progressPrefix names the format and its version. A later version takes another prefix.
	progressPrefix = "ensue1:"
	// maxMetadata is what a broker takes unless told otherwise (offset.metadata.max.bytes).
	maxMetadata = MetadataBytes
)

var errNotProgress = errors.New("it was not written by ensue, or by a later version of it")

// text is the metadata string: the prefix, then in URL-safe base64 without padding the unsigned varints Next−Base, the number
// of pending offsets, their distances (the first from Base), the number of needed ones, and theirs. It is empty where there is
// nothing to say, and never longer than limit: what does not fit is left out from the end, so that those offsets count as not
// read and are processed again.
func (p progress) text(limit int) string {
	if full := p.encode(); len(full) <= limit {
		return full
	}
	edges := slices.Sorted(slices.Values(slices.Concat(p.Pending, p.Needed)))
	// The text grows with the number of edges kept: find the first that does not fit.
	kept := sort.Search(len(edges), func(n int) bool { return len(p.until(edges[n]).encode()) > limit })
	if kept == 0 {
		return ""
	}
	return p.until(edges[kept-1]).encode()
}

// until is the progress as if nothing from next on had been read.
func (p progress) until(next int64) progress {
	cut := func(offsets []int64) []int64 {
		end, _ := slices.BinarySearch(offsets, next)
		return offsets[:end]
	}
	return progress{Base: p.Base, Next: max(next, p.Base), Pending: cut(p.Pending), Needed: cut(p.Needed)}
}

func (p progress) encode() string {
	if p.Next == p.Base {
		return ""
	}
	data := binary.AppendUvarint(nil, uint64(p.Next-p.Base))
	for _, offsets := range [][]int64{p.Pending, p.Needed} {
		data = binary.AppendUvarint(data, uint64(len(offsets)))
		last := p.Base
		for _, offset := range offsets {
			data = binary.AppendUvarint(data, uint64(offset-last))
			last = offset
		}
	}
	return progressPrefix + base64.RawURLEncoding.EncodeToString(data)
}

// parseProgress reads what text wrote for a committed offset. Whatever the error, the progress returned is safe: nothing
// behind base is done.
func parseProgress(base int64, text string) (progress, error) {
	none := progress{Base: base, Next: base}
	if text == "" {
		return none, nil
	}
	body, ours := strings.CutPrefix(text, progressPrefix)
	if !ours {
		return none, errNotProgress
	}
	data, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return none, fmt.Errorf("decoding base64: %w", err)
	}
	reader := varints{data: data}
	length := reader.next()
	if reader.bad || length == 0 || length > maxBehind || base < 0 || base > maxOffset {
		return none, errors.New("its length is out of range")
	}
	p := progress{Base: base, Next: base + int64(length)}
	if p.Pending, err = reader.offsets(base, p.Next); err != nil {
		return none, fmt.Errorf("reading the pending offsets: %w", err)
	}
	if p.Needed, err = reader.offsets(base, p.Next); err != nil {
		return none, fmt.Errorf("reading the needed offsets: %w", err)
	}
	if len(reader.data) > 0 {
		return none, errors.New("something follows its end")
	}
	return p, nil
}

const (
	// maxBehind bounds how far reading may be ahead of the committed offset, maxOffset the offsets themselves; far more than
	// any topic has, far less than overflows.
	maxBehind = 1 << 40
	maxOffset = 1 << 62
)

// varints reads unsigned varints until one is bad.
type varints struct {
	data []byte
	bad  bool
}

func (v *varints) next() uint64 {
	value, n := binary.Uvarint(v.data)
	if n <= 0 {
		v.bad = true
		return 0
	}
	v.data = v.data[n:]
	return value
}

// offsets reads a counted list of ascending offsets in [base, end).
func (v *varints) offsets(base, end int64) ([]int64, error) {
	count := v.next()
	if v.bad || count > uint64(len(v.data)) { // each takes a byte at least
		return nil, errors.New("their number is out of range")
	}
	offsets := make([]int64, 0, count)
	last := base
	for i := range count {
		distance := v.next()
		if v.bad || distance >= uint64(end-last) || (i > 0 && distance == 0) {
			return nil, fmt.Errorf("number %d is out of range", i)
		}
		last += int64(distance)
		offsets = append(offsets, last)
	}
	return offsets, nil
}
