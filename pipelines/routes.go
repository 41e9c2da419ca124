package pipelines

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"runtime"

	"github.com/ensue-video/ensue/stream"
)

// addRoutes adds what programs ask for to the listener of the page. Whether it lives and whether it is ready is for everybody who reaches
// the address, because whatever restarts a pipeline seldom holds a secret; why it is not ready, and all the rest, needs the token.
func (e *Engine) addRoutes() {
	add := func(path string, handler http.Handler, free bool) { e.page.Handle("GET "+path, path, handler, free) }
	add("/metrics", e.meter.set.Handler(), false)
	add("/healthz", http.HandlerFunc(e.answerHealth), true)
	add("/readyz", http.HandlerFunc(e.answerReady), true)
	add("/version", http.HandlerFunc(e.answerVersion), false)
	if !e.def.Serve.PProf {
		return
	}
	add("/debug/pprof/", http.HandlerFunc(pprof.Index), false)
	add("/debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline), false)
	add("/debug/pprof/profile", http.HandlerFunc(pprof.Profile), false)
	add("/debug/pprof/symbol", http.HandlerFunc(pprof.Symbol), false)
	add("/debug/pprof/trace", http.HandlerFunc(pprof.Trace), false)
}

func answer(w http.ResponseWriter, status int, data any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(data) // whoever is gone needs no answer
}

// answerHealth is GET /healthz: the process answers. What a restart would not mend is for /readyz.
func (e *Engine) answerHealth(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyData is the body of GET /readyz.
type readyData struct {
	Ready        bool      `json:"ready"`
	Pipeline     string    `json:"pipeline"`
	Dependencies []Checked `json:"dependencies"`
}

func (e *Engine) answerReady(w http.ResponseWriter, r *http.Request) {
	data, status := readyData{Ready: true, Pipeline: e.def.Name, Dependencies: e.Ready(r.Context())}, http.StatusOK
	told := e.page.Allowed(r)
	for i, check := range data.Dependencies {
		data.Ready = data.Ready && check.OK
		if !told {
			data.Dependencies[i].Detail, data.Dependencies[i].Hint = "", ""
		}
	}
	if !data.Ready {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, data)
}

func (e *Engine) answerVersion(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"version": e.version, "commit": revision(), "go": runtime.Version(), "wire": stream.Version, "pipeline": e.def.Name, "model": e.Model(),
	})
}
