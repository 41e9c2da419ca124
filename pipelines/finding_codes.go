package pipelines

import (
	"slices"

	"github.com/ensue-video/ensue/stream"
)

// CodeInfo says what a code of a finding means.
type CodeInfo struct {
	Code     stream.Code `json:"code"`
	Severity Severity    `json:"severity"`
	// Doc is one sentence.
	Doc string `json:"doc"`
}

// The codes of findings about the text itself.
const (
	codeUnreadable   stream.Code = "definition.unreadable"
	codeTooLarge     stream.Code = "definition.too_large"
	codeTooMany      stream.Code = "definition.too_many_findings"
	codeSyntax       stream.Code = "definition.syntax"
	codeTab          stream.Code = "definition.tab"
	codeEmpty        stream.Code = "definition.empty"
	codeDocuments    stream.Code = "definition.several_documents"
	codeDuplicate    stream.Code = "definition.duplicate_key"
	codeUnknownKey   stream.Code = "definition.unknown_key"
	codeMergeKey     stream.Code = "definition.merge_key"
	codeMissingKey   stream.Code = "definition.missing_key"
	codeEmptyValue   stream.Code = "definition.empty_value"
	codeWrongType    stream.Code = "definition.wrong_type"
	codeOutOfRange   stream.Code = "definition.out_of_range"
	codeNotAnOption  stream.Code = "definition.not_an_option"
	codeNotOffered   stream.Code = "definition.not_offered"
	codeBadValue     stream.Code = "definition.bad_value"
	codeNoVariable   stream.Code = "definition.missing_variable"
	codeNoFile       stream.Code = "definition.missing_file"
	codeSubstitution stream.Code = "definition.bad_substitution"
	codeShellDefault stream.Code = "definition.shell_default"
	codeBareVariable stream.Code = "definition.bare_variable"
	codeYAMLBoolean  stream.Code = "definition.yaml_boolean"
	codeInlineSecret stream.Code = "definition.inline_secret"
)

// textCodes describe what is found while reading the text; the cross-field rules bring their own (see rules).
var textCodes = []CodeInfo{
	{codeUnreadable, SeverityError, "The file cannot be read."},
	{codeTooLarge, SeverityError, "The definition is larger than 256 KiB."},
	{codeTooMany, SeverityError, "There are more findings than are worth listing; the rest is left out."},
	{codeSyntax, SeverityError, "The text is not YAML."},
	{codeTab, SeverityError, "A line is indented with a tab, which YAML does not allow."},
	{codeEmpty, SeverityError, "There is nothing in the definition."},
	{codeDocuments, SeverityError, "The file holds several YAML documents; a definition is one."},
	{codeDuplicate, SeverityError, "A key is written twice in the same place."},
	{codeUnknownKey, SeverityError, "There is no such key here."},
	{codeMergeKey, SeverityError, "YAML merge keys (`<<`) are not supported."},
	{codeMissingKey, SeverityError, "A required key is missing."},
	{codeEmptyValue, SeverityError, "A key is there without a value."},
	{codeWrongType, SeverityError, "The value is not of the key's type."},
	{codeOutOfRange, SeverityError, "The value is smaller or larger than the key allows."},
	{codeNotAnOption, SeverityError, "The value is none of the key's options."},
	{codeNotOffered, SeverityError, "The value is known, but this version does not offer it."},
	{codeBadValue, SeverityError, "The value has the right type and cannot work."},
	{codeNoVariable, SeverityError, "`${NAME}` has no default and the environment variable is not set, or empty."},
	{codeNoFile, SeverityError, "The file of `${file:…}` cannot be read."},
	{codeSubstitution, SeverityError, "A `${…}` is not closed, nested, or names nothing."},
	{codeShellDefault, SeverityWarning, "`${NAME:-value}` is the shell's way to write a default; here the default would begin with the dash."},
	{codeBareVariable, SeverityWarning, "`$NAME` without braces is not substituted."},
	{codeYAMLBoolean, SeverityWarning, "An unquoted `yes`, `no`, `on` or `off` is text here and a boolean to YAML 1.1 readers."},
	{codeInlineSecret, SeverityWarning, "A secret, or a URL with a password, is written into the definition."},
}

// Codes is every code a finding may have, sorted; docs/definition.md lists them.
func Codes() []CodeInfo {
	all := slices.Clone(textCodes)
	for _, r := range rules() {
		all = append(all, CodeInfo{Code: r.code, Severity: r.severity, Doc: r.doc})
	}
	slices.SortFunc(all, func(a, b CodeInfo) int {
		if a.Code < b.Code {
			return -1
		}
		return 1
	})
	return all
}
