package pipelines

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Kind is what a value of a definition looks like.
type Kind string

// The kinds of values.
const (
	// KindString is text.
	KindString Kind = "string"
	// KindEnum is one of a few words.
	KindEnum Kind = "enum"
	// KindInt is a whole number.
	KindInt Kind = "int"
	// KindFloat is a number.
	KindFloat Kind = "float"
	// KindBool is true or false.
	KindBool Kind = "bool"
	// KindDuration is a time with its unit: 500ms, 2s, 1m30s, 1h.
	KindDuration Kind = "duration"
	// KindBytes is an amount of memory with its unit: 64MiB, 1GiB.
	KindBytes Kind = "bytes"
	// KindPixels is a width and a height: 4096x4096.
	KindPixels Kind = "pixels"
	// KindList is a list of values of one kind.
	KindList Kind = "list"
	// KindObject is a set of keys.
	KindObject Kind = "object"
)

// Choice says how many of the optional objects inside an object may be written.
type Choice string

// The choices; an object without one lets its optional objects stand beside each other or be absent.
const (
	ChooseOne       Choice = "exactly one"
	ChooseSome      Choice = "at least one"
	ChooseAtMostOne Choice = "at most one"
)

// Field is what there is to know about one key of a definition. The parser, the defaults, the lint, the schema, explain and
// docs/definition.md are all made from the fields, so nothing about a key is written down twice.
type Field struct {
	// Path is the key with those around it: "decode.limits.bytes".
	Path string `json:"path"`
	Kind Kind   `json:"type"`
	// Item is the kind of a list's values.
	Item Kind `json:"item,omitempty"`
	// Unit is what the number counts, where the value does not carry its unit.
	Unit string `json:"unit,omitempty"`
	// Default is the value of a key that is not written, as it would be written.
	Default string `json:"default,omitempty"`
	// Computed says in words what the default is where it depends on other keys.
	Computed string `json:"computed,omitempty"`
	// Why says why the default is what it is.
	Why string `json:"why,omitempty"`
	// Required keys must be written where the object around them is.
	Required bool `json:"required,omitempty"`
	// Choice says how many of the optional objects directly inside may be there.
	Choice Choice `json:"choice,omitempty"`
	// Secret values never appear in any output.
	Secret bool `json:"secret,omitempty"`
	// Reload says that a running pipeline takes a changed value over; Fixed is why it does not.
	Reload bool   `json:"reload,omitempty"`
	Fixed  string `json:"fixed,omitempty"`
	// Commas says that one item of the list may hold several values with commas between them, as variables like to.
	Commas  bool     `json:"commas,omitempty"`
	Options []string `json:"options,omitempty"`
	// OrPath says that a value with a slash in it is a path, beside the options.
	OrPath bool `json:"or_path,omitempty"`
	// Refused are options that are known but not offered, and why.
	Refused map[string]string `json:"refused,omitempty"`
	// Meant are words that people write instead of an option, and that option.
	Meant    map[string]string `json:"meant,omitempty"`
	Examples []string          `json:"examples,omitempty"`
	// Min and Max are inclusive bounds, as they would be written; of a list, those of every item.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
	// Doc is one sentence; Notes, for some, is more to know.
	Doc   string `json:"doc"`
	Notes string `json:"notes,omitempty"`

	// check looks at one text value; nil means that there is nothing more to look at.
	check func(text string) *complaint
}

// Key is the last part of the path.
func (f Field) Key() string { return keyOf(f.Path) }

// leaf says that the field has a value of its own.
func (f Field) leaf() bool { return f.Kind != KindObject && !f.objects() }

// objects says that the field is a list of objects.
func (f Field) objects() bool { return f.Kind == KindList && f.Item == KindObject }

// scalar is the kind of the field's value, of an item where it is a list.
func (f Field) scalar() Kind {
	if f.Kind == KindList {
		return f.Item
	}
	return f.Kind
}

// complaint is what is wrong with one value, before anybody knows where it stands.
type complaint struct {
	code       codeOrDefault
	message    string
	hint       string
	suggestion string
}

