package pipelines

import (
	"context"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/stream"
)

// stageClaim is the stage that gets payloads which are not in their records; only definitions with ingest.claims have it.
const stageClaim = "claim"

// claimStage gets the payloads of claims: those of one stream one after another, those of different streams side by side.
type claimStage struct{ claims *ingest.Claims }

func (s *claimStage) newStep() step {
	return step{
		stage: stageClaim,
		do:    s.resolve,
		// Results know it as part of the time a segment waited for its decoding.
		spent: func(*stream.Latency) *float64 { return new(float64) },
	}
}

func (s *claimStage) resolve(ctx context.Context, it *item) error {
	if it.failure != nil {
		return nil //nolint:nilerr // the failure travels on with its segment
	}
	return s.claims.Resolve(ctx, it.segment)
}

// claimed is how many bytes the payload of a segment will take: those it has, those its claim tells, or all that one may have.
func claimed(segment *stream.Segment, limit int64) int64 {
	switch {
	case !ingest.IsClaim(segment):
		return int64(len(segment.Payload))
	case segment.Size > 0:
		return min(segment.Size, limit)
	}
	return limit
}

// refuseClaim marks a segment that is a claim where the definition does not say where claims may lie.
func refuseClaim(segment *stream.Segment) {
	if ingest.IsClaim(segment) {
		segment.Problem = stream.Fail(stageIngest, ingest.CodeClaim,
			"%s holds a claim (%s) instead of the video: name the places claims may lie in (ingest.claims.allow), or send the video itself",
			segment.ID(), segment.Ref)
	}
}
