package pipelines

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/stream"
)

func TestExpectationsReferenceIsUpToDate(t *testing.T) {
	golden(t, fixture.Repository("docs", "testing.md"), ExpectationsReference())
	golden(t, "test.schema.json", ExpectationsSchema())
}

func TestEveryKeyOfATestIsWhole(t *testing.T) {
	for _, field := range ExpectationsSpec() {
		t.Run(field.Path, func(t *testing.T) {
			require.True(t, strings.HasSuffix(field.Doc, "."))
			if !field.leaf() {
				return
			}
			require.Equal(t, !field.Required, field.Why != "", "a default has a reason")
			for _, text := range append([]string{field.Default}, field.Examples...) {
				requireReadable(t, field, text)
			}
			require.NotEmpty(t, field.example())
		})
	}
}

const oneClip = "version: 1\nclips:\n  - files: [a.mp4]\n"

// TestATestThatIsWrongIsToldWithItsPlace: the same findings as those of definitions, inside of lists too.
func TestATestThatIsWrongIsToldWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"": `lobby_test.yaml:1:1: error definition.empty: there is nothing in the test ` +
			`(begin with version: 1 and clips: …)`,
		"version: 1\n":               `lobby_test.yaml:1:1: error definition.missing_key: clips: is missing`,
		"version: 1\nclips: a.mp4\n": `2:8: error definition.wrong_type: clips: is a single value where a list is expected`,
		"version: 1\nclips: [a.mp4]\n": `2:9: error definition.wrong_type: clips[0]: is a single value where a set of keys is expected ` +
			`(write keys below it`,
		oneClip + "    verdict: []\n": `4:5: error definition.unknown_key: clips[0].verdict: ` +
			`there is no key "verdict" in clips[0] (did you mean "verdicts"?)`,
		oneClip + "    verdicts: [{at: 3, verdict: breaks}]\n": `4:21: error definition.wrong_type: clips[0].verdicts[0].at: ` +
			`"3" is not a duration (write 3s)`,
		oneClip + "    verdicts: [{at: 3s, verdict: cut}]\n": `4:34: error definition.not_an_option: clips[0].verdicts[0].verdict: ` +
			`"cut" is not one of warming_up, continues, breaks, ` +
			`stalls, unscored (did you mean "breaks"?)`,
		oneClip + "    verdicts: [{verdict: breaks}]\n": "says neither when nor in which segment " +
			"(write at: 12s, or segment: 5)",
		oneClip + "    verdicts: [{at: 1s, segment: 1, verdict: breaks}]\n":   `says when and in which segment`,
		oneClip + "    verdicts: [{segment: 1, within: 1s, verdict: breaks}]": `is a tolerance of time, and a segment has none`,
		oneClip + "    counts: {breaks: -1}\n": `clips[0].counts.breaks: "-1" is out of range ` +
			`(write 0 to 1000000)`,
		oneClip + "    dead_letters: [{code: NotVideo}]\n": `"NotVideo" is no code (codes look like decode.not_video`,
		oneClip + "    energies: [{at: 1s}]\n":             `clips[0].energies[0].energy: is missing`,
		oneClip + "  - file: [b.mp4]\n": `4:5: error definition.unknown_key: clips[1].file: ` +
			`there is no key "file" in clips[1] (did you mean "files"?)`,
	} {
		t.Run(text, func(t *testing.T) {
			read, findings := ParseExpectations("lobby_test.yaml", []byte(text), noEnv)
			require.Nil(t, read)
			require.Contains(t, render(findings), want)
			require.NotContains(t, render(findings), "the definition")
		})
	}
}

func TestATestBelongsToTheDefinitionOfItsName(t *testing.T) {
	read, findings := ParseExpectations("some/where/lobby_test.yaml", []byte(oneClip), noEnv)
	require.Empty(t, findings)
	require.Equal(t, "lobby.yaml", read.Definition)
	require.Equal(t, ExpectedTolerance{Time: time.Second, Energy: 0.02}, read.Tolerance)
	require.Nil(t, read.Clips[0].Counts)
}

func TestTheSchemaOfTestsAgreesWithTheParser(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(ExpectationsSchema())))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(expectationsSchemaID, document))
	schema, err := compiler.Compile(expectationsSchemaID)
	require.NoError(t, err)
	for text, good := range map[string]bool{
		oneClip: true, "version: 1\n": false, "version: 1\nclips: []\n": false, oneClip + "    verdict: []\n": false,
		oneClip + "    verdicts: [{at: 28.9s, verdict: breaks, within: 1s}]\n": true,
		oneClip + "    verdicts: [{at: 28.9s, verdict: cuts}]\n":               false,
		oneClip + "    counts: {segments: 20, breaks: 1}\n":                    true,
		oneClip + "    counts: {break: 1}\n":                                   false,
		oneClip + "    never: [breaks]\n    median_energy: 0.1\n":              true,
		oneClip + "    unscored: [{segment: 0, reason: first_segment}]\n":      true,
		oneClip + "    dead_letters: [{count: 1}]\n":                           false,
	} {
		value, err := asJSON([]byte(text))
		require.NoError(t, err)
		read, findings := ParseExpectations("a_test.yaml", []byte(text), noEnv)
		require.Equal(t, good, read != nil, "%s%s", text, render(findings))
		require.Equal(t, good, schema.Validate(value) == nil, text)
	}
}

