package pipelines

// reliabilityFields are what a pipeline remembers of its streams, what it tries again, and when it gives up altogether.
func reliabilityFields() []Field {
	return []Field{
		{
			Path: "state", Kind: KindObject,
			Doc: "Where what is known of every stream is kept: its calibration, and how far its results are written.",
			Notes: "With `topic` or `folder` a stream that moves to another process, or whose process was killed, is judged as if nothing had " +
				"happened: it does not warm up again, and p-values and verdicts are those of an undisturbed run. With neither it is kept in the " +
				"process: it outlives a rebalance, and no restart. It is for `ingest.kafka`; files are read from their beginning.",
		},
		{
			Path: "state.topic", Kind: KindString, Computed: "none", Examples: []string{"video.state"}, check: checkTopic,
			Why: "a pipeline of one process that is seldom restarted needs none",
			Doc: "A compacted topic on the brokers of `ingest.kafka`; where it is missing it is made, with as many " +
				"partitions as the segments' topic.",
		},
		{
			Path: "state.folder", Kind: KindString, Computed: "none", Examples: []string{"/var/lib/ensue/state"},
			Why: "processes on different machines need a topic",
			Doc: "A folder that all processes of the pipeline share, on one machine.",
		},
		{
			Path: "retry", Kind: KindObject,
			Doc: "How a stage tries again what failed and may pass, before the segment becomes a dead letter.",
			Notes: "Between two attempts the segment waits and its stream with it; other streams go on. What cannot pass (a file that is no " +
				"video) is not tried again, and a broker that is away is waited for as `delivery_timeout` says.",
		},
		{
			Path: "retry.attempts", Kind: KindInt, Unit: "attempts", Default: "3", Min: "1", Max: "100",
			Why: "what fails three times will fail again",
			Doc: "How often it is tried in all; 1 is never again.",
		},
		{
			Path: "retry.first", Kind: KindDuration, Default: "200ms", Min: "1ms", Max: "10m",
			Why: "most of what passes has passed by then",
			Doc: "The pause before the second attempt; it doubles from one to the next, and up to a half of it, by chance, is left out.",
		},
		{
			Path: "retry.most", Kind: KindDuration, Default: "5s", Min: "1ms", Max: "1h",
			Why: "a stream does not fall far behind",
			Doc: "The longest pause.",
		},
		{
			Path: "breaker", Kind: KindObject,
			Doc: "When the pipeline stops because nearly everything fails, instead of filling the topic of dead letters.",
			Notes: "It stops with the code `breaker.open` and exit code 1. The dead letters that tripped it are written; what was not begun is " +
				"read " +
				"again at the next start.",
		},
		{
			Path: "breaker.failed", Kind: KindInt, Unit: "segments", Default: "50", Min: "0", Max: "1000000",
			Why: "a camera or two that send rubbish are no reason to stop",
			Doc: "How many of the last segments must have become dead letters; 0 never stops.",
		},
		{
			Path: "breaker.of", Kind: KindInt, Unit: "segments", Default: "100", Min: "1", Max: "1000000",
			Why: "seconds of a pipeline with many streams, minutes of one with few",
			Doc: "How many of the last segments are looked at.",
		},
	}
}