// Spec is the field spec: every key of a definition in the order of the documentation, objects before their keys.
func Spec() []Field { return slices.Clone(definitionFields()) }

// branch is a field in its place in the tree, bound to the struct field that holds its value.
type branch struct {
	Field
	// index is the number of the field in the struct around it.
	index int
	// pointer says that the object may be absent.
	pointer  bool
	children []*branch
}

func (b *branch) child(key string) *branch {
	for _, child := range b.children {
		if child.Key() == key {
			return child
		}
	}
	return nil
}

// keys are the keys of an object.
func (b *branch) keys() []string {
	keys := make([]string, len(b.children))
	for i, child := range b.children {
		keys[i] = child.Key()
	}
	return keys
}

// find is the branch of the path below b; nil when there is none.
func (b *branch) find(path string) *branch {
	for key := range strings.SplitSeq(path, ".") {
		key, _, _ = strings.Cut(key, "[")
		if b = b.child(key); b == nil {
			return nil
		}
	}
	return b
}

// each calls f for every branch below b, parents first.
func (b *branch) each(f func(*branch)) {
	for _, child := range b.children {
		f(child)
		child.each(f)
	}
}

// definitionTree is the spec bound to Definition. A mismatch is a programming error that a test finds.
var definitionTree = sync.OnceValue(func() *branch {
	root, err := bind(definitionFields(), reflect.TypeFor[Definition]())
	if err != nil {
		panic(err)
	}
	return root
})

// bind joins the fields with the `def` tags of the type: every field has a struct field of a fitting type and the other way
// round.
func bind(fields []Field, typ reflect.Type) (*branch, error) {
	root := &branch{Field: Field{Kind: KindObject}}
	types := map[*branch]reflect.Type{root: typ}
	for _, field := range fields {
		parent := root
		if at := strings.LastIndexByte(field.Path, '.'); at >= 0 {
			parent = root.find(field.Path[:at])
		}
		if parent == nil {
			return nil, fmt.Errorf("binding %s: the spec has no entry for the object around it", field.Path)
		}
		if parent.child(field.Key()) != nil {
			return nil, fmt.Errorf("binding %s: the spec has it twice", field.Path)
		}
		node, nodeType, err := bindField(field, types[parent])
		if err != nil {
			return nil, err
		}
		parent.children = append(parent.children, node)
		if field.objects() {
			nodeType = nodeType.Elem()
		}
		types[node] = nodeType
	}
	return root, unbound(root, types)
}

// bindField finds the struct field of one spec entry and looks whether it can hold the kind.
func bindField(field Field, parent reflect.Type) (*branch, reflect.Type, error) {
	for i := range parent.NumField() {
		if parent.Field(i).Tag.Get("def") != field.Key() {
			continue
		}
		typ := parent.Field(i).Type
		node := &branch{Field: field, index: i}
		if typ.Kind() == reflect.Pointer {
			node.pointer = true
			typ = typ.Elem()
		}
		if !fits(field, typ) {
			return nil, nil, fmt.Errorf("binding %s: a %s cannot hold a %s", field.Path, typ, field.Kind)
		}
		return node, typ, nil
	}
	return nil, nil, fmt.Errorf("binding %s: %s has no field with the tag def:%q", field.Path, parent, field.Key())
}

// unbound is an error when a struct field with a tag has no spec entry.
func unbound(root *branch, types map[*branch]reflect.Type) error {
	var missing []string
	look := func(b *branch) {
		if b.leaf() {
			return
		}
		typ := types[b]
		for field := range typ.Fields() {
			if tag := field.Tag.Get("def"); tag != "" && b.child(tag) == nil {
				missing = append(missing, strings.TrimPrefix(b.Path+"."+tag, "."))
			}
		}
	}
	look(root)
	root.each(look)
	if len(missing) > 0 {
		return fmt.Errorf("binding %s: no entry in the spec for %s", types[root], strings.Join(missing, ", "))
	}
	return nil
}
