package pipelines

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolve follows an alias. An alias of an alias cannot be written, so one step is enough, and since only the keys of the
// spec are followed, no anchor can make the walk longer than the spec is.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

// mapping is one set of keys on its way into a struct.
type mapping struct {
	*parser
	b     *branch
	path  string
	at    place
	value reflect.Value
	// seen are the keys read so far, claimed those that an unknown key was probably meant to be.
	seen    map[string]place
	claimed map[string]bool
}

// object reads a mapping into a struct: unknown and repeated keys are told, absent ones get their defaults.
// It is false when there is no mapping.
func (p *parser) object(b *branch, path string, node *yaml.Node, value reflect.Value) bool {
	m := &mapping{
		parser: p, b: b, path: path, at: place{node.Line, node.Column}, value: value,
		seen: map[string]place{}, claimed: map[string]bool{},
	}
	node = resolve(node)
	if node.Kind != yaml.MappingNode {
		p.wrongShape(b, path, node, m.at)
		return false
	}
	for i := 0; i+1 < len(node.Content) && !p.full; i += 2 {
		m.pair(node.Content[i], node.Content[i+1])
	}
	m.absent()
	return true
}

// pair reads one key and its value.
func (m *mapping) pair(keyNode, node *yaml.Node) {
	at := place{keyNode.Line, keyNode.Column}
	key := resolve(keyNode).Value
	child := m.b.child(key)
	if child == nil {
		m.unknown(key, at)
		return
	}
	path := join(m.path, key)
	if earlier, twice := m.seen[key]; twice {
		m.report(problem{code: codeDuplicate, path: path, place: at, complaint: complaint{
			message: fmt.Sprintf("is written twice; first in line %d", earlier.line), hint: "keep one of them",
		}})
		return
	}
	m.seen[key] = at
	m.child(child, path, at, node, m.value.Field(child.index))
}

// child reads the value of a key that the spec knows.
func (p *parser) child(b *branch, path string, at place, node *yaml.Node, value reflect.Value) {
	p.origins[path] = origin{line: at.line, column: at.column}
	if isNull(node) {
		p.report(problem{code: codeEmptyValue, path: path, place: at, complaint: complaint{
			message: "has no value", hint: "give it one" + exampleHint(b.Field) + ", or remove the key",
		}})
		p.defaults(b, value)
		return
	}
	if b.pointer {
		value.Set(reflect.New(value.Type().Elem()))
		value = value.Elem()
	}
	switch b.Kind {
	case KindObject:
		if !p.object(b, path, node, value) {
			p.defaults(b, value)
		}
	case KindList:
		p.list(b, path, at, node, value)
	default:
		p.origins[path] = p.scalarInto(b, path, node, value)
	}
}

// scalarInto reads one value into its field, or leaves the default there.
func (p *parser) scalarInto(b *branch, path string, node *yaml.Node, value reflect.Value) origin {
	read, o, ok := p.scalar(b.Field, b.Kind, path, node)
	if ok {
		value.Set(reflect.ValueOf(read).Convert(value.Type()))
	} else {
		p.defaults(b, value)
	}
	return o
}

// list reads a sequence.
func (p *parser) list(b *branch, path string, at place, node *yaml.Node, value reflect.Value) {
	target := resolve(node)
	if target.Kind != yaml.SequenceNode {
		p.wrongShape(b, path, target, place{node.Line, node.Column})
		p.defaults(b, value)
		return
	}
	o := origin{line: at.line, column: at.column}
	if n := len(target.Content); n == 0 || n > maxItems {
		c := complaint{message: "is an empty list", hint: "give it an item" + exampleHint(b.Field) + ", or remove the key"}
		if n > 0 {
			c = complaint{code: codeOutOfRange, message: fmt.Sprintf("has %d items", n), hint: fmt.Sprintf("write at most %d", maxItems)}
		}
		p.report(problem{code: codeEmptyValue, path: path, place: at, complaint: c})
		p.defaults(b, value)
		return
	}
	for i, item := range target.Content {
		itemPath := indexed(path, i)
		if b.objects() {
			p.origins[itemPath] = origin{line: item.Line, column: item.Column}
			element := reflect.New(value.Type().Elem()).Elem()
			p.object(b, itemPath, item, element)
			value.Set(reflect.Append(value, element))
			continue
		}
		read, from, ok := p.scalar(b.Field, b.Item, itemPath, item)
		p.origins[itemPath] = from
		o.from, o.secret = append(o.from, from.from...), o.secret || from.secret
		if ok {
			p.appendItem(b, read, value)
		}
	}
	p.origins[path] = o
}

// appendItem adds what an item holds: several values where commas are allowed.
func (p *parser) appendItem(b *branch, read any, value reflect.Value) {
	parts := []any{read}
	if text, isText := read.(string); isText && b.Commas {
		parts = nil
		for _, part := range splitCommas(text) {
			parts = append(parts, part)
		}
	}
	for _, part := range parts {
		value.Set(reflect.Append(value, reflect.ValueOf(part).Convert(value.Type().Elem())))
	}
}

