package pipelines

import (
	"fmt"
	"math"
	"time"

	"github.com/ensue-video/ensue/encoder"
)

// videoRules know how long, how large and how many things are when they are video.
func videoRules() []rule {
	return []rule{
		{
			code: "definition.horizons_order", severity: SeverityError, doc: "`predictor.horizons` do not increase.",
			reads: []string{"predictor.horizons"}, find: horizonsOrder,
		},
		{
			code: "definition.horizon_long", severity: SeverityError,
			doc:   "A horizon is longer than the longest segment allowed.",
			reads: []string{"predictor.horizons", "decode.limits.duration"}, find: horizonLong,
		},
		{
			code: "definition.horizon_short", severity: SeverityWarning,
			doc:   "The first horizon is shorter than the distance between two sampled frames.",
			reads: []string{"predictor.horizons", "decode.fps"}, find: horizonShort,
		},
		{
			code: "definition.window_long", severity: SeverityWarning,
			doc:   "The first horizon is longer than a segment, so every window is cut short.",
			reads: []string{"predictor.horizons", "ingest.files", "ingest.files.segment"}, find: windowLong,
		},
		{
			code: "definition.context_short", severity: SeverityWarning,
			doc:   "The predictor sees less past than the window it predicts is long.",
			reads: []string{"predictor.context", "predictor.horizons"}, find: contextShort,
		},
		{
			code: "definition.warmup_short", severity: SeverityWarning,
			doc:   "The warm-up is shorter than the number of windows the calibration waits for anyway.",
			reads: []string{"predictor.calibrate.warmup", "predictor.horizons"}, find: warmupShort,
		},
		{
			code: "definition.history_short", severity: SeverityWarning,
			doc:   "The calibration forgets windows before it has warmed up.",
			reads: []string{"predictor.calibrate.warmup", "predictor.calibrate.history", "predictor.horizons"}, find: historyShort,
		},
		{
			code: "definition.p_value_resolution", severity: SeverityNote,
			doc: "The rate of false alarms asks for p-values that the remembered windows cannot show by counting.",
			reads: []string{
				"predictor.calibrate.false_alarms_per_day", "predictor.calibrate.history", "predictor.horizons",
			}, find: resolution,
		},
		{
			code: "definition.always_alarm", severity: SeverityError,
			doc:   "The rate of false alarms is one a window or more, so every window is an alarm.",
			reads: []string{"predictor.calibrate.false_alarms_per_day", "predictor.horizons"}, find: alwaysAlarm,
		},
		{
			code: "definition.segment_long", severity: SeverityError,
			doc:   "Files are cut into segments longer than the decoder takes.",
			reads: []string{"ingest.files", "ingest.files.segment", "decode.limits.duration"}, find: segmentLong,
		},
		{
			code: "definition.bytes_small", severity: SeverityWarning,
			doc:   "Segments of ordinary video are larger than `decode.limits.bytes`.",
			reads: []string{"decode.limits.bytes", "ingest.files.segment"}, find: bytesSmall,
		},
		{
			code: "definition.frames_few", severity: SeverityWarning,
			doc:   "A segment of `decode.limits.duration` has more frames than `decode.limits.frames`.",
			reads: []string{"decode.limits.frames", "decode.limits.duration", "decode.fps"}, find: framesFew,
		},
		{
			code: "definition.memory_small", severity: SeverityWarning,
			doc:   "The largest segment allowed takes more than `queues.memory`: it is let in alone, above the bound.",
			reads: []string{"queues.memory", "decode.limits.bytes", "decode.limits.duration", "decode.fps", "encoder.model"},
			find:  memorySmall,
		},
	}
}

func horizonsOrder(def *Definition) []violation {
	var found []violation
	for i := 1; i < len(def.Predictor.Horizons); i++ {
		before, here := def.Predictor.Horizons[i-1], def.Predictor.Horizons[i]
		if here <= before {
			found = append(found, violation{
				fmt.Sprintf("predictor.horizons[%d]", i),
				fmt.Sprintf("%s follows %s, but horizons increase", formatDuration(here), formatDuration(before)),
				"write them in increasing order, each once",
			})
		}
	}
	return found
}

func horizonLong(def *Definition) []violation {
	limit := def.Decode.Limits.Duration
	var found []violation
	for i, horizon := range def.Predictor.Horizons {
		if horizon > limit {
			found = append(found, violation{
				fmt.Sprintf("predictor.horizons[%d]", i),
				fmt.Sprintf("%s is longer than any segment may be (decode.limits.duration: %s)", formatDuration(horizon), formatDuration(limit)),
				"write at most " + formatDuration(limit) + ", or a longer decode.limits.duration",
			})
		}
	}
	return found
}

// window is the length of a window; zero where the definition has no horizon.
func window(def *Definition) time.Duration {
	if len(def.Predictor.Horizons) == 0 {
		return 0
	}
	return def.Predictor.Horizons[0]
}

func horizonShort(def *Definition) []violation {
	length, step := window(def), time.Duration(float64(time.Second)/def.Decode.FPS)
	return when(length > 0 && length < step, "predictor.horizons[0]",
		fmt.Sprintf("a window of %s has no frame of its own at %v frames per second (one every %s)",
			formatDuration(length), def.Decode.FPS, formatDuration(step.Round(time.Millisecond))),
		"write a longer first horizon, or a higher decode.fps")
}

func windowLong(def *Definition) []violation {
	length, assumed := segmentLength(def)
	return when(!assumed && window(def) > length, "predictor.horizons[0]",
		fmt.Sprintf("a window of %s does not fit into a segment of %s (ingest.files.segment)",
			formatDuration(window(def)), formatDuration(length)),
		"write at most "+formatDuration(length)+", or a longer ingest.files.segment")
}

