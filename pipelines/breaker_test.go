package pipelines

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestTheBreakerTripsWhenSoManyOfTheLastSegmentsFailed(t *testing.T) {
	const good, bad = false, true
	for name, test := range map[string]struct {
		config  BreakerConfig
		failed  []bool
		tripped bool
	}{
		"nothing yet":             {BreakerConfig{3, 5}, nil, false},
		"too few":                 {BreakerConfig{3, 5}, []bool{bad, bad}, false},
		"at once":                 {BreakerConfig{3, 5}, []bool{bad, bad, bad}, true},
		"between good ones":       {BreakerConfig{3, 5}, []bool{bad, good, bad, good, bad}, true},
		"too far apart":           {BreakerConfig{3, 5}, []bool{bad, good, good, bad, good, good, bad, good, good, bad}, false},
		"after a long good while": {BreakerConfig{3, 5}, []bool{good, good, good, good, good, good, good, bad, bad, bad}, true},
		"never":                   {BreakerConfig{0, 5}, []bool{bad, bad, bad, bad, bad, bad}, false},
		"not told":                {BreakerConfig{}, []bool{bad, bad, bad}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(test.config)
			for i, failed := range test.failed {
				it := numbered("cam", int64(i))
				if failed {
					it.failure = stream.Fail("decode", "decode.not_video", "rubbish")
				}
				b.note(it)
			}
			require.Equal(t, test.tripped, b.tripped() != nil)
		})
	}
}

func TestTheBreakerSaysWhatFailedAndWhereToChangeThat(t *testing.T) {
	b := newBreaker(BreakerConfig{Failed: 3, Of: 4})
	for i, code := range []stream.Code{"decode.not_video", "", "decode.not_video", "encode.internal"} {
		it := numbered("cam", int64(i))
		if code != "" {
			it.failure = stream.Fail("decode", code, "what happened to %d", i)
		}
		b.note(it)
	}
	err := b.tripped()
	require.ErrorContains(t, err, "3 of the last 4 segments")
	require.ErrorContains(t, err, "2 × decode.not_video, 1 × encode.internal")
	require.ErrorContains(t, err, "what happened to 3")
	require.ErrorContains(t, err, "breaker: {failed: 3, of: 4}")
	require.Equal(t, CodeBreaker, stream.AsFailure(err, "sink").Code)
}

func TestWhatIsReadAgainOrGivenUpDoesNotCount(t *testing.T) {
	b := newBreaker(BreakerConfig{Failed: 1, Of: 1})
	failure := stream.Fail("decode", "decode.not_video", "rubbish")
	again, given, forgotten := numbered("cam", 0), numbered("cam", 1), numbered("cam", 2)
	again.segment.ContextOnly, given.dropped, forgotten.segment.Mark = true, true, stream.MarkForget
	for _, it := range []*item{again, given, forgotten} {
		it.failure = failure
		b.note(it)
	}
	require.NoError(t, b.tripped())
}
