package pipelines

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/broker"
)

func TestCheckTellsAStateTopicThatIsNotCompacted(t *testing.T) {
	started, err := broker.StartEmbedded(t.Context(), broker.Options{Topics: []broker.Topic{
		{Name: "video.segments", Partitions: 2},
		{Name: "video.state", Partitions: 2, Configs: map[string]string{"cleanup.policy": "compact"}},
		{Name: "video.grows", Partitions: 2},
	}})
	require.NoError(t, err)
	t.Cleanup(started.Close)
	for topic, want := range map[string]struct {
		ok     bool
		detail string
	}{
		"video.state": {true, "2 partitions, cleanup.policy compact"},
		"video.new":   {true, "ensue run makes it"},
		"video.grows": {false, "cleanup.policy delete"},
	} {
		checks := checkState(t.Context(), live(t, started.Addrs()[0], "state: {topic: "+topic+"}"))
		require.Len(t, checks, 1)
		require.Equal(t, want.ok, checks[0].OK, topic)
		require.Contains(t, checks[0].Detail, want.detail)
		require.Equal(t, want.ok, checks[0].Hint == "")
	}
	require.Empty(t, checkState(t.Context(), live(t, started.Addrs()[0], "")))
	folder := checkState(t.Context(), live(t, started.Addrs()[0], "state: {folder: "+filepath.Join(t.TempDir(), "state")+"}"))
	require.True(t, folder[0].OK)
}
