package pipelines

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document reads the one YAML document that data must be. It is nil, with findings, when there is none.
func (p *parser) document(data []byte) *yaml.Node {
	if len(data) > maxDefinition {
		p.report(problem{code: codeTooLarge, place: place{1, 1}, complaint: complaint{
			message: "the " + p.noun + " is larger than " + formatBytes(maxDefinition),
			hint:    p.noun + "s are a few kilobytes; is this the right file?",
		}})
		return nil
	}
	if at := invalidUTF8(data); at >= 0 {
		p.report(problem{code: codeSyntax, place: placeOf(data, at), complaint: complaint{
			message: "the text is not UTF-8", hint: "save the file as UTF-8 text; is this the right file?",
		}})
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) || err == nil && (len(first.Content) == 0 || isEmptyDocument(first.Content[0])) {
		p.report(problem{code: codeEmpty, place: place{1, 1}, complaint: complaint{
			message: "there is nothing in the " + p.noun, hint: p.begin(),
		}})
		return nil
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			p.report(problem{code: codeDocuments, place: place{second.Line, second.Column}, complaint: complaint{
				message: "a second YAML document begins here", hint: "a " + p.noun + " is one document: put the other into a file of its own",
			}})
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		p.syntax(string(data), err)
		return nil
	}
	return first.Content[0]
}

// begin is how what is read begins.
func (p *parser) begin() string {
	second := ""
	for _, child := range p.root.children {
		if child.Required && child.Key() != "version" {
			second = " and " + child.Key() + ": …"
			break
		}
	}
	return "begin with version: 1" + second
}

func isEmptyDocument(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null" && node.Anchor == ""
}

// invalidUTF8 is the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
	return -1
}

func placeOf(data []byte, at int) place {
	before := data[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return place{line: bytes.Count(before, []byte("\n")) + 1, column: utf8.RuneCount(before[start:]) + 1}
}

var (
	yamlLine      = regexp.MustCompile(`^line (\d+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	keyOfLine     = regexp.MustCompile(`^\s*(?:- )?([A-Za-z_][A-Za-z0-9_]*):`)
	flowReference = regexp.MustCompile(`[\[{,]\s*(\$\{[^}"']*\})`)
)

// syntax tells what the YAML reader could not make out, with the usual causes first. Its own messages hold no values.
func (p *parser) syntax(text string, err error) {
	lines := strings.Split(text, "\n")
	if p.tabs(lines) {
		return
	}
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
		if strings.HasPrefix(message, "did not find expected") {
			line++ // the reader counts the lines of these from zero
		}
	}
	line = max(1, min(line, len(lines)))
	pr := problem{code: codeSyntax, place: place{line, firstColumn(lines[line-1])}}
	if key := keyOfLine.FindStringSubmatch(lines[line-1]); key != nil {
		pr.path = key[1]
	}
	pr.message, pr.hint = "this is not YAML: "+message, "look at this line and the one before: indentation, colons, quotes and brackets"
	switch at := flowReference.FindStringSubmatchIndex(lines[line-1]); {
	case unknownAnchor.MatchString(message):
		name := unknownAnchor.FindStringSubmatch(message)[1]
		pr.place = placeOf([]byte(text), max(0, strings.Index(text, "*"+name)))
		pr.message = "this is not YAML: an alias (*…) names an anchor that is not defined"
		pr.hint = "put quotes around a value that begins with *"
	case at != nil:
		reference := lines[line-1][at[2]:at[3]]
		pr.place.column = utf8.RuneCountInString(lines[line-1][:at[2]]) + 1
		pr.value, pr.suggestion = show(reference, false), `"`+scrub(reference)+`"`
		pr.hint = "inside [ ] and { } a ${…} needs quotes: " + pr.suggestion
	case strings.Contains(message, "mapping values are not allowed"):
		pr.hint = "a key is indented deeper than the one before it, or a value with \": \" in it needs quotes"
	case strings.Contains(message, "cannot start any token"):
		pr.hint = "put quotes around a value that begins with @, ` or %"
	}
	p.report(pr)
}

// tabs reports lines that are indented with tabs, the commonest reason for YAML not to be YAML.
func (p *parser) tabs(lines []string) bool {
	found := false
	for i, line := range lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		at := strings.IndexByte(indent, '\t')
		if at < 0 || strings.TrimSpace(line) == "" {
			continue
		}
		found = true
		p.report(problem{code: codeTab, place: place{i + 1, at + 1}, complaint: complaint{
			message: "the line is indented with a tab", hint: "indent with spaces",
		}})
	}
	return found
}

func firstColumn(line string) int {
	return utf8.RuneCountInString(line) - utf8.RuneCountInString(strings.TrimLeft(line, " ")) + 1
}
