package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatGoesWrongInAPageIsTold(t *testing.T) {
	t.Setenv("ENSUE_SCREENSHOTS", t.TempDir())
	file := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(file, []byte(`<!doctype html>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>x</title><img src="http://127.0.0.1:1/picture.png">
<script>console.error("first"); setTimeout(() => { throw new Error("second"); }); window.done = true;</script>`), 0o644))
	p := Start(t).Open("file://"+file, Looks()[0])
	p.Until("window.done === true")
	require.Equal(t, 390, Eval[int](p, "innerWidth"))
	require.True(t, Eval[bool](p, "matchMedia('(prefers-color-scheme: light)').matches"))
	p.Until("document.readyState === 'complete'")
	var all string
	for _, problem := range p.Problems() {
		all += problem + "\n"
	}
	require.Contains(t, all, "first")
	require.Contains(t, all, "second")
	require.Contains(t, all, "Content Security Policy")
	require.FileExists(t, p.Screenshot("x", false))
}
