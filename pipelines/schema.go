package pipelines

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Where editors find the schemas.
const (
	schemaID             = "https://raw.githubusercontent.com/ensue-video/ensue/main/pipelines/schema.json"
	expectationsSchemaID = "https://raw.githubusercontent.com/ensue-video/ensue/main/pipelines/test.schema.json"
)

// reference is a pattern of every text with a `${…}` in it: what comes out of that only the program knows.
const reference = `\$\{[^}]+\}`

// Schema is the JSON Schema (draft 2020-12) of a definition, for editors; pipelines/schema.json is the same bytes.
// It knows keys, types, options and bounds of numbers; lint knows more.
func Schema() []byte {
	return writeSchema(definitionTree(), schemaID, "A pipeline of ensue", "Where video comes from, how it is scored and where the results go.")
}

// ExpectationsSchema is the JSON Schema of a test; pipelines/test.schema.json is the same bytes.
func ExpectationsSchema() []byte {
	return writeSchema(expectationsTree(), expectationsSchemaID, "A test of a pipeline of ensue",
		"Which clips a definition is tried on, and what must come out.")
}

func writeSchema(root *branch, id, title, description string) []byte {
	schema := objectSchema(root)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["$id"] = id
	schema["title"] = title
	schema["description"] = description
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		panic(err) // maps of strings, numbers and booleans always encode
	}
	return out.Bytes()
}

func objectSchema(b *branch) map[string]any {
	properties := map[string]any{}
	var required, optional []string
	for _, child := range b.children {
		properties[child.Key()] = propertySchema(child)
		if child.Required {
			required = append(required, child.Key())
		}
		if child.pointer {
			optional = append(optional, child.Key())
		}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	choose(schema, b.Choice, optional)
	return schema
}

// choose adds how many of the optional objects there may be.
func choose(schema map[string]any, choice Choice, optional []string) {
	alternatives := make([]any, len(optional))
	for i, key := range optional {
		alternatives[i] = map[string]any{"required": []string{key}}
	}
	switch choice {
	case ChooseOne:
		schema["oneOf"] = alternatives
	case ChooseSome:
		schema["anyOf"] = alternatives
	case ChooseAtMostOne:
		schema["not"] = map[string]any{"required": optional}
	}
}

func propertySchema(b *branch) map[string]any {
	var schema map[string]any
	switch b.Kind {
	case KindObject:
		schema = objectSchema(b)
	case KindList:
		schema = map[string]any{"type": "array", "minItems": 1, "maxItems": maxItems}
		if b.objects() {
			schema["items"] = objectSchema(b)
		} else {
			schema["items"] = scalarSchema(b.Field, b.Item)
		}
	default:
		schema = scalarSchema(b.Field, b.Kind)
	}
	schema["description"] = b.Doc
	schema["markdownDescription"] = hover(b.Field)
	if b.Default != "" {
		schema["default"] = plainValue(b.Field, b.Default)
	}
	if len(b.Examples) > 0 {
		examples := make([]any, len(b.Examples))
		for i, example := range b.Examples {
			examples[i] = plainValue(b.Field, example)
		}
		schema["examples"] = examples
	}
	return schema
}

// scalarSchema is the schema of one value; a text with a `${…}` is always allowed.
func scalarSchema(field Field, kind Kind) map[string]any {
	text := func(pattern string) map[string]any {
		return map[string]any{"type": "string", "pattern": "^(" + strings.Trim(pattern, "^$") + ")$|" + reference}
	}
	switch kind {
	case KindEnum:
		if field.OrPath {
			return map[string]any{"anyOf": []any{
				map[string]any{"enum": field.Options}, map[string]any{"type": "string", "pattern": "/|" + reference, "maxLength": maxText},
			}}
		}
		return orReference(map[string]any{"enum": field.Options})
	case KindInt, KindFloat:
		number := map[string]any{"type": map[Kind]string{KindInt: "integer", KindFloat: "number"}[kind]}
		if field.Min != "" {
			number["minimum"] = json.Number(field.Min)
		}
		if field.Max != "" {
			number["maximum"] = json.Number(field.Max)
		}
		return orReference(number)
	case KindBool:
		return orReference(map[string]any{"type": "boolean"})
	case KindDuration:
		return text(durationForm.String())
	case KindBytes:
		return text(bytesForm.String())
	case KindPixels:
		return text(pixelsForm.String())
	}
	return map[string]any{"type": "string", "minLength": 1, "maxLength": maxText}
}

func orReference(schema map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "string", "pattern": reference}}}
}

// hover is what an editor shows over a key.
func hover(field Field) string {
	parts := []string{field.Doc}
	if limits := field.Range(); limits != "" {
		parts = append(parts, "Range: `"+limits+"`"+unitText(field)+".")
	}
	if field.Computed != "" {
		parts = append(parts, "Default: "+field.Computed+".")
	}
	if field.Why != "" {
		parts = append(parts, "Why this default: "+field.Why+".")
	}
	if field.Reload && field.leaf() {
		parts = append(parts, "Changes without a restart.")
	}
	if field.Notes != "" {
		parts = append(parts, field.Notes)
	}
	return strings.Join(parts, "\n\n")
}

func unitText(field Field) string {
	if field.Unit == "" {
		return ""
	}
	return " " + field.Unit
}

// plainValue is a value of the spec as JSON has it.
func plainValue(field Field, text string) any {
	if field.Kind == KindList {
		items := []any{}
		for _, item := range splitCommas(strings.Trim(text, "[]")) {
			items = append(items, plainScalar(field.Item, item))
		}
		return items
	}
	return plainScalar(field.Kind, text)
}

func plainScalar(kind Kind, text string) any {
	text = strings.Trim(text, `"`)
	switch kind {
	case KindInt, KindFloat:
		return json.Number(text)
	case KindBool:
		return text == "true"
	}
	return text
}
