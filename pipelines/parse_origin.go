package pipelines

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// source is where the values of a definition came from: for lint and explain, which may run after the program has changed
// some of them.
type source struct {
	file    string
	origins map[string]origin
}

// origin is where one value came from.
type origin struct {
	// line and column are zero where the key is not written.
	line, column int
	// from are the variables and files that are part of it.
	from   []string
	secret bool
	// text is the value as parsed; when it is another now, the program has set it.
	text string
}

// at is the place of the path, or of the nearest key around it that is written.
func (s *source) at(path string) (line, column int) {
	for ; s != nil && path != ""; path = around(path) {
		if o, ok := s.origins[path]; ok && o.line > 0 {
			return o.line, o.column
		}
	}
	return 1, 1
}

func (s *source) origin(path string) (origin, bool) {
	if s == nil {
		return origin{}, false
	}
	o, ok := s.origins[path]
	return o, ok
}

// redactor takes the secrets of a definition out of texts that its values went into.
func (d *Definition) redactor() *strings.Replacer {
	var secrets []string
	definitionTree().each(func(b *branch) {
		o, _ := d.source.origin(b.Path)
		value, ok := lookup(d, b.Path)
		if !ok || !b.leaf() || !o.secret && !b.Secret {
			return
		}
		if b.scalar() == KindString || b.OrPath { // numbers, options and the like cannot be secrets that work
			secrets = append(secrets, texts(value)...)
		}
	})
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, secret := range secrets {
		quoted := strconv.Quote(secret)
		pairs = append(pairs, secret, secretText, quoted[1:len(quoted)-1], secretText)
	}
	return strings.NewReplacer(pairs...)
}

// texts are the strings in a string or a list of strings, without empty ones.
func texts(value reflect.Value) []string {
	if value.Kind() == reflect.String {
		value = reflect.ValueOf([]string{value.String()})
	}
	var all []string
	for i := range value.Len() {
		if text := value.Index(i).String(); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// name is the file of the definition.
func (s *source) name() string {
	if s == nil {
		return "definition"
	}
	return s.file
}

// around is the path of the object around a path, of the list around an item.
func around(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// lookup is the value of a path in the definition; not ok where an object around it is absent.
func lookup(def *Definition, path string) (reflect.Value, bool) {
	value, node := reflect.ValueOf(def).Elem(), definitionTree()
	for key := range strings.SplitSeq(path, ".") {
		key, index, isItem := strings.Cut(key, "[")
		if node = node.child(key); node == nil {
			return reflect.Value{}, false
		}
		value = value.Field(node.index)
		if node.pointer {
			if value.IsNil() {
				return reflect.Value{}, false
			}
			value = value.Elem()
		}
		if isItem {
			var i int
			if _, err := fmt.Sscanf(index, "%d]", &i); err != nil || i < 0 || i >= value.Len() {
				return reflect.Value{}, false
			}
			value = value.Index(i)
		}
	}
	return value, true
}

// formatValue writes the value of a field as a definition would have it.
func formatValue(field Field, value reflect.Value) string {
	if value.Kind() != reflect.Slice {
		return field.scalar().format(value.Interface())
	}
	items := make([]string, value.Len())
	for i := range items {
		items[i] = field.Item.format(value.Index(i).Interface())
	}
	return "[" + strings.Join(items, ", ") + "]"
}
