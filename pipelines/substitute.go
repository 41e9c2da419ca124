package pipelines

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxSecretFile is how much of a file `${file:…}` reads: secrets are short.
const maxSecretFile = 64 << 10

// substituter replaces the `${…}` of a value:
//
//	${NAME}           the environment variable; an error when it is not set, or empty
//	${NAME:default}   the default when it is not set, or empty; the default ends at the next }
//	${file:/path}     the content of the file without its last line break; always a secret
//	$${               a literal ${
//
// It works on values after YAML has been read, so what comes in can never change the structure of the definition, and it
// does not look at what it put in again.
type substituter struct {
	env  func(string) (string, bool)
	file func(string) (string, error)
}

// substitution is a value with its `${…}` replaced.
type substitution struct {
	text string
	// from says what was put in: "${NAME}", "the default of ${NAME}", "${file:/path}".
	from []string
	// secret says that a file, or a variable with the name of a secret, is part of the text.
	secret     bool
	complaints []complaint
}

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	bareVariable = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]+`)
	secretName   = regexp.MustCompile(`(?i)PASS|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY`)
)

func (s substituter) expand(text string) substitution {
	var out substitution
	var b strings.Builder
	rest := text
	for {
		at := strings.IndexByte(rest, '$')
		if at < 0 {
			break
		}
		b.WriteString(rest[:at])
		rest = rest[at:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			b.WriteString("${")
			rest = rest[3:]
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				out.complain(codeSubstitution, "has a ${ that is not closed", "close it with }, or write $${ for a literal ${", "")
				b.WriteString(rest)
				rest = ""
				continue
			}
			b.WriteString(s.reference(rest[2:end], &out))
			rest = rest[end+1:]
		default:
			if bare := bareVariable.FindString(rest); bare != "" {
				braced := "${" + bare[1:] + "}"
				out.complain(codeBareVariable, "has "+bare+" without braces, which is not substituted", "write "+braced, braced)
			}
			b.WriteByte('$')
			rest = rest[1:]
		}
	}
	b.WriteString(rest)
	out.text = b.String()
	return out
}

// reference is what stands for the body of one `${…}`.
func (s substituter) reference(body string, out *substitution) string {
	if path, ok := strings.CutPrefix(body, "file:"); ok {
		return s.secretFile(path, out)
	}
	name, fallback, hasDefault := strings.Cut(body, ":")
	switch {
	case strings.Contains(body, "${"):
		out.complain(codeSubstitution, "has a ${…} inside another", "they cannot be nested; choose one variable and a plain default", "")
		return ""
	case !variableName.MatchString(name):
		out.complain(codeSubstitution, "has a ${…} that names no variable", "write ${NAME}, ${NAME:default} or ${file:/path}", "")
		return ""
	}
	if value, ok := s.env(name); ok && value != "" {
		out.from = append(out.from, "${"+name+"}")
		out.secret = out.secret || secretName.MatchString(name)
		return value
	}
	out.from = append(out.from, "the default of ${"+name+"}")
	if !hasDefault {
		out.complain(codeNoVariable, "needs the environment variable "+name+", which is not set",
			"set "+name+", or write ${"+name+":default}", "")
		return ""
	}
	if len(fallback) > 1 && fallback[0] == '-' {
		better := "${" + name + ":" + fallback[1:] + "}"
		out.complain(codeShellDefault, "has a default that begins with a dash, as in the shell",
			"the default follows the colon directly: "+scrub(better), scrub(better))
	}
	return fallback
}

func (s substituter) secretFile(path string, out *substitution) string {
	out.from = append(out.from, "${file:"+path+"}")
	out.secret = true
	text, err := s.file(path)
	if err != nil {
		out.complain(codeNoFile, "needs a file: "+err.Error(), "make the file readable, or mount the secret there", "")
		return ""
	}
	return text
}

func (s *substitution) complain(code codeOrDefault, message, hint, suggestion string) {
	s.complaints = append(s.complaints, complaint{code: code, message: message, hint: hint, suggestion: suggestion})
}

// readSecretFile reads a secret; it never blocks on a pipe and never reads much. Its errors do not hold the content.
func readSecretFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not an absolute path", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("%s is larger than 64 KiB", path)
	}
	if !utf8.Valid(data) {
		return "", fmt.Errorf("%s is not UTF-8 text", path)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}
