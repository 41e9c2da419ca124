package pipelines

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/ingest"
)

// Explanation is what a definition comes to when it runs on this machine.
type Explanation struct {
	Name string `json:"name"`
	// Stages stand in the order in which video passes them, Queues between them.
	Stages []StageExplanation `json:"stages"`
	Queues []QueueExplanation `json:"queues"`
	Memory MemoryExplanation  `json:"memory"`
	// Delivery is the guarantee for results, and why it holds.
	Delivery DeliveryExplanation `json:"delivery"`
	// Results are the places that results go to, DeadLetters the one of what cannot be processed; empty: the pipeline stops there.
	Results     []string `json:"results"`
	DeadLetters string   `json:"dead_letters,omitempty"`
	// Values are all keys with their values, written or not. Secrets are left out.
	Values []ValueExplanation `json:"values"`
}

// StageExplanation is one stage.
type StageExplanation struct {
	Stage string `json:"stage"`
	// Does says in a sentence what the stage does here.
	Does string `json:"does"`
	// Workers is how many segments, of different streams, it works on side by side.
	Workers int `json:"workers"`
}

// QueueExplanation is what may wait between two stages.
type QueueExplanation struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Segments is how many may wait: in the channel, and in the lanes of the stage that takes them.
	Segments int `json:"segments"`
	// Full says what happens then.
	Full string `json:"full"`
}

// MemoryExplanation is how much memory the pipeline may take, in bytes.
type MemoryExplanation struct {
	// Bound is the sum of Terms: what does not depend on how many streams and partitions there are.
	Bound   int64  `json:"bound"`
	Formula string `json:"formula"`
	Terms   []Term `json:"terms"`
	// PerStream and PerPartition come on top, once for each live stream and each partition that is read.
	PerStream    Term  `json:"per_stream"`
	PerPartition *Term `json:"per_partition,omitempty"`
}

// Term is one part of the memory.
type Term struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Formula string `json:"formula"`
}

// DeliveryExplanation is a guarantee and its reasons.
type DeliveryExplanation struct {
	Guarantee string   `json:"guarantee"`
	Why       []string `json:"why"`
}

// ValueExplanation is the value of one key and where it came from.
type ValueExplanation struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	// Origin is "line 7", "line 7 from ${KAFKA}", "default" or "the program".
	Origin string `json:"origin"`
	// Why is why a default is what it is.
	Why string `json:"why,omitempty"`
}

// Explain says what the definition comes to on this machine.
func Explain(def *Definition) Explanation { return explain(def, runtime.GOMAXPROCS(0)) }

func explain(def *Definition, processors int) Explanation {
	decoders := def.Decode.Workers
	if decoders == 0 {
		decoders = processors
	}
	redact := def.redactor()
	stages, values := explainStages(def, decoders, processors), explainValues(def)
	for i := range stages {
		stages[i].Does = redact.Replace(stages[i].Does)
	}
	for i := range values {
		values[i].Value = redact.Replace(values[i].Value)
	}
	results, dead := resultEnds(def), deadEnd(def)
	for i := range results {
		results[i] = redact.Replace(results[i])
	}
	return Explanation{
		Results: results, DeadLetters: redact.Replace(dead),
		Name: redact.Replace(def.Name), Stages: stages, Queues: explainQueues(def, decoders, processors),
		Memory: explainMemory(def, decoders, processors), Delivery: explainDelivery(def), Values: values,
	}
}

func explainStages(def *Definition, decoders, processors int) []StageExplanation {
	limits, calibrate := def.Decode.Limits, def.Predictor.Calibrate
	return []StageExplanation{
		{stageIngest, explainSource(def), 1},
		{stageDecode, fmt.Sprintf(
			"decodes in memory and samples %v frames a second; refuses segments above %s, %s pixels, %d frames, %s, or %s of work",
			def.Decode.FPS, formatBytes(limits.Bytes), KindPixels.format(limits.Pixels), limits.Frames,
			formatDuration(limits.Duration), formatDuration(limits.Timeout)), decoders},
		{stageEncode, explainEncoder(def), processors},
		{stagePredict, fmt.Sprintf(
			"predicts windows of %s with %q from %s of past, up to %s ahead; %s; judges after %s of a stream, by its last %d windows: "+
				"an alarm is a p-value below %.2g (%v false alarms a day)",
			formatDuration(window(def)), explainPredictor(def), formatDuration(def.Predictor.Context), formatDuration(longest(def)),
			explainEnergy(def), formatDuration(calibrate.Warmup), calibrate.History, alarmP(def), calibrate.FalseAlarmsPerDay), processors},
		{"sink", explainSink(def), 1},
	}
}

