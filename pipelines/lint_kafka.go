package pipelines

import (
	"fmt"
	"math"
	"time"
)

// kafkaRules know how brokers and their clients behave with records the size of video.
func kafkaRules() []rule {
	return []rule{
		{
			code: "definition.timeout_order", severity: SeverityError,
			doc: "`decode.limits.timeout` must be shorter than `drain_timeout`, and that shorter than `rebalance_timeout` and " +
				"`session_timeout`.",
			reads: []string{
				"decode.limits.timeout", "ingest.kafka.drain_timeout", "ingest.kafka.rebalance_timeout", "ingest.kafka.session_timeout",
			}, find: timeoutOrder,
		},
		{
			code: "definition.session_short", severity: SeverityWarning,
			doc:   "The session ends after too few heartbeats, or is shorter than brokers allow unless told otherwise.",
			reads: []string{"ingest.kafka.session_timeout"}, find: sessionShort,
		},
		{
			code: "definition.max_wait_short", severity: SeverityWarning,
			doc:   "Fetches are held open so shortly that idle partitions keep the broker busy, and a slow broker looks empty.",
			reads: []string{"ingest.kafka.max_wait"}, find: maxWaitShort,
		},
		{
			code: "definition.max_wait_long", severity: SeverityError, doc: "`max_wait` must not be longer than `read_batch_timeout`.",
			reads: []string{"ingest.kafka.max_wait", "ingest.kafka.read_batch_timeout"}, find: maxWaitLong,
		},
		{
			code: "definition.read_batch_timeout_short", severity: SeverityWarning,
			doc:   "A full fetch, or the largest segment allowed, does not arrive in time at the assumed bandwidth and is downloaded again.",
			reads: []string{"ingest.kafka.read_batch_timeout", "ingest.kafka.max_bytes", "decode.limits.bytes"}, find: readBatchShort,
		},
		{
			code: "definition.max_bytes_small", severity: SeverityNote,
			doc:   "A fetch is smaller than the largest segment allowed: large segments come one at a time.",
			reads: []string{"ingest.kafka.max_bytes", "decode.limits.bytes"}, find: maxBytesSmall,
		},
		{
			code: "definition.message_size", severity: SeverityNote,
			doc:   "A topic takes records of 1 MiB unless told otherwise; segments of video are larger.",
			reads: []string{"ingest.kafka.topic", "decode.limits.bytes", "sink.dead_letter.kafka"}, find: messageSize,
		},
		{
			code: "definition.result_size", severity: SeverityWarning,
			doc: "The result on the longest segment allowed is larger than a topic takes unless told otherwise.",
			reads: []string{
				"sink.kafka", "predictor.map", "predictor.horizons", "decode.fps", "decode.limits.duration", "encoder.model",
			}, find: resultSize,
		},
		{
			code: "definition.grace_short", severity: SeverityWarning,
			doc:   "A segment that comes just after its successor is given up.",
			reads: []string{"ingest.order.grace", "ingest.kafka"}, find: graceShort,
		},
		{
			code: "definition.grace_long", severity: SeverityWarning,
			doc:   "A missing segment holds its stream back for so long that the group would take the partition away, or that draining fails.",
			reads: []string{"ingest.order.grace", "ingest.kafka", "ingest.kafka.drain_timeout"}, find: graceLong,
		},
	}
}

