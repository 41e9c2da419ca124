package pipelines

import (
	"slices"
	"strings"

	"github.com/ensue-video/ensue/web"
)

// definitionFields is the table. An object stands before its keys, stages in the order in which video passes them.
func definitionFields() []Field {
	return marked(slices.Concat(rootFields(), ingestFields(), decodeFields(), modelFields(), sinkFields(), reliabilityFields(), queueFields(),
		serveFields(), traceFields()))
}

func rootFields() []Field {
	return []Field{
		{
			Path: "version", Kind: KindInt, Required: true, Min: "1", Max: "1", Examples: []string{"1"},
			Doc: "The version of the definition format; this program reads version 1.",
		},
		{
			Path: "name", Kind: KindString, Required: true, Examples: []string{"lobby", "car-park.north"}, check: checkName,
			Doc: "The name of the pipeline, in logs, metrics and the name of its consumer group.",
		},
		{
			Path: "log", Kind: KindEnum, Default: "warn", Options: []string{"debug", "info", "warn", "error"},
			Meant: map[string]string{"warning": "warn", "trace": "debug", "verbose": "debug"},
			Why:   "a pipeline that is well is silent",
			Doc:   "What is logged on stderr; `--log` on the command line goes before it.",
		},
		{
			Path: "reload", Kind: KindBool, Default: "false",
			Why: "a half-written file is nothing to take over unasked; SIGHUP always works",
			Doc: "Whether `ensue run` looks every second whether the file has changed, and takes over what can change without a restart.",
		},
	}
}

func ingestFields() []Field {
	return slices.Concat([]Field{{
		Path: "ingest", Kind: KindObject, Required: true, Choice: ChooseOne,
		Doc: "Where segments come from: exactly one of `kafka` and `files`.",
		Notes: "A segment is a few seconds of one stream, in any container the decoder reads. " +
			"Segments of one stream are brought into order before they are decoded; different streams do not wait for each other.",
	}}, kafkaIngestFields(), securityFields("ingest.kafka", ""), filesIngestFields(), claimFields(), orderFields())
}

func kafkaIngestFields() []Field {
	return []Field{
		{
			Path: "ingest.kafka", Kind: KindObject,
			Doc: "Reads segments from a Kafka topic as a member of a consumer group; a record is a segment, its key the stream.",
			Notes: "Offsets are committed after the results of a segment are written, and never past a segment that is still wanted as " +
				"context. After a restart such segments are read again for their tokens only; their results are not written twice.",
		},
		{
			Path: "ingest.kafka.brokers", Kind: KindList, Item: KindString, Commas: true, Default: "[localhost:9092]",
			Examples: []string{`["${KAFKA:localhost:9092}"]`, "[kafka-1:9092, kafka-2:9092]"}, check: checkBroker,
			Why: "a broker on the same machine, as in the compose file",
			Doc: "Brokers to begin with, host:port each; the others are found through them.",
		},
		{
			Path: "ingest.kafka.topic", Kind: KindString, Required: true, Examples: []string{"video.segments"}, check: checkTopic,
			Doc: "The topic with the segments.",
		},
		{
			Path: "ingest.kafka.group", Kind: KindString, Computed: "ensue- and the name", Examples: []string{"ensue-lobby"}, check: checkGroup,
			Why: "pipelines with different names do not take segments from each other",
			Doc: "The consumer group; processes with the same group share the partitions of the topic.",
		},
		{
			Path: "ingest.kafka.start_at", Kind: KindEnum, Default: "oldest", Options: []string{"oldest", "newest"},
			Meant: map[string]string{
				"earliest": "oldest", "beginning": "oldest", "first": "oldest", "latest": "newest", "end": "newest", "last": "newest",
			},
			Why: "nothing that was published before the first start is missed",
			Doc: "Where a group that has no committed offsets begins.",
		},
		{
			Path: "ingest.kafka.max_bytes", Kind: KindBytes, Default: "64MiB", Min: "64KiB", Max: "2047MiB",
			Why: "as large as the largest segment that decode.limits.bytes allows",
			Doc: "How much one fetch may bring; a single larger record is still delivered.",
		},
		{
			Path: "ingest.kafka.max_wait", Kind: KindDuration, Default: "2s", Min: "100ms", Max: "1m",
			Why: "an idle partition asks every two seconds; well below a second, slow brokers look empty",
			Doc: "How long the broker may hold a fetch open when there is nothing new.",
		},
		{
			Path: "ingest.kafka.read_batch_timeout", Kind: KindDuration, Default: "30s", Min: "1s", Max: "10m",
			Why: "64 MiB at 50 Mbit/s take 11 s",
			Doc: "How long a fetch may take to arrive; one that takes longer is thrown away and asked for again with less at a time.",
		},
		{
			Path: "ingest.kafka.session_timeout", Kind: KindDuration, Default: "45s", Min: "1s", Max: "30m",
			Why: "longer than drain_timeout, for no heartbeats are sent while draining; brokers accept 6s to 30m unless told otherwise",
			Doc: "After how long without a heartbeat the group gives this process up and hands its partitions to others.",
		},
		{
			Path: "ingest.kafka.rebalance_timeout", Kind: KindDuration, Default: "60s", Min: "1s", Max: "1h",
			Why: "leaves drain_timeout room",
			Doc: "How long the group waits for this process to give its partitions back when members come or go.",
		},
		{
			Path: "ingest.kafka.drain_timeout", Kind: KindDuration, Default: "40s", Min: "100ms", Max: "1h",
			Why: "longer than one decode.limits.timeout, shorter than session_timeout and rebalance_timeout",
			Doc: "How long segments under way may take to finish when partitions are given back or the pipeline stops.",
		},
		{
			Path: "ingest.kafka.hold_back", Kind: KindInt, Unit: "records", Default: "10000", Min: "0", Max: "1000000000",
			Why: "a minute (`ingest.order.evict`) of a partition with 300 streams",
			Doc: "How many records of a partition the committed offset may stay behind for the context of a stream that pauses; " +
				"0 is any number.",
		},
	}
}

