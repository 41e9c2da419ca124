package publish

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/internal/fixture"
)

func folder(t *testing.T) claim.Store {
	t.Helper()
	place, err := claim.ParsePlace("file://" + filepath.ToSlash(t.TempDir()))
	require.NoError(t, err)
	store, err := claim.NewStore(place, claim.S3Config{})
	require.NoError(t, err)
	return store
}

// TestLargePayloadsGoIntoTheStore: the record of a large segment carries a claim that leads to the payload, that of a small one the
// payload.
func TestLargePayloadsGoIntoTheStore(t *testing.T) {
	addrs, store := embedded(t), folder(t)
	path := fixture.Repository("examples", "video", "shelf.mp4")
	inline, err := New(Config{Brokers: addrs, Topic: "in", Segment: 10 * time.Second, Loops: 1})
	require.NoError(t, err)
	defer inline.Close()
	summary, err := inline.File(t.Context(), path, "shelf", nil)
	require.NoError(t, err)
	whole := published(t, addrs, summary.Segments)
	sizes := map[bool]int{}
	limit := 0
	for _, segment := range whole {
		limit = max(limit, len(segment.Payload))
	}

	addrs = embedded(t)
	claiming, err := New(Config{Brokers: addrs, Topic: "in", Segment: 10 * time.Second, Loops: 1, Store: store, ClaimAbove: int64(limit - 1)})
	require.NoError(t, err)
	defer claiming.Close()
	_, err = claiming.File(t.Context(), path, "shelf", nil)
	require.NoError(t, err)
	reader, err := claim.NewReader(claim.ReaderConfig{Allow: []string{store.Place().String()}, Limit: 64 << 20, Timeout: time.Second})
	require.NoError(t, err)
	for i, segment := range published(t, addrs, summary.Segments) {
		require.NoError(t, segment.Problem)
		sizes[segment.Ref != ""]++
		require.Equal(t, len(whole[i].Payload) >= limit, segment.Ref != "")
		require.Equal(t, whole[i].SHA256, segment.SHA256)
		if segment.Ref == "" {
			require.Equal(t, whole[i].Payload, segment.Payload)
			continue
		}
		require.Empty(t, segment.Payload)
		payload, _, err := reader.Read(t.Context(), claim.Claim{Ref: segment.Ref, Size: segment.Size, SHA256: segment.SHA256})
		require.NoError(t, err)
		require.Equal(t, whole[i].Payload, payload)
	}
	require.Positive(t, sizes[true])
	require.Positive(t, sizes[false])
}
