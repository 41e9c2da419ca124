package pipelines

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/ensue-video/ensue/stream"
)

// Bounds of what is read, so that no text can cost much: definitions are a kilobyte or two.
const (
	maxDefinition = 256 << 10
	maxFindings   = 100
	maxItems      = 256
	maxText       = 4096
)

// Parse reads a definition. name stands for the file in findings; env looks up environment variables (nil: there are none).
// It tells everything that is wrong with the text at once; the definition is nil when one of the findings is an error.
// The rules that look at several keys together are Review's.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Definition, []Finding) {
	p := newParser(name, env)
	def := p.definition(data)
	sortFindings(p.findings)
	if def == nil || HasErrors(p.findings) {
		return nil, p.findings
	}
	return def, p.findings
}

// Load reads the definition in the file and checks it: Parse and Review together. The definition is nil when one of the
// findings is an error.
func Load(path string, env func(string) (string, bool)) (*Definition, []Finding) {
	data, err := readDefinition(path)
	if err != nil {
		return nil, []Finding{{
			File: path, Code: codeUnreadable, Severity: SeverityError, Line: 1, Column: 1,
			Message: err.Error(), Hint: "name the file of a definition",
		}}
	}
	def, findings := parseAndCheck(newParser(path, env), data)
	if HasErrors(findings) {
		return nil, findings
	}
	return def, findings
}

func readDefinition(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the definition: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("reading the definition: %s is a folder", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the definition: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxDefinition+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading the definition: %w", err)
	}
	return data, nil
}

// parser turns YAML nodes into the value of a struct, by the tree of the spec, and collects findings.
type parser struct {
	file     string
	root     *branch
	subst    substituter
	findings []Finding
	origins  map[string]origin
	// broken are the paths whose value could not be read: rules that depend on them are left out.
	broken map[string]bool
	full   bool
	// noun is what is read, in findings.
	noun string
}

func newParser(name string, env func(string) (string, bool)) *parser {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &parser{
		file: name, root: definitionTree(), subst: substituter{env: env, file: readSecretFile},
		origins: map[string]origin{}, broken: map[string]bool{}, noun: "definition",
	}
}

// definition reads as much as can be read; it is nil only when there is nothing to read.
func (p *parser) definition(data []byte) *Definition {
	node := p.document(data)
	if node == nil {
		return nil
	}
	def := &Definition{source: &source{file: p.file, origins: p.origins}}
	value := reflect.ValueOf(def).Elem()
	if !p.object(p.root, "", node, value) {
		return nil
	}
	p.computed(def)
	return def
}

// computed fills in the defaults that depend on other keys.
func (p *parser) computed(def *Definition) {
	if kafka := def.Ingest.Kafka; kafka != nil && kafka.Group == "" && def.Name != "" {
		kafka.Group = "ensue-" + def.Name
	}
	p.root.each(func(b *branch) {
		value, ok := lookup(def, b.Path)
		if !ok || !b.leaf() {
			return
		}
		o := p.origins[b.Path]
		o.text = formatValue(b.Field, value)
		p.origins[b.Path] = o
	})
}

// place is where a finding stands.
type place struct{ line, column int }

// problem is everything about a finding that the parser cannot know by itself.
type problem struct {
	code     stream.Code
	severity Severity
	path     string
	place    place
	value    string // as it may be shown
	complaint
}

// report adds a finding; what comes after the first hundred is only counted as too many.
func (p *parser) report(pr problem) {
	if p.full {
		return
	}
	if len(p.findings) == maxFindings {
		p.full = true
		pr = problem{code: codeTooMany, place: pr.place, complaint: complaint{
			message: fmt.Sprintf("there are more than %d findings", maxFindings), hint: "correct these first",
		}}
	}
	code := pr.code
	if pr.complaint.code != "" {
		code = pr.complaint.code
	}
	severity := pr.severity
	if severity == "" {
		severity = severityOf(code)
	}
	if severity == SeverityError && pr.path != "" {
		p.broken[pr.path] = true
	}
	p.findings = append(p.findings, Finding{
		File: p.file, Code: code, Severity: severity, Path: pr.path, Line: pr.place.line, Column: pr.place.column,
		Key: keyOf(pr.path), Value: pr.value, Message: pr.message, Hint: pr.hint, Suggestion: pr.suggestion,
	})
}

func severityOf(code stream.Code) Severity {
	at := slices.IndexFunc(textCodes, func(c CodeInfo) bool { return c.Code == code })
	return textCodes[at].Severity
}

// isBroken says that the path, or something around it, could not be read.
func (p *parser) isBroken(path string) bool {
	for ; path != ""; path = around(path) {
		if p.broken[path] {
			return true
		}
	}
	return false
}

// unreadable says that the path itself, something around it, or an item of it could not be read.
func (p *parser) unreadable(path string) bool {
	if p.isBroken(path) {
		return true
	}
	for broken := range p.broken {
		if strings.HasPrefix(broken, path+"[") {
			return true
		}
	}
	return false
}