// splitCommas is the values between the commas, without spaces and without empty ones.
func splitCommas(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// absent gives keys that are not written their defaults and tells the required ones, except those that an unknown key
// beside them was probably meant to be.
func (m *mapping) absent() {
	at := m.at
	if o, ok := m.origins[m.path]; ok && o.line > 0 {
		at = place{o.line, o.column}
	}
	for _, child := range m.b.children {
		key := child.Key()
		if _, written := m.seen[key]; written {
			continue
		}
		path := join(m.path, key)
		m.defaults(child, m.value.Field(child.index))
		if !child.Required || m.claimed[key] {
			continue
		}
		m.report(problem{code: codeMissingKey, path: path, place: at, complaint: complaint{
			message: "is missing", hint: missingHint(child),
		}})
	}
}

func missingHint(b *branch) string {
	if b.Kind == KindObject {
		return "write " + b.Key() + ": with " + childKeys(b) + " below it, indented"
	}
	return "write " + b.Key() + ": …" + exampleHint(b.Field)
}

// defaults gives a key that is not written, and what is inside it, the defaults of the spec.
func (p *parser) defaults(b *branch, value reflect.Value) {
	switch {
	case b.pointer && value.Kind() == reflect.Pointer:
		return // an optional object that is not written is not there
	case b.Kind == KindObject:
		for _, child := range b.children {
			p.defaults(child, value.Field(child.index))
		}
	case b.Default == "":
		value.SetZero()
	default:
		setDefault(b.Field, value)
	}
}

// setDefault reads the default of the spec, which a test has seen to be readable.
func setDefault(field Field, value reflect.Value) {
	if field.Kind != KindList {
		read, _ := field.Kind.read(field.Default)
		value.Set(reflect.ValueOf(read).Convert(value.Type()))
		return
	}
	value.SetZero()
	for _, item := range splitCommas(strings.Trim(field.Default, "[]")) {
		read, _ := field.Item.read(item)
		value.Set(reflect.Append(value, reflect.ValueOf(read).Convert(value.Type().Elem())))
	}
}

// unknown tells a key that the spec does not have here, and which was probably meant.
func (m *mapping) unknown(key string, at place) {
	where := "the " + m.noun
	if m.path != "" {
		where = m.path
	}
	if key == "<<" {
		m.report(problem{code: codeMergeKey, path: join(m.path, key), place: at, complaint: complaint{
			message: "merge keys are not supported", hint: "write the keys out",
		}})
		return
	}
	shown := scrub(key)
	if runes := []rune(shown); len(runes) > maxShown {
		shown = string(runes[:maxShown]) + "…"
	}
	c := complaint{message: fmt.Sprintf("there is no key %q in %s", shown, where)}
	keys := m.b.keys()
	if near := nearest(key, keys); near != "" {
		m.claimed[near] = true
		m.broken[join(m.path, near)] = true
		c.hint, c.suggestion = fmt.Sprintf("did you mean %q?", near), near
	} else if elsewhere := m.elsewhere(key); elsewhere != "" {
		c.hint, c.suggestion = fmt.Sprintf("did you mean %s?", elsewhere), elsewhere
	} else {
		c.hint = "keys here: " + strings.Join(keys, ", ")
	}
	m.report(problem{code: codeUnknownKey, path: join(m.path, shown), place: at, complaint: c})
}

// elsewhere is the path of a key with that very name in another place.
func (p *parser) elsewhere(key string) string {
	found := ""
	p.root.each(func(b *branch) {
		if found == "" && b.Key() == key {
			found = b.Path
		}
	})
	return found
}

// wrongShape tells that a mapping, a list or a single value stands where something else should.
func (p *parser) wrongShape(b *branch, path string, node *yaml.Node, at place) {
	shapes := map[yaml.Kind]string{yaml.MappingNode: "a set of keys", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}
	pr := problem{code: codeWrongType, path: path, place: at}
	kind := b.Kind
	if b.objects() && strings.HasSuffix(path, "]") {
		kind = KindObject // one of its items
	}
	want := map[Kind]string{KindObject: "a set of keys", KindList: "a list"}[kind]
	if want == "" {
		want = "a single value"
	}
	subject := "is "
	if path == "" {
		subject = "the " + p.noun + " is "
	}
	pr.message = subject + shapes[node.Kind] + " where " + want + " is expected"
	switch {
	case kind == KindObject && path == "":
		pr.hint = p.begin()
	case kind == KindObject:
		pr.hint = "write keys below it, indented: " + childKeys(b)
	case b.objects():
		pr.hint = "write its items below it, each with a dash before its first key: " + childKeys(b)
	case kind == KindList && !b.objects() && node.Kind == yaml.ScalarNode:
		pr.value = show(node.Value, b.Secret)
		pr.hint = "put it into brackets"
		if scrub(node.Value) == node.Value && !b.Secret {
			pr.suggestion = bracketed(node)
			pr.hint = "put it into brackets: " + pr.suggestion
		}
	default:
		pr.hint = "write " + want + exampleHint(b.Field)
	}
	p.report(pr)
}

func bracketed(node *yaml.Node) string {
	text := node.Value
	if strings.ContainsAny(text, "${}[],\"'*&#: ") {
		text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return "[" + text + "]"
}

func childKeys(b *branch) string { return strings.Join(b.keys(), ", ") }

func exampleHint(field Field) string {
	example := field.example()
	if example == "" {
		return ""
	}
	return ", for example " + example
}

func isNull(node *yaml.Node) bool {
	node = resolve(node)
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}

// indexed is the path of an item of a list.
func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