// seen is a clip of ten seconds, five segments: a break in the fourth, its third second.
func seen() *observed {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	o := &observed{dead: []stream.Code{"decode.not_video"}}
	for i, verdict := range []stream.Verdict{stream.Unscored, stream.WarmingUp, stream.Continues, stream.Breaks, stream.Continues} {
		start := 2 * float64(i)
		calm, odd := 0.5, 0.0001
		result := &stream.Result{Verdict: verdict, Y: stream.Extent{Start: at(start), End: at(start + 2)}}
		switch verdict {
		case stream.Unscored:
			result.Reason = stream.ReasonFirst
		case stream.Breaks:
			result.PValue = &odd
			result.Windows = []stream.Window{{Start: start, Energy: 0.1, PValue: &calm}, {Start: start + 1, Energy: 0.8, PValue: &odd}}
		default:
			result.Windows = []stream.Window{{Start: start, Energy: 0.1, PValue: &calm}, {Start: start + 1, Energy: 0.12, PValue: &calm}}
		}
		o.results = append(o.results, seenResult{result, int64(i)})
	}
	return o
}

// judged holds seen against expectations and returns the differences.
func judged(t *testing.T, more string) (*ClipTrial, []string) {
	t.Helper()
	read, findings := ParseExpectations("a_test.yaml", []byte(oneClip+"    dead_letters: [{code: decode.not_video}]\n"+more), noEnv)
	require.NotNil(t, read, render(findings))
	clip := &ClipTrial{File: "a.mp4", seen: seen()}
	read.judge(clip, time.Second)
	var differences []string
	for _, d := range clip.Differences {
		require.Positive(t, d.Line)
		differences = append(differences, d.Path+": "+d.Expected+" | "+d.Measured)
	}
	return clip, differences
}

func TestExpectationsThatAreMet(t *testing.T) {
	for _, more := range []string{
		"", "    verdicts: [{at: 7.5s, verdict: breaks}]\n", "    verdicts: [{at: 8.9s, verdict: breaks}]\n",
		"    verdicts: [{at: 6.1s, verdict: breaks}]\n", "    verdicts: [{at: 7s, verdict: breaks, within: 0s}]\n",
		"    verdicts: [{segment: 3, verdict: breaks}, {segment: 4, verdict: continues}]\n", "    never: [stalls]\n",
		"    counts: {segments: 5, warming_up: 1, continues: 2, breaks: 1, stalls: 0, unscored: 1}\n",
		"    energies: [{at: 7s, energy: 0.8}, {at: 7.9s, energy: 0.81}, {at: 2s, energy: 0.11, within: 0.1}]\n",
		"    median_energy: 0.11\n", "    unscored: [{at: 0s, reason: first_segment}, {segment: 0, reason: first_segment}]\n",
	} {
		_, differences := judged(t, more)
		require.Empty(t, differences, more)
	}
}

func TestExpectationsThatAreNotMetSayWhatWasMeasured(t *testing.T) {
	for more, want := range map[string]string{
		"    verdicts: [{at: 3s, verdict: breaks}]\n": "clips[0].verdicts[0]: breaks at 3s (± 1s) | warming_up at 2s to 4s",
		"    verdicts: [{at: 6.9s, verdict: breaks, within: 0s}]\n": "clips[0].verdicts[0]: breaks at 6.9s (± 0s) " +
			"| breaks at 7s to 8s, p = 0.0001",
		"    verdicts: [{at: 60s, verdict: breaks}]\n":    "clips[0].verdicts[0]: breaks at 60s (± 1s) | the clip has no result there",
		"    verdicts: [{segment: 2, verdict: stalls}]\n": "clips[0].verdicts[0]: stalls in segment 2 | continues at 4s to 6s",
		"    verdicts: [{segment: 9, verdict: stalls}]\n": "clips[0].verdicts[0]: stalls in segment 9 | no such segment",
		"    never: [breaks]\n":                           "clips[0].never[0]: no breaks | breaks at 7s to 8s, p = 0.0001",
		"    counts: {breaks: 2}\n":                       "clips[0].counts.breaks: 2 breaks | 1 breaks",
		"    energies: [{at: 7s, energy: 0.9}]\n": "clips[0].energies[0].energy: energy at 7s 0.9 (± 2 %) " +
			"| energy at 7s 0.8 (-11 %)",
		"    energies: [{at: 0s, energy: 0.9}]\n": "clips[0].energies[0]: an energy at 0s | no window holds this time",
		"    median_energy: 0.2\n": "clips[0].median_energy: median energy 0.2 (± 2 %) " +
			"| median energy 0.11 (-45 %)",
		"    unscored: [{segment: 0, reason: gap}]\n": "clips[0].unscored[0]: the reason gap in segment 0 " +
			"| the reason first_segment",
		"    unscored: [{segment: 2, reason: gap}]\n": "clips[0].unscored[0]: the reason gap in segment 2 | continues at 4s to 6s",
	} {
		_, differences := judged(t, more)
		require.Equal(t, []string{want}, differences)
	}
}

