package pipelines

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/stream"
)

// Severity says what a finding means for running the definition.
type Severity string

const (
	// SeverityError: the definition does not run.
	SeverityError Severity = "error"
	// SeverityWarning: it runs, and will probably not do what was meant.
	SeverityWarning Severity = "warning"
	// SeverityNote: it runs; something is worth knowing.
	SeverityNote Severity = "note"
)

// Finding is one thing wrong, or worth knowing, about a definition. No finding holds a secret: values of secret fields, of
// secret files and variables, and the credentials of URLs are left out of every field.
type Finding struct {
	// File is the name the definition was parsed under.
	File string `json:"file"`
	// Code is stable; Codes lists them all.
	Code     stream.Code `json:"code"`
	Severity Severity    `json:"severity"`
	// Path is where in the definition: "decode.limits.bytes", "ingest.kafka.brokers[0]"; empty for the whole of it.
	Path string `json:"path"`
	// Line and Column count from 1; a value that is not written has the place of the nearest key around it.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Key is the last part of Path, Value the value as far as it may be shown.
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	// Message says what is wrong, Hint what to do, Suggestion what to write instead, where that is known.
	Message    string `json:"message"`
	Hint       string `json:"hint,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// String is "file:line:column: severity code: path: message (hint)".
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d:%d: %s %s: ", f.File, f.Line, f.Column, f.Severity, f.Code)
	if f.Path != "" {
		text += f.Path + ": "
	}
	text += f.Message
	if f.Hint != "" {
		text += " (" + f.Hint + ")"
	}
	return text
}

// HasErrors says whether one of the findings is an error.
func HasErrors(findings []Finding) bool { return Count(findings, SeverityError) > 0 }

// Count is how many findings have the severity.
func Count(findings []Finding, severity Severity) int {
	count := 0
	for _, f := range findings {
		if f.Severity == severity {
			count++
		}
	}
	return count
}

// Refusal is the error of a definition that does not run: all errors among the findings, a line each, under the code of the
// first one. It is nil when there is none.
func Refusal(findings []Finding) error {
	var lines []string
	var code stream.Code
	for _, f := range findings {
		if f.Severity != SeverityError {
			continue
		}
		if code == "" {
			code = f.Code
		}
		lines = append(lines, f.String())
	}
	if len(lines) == 0 {
		return nil
	}
	return stream.Fail("definition", code, "%s", strings.Join(lines, "\n"))
}

// sortFindings orders by place, then by severity and code, so that the same definition always reads the same.
func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
		)
	})
}

// keyOf is the last part of a path, without an index.
func keyOf(path string) string {
	path = path[strings.LastIndexByte(path, '.')+1:]
	key, _, _ := strings.Cut(path, "[")
	return key
}

// secretText stands where a secret would.
const secretText = "(secret)"

// maxShown is how much of a value a finding shows.
const maxShown = 80

// scrub takes the credentials out of text.
func scrub(text string) string { return connect.Scrub(text) }

// show is how a value appears in findings: scrubbed, cut, quoted.
func show(text string, secret bool) string {
	if secret {
		return secretText
	}
	text = scrub(text)
	if runes := []rune(text); len(runes) > maxShown {
		text = string(runes[:maxShown]) + "…"
	}
	return strconv.Quote(text)
}