func explainSource(def *Definition) string {
	switch in := def.Ingest; {
	case in.Kafka != nil:
		return fmt.Sprintf("reads topic %q at %s as group %q, from the %s record on where nothing is committed; "+
			"waits %s for a missing segment, late ones: %s",
			in.Kafka.Topic, brokers(in.Kafka.Brokers), in.Kafka.Group, in.Kafka.StartAt, formatDuration(in.Order.Grace), in.Order.Late)
	case in.Files != nil:
		watch := "and ends with them"
		if in.Files.Watch {
			watch = "and watches for more, finished when unchanged for " + formatDuration(in.Files.Settle)
		}
		return fmt.Sprintf("reads the files %s, cut on key frames every %s, %s",
			scrub(strings.Join(in.Files.Paths, ", ")), formatDuration(in.Files.Segment), watch)
	}
	return "reads nothing: the program brings a source of its own"
}

func explainEncoder(def *Definition) string {
	d, ok := describe(def)
	if !ok {
		return fmt.Sprintf("is the unknown encoder %q", def.Encoder.Model)
	}
	text := fmt.Sprintf("turns frames of %dx%d with %q into %dx%d tokens of %d numbers", d.info.Width, d.info.Height, d.info.Name,
		d.info.GridWidth, d.info.GridHeight, d.info.Dim)
	if d.model != nil {
		text += explainModel(def, d)
	}
	return text
}

func explainSink(def *Definition) string {
	to, dead := resultEnds(def), deadEnd(def)
	if len(to) == 0 {
		to = append(to, "nowhere in the definition")
	}
	if dead == "" {
		return "writes results to " + strings.Join(to, " and ") + "; dead letters go nowhere: the pipeline stops at the first one"
	}
	return "writes results to " + strings.Join(to, " and ") + "; dead letters go to " + dead
}

// resultEnds are the places that results go to.
func resultEnds(def *Definition) []string {
	to := []string{}
	if out := def.Sink.Kafka; out != nil {
		at := brokers(orElse(out.Brokers, def.Brokers()))
		to = append(to, fmt.Sprintf("topic %q at %s (%s, %s)", out.Topic, at, out.Encoding, out.Delivery))
	}
	if out := def.Sink.JSONL; out != nil {
		to = append(to, "file "+scrub(out.Path))
	}
	return append(to, explainFurtherSinks(def)...)
}

// deadEnd is the place that dead letters go to; empty where there is none.
func deadEnd(def *Definition) string {
	switch letters := def.Sink.DeadLetter; {
	case letters.Kafka != nil:
		return fmt.Sprintf("topic %q at %s", letters.Kafka.Topic, brokers(orElse(letters.Kafka.Brokers, def.Brokers())))
	case letters.JSONL != nil:
		return "file " + scrub(letters.JSONL.Path)
	}
	return ""
}

// explainFurtherSinks are the sinks that lead out of Kafka; an address of a database is told without what may be secret in it.
func explainFurtherSinks(def *Definition) []string {
	var to []string
	if out := def.Sink.Parquet; out != nil {
		to = append(to, fmt.Sprintf("tables in %s (Parquet, a new one every %s or %s)",
			scrub(out.Path), formatDuration(out.Every), formatBytes(out.Size)))
	}
	if out := def.Sink.Postgres; out != nil {
		to = append(to, fmt.Sprintf("table %s of a PostgreSQL database", out.Table))
	}
	if out := def.Sink.Webhook; out != nil {
		to = append(to, fmt.Sprintf("%s (webhook: %s)", scrub(out.URL), strings.Join(out.Verdicts, ", ")))
	}
	return to
}