func contextShort(def *Definition) []violation {
	return when(def.Predictor.Context < window(def), "predictor.context",
		fmt.Sprintf("%s of past for a window of %s (the first of predictor.horizons)",
			formatDuration(def.Predictor.Context), formatDuration(window(def))),
		"write at least "+formatDuration(window(def)))
}

func warmupShort(def *Definition) []violation {
	least := minWarmupWindows * window(def)
	warmup := def.Predictor.Calibrate.Warmup
	return when(warmup < least, "predictor.calibrate.warmup",
		fmt.Sprintf("%s are fewer than %d windows of %s, and with fewer nothing is judged",
			formatDuration(warmup), minWarmupWindows, formatDuration(window(def))),
		"write at least "+formatDuration(least))
}

func historyShort(def *Definition) []violation {
	calibrate := def.Predictor.Calibrate
	remembered := time.Duration(calibrate.History) * window(def)
	return when(window(def) > 0 && remembered < calibrate.Warmup, "predictor.calibrate.history",
		fmt.Sprintf("%d windows of %s are %s, less than the warm-up of %s",
			calibrate.History, formatDuration(window(def)), formatDuration(remembered), formatDuration(calibrate.Warmup)),
		fmt.Sprintf("write at least %d, or a shorter warmup", int(math.Ceil(calibrate.Warmup.Seconds()/max(window(def).Seconds(), 1e-3)))))
}

// written says that somebody wrote the key: in the file, or in a program that made the definition.
func written(def *Definition, path string) bool {
	o, ok := def.source.origin(path)
	return !ok || o.line > 0
}

// alarmP is the p-value below which a window is an alarm: the rate asked for, spread over the windows of a day.
func alarmP(def *Definition) float64 {
	return def.Predictor.Calibrate.FalseAlarmsPerDay * window(def).Seconds() / (24 * time.Hour).Seconds()
}

func resolution(def *Definition) []violation {
	if !written(def, "predictor.calibrate.false_alarms_per_day") && !written(def, "predictor.calibrate.history") {
		return nil // explain tells it of the defaults
	}
	// Two sides share the p-value: n windows show 2/(n+1) at the least by counting.
	p, shown := alarmP(def), 2/float64(def.Predictor.Calibrate.History+1)
	return when(p > 0 && p < shown, "predictor.calibrate.false_alarms_per_day",
		fmt.Sprintf("a window is an alarm when its p-value is below %.2g; %d remembered windows show %.2g at the least by counting",
			p, def.Predictor.Calibrate.History, shown),
		"p-values below that rest on the shape of the distribution (median and spread of the log energy): take the rate as a guide")
}

func alwaysAlarm(def *Definition) []violation {
	return when(alarmP(def) >= 1, "predictor.calibrate.false_alarms_per_day",
		fmt.Sprintf("a day has only %.0f windows of %s", (24*time.Hour).Seconds()/window(def).Seconds(), formatDuration(window(def))),
		"write a smaller rate")
}

func segmentLong(def *Definition) []violation {
	length, assumed := segmentLength(def)
	limit := def.Decode.Limits.Duration
	return when(!assumed && length > limit, "ingest.files.segment",
		fmt.Sprintf("segments of %s are longer than decode.limits.duration (%s): every one is refused",
			formatDuration(length), formatDuration(limit)),
		"write at most "+formatDuration(limit)+", or a longer decode.limits.duration")
}

func bytesSmall(def *Definition) []violation {
	length, assumed := segmentLength(def)
	said := formatDuration(length)
	if assumed {
		said = "an assumed " + said
	}
	return when(segmentBytes(length) > float64(def.Decode.Limits.Bytes), "decode.limits.bytes",
		fmt.Sprintf("a segment of %s at an assumed 8 Mbit/s has %s: it would be refused", said, roughBytes(segmentBytes(length))),
		"write more than "+roughLimit(segmentBytes(length)))
}

// roughLimit is a size in whole MiB that is large enough.
func roughLimit(bytes float64) string {
	return formatBytes(int64(math.Ceil(bytes/(1<<20))) << 20)
}

func framesFew(def *Definition) []violation {
	limits := def.Decode.Limits
	rate := max(assumedFrameRate, def.Decode.FPS)
	needed := int(math.Ceil(limits.Duration.Seconds() * rate))
	return when(limits.Frames < needed, "decode.limits.frames",
		fmt.Sprintf("a segment of %s (decode.limits.duration) has %d frames at an assumed %v frames per second: it would be refused",
			formatDuration(limits.Duration), needed, rate),
		fmt.Sprintf("write at least %d, or a shorter decode.limits.duration", needed))
}

// largestSegment is the memory that the largest segment allowed is admitted with: its payload and its sampled frames (as
// intake.charge counts them).
func largestSegment(def *Definition, info encoder.Info) int64 {
	frames := int64(1.5*def.Decode.FPS*def.Decode.Limits.Duration.Seconds()) + 1
	return def.Decode.Limits.Bytes + frames*int64(info.Width*info.Height*3)
}

func memorySmall(def *Definition) []violation {
	d, ok := describe(def)
	if !ok {
		return nil
	}
	info := d.info
	largest := largestSegment(def, info)
	return when(largest > def.Queues.Memory, "queues.memory",
		fmt.Sprintf("the largest segment allowed takes %s: %s of payload (decode.limits.bytes) and %s of frames "+
			"(decode.fps x decode.limits.duration at %dx%d)",
			roughBytes(float64(largest)), roughBytes(float64(def.Decode.Limits.Bytes)),
			roughBytes(float64(largest-def.Decode.Limits.Bytes)), info.Width, info.Height),
		"write at least "+roughLimit(float64(largest))+", or smaller limits")
}