func filesIngestFields() []Field {
	return []Field{
		{
			Path: "ingest.files", Kind: KindObject,
			Doc: "Reads recorded files; each is a stream named after the file, cut on key frames.",
			Notes: "The cut is the one `publish` makes, so replaying a file and publishing it through Kafka give the same segments, " +
				"ids and energies.",
		},
		{
			Path: "ingest.files.paths", Kind: KindList, Item: KindString, Required: true,
			Examples: []string{"[lobby.mp4]", `["/video/*.mp4", /video/inbox]`},
			Doc:      "Files, globs and folders; a folder stands for the files directly in it.",
		},
		{
			Path: "ingest.files.segment", Kind: KindDuration, Default: "2s", Min: "100ms", Max: "10m",
			Why: "a usual distance between key frames",
			Doc: "The length to cut at; a cut falls on the first key frame at or after it.",
		},
		{
			Path: "ingest.files.watch", Kind: KindBool, Default: "false",
			Why: "a replay ends when its files are read",
			Doc: "Whether to keep looking for new finished files in the folders.",
		},
		{
			Path: "ingest.files.settle", Kind: KindDuration, Default: "2s", Min: "100ms", Max: "1h",
			Why: "recorders write at least once a second",
			Doc: "How long a watched file must stay unchanged before it counts as finished.",
		},
	}
}

func orderFields() []Field {
	return []Field{
		{
			Path: "ingest.order", Kind: KindObject,
			Doc: "How the segments of a stream are brought into order.",
			Notes: "Only streams whose sender numbers the segments (the header `ensue-sequence`) can be put in order; " +
				"others keep the order of their partition.",
		},
		{
			Path: "ingest.order.grace", Kind: KindDuration, Default: "2s", Min: "0s", Max: "10m",
			Why: "one segment of the usual length",
			Doc: "How long a missing segment is waited for before the stream goes on with a gap.",
		},
		{
			Path: "ingest.order.late", Kind: KindEnum, Default: "dead_letter", Options: []string{"drop", "dead_letter", "score_alone"},
			Meant: map[string]string{"dlq": "dead_letter", "discard": "drop", "ignore": "drop", "alone": "score_alone", "score": "score_alone"},
			Why:   "nothing is lost without a trace",
			Doc:   "What happens to a segment whose place in the stream has passed.",
		},
		{
			Path: "ingest.order.evict", Kind: KindDuration, Default: "60s", Min: "1s", Max: "24h",
			Why: "a camera that reconnects within a minute keeps its past",
			Doc: "After how long without a segment a stream is forgotten.",
		},
	}
}