func brokers(list []string) string { return scrub(strings.Join(list, ", ")) }

func orElse(list, other []string) []string {
	if len(list) == 0 {
		return other
	}
	return list
}

// longest is the last horizon.
func longest(def *Definition) time.Duration {
	if n := len(def.Predictor.Horizons); n > 0 {
		return def.Predictor.Horizons[n-1]
	}
	return 0
}

func explainQueues(def *Definition, decoders, processors int) []QueueExplanation {
	size := def.Queues.Size
	first := "reading waits"
	waiting := size * decoders
	if def.Queues.Full == FullDropOldest {
		first = "the oldest waiting segment is given up and counted"
		waiting += size
	}
	const block = "the stage before waits"
	return []QueueExplanation{
		{stageIngest, stageDecode, waiting, first},
		{stageDecode, stageEncode, size + size*processors, block},
		{stageEncode, stagePredict, size + size*processors, block},
		{stagePredict, "sink", size, block},
	}
}

// decoderPictures is how many pictures a decoder holds at most: 16 for reference and the one it works on.
const decoderPictures = 17

func explainMemory(def *Definition, decoders, processors int) MemoryExplanation {
	d, _ := describe(def)
	info := d.info
	pixels := def.Decode.Limits.Pixels
	picture := int64(pixels.Width) * int64(pixels.Height) * 3 / 2
	steps := inSteps(longestFrames(def), info)
	queued := int64(2*(def.Queues.Size+def.Queues.Size*processors) + 2*processors)
	tokens := steps * int64(info.GridHeight*info.GridWidth*info.Dim) * 4
	terms := []Term{
		{
			"segments under way", def.Queues.Memory,
			"queues.memory: payloads and sampled frames, " + admitted(def, info),
		},
		{
			"decoders", int64(decoders) * decoderPictures * picture,
			fmt.Sprintf("%d workers x %d pictures x %s pixels (decode.limits.pixels) x 1.5 bytes (8 bits, 4:2:0), at the worst",
				decoders, decoderPictures, KindPixels.format(pixels)),
		},
		{
			"tokens in queues", queued * tokens,
			fmt.Sprintf("%d segments x %d steps (1.5 x decode.fps x decode.limits.duration%s) x %d places x %d numbers x 4 bytes, at the worst",
				queued, steps, perStep(info), info.GridHeight*info.GridWidth, info.Dim),
		},
	}
	terms = append(terms, modelTerms(def, d, processors)...)
	memory := MemoryExplanation{Terms: terms, PerStream: perStream(def, d), PerPartition: perPartition(def)}
	names := make([]string, len(terms))
	for i, term := range terms {
		memory.Bound += term.Bytes
		names[i] = term.Name
	}
	memory.Formula = strings.Join(names, " + ")
	return memory
}

// longestFrames is how many frames are sampled from the longest segment at most; the grid may be half as fine again as asked.
func longestFrames(def *Definition) int64 {
	return int64(1.5*def.Decode.FPS*def.Decode.Limits.Duration.Seconds()) + 1
}

func admitted(def *Definition, info encoder.Info) string {
	largest := largestSegment(def, info)
	return fmt.Sprintf("room for %.1f of the largest segments allowed (%s each); when it is full, segments wait outside",
		float64(def.Queues.Memory)/float64(max(largest, 1)), roughBytes(float64(largest)))
}

// inSteps is how many steps some frames make, rounded up.
func inSteps(frames int64, info encoder.Info) int64 {
	per := int64(max(info.FramesPerStep, 1))
	return (frames + per - 1) / per
}

// perStep is the end of a formula that counts steps in frames.
func perStep(info encoder.Info) string {
	if info.FramesPerStep < 2 {
		return ""
	}
	return fmt.Sprintf(" / %d frames a step", info.FramesPerStep)
}

