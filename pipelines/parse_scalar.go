package pipelines

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar reads one value of the kind: substitutes, reads, and looks at bounds, options and the field's own check.
func (p *parser) scalar(field Field, kind Kind, path string, node *yaml.Node) (any, origin, bool) {
	at := place{node.Line, node.Column}
	o := origin{line: at.line, column: at.column}
	node = resolve(node)
	if node.Kind != yaml.ScalarNode {
		p.wrongShape(&branch{Field: Field{Kind: kind, Examples: []string{itemExample(field)}}}, path, node, at)
		return nil, o, false
	}
	if len(node.Value) > maxText {
		p.report(problem{code: codeOutOfRange, path: path, place: at, complaint: tooLong(node.Value)})
		return nil, o, false
	}
	in := p.subst.expand(node.Value)
	o.from, o.secret = in.from, in.secret || field.Secret
	v := &reading{parser: p, field: field, kind: kind, path: path, at: at, node: node, in: in, secret: o.secret}
	value, ok := v.read()
	return value, o, ok
}

func tooLong(text string) complaint {
	return complaint{message: fmt.Sprintf("is %d bytes long", len(text)), hint: fmt.Sprintf("write at most %d", maxText)}
}

func itemExample(field Field) string {
	return strings.Trim(strings.SplitN(field.example(), ",", 2)[0], "[] ")
}

// reading is one value on its way from YAML into the definition.
type reading struct {
	*parser
	field  Field
	kind   Kind
	path   string
	at     place
	node   *yaml.Node
	in     substitution
	secret bool
}

// complain reports c under the code, or under its own.
func (v *reading) complain(code codeOrDefault, c complaint) {
	value := show(v.in.text, v.secret)
	if len(v.in.complaints) > 0 {
		value = show(v.node.Value, v.field.Secret)
	} else if len(v.in.from) > 0 {
		value += " from " + strings.Join(v.in.from, " and ")
	}
	if v.secret {
		c.suggestion, c.hint = "", withoutSuggestion(c)
	}
	v.report(problem{code: code, path: v.path, place: v.at, value: value, complaint: c})
}

// withoutSuggestion is the hint of a complaint about a secret: suggestions are made of the value.
func withoutSuggestion(c complaint) string {
	if c.suggestion != "" && strings.Contains(c.hint, c.suggestion) {
		return ""
	}
	return c.hint
}

// about reports a complaint whose message follows the value.
func (v *reading) about(code codeOrDefault, c complaint) {
	value := show(v.in.text, v.secret)
	if len(v.in.from) > 0 {
		value += " from " + strings.Join(v.in.from, " and ")
	}
	c.message = value + " " + c.message
	v.complain(code, c)
}

func (v *reading) read() (any, bool) {
	if !v.substituted() || !v.shape() {
		return nil, false
	}
	if v.in.text == "" {
		v.complain(codeEmptyValue, complaint{message: "is empty", hint: "give it a value" + exampleHint(v.field) + ", or remove the key"})
		return nil, false
	}
	if len(v.in.text) > maxText {
		v.complain(codeOutOfRange, tooLong(v.in.text))
		return nil, false
	}
	value, c := v.kind.read(v.in.text)
	if c != nil {
		v.about(codeWrongType, *c)
		return nil, false
	}
	return value, v.option() && v.bounds(value) && v.checks() && v.harmless()
}

// substituted reports what went wrong while replacing `${…}`; warnings do not stop the reading.
func (v *reading) substituted() bool {
	ok := true
	for _, c := range v.in.complaints {
		c.message = show(v.node.Value, v.field.Secret) + " " + c.message
		v.complain(c.code, c)
		ok = ok && severityOf(c.code) != SeverityError
	}
	v.in.complaints = nil
	return ok
}

// shape looks at how the value is written: tags, quotes, and words that YAML readers disagree about. A substituted value
// may be quoted whatever it is, because it often must.
func (v *reading) shape() bool {
	plain := v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch {
	case v.node.Style&yaml.TaggedStyle != 0:
		v.complain(codeWrongType, complaint{message: "has a YAML tag", hint: "remove the tag that begins with !"})
		return false
	case len(v.in.from) > 0:
		return true
	case v.kind == KindString && plain && slices.Contains([]string{"!!int", "!!float", "!!bool"}, v.node.Tag):
		quoted := `"` + v.node.Value + `"`
		v.about(codeWrongType, complaint{
			message: "is a " + map[string]string{"!!int": "number", "!!float": "number", "!!bool": "boolean"}[v.node.Tag] + ", not text",
			hint:    "put quotes around it: " + quoted, suggestion: quoted,
		})
		return false
	case v.kind == KindString && plain && yamlBooleans[strings.ToLower(v.node.Value)] != "":
		quoted := `"` + v.node.Value + `"`
		v.about(codeYAMLBoolean, complaint{
			message: "without quotes is a boolean to YAML 1.1 readers", hint: "put quotes around it: " + quoted, suggestion: quoted,
		})
	case (v.kind == KindInt || v.kind == KindFloat || v.kind == KindBool) && !plain:
		what := map[Kind]string{KindInt: "number", KindFloat: "number", KindBool: "boolean"}[v.kind]
		v.about(codeWrongType, complaint{message: "in quotes is text, not a " + what, hint: "remove the quotes", suggestion: v.node.Value})
		return false
	}
	return true
}

// option looks whether a word is among the options.
func (v *reading) option() bool {
	if v.kind != KindEnum || slices.Contains(v.field.Options, v.in.text) || v.field.OrPath && strings.Contains(v.in.text, "/") {
		return true
	}
	if why, known := v.field.Refused[v.in.text]; known {
		v.about(codeNotOffered, complaint{
			message: "is not offered yet: " + why, hint: "write " + strings.Join(v.field.Options, " or "), suggestion: v.field.Options[0],
		})
		return false
	}
	c := complaint{message: "is not one of " + strings.Join(v.field.Options, ", ")}
	c.hint = "write one of them"
	if v.field.OrPath {
		c.hint = "write " + strings.Join(v.field.Options, " or ") + ", or a path with a slash in it"
		if !v.secret {
			c.hint += ": ./" + v.in.text
		}
	}
	near := v.field.Meant[strings.ToLower(v.in.text)]
	if near == "" {
		near = nearest(v.in.text, v.field.Options)
	}
	if near != "" {
		c.hint, c.suggestion = fmt.Sprintf("did you mean %q?", near), near
	}
	v.about(codeNotAnOption, c)
	return false
}

func (v *reading) bounds(value any) bool {
	if v.field.within(value) {
		return true
	}
	v.about(codeOutOfRange, complaint{message: "is out of range", hint: "write " + v.field.Range()})
	return false
}

// checks runs the field's own linter, on every part where commas are allowed.
func (v *reading) checks() bool {
	if v.field.check == nil {
		return true
	}
	parts := []string{v.in.text}
	if v.field.Commas {
		if parts = splitCommas(v.in.text); len(parts) == 0 {
			parts = []string{v.in.text}
		}
	}
	for _, part := range parts {
		if c := v.field.check(part); c != nil {
			v.about(codeBadValue, *c)
			return false
		}
	}
	return true
}

// harmless warns of secrets that are written into the definition. It never stops the reading.
func (v *reading) harmless() bool {
	if len(v.in.from) > 0 || v.kind != KindString {
		return true
	}
	if v.field.Secret || scrub(v.in.text) != v.in.text && strings.Contains(v.in.text, "://") {
		v.complain(codeInlineSecret, complaint{
			message: "a secret is written into the definition", hint: "use ${file:/run/secrets/…} or a variable",
		})
	}
	return true
}