func TestDeadLettersThatNobodyExpectedAreADifference(t *testing.T) {
	read, _ := ParseExpectations("a_test.yaml", []byte(oneClip), noEnv)
	clip := &ClipTrial{seen: seen()}
	read.judge(clip, time.Second)
	require.Len(t, clip.Differences, 1)
	require.Equal(t, "no other dead letters", clip.Differences[0].Expected)
	require.Equal(t, "1 dead letters decode.not_video", clip.Differences[0].Measured)
	clip.seen.dead, clip.Differences = nil, nil
	read, _ = ParseExpectations("a_test.yaml", []byte(oneClip+"    dead_letters: [{code: decode.not_video, count: 2}]\n"), noEnv)
	read.judge(clip, time.Second)
	require.Equal(t, "2 dead letters decode.not_video", clip.Differences[0].Expected)
	require.Equal(t, "no dead letters", clip.Differences[0].Measured)
}

// TestUpdatingATestChangesValuesOnly: comments, order and spaces stay.
func TestUpdatingATestChangesValuesOnly(t *testing.T) {
	text := `version: 1 # the format
clips:
  # what happens
  - files: [a.mp4]
    verdicts:
      - {at: 3s, verdict: stalls} # soon
      - segment: 3
        verdict:   continues
    never: [breaks]
    counts: {segments: 4, breaks: 1}
    median_energy: 0.25   # as measured
    energies: [{at: 7s, energy: 1}]
    unscored: [{segment: 0, reason: gap}]
    dead_letters: [{code: decode.not_video, count: 3}]
  - files: [b.mp4] # nothing yet

# the end
`
	read, findings := ParseExpectations("a_test.yaml", []byte(text), noEnv)
	require.NotNil(t, read, render(findings))
	trial := &Trial{Clips: []*ClipTrial{{File: "a.mp4", seen: seen()}, {File: "b.mp4", item: 1, seen: seen()}}}
	for _, clip := range trial.Clips {
		read.judge(clip, time.Second)
	}
	updated, left := trial.Updated([]byte(text))
	want := strings.NewReplacer(
		"verdict: stalls", "verdict: warming_up", "verdict:   continues", "verdict:   breaks", "segments: 4", "segments: 5",
		"0.25", "0.11", "energy: 1", "energy: 0.8", "reason: gap", "reason: first_segment", "count: 3", "count: 1",
		"# nothing yet\n", "# nothing yet\n"+`    verdicts:
      - {at: 7s, verdict: breaks}
    counts: {segments: 5, warming_up: 1, continues: 2, breaks: 1, unscored: 1}
    median_energy: 0.11
    dead_letters:
      - {code: decode.not_video, count: 1}
`).Replace(text)
	require.Equal(t, want, string(updated))
	require.Len(t, left, 1)
	require.Equal(t, "clips[0].never[0]", left[0].Path, "what is never to be is for a person to settle")

	again, _ := ParseExpectations("a_test.yaml", updated, noEnv)
	for _, clip := range trial.Clips {
		clip.Differences = nil
		again.judge(clip, time.Second)
	}
	require.Len(t, trial.differences(), 1, "%v", trial.differences())
	same, _ := trial.Updated(updated)
	require.Equal(t, string(updated), string(same), "twice is once")
}

func TestTheMedianOfNothingIsNoNumber(t *testing.T) {
	require.True(t, math.IsNaN(median(nil)))
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
}

// TestStockDefinitionsFindWhatTheySaid runs the tests beside the stock definitions over the sample streams.
func TestStockDefinitionsFindWhatTheySaid(t *testing.T) {
	for _, name := range StockNames() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(fixture.Repository("pipelines", "stock"), name+ExpectationsSuffix)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			read, findings := ParseExpectations(path, text, noEnv)
			require.NotNil(t, read, render(findings))
			require.Equal(t, name+".yaml", read.Definition)
			data, _ := Stock(name)
			def, _ := Parse(name, data, noEnv)
			trial, findings, err := read.Try(t.Context(), def)
			require.NoError(t, err)
			require.Empty(t, findings)
			require.Empty(t, trial.differences())
			require.Greater(t, trial.Passed, 6)
		})
	}
}

func TestATestOfClipsThatAreNotThereIsWrong(t *testing.T) {
	read, _ := ParseExpectations("a_test.yaml", []byte(oneClip), noEnv)
	data, _ := Stock("replay")
	def, _ := Parse("replay", data, noEnv)
	trial, findings, err := read.Try(t.Context(), def)
	require.NoError(t, err)
	require.Nil(t, trial)
	require.Contains(t, render(findings), "a_test.yaml:3:5: error definition.bad_value: clips[0].files:")
}
