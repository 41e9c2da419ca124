package metrics

// Type is a Prometheus type.
type Type string

// The types of metrics.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Label is a label and what bounds its values (invariant 2).
type Label struct{ Name, Bound string }

// Metric is one row of the table.
type Metric struct {
	Name string
	Type Type
	// Unit is what the value counts, in words.
	Unit   string
	Labels []Label
	Help   string
	// Buckets are the upper bounds of a histogram's.
	Buckets []float64
}

// Other is the label of what has none of its own: streams, codes and partitions beyond what is told one by one.
const Other = "_other"

// The names of the metrics.
const (
	SegmentsReceived = "ensue_segments_received_total"
	SegmentsDecoded  = "ensue_segments_decoded_total"
	SegmentsEncoded  = "ensue_segments_encoded_total"
	SegmentsScored   = "ensue_segments_scored_total"
	SegmentsDropped  = "ensue_segments_dropped_total"
	SegmentsLost     = "ensue_segments_lost_total"
	ReceivedBytes    = "ensue_received_bytes_total"
	FramesSampled    = "ensue_frames_sampled_total"
	FramesDropped    = "ensue_frames_dropped_total"
	ResultsWritten   = "ensue_results_written_total"
	DeadLetters      = "ensue_dead_letters_total"

	StageSegments = "ensue_stage_segments_total"
	StageBusy     = "ensue_stage_busy_seconds_total"
	StageRetries  = "ensue_stage_retries_total"
	StageWorkers  = "ensue_stage_workers"
	QueueSegments = "ensue_queue_segments"
	QueueCapacity = "ensue_queue_capacity_segments"

	QueueDuration    = "ensue_queue_duration_seconds"
	StageDuration    = "ensue_stage_duration_seconds"
	SinkDuration     = "ensue_sink_write_duration_seconds"
	DeliveryDuration = "ensue_delivery_duration_seconds"
	ResultAge        = "ensue_result_age_seconds"
	PValue           = "ensue_result_p_value"

	SinkWriting   = "ensue_sink_writing_seconds"
	BreakerFailed = "ensue_breaker_failed_segments"
	BreakerLimit  = "ensue_breaker_limit_segments"
	Draining      = "ensue_draining"

	MemoryUsed      = "ensue_memory_used_bytes"
	MemoryPeak      = "ensue_memory_peak_bytes"
	MemoryLimit     = "ensue_memory_limit_bytes"
	GateWaiting     = "ensue_gate_waiting_segments"
	StreamsInFlight = "ensue_streams_in_flight"

	IngestPartitions = "ensue_ingest_partitions"
	IngestLag        = "ensue_ingest_lag_records"
	IngestHeld       = "ensue_ingest_held_records"
	IngestRebalances = "ensue_ingest_rebalances_total"
	IngestEvents     = "ensue_ingest_events_total"

	Streams         = "ensue_streams"
	StreamEnergy    = "ensue_stream_energy"
	StreamExpected  = "ensue_stream_expected_energy"
	StreamPValue    = "ensue_stream_p_value"
	StreamResults   = "ensue_stream_results_total"
	StreamLastStamp = "ensue_stream_last_result_timestamp_seconds"

	Reloads           = "ensue_config_reloads_total"
	ReloadSuccessful  = "ensue_config_last_reload_successful"
	ReloadSuccessTime = "ensue_config_last_reload_success_timestamp_seconds"

	ModelInfo = "ensue_model_info"
	BuildInfo = "ensue_build_info"
)

// The limits of labels (invariant 2).
const (
	maxCodes      = 200
	maxPartitions = 512
	// DefaultStreams is how many streams have metrics of their own where nobody says otherwise.
	DefaultStreams = 100
)

// Table is every metric there is, in the order of the documentation.
func Table() []Metric {
	var all []Metric
	for _, part := range []func() []Metric{
		flowMetrics, stageMetrics, timeMetrics, healthMetrics, ingestMetrics, streamMetrics, reloadMetrics, infoMetrics,
	} {
		all = append(all, part()...)
	}
	return all
}

func stages() []Label {
	return []Label{{"stage", "the stages of the pipeline: claim (where there are claims), decode, encode, predict, sink"}}
}

