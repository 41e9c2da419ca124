package tail

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestClockReadsLikeAClock(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0:00.0", 28.862: "0:28.9", 61.04: "1:01.0", 3599.96: "1:00:00.0", 7325.5: "2:02:05.5"} {
		require.Equal(t, want, Clock(seconds))
	}
}

func TestTheTableShowsTheMostSurprisingWindowAndMarksTheBand(t *testing.T) {
	energy, likely, odd := 0.08, 0.4, 0.0004
	var out strings.Builder
	table := NewTable(&out)
	result := &stream.Result{
		Stream: "a-stream-with-a-long-name", Verdict: stream.Breaks, Energy: &energy, PValue: &odd,
		Expected: &stream.Expected{Median: 0.02, Low: 0.015, High: 0.03},
		Windows:  []stream.Window{{Start: 4, PValue: &likely}, {Start: 5, PValue: &odd}},
	}
	require.NoError(t, table.Print(result))
	require.NoError(t, table.Print(&stream.Result{Stream: "b", Verdict: stream.Unscored}))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^STREAM +AT +VERDICT +ENERGY +P$`, lines[0])
	require.Regexp(t, `^a-stream-with… +0:05\.0  breaks +0\.0800 +\.\.+ +# +0\.0004$`, lines[1])
	require.Regexp(t, `^b +-  unscored +- +-$`, lines[2])
}
