package pipelines

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ensue-video/ensue/stream"
)

// judging holds one clip against what is expected of it.
type judging struct {
	*Expectations
	clip   *ClipTrial
	path   string
	window time.Duration
}

func (e *Expectations) judge(clip *ClipTrial, window time.Duration) {
	j := &judging{Expectations: e, clip: clip, path: indexed("clips", clip.item), window: window}
	for _, result := range clip.seen.results {
		clip.Seconds += result.Y.End.Sub(result.Y.Start).Seconds()
	}
	want := e.Clips[clip.item]
	for i, verdict := range want.Verdicts {
		j.verdict(indexed(j.path+".verdicts", i), verdict)
	}
	for i, verdict := range want.Never {
		j.never(indexed(j.path+".never", i), stream.Verdict(verdict))
	}
	if want.Counts != nil {
		j.counts(want.Counts)
	}
	for i, energy := range want.Energies {
		j.energy(indexed(j.path+".energies", i), energy)
	}
	if want.MedianEnergy != nil {
		measured := median(clip.seen.energies())
		j.near(j.path+".median_energy", "median energy", *want.MedianEnergy, measured, e.Tolerance.Energy)
	}
	for i, reason := range want.Unscored {
		j.reason(indexed(j.path+".unscored", i), reason)
	}
	j.dead(want.DeadLetters)
}

// say books an expectation that was met, or the difference.
func (j *judging) say(met bool, path, expected, measured string, set patch) {
	if met {
		j.clip.Passed++
		return
	}
	line, column := j.source.at(path)
	j.clip.Differences = append(j.clip.Differences, Difference{
		Path: path, Line: line, Column: column, Expected: expected, Measured: measured, set: set,
	})
}

func (j *judging) verdict(path string, want ExpectedVerdict) {
	if want.Segment != nil {
		result, found := j.numbered(*want.Segment)
		expected := fmt.Sprintf("%s in segment %d", want.Verdict, *want.Segment)
		if !found {
			j.say(false, path, expected, "no such segment", patch{})
			return
		}
		j.say(string(result.Verdict) == want.Verdict, path, expected, j.describe(result), patch{path + ".verdict", string(result.Verdict)})
		return
	}
	within := j.Tolerance.Time
	if want.Within != nil {
		within = *want.Within
	}
	met := slices.ContainsFunc(j.clip.seen.results, func(result seenResult) bool {
		from, to := j.stretch(result)
		return string(result.Verdict) == want.Verdict && from <= *want.At+within && *want.At-within < to
	})
	expected := fmt.Sprintf("%s at %s (± %s)", want.Verdict, seconds(*want.At), seconds(within))
	if result, found := j.holding(*want.At); found {
		j.say(met, path, expected, j.describe(result), patch{path + ".verdict", string(result.Verdict)})
		return
	}
	j.say(met, path, expected, "the clip has no result there", patch{})
}

func (j *judging) never(path string, verdict stream.Verdict) {
	var there []string
	for _, result := range j.clip.seen.results {
		if result.Verdict == verdict {
			there = append(there, j.describe(result))
		}
	}
	j.say(len(there) == 0, path, "no "+string(verdict), strings.Join(there, "; "), patch{})
}

func (j *judging) counts(want *ExpectedCounts) {
	got := map[stream.Verdict]int{}
	for _, result := range j.clip.seen.results {
		got[result.Verdict]++
	}
	count := func(key string, expected *int, measured int) {
		if expected != nil {
			path := j.path + ".counts." + key
			j.say(*expected == measured, path, fmt.Sprintf("%d %s", *expected, key), fmt.Sprintf("%d %s", measured, key),
				patch{path, strconv.Itoa(measured)})
		}
	}
	count("segments", want.Segments, len(j.clip.seen.results))
	count("warming_up", want.WarmingUp, got[stream.WarmingUp])
	count("continues", want.Continues, got[stream.Continues])
	count("breaks", want.Breaks, got[stream.Breaks])
	count("stalls", want.Stalls, got[stream.Stalls])
	count("unscored", want.Unscored, got[stream.Unscored])
}

func (j *judging) energy(path string, want ExpectedEnergy) {
	within := j.Tolerance.Energy
	if want.Within != nil {
		within = *want.Within
	}
	for _, result := range j.clip.seen.results {
		for _, w := range result.Windows {
			if start := fromSeconds(w.Start); start <= want.At && want.At < start+j.window {
				j.near(path+".energy", "energy at "+seconds(want.At), want.Energy, w.Energy, within)
				return
			}
		}
	}
	j.say(false, path, "an energy at "+seconds(want.At), "no window holds this time", patch{})
}

