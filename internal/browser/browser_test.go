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

// TestAClickHitsWhatMoves: a button that glides for a while, beside another that must not be told of the click.
func TestAClickHitsWhatMoves(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(file, []byte(`<!doctype html><title>x</title>
<style>button { position: absolute; top: 0; left: 0; width: 60px; height: 30px; transition: left 1s linear; }</style>
<button id="other" style="left: 100px">other</button><button id="meant">meant</button>
<label style="position: absolute; top: 2000px">on <input type="checkbox" id="box" style="appearance: none"></label>
<script>window.clicks = []; for (const b of document.querySelectorAll("button")) b.addEventListener("click", () => clicks.push(b.id));
const meant = document.getElementById("meant"); meant.getBoundingClientRect(); meant.style.left = "200px";
meant.addEventListener("mousedown", () => {
	if (window.jumped) return;
	window.jumped = true;
	meant.style.transition = "none";
	meant.style.left = "400px";
});
</script>`), 0o644))
	p := Start(t).Open("file://"+file, Looks()[2])
	p.Click("#meant")
	Becomes(p, "meant", "clicks.join()")
	require.True(t, Eval[bool](p, "window.jumped"), "it moved away under the first click")
	p.Click("#box")
	Becomes(p, true, "document.getElementById('box').checked")
}
