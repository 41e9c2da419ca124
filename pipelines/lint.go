package pipelines

import (
	"github.com/ensue-video/ensue/stream"
)

// Lint reads a definition and tells everything there is to tell about it at once: what is wrong with the text, and what is
// wrong between its keys. Rules over keys that could not be read are left out, so that one mistake is told once.
func Lint(name string, data []byte, env func(string) (string, bool)) []Finding {
	_, findings := parseAndCheck(newParser(name, env), data)
	return findings
}

func parseAndCheck(p *parser, data []byte) (*Definition, []Finding) {
	def := p.definition(data)
	if def != nil {
		p.findings = append(p.findings, review(def, p.unreadable)...)
	}
	sortFindings(p.findings)
	return def, p.findings
}

// Review tells what is wrong between the keys of a definition, which may be one that a program has made or changed since it
// was parsed.
func Review(def *Definition) []Finding {
	findings := review(def, func(string) bool { return false })
	sortFindings(findings)
	return findings
}

func review(def *Definition, unreadable func(string) bool) []Finding {
	var findings []Finding
	for _, r := range rules() {
		skip := false
		for _, path := range r.reads {
			skip = skip || unreadable(path)
		}
		if skip {
			continue
		}
		for _, v := range r.find(def) {
			findings = append(findings, r.finding(def, v))
		}
	}
	return findings
}

// rule looks at several keys together.
type rule struct {
	code     stream.Code
	severity Severity
	// doc is one sentence for docs/definition.md.
	doc string
	// reads are the paths the rule looks at; it is left out when one of them could not be read.
	reads []string
	find  func(*Definition) []violation
}

// violation is what a rule found, at the path to change.
type violation struct {
	path    string
	message string
	hint    string
}

func (r rule) finding(def *Definition, v violation) Finding {
	line, column := def.source.at(v.path)
	redact := def.redactor()
	f := Finding{
		File: def.source.name(), Code: r.code, Severity: r.severity, Path: v.path, Line: line, Column: column,
		Key: keyOf(v.path), Message: redact.Replace(v.message), Hint: redact.Replace(v.hint),
	}
	if node := definitionTree().find(v.path); node != nil && node.leaf() {
		if value, ok := lookup(def, v.path); ok {
			o, _ := def.source.origin(v.path)
			f.Value = redact.Replace(show(formatValue(node.Field, value), node.Secret || o.secret))
		}
	}
	return f
}

// rules is the table of the cross-field rules.
func rules() []rule {
	all := topologyRules()
	all = append(all, kafkaRules()...)
	all = append(all, deliveryRules()...)
	all = append(all, securityRules()...)
	all = append(all, reliabilityRules()...)
	all = append(all, claimRules()...)
	all = append(all, sinkRules()...)
	all = append(all, modelRules()...)
	all = append(all, energyRules()...)
	return append(all, videoRules()...)
}

// when is the violation alone, or nothing.
func when(violated bool, path, message, hint string) []violation {
	if !violated {
		return nil
	}
	return []violation{{path: path, message: message, hint: hint}}
}
