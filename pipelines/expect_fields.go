package pipelines

import (
	"regexp"
	"slices"

	"github.com/ensue-video/ensue/stream"
)

var codeForm = regexp.MustCompile(`^[a-z]+(\.[a-z_]+)+$`)

func checkCode(text string) *complaint {
	if codeForm.MatchString(text) {
		return nil
	}
	return &complaint{message: "is no code", hint: "codes look like decode.not_video; docs/errors.md lists them"}
}

// expectationFields is the table of what a test may say.
func expectationFields() []Field {
	return slices.Concat([]Field{
		{
			Path: "version", Kind: KindInt, Required: true, Min: "1", Max: "1", Examples: []string{"1"},
			Doc: "The version of the format; this program reads version 1.",
		},
		{
			Path: "definition", Kind: KindString, Computed: "the test's own name without _test", Examples: []string{"lobby.yaml", "live"},
			Why: "a test stands beside its definition",
			Doc: "The definition that is tried: a file, relative to the test, or a stock definition.",
		},
		{
			Path: "segment", Kind: KindDuration, Computed: "the definition's ingest.files.segment, else 2s", Min: "100ms", Max: "10m",
			Examples: []string{"2s"}, Why: "as replay cuts",
			Doc: "The length that clips are cut at, on key frames.",
		},
		{
			Path: "calibrate", Kind: KindObject,
			Doc: "Replaces the definition's `predictor.calibrate`, so that clips of a few seconds are judged at all.",
		},
		{
			Path: "calibrate.warmup", Kind: KindDuration, Computed: "the definition's", Min: "1s", Max: "24h", Examples: []string{"8s"},
			Why: "the definition is tried as it is",
			Doc: "How much of a clip must have been seen before it is judged.",
		},
		{
			Path: "calibrate.false_alarms_per_day", Kind: KindFloat, Unit: "alarms", Computed: "the definition's", Min: "0.001", Max: "86400",
			Examples: []string{"50"}, Why: "the definition is tried as it is",
			Doc: "The rate of false alarms to accept.",
		},
		{
			Path: "tolerance", Kind: KindObject,
			Doc: "How far from what is expected is near enough.",
		},
		{
			Path: "tolerance.time", Kind: KindDuration, Default: "1s", Min: "1ms", Max: "10m",
			Why: "a window of a second",
			Doc: "How far from its time a verdict may be.",
		},
		{
			Path: "tolerance.energy", Kind: KindFloat, Unit: "share", Default: "0.02", Min: "0", Max: "1000",
			Why: "other processors and other versions of FFmpeg round differently",
			Doc: "How far an energy may be from the expected one, as a share of it.",
		},
		{
			Path: "clips", Kind: KindList, Item: KindObject, Required: true,
			Doc:   "The clips, and what must come out of each.",
			Notes: "An item holds for every file it names. Where no `dead_letters` are expected there must be none.",
		},
		{
			Path: "clips.files", Kind: KindList, Item: KindString, Required: true, Examples: []string{"[lobby.mp4]", `["clips/*.mp4"]`},
			Doc: "Files, globs and folders, relative to the test.",
		},
	}, clipFields())
}