func timeoutOrder(def *Definition) []violation {
	kafka, decoding := def.Ingest.Kafka, def.Decode.Limits.Timeout
	if kafka == nil {
		return nil
	}
	var found []violation
	if decoding >= kafka.DrainTimeout {
		found = append(found, violation{
			"decode.limits.timeout",
			fmt.Sprintf("one segment may be decoded for %s, but what is under way must be finished in ingest.kafka.drain_timeout: %s",
				formatDuration(decoding), formatDuration(kafka.DrainTimeout)),
			"write less than " + formatDuration(kafka.DrainTimeout) + ", or a longer drain_timeout",
		})
	}
	if kafka.DrainTimeout >= kafka.RebalanceTimeout {
		found = append(found, violation{
			"ingest.kafka.drain_timeout",
			fmt.Sprintf("segments under way may take %s to finish, but the group waits only rebalance_timeout: %s",
				formatDuration(kafka.DrainTimeout), formatDuration(kafka.RebalanceTimeout)),
			"write less than " + formatDuration(kafka.RebalanceTimeout) + ", or a longer rebalance_timeout",
		})
	}
	if kafka.DrainTimeout >= kafka.SessionTimeout {
		found = append(found, violation{
			"ingest.kafka.drain_timeout",
			fmt.Sprintf("segments under way may take %s to finish, and no heartbeat is sent meanwhile: "+
				"the group gives this process up after session_timeout: %s",
				formatDuration(kafka.DrainTimeout), formatDuration(kafka.SessionTimeout)),
			"write less than " + formatDuration(kafka.SessionTimeout) + ", or a longer session_timeout",
		})
	}
	return found
}

func sessionShort(def *Definition) []violation {
	kafka := def.Ingest.Kafka
	switch {
	case kafka == nil:
		return nil
	case kafka.SessionTimeout < brokerSessionMin:
		return when(true, "ingest.kafka.session_timeout",
			fmt.Sprintf("%s is less than the %s that brokers allow unless told otherwise (group.min.session.timeout.ms): joining the group fails",
				formatDuration(kafka.SessionTimeout), formatDuration(brokerSessionMin)),
			"write at least "+formatDuration(3*heartbeat))
	}
	return when(kafka.SessionTimeout < 3*heartbeat, "ingest.kafka.session_timeout",
		fmt.Sprintf("%s are fewer than three heartbeats of %s: one that is late costs all partitions",
			formatDuration(kafka.SessionTimeout), formatDuration(heartbeat)),
		"write at least "+formatDuration(3*heartbeat))
}

func maxWaitShort(def *Definition) []violation {
	kafka := def.Ingest.Kafka
	if kafka == nil {
		return nil
	}
	return when(kafka.MaxWait < minSafeWait, "ingest.kafka.max_wait",
		fmt.Sprintf("every idle partition asks %.0f times a second, and a broker that answers later than it was asked to looks empty",
			1/kafka.MaxWait.Seconds()), "write at least "+formatDuration(minSafeWait))
}

func maxWaitLong(def *Definition) []violation {
	kafka := def.Ingest.Kafka
	if kafka == nil {
		return nil
	}
	return when(kafka.MaxWait > kafka.ReadBatchTimeout, "ingest.kafka.max_wait",
		fmt.Sprintf("the broker may hold a fetch open for %s, but a record must arrive in read_batch_timeout: %s",
			formatDuration(kafka.MaxWait), formatDuration(kafka.ReadBatchTimeout)),
		"write at most "+formatDuration(kafka.ReadBatchTimeout)+", or a longer read_batch_timeout")
}

func readBatchShort(def *Definition) []violation {
	kafka := def.Ingest.Kafka
	if kafka == nil {
		return nil
	}
	largest, what, key := kafka.MaxBytes, "a fetch", "ingest.kafka.max_bytes"
	if def.Decode.Limits.Bytes > largest {
		largest, what, key = def.Decode.Limits.Bytes, "a segment", "decode.limits.bytes"
	}
	needed := wholeSeconds(time.Duration(float64(largest) * 8 / assumedBandwidth * float64(time.Second)))
	return when(needed > kafka.ReadBatchTimeout, "ingest.kafka.read_batch_timeout",
		fmt.Sprintf("%s of %s (%s) takes %s at an assumed 50 Mbit/s: what has arrived by then is thrown away and downloaded again",
			what, formatBytes(largest), key, formatDuration(needed)),
		"write at least "+formatDuration(needed)+", or a smaller "+key)
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}