func decodeFields() []Field {
	return []Field{
		{
			Path: "decode", Kind: KindObject,
			Doc: "How segments become frames: demuxed and decoded in memory, sampled by presentation time, resized for the encoder.",
			Notes: "Frames are sampled on a grid whose step is a whole multiple of the stream's own frame duration, anchored at the " +
				"stream's first frame, so no frame is repeated or skipped unevenly.",
		},
		{
			Path: "decode.fps", Kind: KindFloat, Unit: "frames per second", Default: "8", Min: "0.1", Max: "240",
			Why: "enough to see how people and vehicles move",
			Doc: "The sampling rate asked for; the effective one is the stream's own rate divided by a whole number, and results tell it.",
		},
		{
			Path: "decode.limits", Kind: KindObject,
			Doc: "What one segment may cost; what exceeds a limit is refused with a code of its own.",
		},
		{
			Path: "decode.limits.bytes", Kind: KindBytes, Default: "64MiB", Min: "1KiB", Max: "2047MiB",
			Why: "a minute at 8 Mbit/s",
			Doc: "The size of the payload.",
		},
		{
			Path: "decode.limits.pixels", Kind: KindPixels, Default: "4096x4096", Min: "16x16", Max: "16384x16384",
			Why: "holds 4K either way up; a picture bomb does not pass",
			Doc: "The largest picture, width x height.",
		},
		{
			Path: "decode.limits.frames", Kind: KindInt, Unit: "frames", Default: "3000", Min: "1", Max: "1000000",
			Why: "a minute at 50 frames per second",
			Doc: "How many frames are decoded.",
		},
		{
			Path: "decode.limits.duration", Kind: KindDuration, Default: "60s", Min: "100ms", Max: "1h",
			Why: "segments are a few seconds long; a minute is generous",
			Doc: "How long the segment may last by its own timestamps.",
		},
		{
			Path: "decode.limits.timeout", Kind: KindDuration, Default: "20s", Min: "10ms", Max: "10m",
			Why: "ten times the usual length of a segment",
			Doc: "How long decoding may take.",
		},
		{
			Path: "decode.workers", Kind: KindInt, Unit: "segments side by side", Default: "0", Min: "0", Max: "1024",
			Why: "0 is one per processor",
			Doc: "How many segments, of different streams, are decoded side by side.",
		},
	}
}

