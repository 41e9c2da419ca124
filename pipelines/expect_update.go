package pipelines

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/stream"
)

// Updated is the text of a test with what the trial measured in the place of what it expected, and, where a clip has no expectations yet,
// with its counts, its alarms and its median energy. Everything else stays as it is, comments too. left are the differences that only a
// person can settle: what is never to be, what several files disagree about, what is not plainly written.
func (t *Trial) Updated(data []byte) (updated []byte, left []Difference) {
	var document yaml.Node
	if yaml.Unmarshal(data, &document) != nil || len(document.Content) == 0 {
		return data, t.differences()
	}
	u := &updating{lines: strings.SplitAfter(string(data), "\n"), root: document.Content[0], files: map[int]int{}}
	for _, clip := range t.Clips {
		u.files[clip.item]++
	}
	for _, clip := range t.Clips {
		if u.describe(clip) {
			continue
		}
		for _, difference := range clip.Differences {
			if u.files[clip.item] > 1 || !u.set(difference.set) {
				left = append(left, difference)
			}
		}
	}
	return u.text(), left
}

func (t *Trial) differences() []Difference {
	var all []Difference
	for _, clip := range t.Clips {
		all = append(all, clip.Differences...)
	}
	return all
}

// updating changes a text where its nodes stand.
type updating struct {
	lines []string
	root  *yaml.Node
	// files is how many files an item of clips stands for.
	files map[int]int
	edits []edit
}

// edit puts text in the place of length characters; a line may have several.
type edit struct {
	line, column, length int
	text                 string
}

// set changes the value at a path, where it is written as a plain word.
func (u *updating) set(p patch) bool {
	node := nodeAt(u.root, p.path)
	if p.path == "" || node == nil || node.Kind != yaml.ScalarNode || node.Style != 0 || node.Anchor != "" {
		return false
	}
	if line := []rune(u.lines[node.Line-1]); !strings.HasPrefix(string(line[node.Column-1:]), node.Value) {
		return false
	}
	u.edits = append(u.edits, edit{node.Line, node.Column, len([]rune(node.Value)), p.text})
	return true
}

// describe writes what was measured below a clip of which nothing is expected yet; it is false for any other.
func (u *updating) describe(clip *ClipTrial) bool {
	item := nodeAt(u.root, indexed("clips", clip.item))
	if item == nil || item.Kind != yaml.MappingNode || item.Style&yaml.FlowStyle != 0 || len(item.Content) != 2 || u.files[clip.item] != 1 {
		return false
	}
	indent := strings.Repeat(" ", item.Column-1)
	var b strings.Builder
	for _, line := range clip.measured() {
		b.WriteString(indent + line + "\n")
	}
	last := u.lastLine(item)
	if !strings.HasSuffix(u.lines[last-1], "\n") {
		u.lines[last-1] += "\n"
	}
	u.edits = append(u.edits, edit{line: last + 1, column: 1, text: b.String()})
	return true
}

// measured is what a test would say of a clip.
func (c *ClipTrial) measured() []string {
	var lines []string
	var alarms []string
	counts := map[stream.Verdict]int{}
	for _, result := range c.seen.results {
		counts[result.Verdict]++
		w := surprising(result.Result)
		if result.Verdict == stream.Breaks || result.Verdict == stream.Stalls {
			from, _ := extent(result)
			if w != nil {
				from = fromSeconds(w.Start)
			}
			alarms = append(alarms, fmt.Sprintf("  - {at: %s, verdict: %s}", formatDuration(from.Round(time.Millisecond)), result.Verdict))
		}
	}
	switch {
	case len(alarms) > 0:
		lines = append(append(lines, "verdicts:"), alarms...)
	case len(c.seen.results) > 0:
		lines = append(lines, "never: [breaks, stalls]")
	}
	if len(c.seen.results) > 0 {
		var text strings.Builder
		text.WriteString("counts: {segments: " + strconv.Itoa(len(c.seen.results)))
		for _, v := range []stream.Verdict{stream.WarmingUp, stream.Continues, stream.Breaks, stream.Stalls, stream.Unscored} {
			if counts[v] > 0 {
				fmt.Fprintf(&text, ", %s: %d", v, counts[v])
			}
		}
		lines = append(lines, text.String()+"}")
	}
	if energies := c.seen.energies(); len(energies) > 0 {
		lines = append(lines, "median_energy: "+short(median(energies)))
	}
	return append(lines, c.deadLines()...)
}

func (c *ClipTrial) deadLines() []string {
	if len(c.seen.dead) == 0 {
		return nil
	}
	counts := map[stream.Code]int{}
	for _, code := range c.seen.dead {
		counts[code]++
	}
	var codes []string
	for code := range counts {
		codes = append(codes, fmt.Sprintf("  - {code: %s, count: %d}", code, counts[code]))
	}
	slices.Sort(codes)
	return append([]string{"dead_letters:"}, codes...)
}

// lastLine is the last line of a node that holds anything: lists in brackets may go on below their last item.
func (u *updating) lastLine(node *yaml.Node) int {
	last := deepest(node)
	indent := node.Column - 1
	for last < len(u.lines) {
		line := strings.TrimRight(u.lines[last], "\n")
		if trimmed := strings.TrimLeft(line, " "); trimmed == "" || len(line)-len(trimmed) <= indent && !strings.HasPrefix(trimmed, "]") {
			break
		}
		last++
	}
	return last
}

func deepest(node *yaml.Node) int {
	last := node.Line
	for _, child := range node.Content {
		last = max(last, deepest(child))
	}
	return last
}

// text applies the edits, the last ones first, so that the places of the others stay right.
func (u *updating) text() []byte {
	slices.SortStableFunc(u.edits, func(a, b edit) int {
		if a.line != b.line {
			return b.line - a.line
		}
		return b.column - a.column
	})
	for _, e := range u.edits {
		if e.line > len(u.lines) {
			u.lines = append(u.lines, e.text)
			continue
		}
		line := []rune(u.lines[e.line-1])
		u.lines[e.line-1] = string(line[:e.column-1]) + e.text + string(line[e.column-1+e.length:])
	}
	var b bytes.Buffer
	for _, line := range u.lines {
		b.WriteString(line)
	}
	return b.Bytes()
}

// nodeAt is the node of a path like clips[0].energies[1].energy; nil where there is none.
func nodeAt(node *yaml.Node, path string) *yaml.Node {
	for part := range strings.SplitSeq(path, ".") {
		key, index, isItem := strings.Cut(part, "[")
		if node = valueOfKey(resolve(node), key); node == nil {
			return nil
		}
		if !isItem {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if node = resolve(node); err != nil || node.Kind != yaml.SequenceNode || i >= len(node.Content) {
			return nil
		}
		node = node.Content[i]
	}
	return node
}

func valueOfKey(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}