func flowMetrics() []Metric {
	return []Metric{
		{Name: SegmentsReceived, Type: Counter, Unit: "segments", Help: "Segments taken in."},
		{Name: SegmentsDecoded, Type: Counter, Unit: "segments", Help: "Segments that became frames."},
		{Name: SegmentsEncoded, Type: Counter, Unit: "segments", Help: "Segments whose frames became tokens."},
		{Name: SegmentsScored, Type: Counter, Unit: "segments", Help: "Segments whose tokens were judged."},
		{
			Name: SegmentsDropped, Type: Counter, Unit: "segments",
			Help: "Segments given up because the stages could not keep up (queues.full: drop_oldest).",
		},
		{
			Name: SegmentsLost, Type: Counter, Unit: "segments",
			Help: "Segments that went to another process of the group before their results were written; it writes them.",
		},
		{Name: ReceivedBytes, Type: Counter, Unit: "bytes", Help: "Payloads taken in, as they came in their records."},
		{Name: FramesSampled, Type: Counter, Unit: "frames", Help: "Frames sampled from segments with a result."},
		{Name: FramesDropped, Type: Counter, Unit: "frames", Help: "Frames that the decoder could not make out, in segments with a result."},
		{
			Name: ResultsWritten, Type: Counter, Unit: "results", Help: "Results durably written, by verdict.",
			Labels: []Label{{"verdict", "warming_up, continues, breaks, stalls, unscored"}},
		},
		{
			Name: DeadLetters, Type: Counter, Unit: "segments", Help: "Segments that became dead letters, by the code of what went wrong.",
			Labels: []Label{{"code", "the codes of errors.md, 200 at most"}},
		},
	}
}

func stageMetrics() []Metric {
	return []Metric{
		{Name: StageSegments, Type: Counter, Unit: "segments", Labels: stages(), Help: "Segments that passed the stage, failed ones too."},
		{Name: StageBusy, Type: Counter, Unit: "seconds", Labels: stages(), Help: "Time the stage's workers have worked, all together."},
		{Name: StageRetries, Type: Counter, Unit: "attempts", Labels: stages(), Help: "Attempts that failed and were tried again (retry)."},
		{Name: StageWorkers, Type: Gauge, Unit: "workers", Labels: stages(), Help: "Workers of the stage."},
		{Name: QueueSegments, Type: Gauge, Unit: "segments", Labels: stages(), Help: "Segments waiting before the stage."},
		{Name: QueueCapacity, Type: Gauge, Unit: "segments", Labels: stages(), Help: "Segments that may wait before the stage."},
	}
}

func timeMetrics() []Metric {
	short := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}
	long := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	return []Metric{
		{
			Name: QueueDuration, Type: Histogram, Unit: "seconds", Buckets: long,
			Help: "From taking a segment in until its decoding began.",
		},
		{
			Name: StageDuration, Type: Histogram, Unit: "seconds", Buckets: short,
			Labels: []Label{{"stage", "claim, decode, encode, predict"}},
			Help:   "Work on one segment in one stage, all attempts together.",
		},
		{
			Name: SinkDuration, Type: Histogram, Unit: "seconds", Buckets: long,
			Labels: []Label{{"sink", "results, dead_letters, state"}},
			Help:   "One write of a batch until it was durable, including what was tried again.",
		},
		{
			Name: DeliveryDuration, Type: Histogram, Unit: "seconds", Buckets: long,
			Help: "From taking a segment in until its result or dead letter was durable: the pipeline from end to end.",
		},
		{
			Name: ResultAge, Type: Histogram, Unit: "seconds", Buckets: long,
			Help: "From the time of a segment's record on the topic until its result was durable: how late results are.",
		},
		{
			Name: PValue, Type: Histogram, Unit: "probability", Buckets: []float64{1e-6, 1e-5, 1e-4, 1e-3, .01, .05, .1, .25, .5, .75, 1},
			Help: "P-values of judged results. On footage without surprises a share of about p lies below p.",
		},
	}
}