func perStream(def *Definition, d described) Term {
	info, steps := d.info, pastSteps(def, d.info)
	places := int64(info.GridHeight * info.GridWidth)
	term := Term{
		"each live stream", steps*places*int64(info.Dim)*4 + 8*int64(def.Predictor.Calibrate.History),
		fmt.Sprintf("%d steps of past (1.5 x decode.fps x (predictor.context + last horizon)%s) x %d places x %d numbers x 4 bytes + "+
			"predictor.calibrate.history x 8 bytes", steps, perStep(info), places, info.Dim),
	}
	for _, remembered := range streamTerms(def, d) {
		term.Bytes += remembered.Bytes
		term.Formula += " + " + remembered.Formula
	}
	term.Formula += fmt.Sprintf("; forgotten %s after its last segment (ingest.order.evict)", formatDuration(def.Ingest.Order.Evict))
	return term
}

// pastSteps is how many steps of a stream are remembered at most; the grid may be half as fine again as asked.
func pastSteps(def *Definition, info encoder.Info) int64 {
	past := (def.Predictor.Context + longest(def)).Seconds()
	return inSteps(int64(1.5*past*def.Decode.FPS)+1, info)
}

func perPartition(def *Definition) *Term {
	kafka := def.Ingest.Kafka
	if kafka == nil {
		return nil
	}
	waiting := ingest.DefaultBounds().Bytes
	return &Term{
		"each partition read", kafka.MaxBytes + waiting,
		fmt.Sprintf("one fetch (ingest.kafka.max_bytes) + %s of segments that wait for a missing one", formatBytes(waiting)),
	}
}

func explainDelivery(def *Definition) DeliveryExplanation {
	if def.Ingest.Kafka == nil {
		return DeliveryExplanation{"once a run", []string{
			"files are read from their beginning in every run",
			"ids of results are deterministic: the same files, model and definition give the same results under the same ids",
		}}
	}
	why := []string{
		"an offset is committed only after every result and dead letter of its segment is durably written",
		"the committed offset stays behind segments that are still wanted as context; after a restart those are read again without " +
			"being judged again",
		"a crash between writing and committing writes results again, under the same ids: keep one per id and each counts once",
	}
	if def.Sink.Kafka != nil {
		why = append(why, "results are acknowledged by all in-sync replicas, keyed by stream, in the order of the stream")
	}
	guarantee := "at least once"
	if def.Queues.Full == FullDropOldest {
		guarantee = "at least once for the segments that are taken in"
		why = append(why, "queues.full is drop_oldest: a segment that does not fit in is given up, counted, and has no result")
	}
	if dead := def.Sink.DeadLetter; dead.Kafka == nil && dead.JSONL == nil {
		why = append(why, "there is no place for dead letters: the pipeline stops at the first segment that cannot be processed, and would again")
	}
	return DeliveryExplanation{guarantee, why}
}

func explainValues(def *Definition) []ValueExplanation {
	var values []ValueExplanation
	definitionTree().each(func(b *branch) {
		value, ok := lookup(def, b.Path)
		if !ok || !b.leaf() {
			return
		}
		text := formatValue(b.Field, value)
		values = append(values, explainValue(def, b.Field, text))
	})
	return values
}

func explainValue(def *Definition, field Field, text string) ValueExplanation {
	o, known := def.source.origin(field.Path)
	v := ValueExplanation{Path: field.Path, Value: scrub(text)}
	if field.Secret || o.secret {
		v.Value = secretText
	}
	switch {
	case known && o.text != text:
		v.Origin = "the program"
	case known && o.line > 0:
		v.Origin = fmt.Sprintf("line %d", o.line)
		if len(o.from) > 0 {
			v.Origin += " from " + strings.Join(o.from, " and ")
		}
	case known || text == defaultText(field):
		v.Origin, v.Why = "default", field.Why
	default:
		v.Origin = "the program"
	}
	if field.Computed != "" && v.Origin == "default" {
		if text == "[]" {
			v.Value = "(" + field.Computed + ")"
		}
		v.Origin = "default: " + field.Computed
	}
	return v
}

// defaultText is the default of the spec as formatValue writes it.
func defaultText(field Field) string {
	if field.Kind == KindList {
		items := splitCommas(strings.Trim(field.Default, "[]"))
		for i, item := range items {
			items[i] = canonical(field.Item, item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return canonical(field.Kind, field.Default)
}

func canonical(kind Kind, text string) string {
	value, c := kind.read(text)
	if c != nil {
		return text
	}
	return kind.format(value)
}
