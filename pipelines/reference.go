package pipelines

import (
	"bytes"
	"fmt"
	"strings"
)

// Reference is docs/definition.md, made from the spec, the codes and the stock definition `live`.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	if example, ok := Stock("live"); ok {
		_, example, _ = bytes.Cut(example, []byte("\n")) // the first line is for editors, and holds a path of this repository
		fmt.Fprintf(&b, "## An example\n\nThe stock definition `live`; `demo` and `replay` are the others.\n\n```yaml\n%s```\n\n", example)
	}
	b.WriteString(referenceValues)
	writeTable(&b, "## The whole", definitionTree())
	for _, child := range definitionTree().children {
		if !child.leaf() {
			writeSection(&b, child)
		}
	}
	writeCodes(&b)
	return b.Bytes()
}

const referenceHead = `<!-- Made from the field spec by go test ./pipelines -run TestReference -update; do not edit. -->
# The definition of a pipeline

A definition is one YAML document that says where video comes from, how it is scored and where the results go.
` + "`ensue lint FILE` tells everything that is wrong with one, `ensue explain FILE` what it comes to, and `ensue run FILE` runs it." + `

Editors that know the YAML language server complete and check keys when the file begins with

` + "```yaml\n# yaml-language-server: $schema=" + schemaID + "\n```\n\n" +
	`In VS Code that is the extension *YAML* by Red Hat. Where the first line is not wanted, ` + "`.vscode/settings.json`" + ` names the files:

` + "```json\n" + `{"yaml.schemas": {
  "` + schemaID + `": ["pipelines/lobby.yaml", "pipelines/door.yaml"],
  "` + expectationsSchemaID + `": ["*_test.yaml"]
}}
` + "```" + `

Without a network, ` + "`ensue schema definition >schema.json` and `ensue schema test >test.schema.json`" + ` write both. ` +
	`[Tests of definitions](testing.md)
have a page of their own.

`

const referenceValues = `## How values are written

| type | looks like | note |
| --- | --- | --- |
| string | ` + "`video.segments`" + ` | quote what looks like a number or a boolean |
| enum | ` + "`oldest`" + ` | one of the words listed |
| int, float | ` + "`8`, `0.5`" + ` | never in quotes |
| bool | ` + "`true`, `false`" + ` | not yes, no, on, off |
| duration | ` + "`500ms`, `2s`, `1m30s`, `1h`" + ` | always with a unit |
| bytes | ` + "`64MiB`, `1GiB`, `10MB`" + ` | always with a unit: KiB, MiB, GiB, TiB count in 1024, kB, MB, GB, TB in 1000 |
| pixels | ` + "`4096x4096`" + ` | width x height |
| list | ` + "`[a, b]`" + ` or a line with a dash each | never empty |

Anywhere in a value, but not in keys:

| written | becomes |
| --- | --- |
| ` + "`${NAME}`" + ` | the environment variable; an error when it is not set or empty |
| ` + "`${NAME:default}`" + ` | the default when it is not set or empty; it ends at the next ` + "`}`" + ` |
| ` + "`${file:/run/secrets/name}`" + ` | the content of the file without its last line break; it is a secret and never printed |
| ` + "`$${`" + ` | a literal ` + "`${`" + ` |

Inside ` + "`[ ]` and `{ }`" + ` YAML wants quotes around these. What comes in is one value: it cannot add keys.
A variable whose name contains PASS, SECRET, TOKEN, CREDENTIAL, PRIVATE or API_KEY is a secret too.
In lists marked *commas*, one item may hold several values with commas between them, so ` + "`KAFKA=kafka-1:9092,kafka-2:9092`" + ` works.

A key marked **Reloads** is taken over while the pipeline runs ([how](tuning.md#without-a-restart)); the others need a restart, ` +
	`and a reload that
changes one is refused with the reason.

Anchors and aliases work for values; merge keys (` + "`<<`" + `) do not. A definition has at most 256 KiB.

`

func writeSection(b *bytes.Buffer, section *branch) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", section.Path, section.Doc)
	if section.Notes != "" {
		fmt.Fprintf(b, "%s\n\n", section.Notes)
	}
	writeTable(b, "", section)
	section.each(func(child *branch) {
		if child.leaf() {
			return
		}
		presence := ""
		if child.pointer {
			presence = " Optional."
		}
		fmt.Fprintf(b, "### %s\n\n%s%s\n\n", child.Path, child.Doc, presence)
		if child.Notes != "" {
			fmt.Fprintf(b, "%s\n\n", child.Notes)
		}
		writeTable(b, "", child)
	})
}

// writeTable lists the values directly in an object.
func writeTable(b *bytes.Buffer, title string, object *branch) {
	if title != "" {
		fmt.Fprintf(b, "%s\n\n", title)
	}
	var rows []string
	for _, child := range object.children {
		if child.leaf() {
			rows = append(rows, fmt.Sprintf("| %#q | %s | %s | %s |",
				child.Path, typeText(child.Field), defaultCell(child.Field), docCell(child.Field)))
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "| key | type | default | what it is |\n| --- | --- | --- | --- |\n%s\n\n", strings.Join(rows, "\n"))
}

func typeText(field Field) string {
	text := string(field.Kind)
	if field.Kind == KindList {
		text = "list of " + string(field.Item)
	}
	if field.Commas {
		text += " (commas)"
	}
	if field.Unit != "" {
		text += ", " + field.Unit
	}
	if len(field.Options) > 0 {
		text += ": `" + strings.Join(field.Options, "`, `") + "`"
	}
	if field.OrPath {
		text += ", or a path"
	}
	if limits := field.Range(); limits != "" {
		text += ", " + limits
	}
	return text
}

func defaultCell(field Field) string {
	switch {
	case field.Required:
		return "required"
	case field.Computed != "":
		return field.Computed
	}
	return "`" + field.Default + "`"
}

func docCell(field Field) string {
	text := field.Doc
	if field.Why != "" {
		text += " *Why this default: " + field.Why + ".*"
	}
	if field.Default == "" && len(field.Examples) > 0 {
		text += " For example `" + strings.Join(field.Examples, "` or `") + "`."
	}
	if field.Secret {
		text += " A secret: never printed."
	}
	if field.Reload {
		text += " **Reloads.**"
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

func writeCodes(b *bytes.Buffer) {
	b.WriteString("## Findings\n\nWhat lint may find. Codes never change their meaning. An error keeps the definition from running.\n\n" +
		"| code | severity | meaning |\n| --- | --- | --- |\n")
	for _, c := range Codes() {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", c.Code, c.Severity, strings.ReplaceAll(c.Doc, "|", `\|`))
	}
	fmt.Fprintf(b, "\nRules that must assume something say so in what they find: segments from Kafka of %s, video of %.0f Mbit/s and %d\n"+
		"frames per second, and %.0f Mbit/s between a broker and this program.\n",
		formatDuration(assumedSegment), assumedBitrate/1e6, assumedFrameRate, assumedBandwidth/1e6)
}