func healthMetrics() []Metric {
	return []Metric{
		{Name: SinkWriting, Type: Gauge, Unit: "seconds", Help: "How long the write that is under way has taken so far; 0 when none is."},
		{Name: BreakerFailed, Type: Gauge, Unit: "segments", Help: "Dead letters among the last segments, so many as breaker.of says."},
		{Name: BreakerLimit, Type: Gauge, Unit: "segments", Help: "So many of them stop the pipeline (breaker.failed); 0 never does."},
		{Name: Draining, Type: Gauge, Unit: "0 or 1", Help: "It is 1 once the pipeline was told to stop and finishes what it has."},
		{Name: MemoryUsed, Type: Gauge, Unit: "bytes", Help: "Payloads, frames and tokens under way."},
		{Name: MemoryPeak, Type: Gauge, Unit: "bytes", Help: "The most that was under way at once, since the start."},
		{
			Name: MemoryLimit, Type: Gauge, Unit: "bytes",
			Help: "How much may be under way (queues.memory without what the source holds); beyond it segments wait.",
		},
		{Name: GateWaiting, Type: Gauge, Unit: "segments", Help: "Segments that wait for memory or for their own stream before they are let in."},
		{Name: StreamsInFlight, Type: Gauge, Unit: "streams", Help: "Streams with segments under way."},
	}
}

func ingestMetrics() []Metric {
	partitions := []Label{{"partition", "the partitions this process reads, 512 at most"}}
	return []Metric{
		{Name: IngestPartitions, Type: Gauge, Unit: "partitions", Help: "Partitions this process reads."},
		{
			Name: IngestLag, Type: Gauge, Unit: "records", Labels: partitions,
			Help: "Records of the topic that are not read yet: consumer lag. Scale on its sum.",
		},
		{
			Name: IngestHeld, Type: Gauge, Unit: "records", Labels: partitions,
			Help: "Records that were read and lie behind the committed offset: under way, or still needed as context.",
		},
		{Name: IngestRebalances, Type: Counter, Unit: "rebalances", Help: "How often partitions were given to this process."},
		{
			Name: IngestEvents, Type: Counter, Unit: "events",
			Labels: []Label{{
				"event", "duplicate, late, late_dropped, gap, forced_gap, restart, evicted, problem, passed, context_given_up, offset_out_of_range",
			}},
			Help: "What happened to segments and streams before the pipeline.",
		},
	}
}

func streamMetrics() []Metric {
	one := Label{"stream", "serve.streams streams (100), the rest together as _other; one that is silent for ten minutes makes room"}
	return []Metric{
		{Name: Streams, Type: Gauge, Unit: "streams", Help: "Streams with metrics of their own."},
		{
			Name: StreamEnergy, Type: Gauge, Unit: "energy", Labels: []Label{one},
			Help: "Energy of the stream's last scored result; none for _other.",
		},
		{
			Name: StreamExpected, Type: Gauge, Unit: "energy", Labels: []Label{one, {"bound", "low, median, high"}},
			Help: "The band that the stream's own past makes likely; none for _other.",
		},
		{
			Name: StreamPValue, Type: Gauge, Unit: "probability", Labels: []Label{one},
			Help: "P-value of the stream's last judged result; none for _other.",
		},
		{
			Name: StreamResults, Type: Counter, Unit: "results", Help: "Results of the stream by verdict.",
			Labels: []Label{one, {"verdict", "warming_up, continues, breaks, stalls, unscored"}},
		},
		{
			Name: StreamLastStamp, Type: Gauge, Unit: "seconds since 1970", Labels: []Label{one},
			Help: "When the stream's last result was written.",
		},
	}
}

// reloadMetrics are named as Prometheus names its own.
func reloadMetrics() []Metric {
	return []Metric{
		{
			Name: Reloads, Type: Counter, Unit: "reloads", Labels: []Label{{"outcome", "taken_over, unchanged, refused"}},
			Help: "Attempts to take a changed definition over (SIGHUP, --watch).",
		},
		{
			Name: ReloadSuccessful, Type: Gauge, Unit: "0 or 1",
			Help: "It is 0 while the definition that was read last is refused: what runs is not what the file says.",
		},
		{
			Name: ReloadSuccessTime, Type: Gauge, Unit: "seconds since 1970",
			Help: "When the definition that runs was last read: at the start, or by a reload that was not refused.",
		},
	}
}

func infoMetrics() []Metric {
	return []Metric{
		{
			Name: ModelInfo, Type: Gauge, Unit: "1", Help: "The model in use; always 1.",
			Labels: []Label{
				{"model", "one: encoder and predictor by digest, as in results"}, {"encoder", "one"}, {"predictor", "one"}, {"energy", "one"},
			},
		},
		{
			Name: BuildInfo, Type: Gauge, Unit: "1", Help: "The program; always 1.",
			Labels: []Label{{"version", "one"}, {"commit", "one"}, {"go", "one"}},
		},
	}
}