func modelFields() []Field {
	return []Field{
		{
			Path: "encoder", Kind: KindObject,
			Doc: "What turns frames into tokens, causally: a token depends on its frame and those before it.",
			Notes: "`builtin` is a small learned model; weights/default/README.md is its card. `pixels` describes every patch of the picture by " +
				"its mean colour and the directions of its edges; it learns nothing. `patches` passes pixels through. A directory holds a " +
				"learned model: `config.json` and safetensors as transformers lays out V-JEPA 2; docs/models.md tells more.",
		},
		{
			Path: "encoder.model", Kind: KindEnum, Default: "pixels", Options: []string{"builtin", "pixels", "patches"}, OrPath: true,
			Examples: []string{"./vjepa2-vitl-fpc64-256", "/models/lobby"},
			Meant:    map[string]string{"default": "pixels", "embedded": "builtin", "pixel": "pixels"},
			Why:      "it is the cheapest; `demo`, `live` and `replay` name `builtin`",
			Doc: "The encoder: the model that comes with the program (`builtin`), `pixels`, the bare `patches` of the picture, or the directory " +
				"of a model, relative to the definition's file.",
		},
		{
			Path: "encoder.attention", Kind: KindEnum, Default: "auto", Options: []string{"auto", "full", "block_causal", "tubelet"},
			Meant: map[string]string{
				"causal": "block_causal", "block-causal": "block_causal", "bidirectional": "full", "none": "tubelet", "frame": "tubelet",
			},
			Why: "a model works best as it was trained",
			Doc: "What the tokens of a vision transformer attend to: what the model says (`auto`), all of the clip (`full`), their tubelet and " +
				"those before it (`block_causal`), or their tubelet alone (`tubelet`).",
		},
		{
			Path: "encoder.precision", Kind: KindEnum, Default: "f32", Options: []string{"f32", "bf16"},
			Meant: map[string]string{
				"float32": "f32", "fp32": "f32", "single": "f32", "bfloat16": "bf16", "half": "bf16", "f16": "bf16", "fp16": "bf16", "float16": "bf16",
			},
			Why: "it is exact",
			Doc: "What a learned model computes in; `bf16` takes half the memory and, on processors that multiply it, half the time.",
		},
		{
			Path: "encoder.threads", Kind: KindInt, Unit: "threads", Default: "0", Min: "0", Max: "1024",
			Why: "0 is one per processor",
			Doc: "How many threads compute a learned model.",
		},
		{
			Path: "predictor", Kind: KindObject,
			Doc: "What says which tokens come next, how badly those that came fit, and how surprising that is.",
			Notes: "The first horizon is the length of a window. Every window is predicted from the context directly before it. Horizon i " +
				"covers the time between the horizon before it and itself; its energy, and the level of the map, is the distance between " +
				"expected and seen tokens whatever the energy of windows is (but with the verifier, whose energies they are then). A learned " +
				"energy is told in standard deviations of genuine windows, so that it may be below 0; docs/models.md tells what it looks at, " +
				"and how it draws the map.",
		},
		{
			Path: "predictor.model", Kind: KindEnum, Default: "auto", Options: []string{"auto", "learned", "persistence", "linear", "flow"},
			Meant: map[string]string{"default": "auto", "model": "learned", "vjepa2": "learned", "neural": "learned"},
			Why:   "a model's own predictor knows its tokens; without one, the plainest baseline",
			Doc: "The predictor: the model's own (`learned`), the last tokens stay (`persistence`), go on changing as they did (`linear`), or the " +
				"last frame moves on along its optical flow (`flow`); `auto` is the model's own where it has one, else `persistence`.",
		},
		{
			Path: "predictor.energy", Kind: KindEnum, Default: "auto",
			Options: []string{"auto", "distance", "one_class", "head", "mix", "max", "verifier"}, OrPath: true,
			Examples: []string{"./energy.safetensors"},
			Meant:    map[string]string{"default": "auto", "learned": "auto", "l1": "distance", "oneclass": "one_class", "one-class": "one_class"},
			Why:      "what was learned tells more kinds of surprises than a distance does",
			Doc: "How badly what came fits: the mean distance to what was expected (`distance`); an energy that was learned from statistics of " +
				"the window given its past, by genuine windows alone (`one_class`), by a head that has seen made-up ones (`head`), by a mean " +
				"(`mix`) or the larger of both (`max`); the model's `verifier`; a file of a learned energy; `auto` is the energy that lies " +
				"beside the model, by its own rule, else `distance`.",
		},
		{
			Path: "predictor.context", Kind: KindDuration, Default: "2s", Min: "50ms", Max: "10m",
			Why: "one segment of the usual length, so one segment is read again after a restart",
			Doc: "How much past the predictor sees.",
		},
		{
			Path: "predictor.horizons", Kind: KindList, Item: KindDuration, Default: "[1s, 2s]", Min: "50ms", Max: "10m",
			Why: "a window of a second tells where in a segment something happened",
			Doc: "How far ahead it predicts, increasing; the first one is the length of a window.",
		},
		{
			Path: "predictor.map", Kind: KindBool, Default: "true",
			Why: "it shows where in the picture the surprise is, for a few kilobytes a result",
			Doc: "Whether results carry the energy of every token.",
		},
		{
			Path: "predictor.calibrate", Kind: KindObject,
			Doc: "How energies become p-values and verdicts, per stream, against its own past.",
			Notes: "It is two-sided: too surprising (`breaks`) and not surprising enough (`stalls`, a frozen or looped stream) are both told. " +
				"A rate of r false alarms a day and windows of w seconds make a window an alarm when its p-value is below r·w/86400.",
		},
		{
			Path: "predictor.calibrate.false_alarms_per_day", Kind: KindFloat, Unit: "alarms per day and stream", Default: "1",
			Min: "0.001", Max: "86400", Examples: []string{"0.1", "24"},
			Why: "an alarm a day is one a person still looks at",
			Doc: "The rate of false alarms to accept, per stream, on footage without surprises.",
		},
		{
			Path: "predictor.calibrate.warmup", Kind: KindDuration, Default: "60s", Min: "1s", Max: "24h",
			Why: "sixty windows of a second",
			Doc: "How much of a stream must have been seen before it is judged.",
		},
		{
			Path: "predictor.calibrate.history", Kind: KindInt, Unit: "windows", Default: "600", Min: "10", Max: "1000000",
			Why: "ten minutes of windows of a second: it follows the light of the day",
			Doc: "How many windows the calibration remembers.",
		},
	}
}

func sinkFields() []Field {
	const sameSecurity = "that of ingest.kafka where the brokers are"
	return slices.Concat(
		resultSinkFields(), securityFields("sink.kafka", sameSecurity), transactionFields(), furtherSinkFields(),
		deadLetterFields(), securityFields("sink.dead_letter.kafka", sameSecurity),
	)
}

