package pipelines

import (
	"fmt"
	"math"

	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/predictor"
	"github.com/ensue-video/ensue/sink"
)

// reliabilityRules look at what is remembered, tried again and given up.
func reliabilityRules() []rule {
	return []rule{
		{
			code: "definition.two_states", severity: SeverityError, doc: "State is kept in one place, not in two.",
			reads: []string{"state.topic", "state.folder"}, find: twoStates,
		},
		{
			code: "definition.state_shared", severity: SeverityError, doc: "State is written to a topic that holds something else.",
			reads: []string{"state.topic", "ingest.kafka.topic", "sink.kafka.topic", "sink.dead_letter.kafka.topic"}, find: stateShared,
		},
		{
			code: "definition.state_transaction", severity: SeverityError,
			doc:   "A folder takes no part in Kafka's transactions: with `delivery: exactly_once` state needs a topic.",
			reads: []string{"state.folder", "sink.kafka.delivery"}, find: stateTransaction,
		},
		{
			code: "definition.state_large", severity: SeverityWarning,
			doc:   "What is written of a stream with every result is larger than a topic takes unless told otherwise.",
			reads: []string{"state.topic", "predictor.calibrate.history", "predictor.model", "encoder.model"}, find: stateLarge,
		},
		{
			code: "definition.state_no_effect", severity: SeverityNote, doc: "`state` is written where it changes nothing.",
			reads: []string{"state.topic", "state.folder", "ingest.files"}, find: stateNoEffect,
		},
		{
			code: "definition.no_state", severity: SeverityNote,
			doc:   "Nothing of the streams is kept over a restart: every one warms up again.",
			reads: []string{"state.topic", "state.folder", "ingest.kafka"}, find: noState,
		},
		{
			code: "definition.hold_back_short", severity: SeverityWarning,
			doc:   "A stream that pauses loses its context at a restart, because too few records are held back for it.",
			reads: []string{"ingest.kafka.hold_back", "ingest.order.evict"}, find: holdBackShort,
		},
		{
			code: "definition.breaker_order", severity: SeverityError, doc: "More segments would have to fail than are looked at.",
			reads: []string{"breaker.failed", "breaker.of"}, find: breakerOrder,
		},
		{
			code: "definition.retry_order", severity: SeverityError, doc: "The first pause is longer than the longest.",
			reads: []string{"retry.first", "retry.most"}, find: retryOrder,
		},
	}
}

func twoStates(def *Definition) []violation {
	return when(def.State.Topic != "" && def.State.Folder != "", "state.folder", "state has two places, topic and folder", "keep one")
}

func stateShared(def *Definition) []violation {
	topic, in := def.State.Topic, def.Ingest.Kafka
	if topic == "" || in == nil {
		return nil
	}
	other := ""
	switch out, dead := def.Sink.Kafka, def.Sink.DeadLetter.Kafka; {
	case topic == in.Topic:
		other = "the topic that segments are read from"
	case out != nil && topic == out.Topic && sameCluster(def, out.Brokers, in.Brokers):
		other = "the topic of the results"
	case dead != nil && topic == dead.Topic && sameCluster(def, dead.Brokers, in.Brokers):
		other = "the topic of the dead letters"
	}
	return when(other != "", "state.topic", fmt.Sprintf("state goes to %q, %s", topic, other),
		"use a topic of its own for state: it is compacted, so only the newest record of a stream stays")
}

func stateTransaction(def *Definition) []violation {
	out := def.Sink.Kafka
	return when(def.State.Folder != "" && out != nil && out.Delivery == sink.DeliverExactlyOnce, "state.folder",
		"what is written to a folder stays there when a transaction is given up, and the next start would take results for written "+
			"that are not", "write state: {topic: …}")
}

// stateBytes is about how large the state of a stream is: four bytes a window, and a number that the predictor remembers, in base64, and
// what else there is to say.
func stateBytes(def *Definition) float64 {
	numbers := def.Predictor.Calibrate.History
	if d, ok := describe(def); ok && d.model != nil && d.predictor == predictor.Learned &&
		d.model.Config().ModelType == model.FamilyRecurrent {
		config := d.model.Config()
		numbers += config.Grid() * config.Grid() * config.Ensue.Recurrent.Hidden
	}
	return float64(numbers)*4*4/3 + 1024
}

func stateLarge(def *Definition) []violation {
	size := stateBytes(def)
	return when(def.State.Topic != "" && size > brokerMessageMax, "predictor.calibrate.history",
		fmt.Sprintf("the state of a stream has about %s and is written with every result; a topic takes 1 MiB unless told otherwise",
			roughBytes(size)), "write a shorter history, or raise max.message.bytes of the topic")
}

func stateNoEffect(def *Definition) []violation {
	if def.Ingest.Files == nil {
		return nil
	}
	var found []violation
	for path, value := range map[string]string{"state.topic": def.State.Topic, "state.folder": def.State.Folder} {
		if value != "" {
			found = append(found, violation{path, "has no effect: files are read from their beginning", "remove it"})
		}
	}
	return found
}

func noState(def *Definition) []violation {
	return when(def.Ingest.Kafka != nil && !def.State.Durable(), "state",
		fmt.Sprintf("what is known of the streams ends with the process: after a restart none is judged for %s (predictor.calibrate.warmup)",
			formatDuration(def.Predictor.Calibrate.Warmup)),
		"write state: {topic: …}, or state: {folder: …} on one machine")
}

// assumedStreams is how many streams a partition has.
const assumedStreams = 10

func holdBackShort(def *Definition) []violation {
	kafka, evict := def.Ingest.Kafka, def.Ingest.Order.Evict
	if kafka == nil || kafka.HoldBack == 0 {
		return nil
	}
	needed := int(math.Ceil(assumedStreams * evict.Seconds() / assumedSegment.Seconds()))
	return when(kafka.HoldBack < needed, "ingest.kafka.hold_back",
		fmt.Sprintf("while a stream pauses for %s (ingest.order.evict) a partition of %d streams with segments of %s (assumed) goes on for %d "+
			"records: a restart then finds the paused stream without its context", formatDuration(evict), assumedStreams,
			formatDuration(assumedSegment), needed),
		fmt.Sprintf("write at least %d, or a shorter ingest.order.evict", needed))
}

func breakerOrder(def *Definition) []violation {
	breaker := def.Breaker
	return when(breaker.Failed > breaker.Of, "breaker.failed",
		fmt.Sprintf("%d segments cannot fail among the last %d (breaker.of): it never stops the pipeline", breaker.Failed, breaker.Of),
		fmt.Sprintf("write at most %d, or 0 to say that it never stops", breaker.Of))
}

func retryOrder(def *Definition) []violation {
	retry := def.Retry
	return when(retry.First > retry.Most, "retry.first",
		fmt.Sprintf("the first pause, %s, is longer than the longest, retry.most: %s", formatDuration(retry.First), formatDuration(retry.Most)),
		"write at most "+formatDuration(retry.Most))
}
