package ingest

import (
	"encoding/base64"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgressRoundTrip(t *testing.T) {
	tests := map[string]progress{
		"nothing behind": {Base: 7, Next: 7},
		"only done":      {Base: 7, Next: 9, Pending: []int64{7}},
		"everything":     {Base: 1000, Next: 1100, Pending: []int64{1003, 1099}, Needed: []int64{1000, 1050}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseProgress(want.Base, want.text(maxMetadata))
			require.NoError(t, err)
			require.Equal(t, want.Next, got.Next)
			require.True(t, slices.Equal(want.Pending, got.Pending))
			require.True(t, slices.Equal(want.Needed, got.Needed))
		})
	}
}

func TestProgressText(t *testing.T) {
	// The format is read by other versions of the program: it must not change under the same prefix.
	p := progress{Base: 1000, Next: 1300, Pending: []int64{1003, 1203}, Needed: []int64{1000}}
	require.Equal(t, "ensue1:"+base64.RawURLEncoding.EncodeToString([]byte{0xac, 0x02, 2, 3, 0xc8, 0x01, 1, 0}), p.text(maxMetadata))
}

func TestProgressIsCutToFit(t *testing.T) {
	p := progress{Base: 100, Next: 100_000}
	for offset := int64(100); offset < 100_000; offset += 37 {
		if offset%2 == 0 {
			p.Pending = append(p.Pending, offset)
		} else {
			p.Needed = append(p.Needed, offset)
		}
	}
	for _, limit := range []int{0, 10, 64, 1000, maxMetadata} {
		text := p.text(limit)
		require.LessOrEqual(t, len(text), limit)
		got, err := parseProgress(p.Base, text)
		require.NoError(t, err)
		require.Equal(t, p.until(got.Next).Pending, append([]int64{}, got.Pending...), "everything before Next is told")
		require.Equal(t, p.until(got.Next).Needed, append([]int64{}, got.Needed...))
		if limit == maxMetadata {
			require.Greater(t, len(got.Pending)+len(got.Needed), 2000, "the room is used")
		}
	}
}

func TestProgressRefuses(t *testing.T) {
	encode := func(data ...byte) string { return progressPrefix + base64.RawURLEncoding.EncodeToString(data) }
	tests := map[string]string{
		"somebody else's":       "committed by hand",
		"a later version":       "ensue2:AAAA",
		"no base64":             progressPrefix + "!",
		"nothing in it":         progressPrefix,
		"no length":             encode(0, 0, 0),
		"too long":              encode(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0),
		"more than is there":    encode(5, 200, 1, 1),
		"beyond the end":        encode(5, 1, 5, 0),
		"the same offset twice": encode(5, 2, 1, 0, 0),
		"cut short":             encode(5, 1, 1),
		"something after it":    encode(5, 0, 0, 0),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseProgress(40, text)
			require.Error(t, err)
			require.Equal(t, progress{Base: 40, Next: 40}, got, "nothing counts as done")
		})
	}
	_, err := parseProgress(math.MaxInt64, encode(5, 0, 0))
	require.Error(t, err)
}

// FuzzParseProgress: any text is refused or gives a progress that is in order, and that is written and read again the same.
func FuzzParseProgress(f *testing.F) {
	f.Add(int64(0), "")
	f.Add(int64(1000), progress{Base: 1000, Next: 1300, Pending: []int64{1003}, Needed: []int64{1000}}.text(maxMetadata))
	f.Add(int64(5), "ensue1:BQEFAA")
	f.Fuzz(func(t *testing.T, base int64, text string) {
		p, err := parseProgress(base, text)
		require.Equal(t, base, p.Base)
		require.GreaterOrEqual(t, p.Next, base)
		if err != nil {
			require.Equal(t, base, p.Next)
			return
		}
		for _, offsets := range [][]int64{p.Pending, p.Needed} {
			require.True(t, slices.IsSorted(offsets))
			for _, offset := range offsets {
				require.True(t, base <= offset && offset < p.Next)
			}
		}
		same, err := parseProgress(base, p.text(math.MaxInt))
		require.NoError(t, err)
		require.Equal(t, p, same)
	})
}
