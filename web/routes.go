package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/ensue-video/ensue/internal/look"
)

//go:embed assets
var assets embed.FS

// kinds are the media types of the assets.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func (s *Server) routes() {
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { s.file(w, r, "page.html", http.StatusOK) })
	s.mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) { s.file(w, r, r.PathValue("name"), http.StatusOK) })
	s.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { s.file(w, r, "icon.svg", http.StatusOK) })
	s.mux.HandleFunc("GET /login", s.askToken)
	s.mux.HandleFunc("POST /login", s.takeToken)
	s.mux.HandleFunc("GET /api/events", s.events)
	s.mux.HandleFunc("GET /api/state", s.snapshot)
	s.mux.HandleFunc("GET /api/frames/{id}", s.frame)
	s.mux.HandleFunc("GET /api/alarms/{id}/picture", s.alarmPicture)
	s.mux.HandleFunc("POST /api/alarms/{id}/acknowledge", func(w http.ResponseWriter, r *http.Request) { s.acknowledge(w, r, true) })
	s.mux.HandleFunc("DELETE /api/alarms/{id}/acknowledge", func(w http.ResponseWriter, r *http.Request) { s.acknowledge(w, r, false) })
}

// asset is an embedded file: one of the page's own, or of those that the report has as well.
func asset(name string) ([]byte, error) {
	switch name {
	case "look.css":
		return []byte(look.CSS), nil
	case "look.js":
		return []byte(look.JS), nil
	}
	data, err := assets.ReadFile(path.Join("assets", path.Base("/"+name)))
	if err != nil {
		return nil, fmt.Errorf("reading an embedded file: %w", err)
	}
	return data, nil
}

// file answers with one of the embedded files. Browsers ask again each time, and are told when nothing has changed.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name string, status int) {
	data, err := asset(name)
	kind, ok := kinds[path.Ext(name)]
	if err != nil || !ok {
		http.NotFound(w, r)
		return
	}
	digest := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(digest[:8]) + `"`
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	if status == http.StatusOK {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(data) // whoever is gone needs no answer
}

// snapshot is GET /api/state: what the first event has, for programs.
func (s *Server) snapshot(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(s.everything())
}

// frame is GET /api/frames/{stream's id}?map=0: the latest frame as JPEG; 204 where there is none yet. Asking makes the stream one that is
// looked at: its next frame will be there.
func (s *Server) frame(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id < 0 {
		http.NotFound(w, r)
		return
	}
	shown := s.frames.ask(id, time.Now())
	if shown == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	jpeg, err := s.frames.encode(r.Context(), shown, r.URL.Query().Get("map") != "0")
	if err != nil {
		http.Error(w, "the frame could not be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Ensue-Frame", strconv.FormatInt(shown.number, 10))
	picturedAs(w, jpeg)
}

func (s *Server) alarmPicture(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	jpeg := s.state.picture(id)
	if jpeg == nil {
		http.NotFound(w, r)
		return
	}
	picturedAs(w, jpeg)
}

func picturedAs(w http.ResponseWriter, jpeg []byte) {
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(jpeg)
}

// acknowledge is POST (or DELETE, to take it back) /api/alarms/{id}/acknowledge. Invariant 5.
func (s *Server) acknowledge(w http.ResponseWriter, r *http.Request, seen bool) {
	if r.Header.Get(pageHeader) == "" {
		http.Error(w, "the header "+pageHeader+" is missing", http.StatusForbidden)
		return
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || !s.state.acknowledge(id, seen, time.Now().UTC()) {
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