// sameBrokers is the default of a sink's brokers, in words.
const sameBrokers = "the brokers of ingest.kafka"

func resultSinkFields() []Field {
	return []Field{
		{
			Path: "sink", Kind: KindObject, Required: true, Choice: ChooseSome,
			Doc: "Where results go: any number of sinks at once, and where dead letters go.",
			Notes: "A segment is acknowledged once all sinks have its result. Ids of results are deterministic: a repeated result " +
				"replaces itself.",
		},
		{
			Path: "sink.kafka", Kind: KindObject,
			Doc: "Writes results to a topic, keyed by stream, acknowledged by all in-sync replicas.",
		},
		{
			Path: "sink.kafka.brokers", Kind: KindList, Item: KindString, Commas: true, Computed: sameBrokers,
			Examples: []string{`["${KAFKA:localhost:9092}"]`}, check: checkBroker,
			Why: "results usually go back where the video came from",
			Doc: "Brokers to begin with, host:port each.",
		},
		{
			Path: "sink.kafka.topic", Kind: KindString, Required: true, Examples: []string{"video.energy"}, check: checkTopic,
			Doc: "The topic for results.",
		},
		{
			Path: "sink.kafka.delivery", Kind: KindEnum, Default: "at_least_once", Options: []string{"at_least_once", "exactly_once"},
			Meant: map[string]string{"at-least-once": "at_least_once", "exactly-once": "exactly_once", "eos": "exactly_once"},
			Why:   "nothing is lost; what is repeated after a crash has the same id, and no transaction has to be waited for",
			Doc: "The delivery guarantee: with `exactly_once` results, dead letters, state and the progress of the group are written in Kafka " +
				"transactions, and readers with `isolation.level=read_committed` see each once; processes of one group all have the same, " +
				"so stop them all before it is changed.",
		},
		{
			Path: "sink.kafka.encoding", Kind: KindEnum, Default: "json", Options: []string{"json", "protobuf"},
			Why: "every tool reads it",
			Doc: "How results are written; both have the same schema.",
		},
		deliveryTimeout("sink.kafka.delivery_timeout"),
		{
			Path: "sink.jsonl", Kind: KindObject,
			Doc: "Writes results to a file, a line of JSON each.",
		},
		{
			Path: "sink.jsonl.path", Kind: KindString, Required: true, Examples: []string{"results.jsonl", `"-"`},
			Doc: "The file; `-` is the standard output.",
		},
	}
}

func deadLetterFields() []Field {
	return []Field{
		{
			Path: "sink.dead_letter", Kind: KindObject, Choice: ChooseAtMostOne,
			Doc: "Where segments go that cannot be processed: one of `kafka` and `jsonl`, or neither.",
			Notes: "A dead letter says what went wrong (a stable code), in which stage, and where the segment came from. " +
				"Without a place for dead letters the pipeline stops at the first one.",
		},
		{
			Path: "sink.dead_letter.kafka", Kind: KindObject,
			Doc: "Writes the record as it came to a topic, with what went wrong in its headers.",
		},
		{
			Path: "sink.dead_letter.kafka.brokers", Kind: KindList, Item: KindString, Commas: true, Computed: sameBrokers,
			Examples: []string{`["${KAFKA:localhost:9092}"]`}, check: checkBroker,
			Why: "dead letters usually stay where the video came from",
			Doc: "Brokers to begin with, host:port each.",
		},
		{
			Path: "sink.dead_letter.kafka.topic", Kind: KindString, Required: true, Examples: []string{"video.dead"}, check: checkTopic,
			Doc: "The topic for dead letters; it must take records as large as the topic of the segments does.",
		},
		deliveryTimeout("sink.dead_letter.kafka.delivery_timeout"),
		{
			Path: "sink.dead_letter.jsonl", Kind: KindObject,
			Doc: "Writes dead letters to a file, a line of JSON each.",
		},
		{
			Path: "sink.dead_letter.jsonl.path", Kind: KindString, Required: true, Examples: []string{"dead.jsonl"},
			Doc: "The file; `-` is the standard output.",
		},
	}
}

func deliveryTimeout(path string) Field { return deliveryTimeoutOf(path, "the broker") }

// deliveryTimeoutOf is the key of a sink that writes to somebody who may be away.
func deliveryTimeoutOf(path, whom string) Field {
	return Field{
		Path: path, Kind: KindDuration, Default: "2m", Min: "1s", Max: "1h",
		Why: strings.Replace(whom, "the ", "a ", 1) + " restarts well within it",
		Doc: "How long a write is tried again while " + whom + " is away, before the pipeline stops.",
	}
}

