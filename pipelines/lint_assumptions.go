package pipelines

import "time"

// What the lint assumes where a definition cannot know better. Every finding that rests on one of these says so.
const (
	// assumedSegment is how long segments from Kafka are: what `publish` cuts by default.
	assumedSegment = 2 * time.Second
	// assumedBitrate is that of a camera at 1080p in H.264, in bits a second, at the upper end of what cameras are set to.
	assumedBitrate = 8e6
	// assumedBandwidth is what one consumer gets from its broker, in bits a second.
	assumedBandwidth = 50e6
	// assumedFrameRate is how many frames a second cameras send.
	assumedFrameRate = 25
	// brokerMessageMax is max.message.bytes of a broker where nobody changed it.
	brokerMessageMax = 1048588
	// brokerSessionMin is group.min.session.timeout.ms of a broker where nobody changed it.
	brokerSessionMin = 6 * time.Second
	// heartbeat is how often a member of a group says that it lives; kafka-go's own default, which ingest keeps.
	heartbeat = 3 * time.Second
	// usualFlush is how often recorders write at least.
	usualFlush = time.Second
	// minSafeWait is the shortest max_wait without a warning. kafka-go's readers also use it as the read deadline of a fetch:
	// with 50 ms nothing arrived from a broker that was a little slow, and no error either.
	minSafeWait = time.Second
	// minWarmupWindows is how many energies the calibration wants before it judges, whatever the warm-up.
	minWarmupWindows = 8
)

// segmentBytes is how large a segment of the length is at the assumed bitrate.
func segmentBytes(length time.Duration) float64 { return length.Seconds() * assumedBitrate / 8 }

// segmentLength is how long the segments of the definition are, and whether that is assumed.
func segmentLength(def *Definition) (length time.Duration, assumed bool) {
	if def.Ingest.Files != nil {
		return def.Ingest.Files.Segment, false
	}
	return assumedSegment, true
}
