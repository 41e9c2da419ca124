package pipelines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

func TestSubstitution(t *testing.T) {
	file := func(path string) (string, error) {
		if path == "/run/secrets/word" {
			return "hunter2", nil
		}
		return "", errors.New("no such file")
	}
	tests := []struct {
		text, want string
		secret     bool
		codes      []stream.Code
	}{
		{text: "plain", want: "plain"},
		{text: "${RATE}", want: "12.5"},
		{text: "a${RATE}b${RATE}", want: "a12.5b12.5"},
		{text: "${RATE:8}", want: "12.5"},
		{text: "${MISSING:8}", want: "8"},
		{text: "${MISSING:host:9092}", want: "host:9092"},
		{text: "${MISSING:}", want: ""},
		{text: "${EMPTY:8}", want: "8"},
		{text: "${MISSING:-}", want: "-"},
		{text: "$${RATE}", want: "${RATE}"},
		{text: "$$${RATE}", want: "$${RATE}"},
		{text: "${NESTED}", want: "${RATE}"}, // what comes in is not looked at again
		{text: "costs $5", want: "costs $5"},
		{text: "$", want: "$"},
		{text: "${DB_PASSWORD}", want: "hunter2", secret: true},
		{text: "x${file:/run/secrets/word}", want: "xhunter2", secret: true},
		{text: "${MISSING}", codes: []stream.Code{codeNoVariable}},
		{text: "${EMPTY}", codes: []stream.Code{codeNoVariable}},
		{text: "${MISSING} ${ALSO_MISSING}", want: " ", codes: []stream.Code{codeNoVariable, codeNoVariable}},
		{text: "${RATE", want: "${RATE", codes: []stream.Code{codeSubstitution}},
		{text: "${}", codes: []stream.Code{codeSubstitution}},
		{text: "${1A}", codes: []stream.Code{codeSubstitution}},
		{text: "${A:${B}}", want: "}", codes: []stream.Code{codeSubstitution}},
		{text: "${MISSING:-8}", want: "-8", codes: []stream.Code{codeShellDefault}},
		{text: "$RATE", want: "$RATE", codes: []stream.Code{codeBareVariable}},
		{text: "${file:/run/secrets/other}", secret: true, codes: []stream.Code{codeNoFile}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			got := substituter{env: testEnv, file: file}.expand(test.text)
			require.Equal(t, test.want, got.text)
			require.Equal(t, test.secret, got.secret)
			var codes []stream.Code
			for _, c := range got.complaints {
				codes = append(codes, c.code)
				require.NotEmpty(t, c.hint)
			}
			require.Equal(t, test.codes, codes)
		})
	}
}

func TestSecretFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
		return path
	}
	text, err := readSecretFile(write("word", "hunter2\r\n"))
	require.NoError(t, err)
	require.Equal(t, "hunter2", text)

	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	refused := map[string]string{
		"relative":     "word",
		"missing":      filepath.Join(dir, "missing"),
		"folder":       dir,
		"pipe":         pipe,
		"too large":    write("large", strings.Repeat("hunter2 ", 10_000)),
		"not text":     write("binary", "hunter2\xff"),
		"empty string": "",
	}
	for what, path := range refused {
		t.Run(what, func(t *testing.T) {
			text, err := readSecretFile(path)
			require.Error(t, err)
			require.Empty(t, text)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