func clipFields() []Field {
	var verdicts, reasons []string
	for _, v := range []stream.Verdict{stream.WarmingUp, stream.Continues, stream.Breaks, stream.Stalls, stream.Unscored} {
		verdicts = append(verdicts, string(v))
	}
	for _, r := range []stream.Reason{
		stream.ReasonFirst, stream.ReasonGap, stream.ReasonEnd, stream.ReasonShort, stream.ReasonAlone, stream.ReasonDropped,
	} {
		reasons = append(reasons, string(r))
	}
	meant := map[string]string{
		"break": "breaks", "stall": "stalls", "continue": "continues", "warmup": "warming_up", "cut": "breaks", "freeze": "stalls",
	}
	at := func(path string, required bool) Field {
		f := Field{
			Path: path, Kind: KindDuration, Min: "0s", Max: "240h", Examples: []string{"28.9s"},
			Doc: "The time since the clip's first frame.",
		}
		if f.Required = required; !required {
			f.Computed, f.Why = "none", "`segment` may say it instead"
		}
		return f
	}
	segment := func(path string) Field {
		return Field{
			Path: path, Kind: KindInt, Unit: "segments", Computed: "none", Min: "0", Max: "1000000", Examples: []string{"5"},
			Why: "`at` may say it instead", Doc: "The number of the segment in its clip, from 0.",
		}
	}
	fields := []Field{
		{
			Path: "clips.verdicts", Kind: KindList, Item: KindObject, Computed: "none", Why: "`counts` and `never` may be enough",
			Doc: "Verdicts that must be there.",
		},
		at("clips.verdicts.at", false), segment("clips.verdicts.segment"),
		{
			Path: "clips.verdicts.verdict", Kind: KindEnum, Required: true, Options: verdicts, Meant: meant,
			Doc: "The verdict of the segment, or of one within the tolerance of the time.",
		},
		{
			Path: "clips.verdicts.within", Kind: KindDuration, Computed: "tolerance.time", Min: "0s", Max: "10m", Examples: []string{"500ms"},
			Why: "one tolerance is enough for most", Doc: "How far from the time the verdict may be.",
		},
		{
			Path: "clips.never", Kind: KindList, Item: KindEnum, Options: verdicts, Meant: meant, Computed: "none",
			Examples: []string{"[breaks, stalls]"}, Why: "what is not said is not looked at",
			Doc: "Verdicts that must not be there.",
		},
		{
			Path: "clips.counts", Kind: KindObject,
			Doc: "How many results there must be, in all and of each verdict; what is not written may be any number.",
		},
	}
	for _, count := range append([]string{"segments"}, verdicts...) {
		doc := "How many results have the verdict `" + count + "`."
		if count == "segments" {
			doc = "How many results there are."
		}
		fields = append(fields, Field{
			Path: "clips.counts." + count, Kind: KindInt, Unit: "results", Computed: "any number", Min: "0", Max: "1000000",
			Examples: []string{"1"}, Why: "what is not said is not looked at", Doc: doc,
		})
	}
	return append(fields,
		Field{
			Path: "clips.energies", Kind: KindList, Item: KindObject, Computed: "none", Why: "verdicts are what people act on",
			Doc: "Energies of single windows.",
		},
		at("clips.energies.at", true),
		Field{
			Path: "clips.energies.energy", Kind: KindFloat, Unit: "energy", Required: true, Min: "-1000000000", Max: "1000000000",
			Examples: []string{"0.041"}, Doc: "The energy of the window that holds the time.",
		},
		Field{
			Path: "clips.energies.within", Kind: KindFloat, Unit: "share", Computed: "tolerance.energy", Min: "0", Max: "1000",
			Examples: []string{"0.1"}, Why: "one tolerance is enough for most", Doc: "How far the energy may be away, as a share of it.",
		},
		Field{
			Path: "clips.median_energy", Kind: KindFloat, Unit: "energy", Computed: "any", Min: "-1000000000", Max: "1000000000",
			Examples: []string{"0.031"}, Why: "what is not said is not looked at",
			Doc: "The median of the energies of all windows.",
		},
		Field{
			Path: "clips.unscored", Kind: KindList, Item: KindObject, Computed: "none", Why: "what is not said is not looked at",
			Doc: "Why segments have no energy, or only some of it.",
		},
		at("clips.unscored.at", false), segment("clips.unscored.segment"),
		Field{
			Path: "clips.unscored.reason", Kind: KindEnum, Required: true, Options: reasons, Examples: []string{"first_segment"},
			Doc: "The reason in the result.",
		},
		Field{
			Path: "clips.dead_letters", Kind: KindList, Item: KindObject, Computed: "none", Why: "a clip that cannot be read is a mistake",
			Doc: "Segments that must become dead letters.",
		},
		Field{
			Path: "clips.dead_letters.code", Kind: KindString, Required: true, Examples: []string{"decode.not_video"}, check: checkCode,
			Doc: "The code, as in docs/errors.md.",
		},
		Field{
			Path: "clips.dead_letters.count", Kind: KindInt, Unit: "segments", Default: "1", Min: "1", Max: "1000000",
			Why: "a file that cannot be opened is one", Doc: "How many there are with this code.",
		},
	)
}
