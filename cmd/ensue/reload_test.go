package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heard is what a process says, while it says it.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// TestRunTakesAChangedDefinitionOver: at SIGHUP, and by itself with --watch; what is broken or needs a restart leaves it running.
func TestRunTakesAChangedDefinitionOver(t *testing.T) {
	folder := t.TempDir()
	path, address := filepath.Join(folder, "lobby.yaml"), freeAddress(t)
	change := func(warmup, more string) {
		text := fmt.Sprintf(`version: 1
name: lobby
log: info
serve: {address: "%s"}
ingest: {files: {paths: [%s/inbox], watch: true, settle: 200ms}}
predictor: {calibrate: {warmup: %s}}
sink: {jsonl: {path: %s/r.jsonl}, dead_letter: {jsonl: {path: %s/dead.jsonl}}}
%s`, address, folder, warmup, folder, folder, more)
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o644))
		require.NoError(t, os.Rename(path+".new", path))
	}
	require.NoError(t, os.Mkdir(filepath.Join(folder, "inbox"), 0o755))
	for name, watch := range map[string]bool{"SIGHUP": false, "watch": true} {
		t.Run(name, func(t *testing.T) {
			change("60s", "")
			said := &heard{}
			args := []string{"run", path}
			if watch {
				args = append(args, "--watch")
			}
			p := startWith(t, said, args...)
			says := func(text string) {
				t.Helper()
				heard := func() bool { return strings.Contains(said.String(), text) }
				require.Eventually(t, heard, time.Minute, 20*time.Millisecond, "%s\n%s", text, said)
			}
			hangup := func() {
				if !watch {
					require.NoError(t, p.Process.Signal(syscall.SIGHUP))
				}
			}
			says("pipeline started")
			change("9s", "")
			hangup()
			says(`msg="the definition changed" key=predictor.calibrate.warmup from=60s to=9s`)
			says("the changed definition is taken over")
			change("10", "")
			hangup()
			says("definition.wrong_type")
			says(`\"10\" is not a duration (write 10s)`)
			change("9s", "decode: {fps: 4}\n")
			hangup()
			says(`msg="this change needs a restart" key=decode.fps from=8 to=4 ` +
				`because="frames taken at another rate are no past for the ones before them"`)
			change("9s", "retry: {attempts: 5}\n")
			hangup()
			says("key=retry.attempts from=3 to=5")
			counted := func(taken, refused, successful int) {
				t.Helper()
				for _, line := range []string{
					fmt.Sprintf(`ensue_config_reloads_total{outcome="taken_over",pipeline="lobby"} %d`, taken),
					fmt.Sprintf(`ensue_config_reloads_total{outcome="refused",pipeline="lobby"} %d`, refused),
					fmt.Sprintf(`ensue_config_last_reload_successful{pipeline="lobby"} %d`, successful),
				} {
					require.Eventually(t, func() bool { return strings.Contains(scraped(t, address), line+"\n") }, time.Minute, 20*time.Millisecond, line)
				}
			}
			counted(2, 2, 1)
			change("9s", "retry: {atempts: 5}\n")
			hangup()
			says("retry.atempts")
			counted(2, 3, 0)
			change("9s", "retry: {attempts: 5}\n")
			hangup()
			counted(2, 3, 1) // as it was before: nothing to take over, and what runs is what the file says
			require.NoError(t, p.Process.Signal(syscall.SIGTERM))
			require.Zero(t, p.end(t), said.String())
		})
	}
}

// scraped is what a running pipeline tells Prometheus.
func scraped(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// startWith starts the program and hears what it says on stderr.
func startWith(t *testing.T, said *heard, args ...string) *process {
	t.Helper()
	p := prepared(args...)
	p.Stderr = said
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}