func queueFields() []Field {
	return []Field{
		{
			Path: "queues", Kind: KindObject,
			Doc: "Bounds what is under way; the memory of a pipeline does not grow with the length of its streams.",
		},
		{
			Path: "queues.size", Kind: KindInt, Unit: "segments", Default: "8", Min: "1", Max: "4096",
			Why: "hides the jitter of a stage without adding much delay",
			Doc: "How many segments wait between two stages, and how many of one stream may be under way.",
		},
		{
			Path: "queues.full", Kind: KindEnum, Default: "block", Options: []string{"block", "drop_oldest"},
			Meant: map[string]string{"wait": "block", "drop": "drop_oldest", "oldest": "drop_oldest"},
			Why:   "nothing is lost; Kafka keeps what is not read yet",
			Doc: "What happens when the stages cannot keep up: the partition of the stream waits, or its oldest waiting segments are given up, " +
				"counted, and told as `unscored` with the reason `dropped`.",
		},
		{
			Path: "queues.memory", Kind: KindBytes, Default: "1GiB", Min: "16MiB", Max: "1TiB",
			Why: "room for ten of the largest segments that the defaults allow",
			Doc: "How much memory payloads, frames and tokens may take, whoever holds them; with `ingest.kafka` a quarter of it is for records " +
				"that were just read or wait for a missing one; partitions stand still until there is room.",
		},
	}
}

func serveFields() []Field {
	return []Field{
		{
			Path: "serve", Kind: KindObject,
			Doc: "The live page, metrics and health: what the pipeline sees and finds, in a browser and for Prometheus; without it nothing is " +
				"listened on.",
			Notes: "Everything the page shows is in the program, and it asks for nothing from elsewhere. It speaks HTTP; for others to reach it " +
				"over TLS put a proxy before it.",
		},
		{
			Path: "serve.address", Kind: KindString, Default: web.DefaultAddress, Examples: []string{"localhost:8080", `":8080"`, `"0.0.0.0:8080"`},
			check: checkAddress,
			Why:   "nobody but this machine can reach it",
			Doc:   "Where to listen, host:port; an address that other machines can reach needs a token.",
		},
		{
			Path: "serve.token", Kind: KindString, Secret: true, Computed: "none", Examples: []string{"${ENSUE_TOKEN:only-for-trying-out}"},
			check: checkToken,
			Why:   "a page that only this machine can reach needs none",
			Doc:   "What opens the page, at least 16 characters: people type it in once, programs send it as a bearer.",
		},
		{
			Path: "serve.streams", Kind: KindInt, Unit: "streams", Default: "100", Min: "1", Max: "10000",
			Why: "some nine series a stream: a Prometheus of any size holds that",
			Doc: "Of how many streams `/metrics` tells energy, p-value and verdicts one by one; the rest is told together as `_other`.",
		},
		{
			Path: "serve.pprof", Kind: KindBool, Default: "false",
			Why: "a profile costs time and tells names of streams",
			Doc: "Whether `/debug/pprof/` serves the profiles of the program, behind the token.",
		},
	}
}

func traceFields() []Field {
	return []Field{
		{
			Path: "traces", Kind: KindObject,
			Doc: "Traces for OpenTelemetry: how each segment went through the pipeline, a span for every stage; without it there are none.",
			Notes: "A trace goes on where the sender's header `traceparent` began it, and results and dead letters carry it on in the same. " +
				"Whether a trace is recorded is the sender's decision where there is one. Nothing waits for the collector: what it does not take is " +
				"left out.",
		},
		{
			Path: "traces.otlp", Kind: KindString, Required: true, Examples: []string{"http://localhost:4318", `"https://${OTLP:localhost:4318}"`},
			check: checkOTLP,
			Doc:   "Where a collector takes OTLP over HTTP; without a path that is `/v1/traces`.",
		},
		{
			Path: "traces.sample", Kind: KindFloat, Unit: "share", Default: "0.01", Min: "0", Max: "1",
			Why: "a thousand segments a minute make ten traces",
			Doc: "The share of segments whose trace is recorded, of those whose sender has not decided.",
		},
		{
			Path: "traces.token", Kind: KindString, Secret: true, Computed: "none", Examples: []string{`"${file:/run/secrets/otlp}"`},
			Why: "a collector on the same machine or in the same cluster seldom asks for one",
			Doc: "What is shown to the collector as a bearer.",
		},
	}
}