func maxBytesSmall(def *Definition) []violation {
	kafka, limit := def.Ingest.Kafka, def.Decode.Limits.Bytes
	if kafka == nil {
		return nil
	}
	return when(kafka.MaxBytes < limit, "ingest.kafka.max_bytes",
		fmt.Sprintf("a fetch brings %s, a segment may have %s (decode.limits.bytes): larger ones still come, each with a fetch of its own",
			formatBytes(kafka.MaxBytes), formatBytes(limit)),
		"write "+formatBytes(limit)+", or a smaller decode.limits.bytes")
}

func messageSize(def *Definition) []violation {
	kafka, limit := def.Ingest.Kafka, def.Decode.Limits.Bytes
	if kafka == nil || limit <= brokerMessageMax {
		return nil
	}
	topics := fmt.Sprintf("topic %q", kafka.Topic)
	if dead := def.Sink.DeadLetter.Kafka; dead != nil && dead.Topic != kafka.Topic {
		topics = fmt.Sprintf("topics %q and %q", kafka.Topic, dead.Topic)
	}
	return when(true, "ingest.kafka.topic",
		fmt.Sprintf("a segment of %s at an assumed 8 Mbit/s has %s and may have %s (decode.limits.bytes); "+
			"a topic takes 1 MiB unless told otherwise",
			formatDuration(assumedSegment), roughBytes(segmentBytes(assumedSegment)), roughBytes(float64(limit))),
		fmt.Sprintf("set max.message.bytes of the %s to %d; ensue check asks the broker", topics, limit))
}

// resultBytes is about how large the JSON of a result on the longest segment allowed is: the map in half floats and base64,
// a window of a hundred bytes for every first horizon, the embeddings in floats and base64.
func resultBytes(def *Definition) (float64, bool) {
	d, ok := describe(def)
	info := d.info
	if !ok || len(def.Predictor.Horizons) == 0 {
		return 0, false
	}
	seconds := def.Decode.Limits.Duration.Seconds()
	const base64, window, embedding = 4.0 / 3, 100, 4
	size := seconds / def.Predictor.Horizons[0].Seconds() * window
	size += float64(len(def.Predictor.Horizons)*info.Dim) * embedding * base64
	if def.Predictor.Map {
		steps := seconds * def.Decode.FPS / float64(max(info.FramesPerStep, 1))
		size += steps * float64(info.GridHeight*info.GridWidth) * 2 * base64
	}
	return size, true
}

func resultSize(def *Definition) []violation {
	size, ok := resultBytes(def)
	return when(ok && def.Sink.Kafka != nil && size > brokerMessageMax, "sink.kafka",
		fmt.Sprintf("the result on a segment of %s (decode.limits.duration) has about %s; a topic takes 1 MiB unless told otherwise",
			formatDuration(def.Decode.Limits.Duration), roughBytes(size)),
		"write predictor.map: false or a shorter decode.limits.duration, or raise max.message.bytes of the topic")
}

func graceShort(def *Definition) []violation {
	grace := def.Ingest.Order.Grace
	return when(def.Ingest.Kafka != nil && grace < assumedSegment, "ingest.order.grace",
		fmt.Sprintf("a segment that was overtaken by the next one comes up to a segment later (assumed %s), but is waited for only %s",
			formatDuration(assumedSegment), formatDuration(grace)),
		"write at least the length of a segment")
}

func graceLong(def *Definition) []violation {
	kafka, grace := def.Ingest.Kafka, def.Ingest.Order.Grace
	if kafka == nil {
		return nil
	}
	return when(grace >= kafka.DrainTimeout, "ingest.order.grace",
		fmt.Sprintf("a stream with a missing segment waits %s, longer than ingest.kafka.drain_timeout (%s): draining would not end in time",
			formatDuration(grace), formatDuration(kafka.DrainTimeout)),
		"write less than "+formatDuration(kafka.DrainTimeout))
}
