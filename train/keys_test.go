package train

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/fixture"
)

// keysOf are the keys of a definition that have a value of their own, with those around them.
func keysOf(path string, typ reflect.Type) (keys []string) {
	for key, field := range fieldsOf(typ) {
		if field.Kind() == reflect.Struct {
			keys = append(keys, keysOf(path+key+".", field)...)
		} else {
			keys = append(keys, path+key)
		}
	}
	return keys
}

func TestEveryKeyIsExplained(t *testing.T) {
	text, err := os.ReadFile(fixture.Repository("docs", "learning.md"))
	require.NoError(t, err)
	keys := keysOf("", reflect.TypeFor[Config]())
	require.Greater(t, len(keys), 80)
	for _, key := range keys {
		group, name, ok := cutLast(key)
		if !ok {
			require.Contains(t, string(text), "| `"+key+"` |")
			continue
		}
		require.Contains(t, string(text), "`"+group+"`", key)
		require.Regexp(t, "`"+name+"`", string(text), key)
	}
}

func cutLast(key string) (group, name string, ok bool) {
	at := strings.LastIndexByte(key, '.')
	if at < 0 {
		return "", key, false
	}
	return key[:at], key[at+1:], true
}

// TestDefinitionsInTheDocumentsCanBeTrained: every example is read, and its settings make sense.
func TestDefinitionsInTheDocumentsCanBeTrained(t *testing.T) {
	text, err := os.ReadFile(fixture.Repository("docs", "learning.md"))
	require.NoError(t, err)
	examples := 0
	for block := range strings.SplitSeq(string(text), "```yaml\n") {
		block, _, found := strings.Cut(block, "```")
		if !found || !strings.HasPrefix(block, "version: 1") {
			continue
		}
		examples++
		c, err := Parse("docs/learning.md", []byte(block))
		require.NoError(t, err)
		c.fill()
		require.NoError(t, c.Validate())
	}
	require.GreaterOrEqual(t, examples, 3)
}
