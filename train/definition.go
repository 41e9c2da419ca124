package train

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDefinition is the largest definition that is read.
const maxDefinition = 256 << 10

// Load reads a definition from a file.
func Load(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the definition: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxDefinition+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return Config{}, fmt.Errorf("reading the definition: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a definition: YAML over Default. What it does not know, and what has the wrong form, is an error with its line, all at once.
// What values make sense together is Config.Validate's.
func Parse(name string, data []byte) (Config, error) {
	c := Default()
	if len(data) > maxDefinition {
		return c, fmt.Errorf("%s: a definition has at most %d bytes", name, maxDefinition)
	}
	var document yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return c, fmt.Errorf("%s: it is empty", name)
		}
		return c, fmt.Errorf("%s: %w", name, err)
	}
	if unknown := unknownKeys(name, "", &document, reflect.TypeFor[Config]()); len(unknown) > 0 {
		return c, errors.Join(unknown...)
	}
	if err := document.Decode(&c); err != nil {
		return c, told(name, err)
	}
	return c, nil
}

// told names the file in each of yaml's complaints, which have a line.
func told(name string, err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return fmt.Errorf("%s: %w", name, err)
	}
	var all []error
	for _, text := range wrong.Errors {
		all = append(all, fmt.Errorf("%s: %s", name, text))
	}
	return errors.Join(all...)
}

// unknownKeys are the keys of a document that a type has no field for.
func unknownKeys(name, path string, node *yaml.Node, typ reflect.Type) (errs []error) {
	switch {
	case node.Kind == yaml.DocumentNode && len(node.Content) == 1:
		return unknownKeys(name, path, node.Content[0], typ)
	case node.Kind != yaml.MappingNode || typ.Kind() != reflect.Struct:
		return nil // what has the wrong form is told when it is read
	}
	fields := fieldsOf(typ)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		field, ok := fields[key.Value]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: line %d: unknown key %s%s%s", name, key.Line, path, key.Value, hint(key.Value, fields)))
			continue
		}
		errs = append(errs, unknownKeys(name, path+key.Value+".", node.Content[i+1], field)...)
	}
	return errs
}

// fieldsOf are the keys of a struct and their types, inlined ones among them.
func fieldsOf(typ reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range typ.Fields() {
		tag, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			maps.Copy(fields, fieldsOf(f.Type))
		case tag != "":
			fields[tag] = f.Type
		}
	}
	return fields
}

// hint names the keys there are, the likeliest first where one is near.
func hint(key string, fields map[string]reflect.Type) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	best, distance := "", len(key)/3+2
	for _, name := range names {
		if d := edits(key, name); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	return "; known here: " + strings.Join(names, ", ")
}

// edits is how many letters must be put in, taken out or changed to make b of a (Levenshtein 1966).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Encode is the definition as YAML, every key written out.
func (c *Config) Encode() ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(c), encoder.Close()); err != nil {
		return nil, fmt.Errorf("writing the definition: %w", err)
	}
	return text.Bytes(), nil
}