// near compares two numbers by a tolerance that is a share of the expected one.
func (j *judging) near(path, what string, expected, measured, within float64) {
	difference := "no energies"
	if !math.IsNaN(measured) {
		difference = fmt.Sprintf("%s %s", what, short(measured))
		if expected != 0 {
			difference += fmt.Sprintf(" (%+.2g %%)", 100*(measured-expected)/math.Abs(expected))
		}
	}
	met := math.Abs(measured-expected) <= within*math.Abs(expected)
	set := patch{path, short(measured)}
	if math.IsNaN(measured) {
		set = patch{}
	}
	j.say(met, path, fmt.Sprintf("%s %s (± %.3g %%)", what, short(expected), 100*within), difference, set)
}

func (j *judging) reason(path string, want ExpectedReason) {
	var result seenResult
	var found bool
	where := ""
	if want.Segment != nil {
		where = fmt.Sprintf("in segment %d", *want.Segment)
		result, found = j.numbered(*want.Segment)
	} else {
		where = "at " + seconds(*want.At)
		result, found = j.holding(*want.At)
	}
	expected := fmt.Sprintf("the reason %s %s", want.Reason, where)
	switch {
	case !found:
		j.say(false, path, expected, "no such segment", patch{})
	case result.Reason == "":
		j.say(false, path, expected, j.describe(result), patch{})
	default:
		seen := string(result.Reason)
		j.say(seen == want.Reason, path, expected, "the reason "+seen, patch{path + ".reason", seen})
	}
}

// dead compares the codes of dead letters; those that nobody expected are differences too.
func (j *judging) dead(want []ExpectedDead) {
	got := map[stream.Code]int{}
	for _, code := range j.clip.seen.dead {
		got[code]++
	}
	for i, letters := range want {
		path, code := indexed(j.path+".dead_letters", i), stream.Code(letters.Code)
		j.say(got[code] == letters.Count, path, fmt.Sprintf("%d dead letters %s", letters.Count, code), j.letters(got),
			patch{path + ".count", strconv.Itoa(got[code])})
		delete(got, code)
	}
	if len(want) == 0 || len(got) > 0 {
		j.say(len(got) == 0, j.path, "no other dead letters", j.letters(got), patch{})
	}
}

func (j *judging) letters(got map[stream.Code]int) string {
	if len(got) == 0 {
		return "no dead letters"
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(got)) {
		parts = append(parts, fmt.Sprintf("%d dead letters %s", got[code], code))
	}
	return strings.Join(parts, ", ")
}

func (j *judging) numbered(sequence int) (seenResult, bool) {
	for _, result := range j.clip.seen.results {
		if result.sequence == int64(sequence) {
			return result, true
		}
	}
	return seenResult{}, false
}

// holding is the result whose segment holds a time; the last one also holds its end.
func (j *judging) holding(at time.Duration) (seenResult, bool) {
	for i, result := range j.clip.seen.results {
		from, to := extent(result)
		if from <= at && (at < to || at == to && i == len(j.clip.seen.results)-1) {
			return result, true
		}
	}
	return seenResult{}, false
}

// stretch is when the verdict of a result holds: an alarm is about its most surprising window, any other verdict about the segment.
func (j *judging) stretch(result seenResult) (from, to time.Duration) {
	if result.Verdict == stream.Breaks || result.Verdict == stream.Stalls {
		if w := surprising(result.Result); w != nil {
			from = fromSeconds(w.Start)
			return from, from + j.window
		}
	}
	return extent(result)
}

// describe says what a result says, for people.
func (j *judging) describe(result seenResult) string {
	from, to := j.stretch(result)
	text := fmt.Sprintf("%s at %s to %s", result.Verdict, seconds(from), seconds(to))
	if result.PValue != nil {
		text += fmt.Sprintf(", p = %.2g", *result.PValue)
	}
	if result.Reason != "" {
		text += " (" + string(result.Reason) + ")"
	}
	return text
}

// extent is a result's stretch of its file, whose clock begins in 1970.
func extent(result seenResult) (from, to time.Duration) {
	return result.Y.Start.Sub(time.Unix(0, 0)), result.Y.End.Sub(time.Unix(0, 0))
}

// surprising is the most surprising window of a result; nil where none was judged.
func surprising(result *stream.Result) *stream.Window {
	var worst *stream.Window
	for i, w := range result.Windows {
		if w.PValue != nil && (worst == nil || *w.PValue < *worst.PValue) {
			worst = &result.Windows[i]
		}
	}
	return worst
}

func (o *observed) energies() []float64 {
	var all []float64
	for _, result := range o.results {
		for _, w := range result.Windows {
			all = append(all, w.Energy)
		}
	}
	return all
}

// median is NaN of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func fromSeconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

// short is a number as a test has it: five digits are more than machines agree on.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 5, 64) }
