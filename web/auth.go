package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// cookieName is the cookie that says that the token was shown.
	cookieName = "ensue_page"
	// cookieAge is how long a browser keeps it.
	cookieAge = 30 * 24 * time.Hour
	// pageHeader must come with everything that changes something: no other site's page can send it without being asked whether it may.
	pageHeader = "X-Ensue-Page"
	// wrongAtOnce and wrongDelay slow down who guesses the token.
	wrongAtOnce, wrongDelay = 4, 500 * time.Millisecond
)

// policy is the page's Content-Security-Policy (invariant 6): its own files, and blobs for the frames it has fetched.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// guard is what every request passes: headers for every answer, the name it was asked under, and the token.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		// Invariant 4: without a token only who asks this machine by its own name is answered. A page whose name was made to lead here
		// comes with that name.
		if s.config.Token == "" && !localName(hostOf(r.Host)) {
			http.Error(w, "this page answers to localhost only; set serve.token to open it to others", http.StatusMisdirectedRequest)
			return
		}
		if !s.open(r.URL.Path) && !s.allowed(r) {
			s.refuse(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// open tells whether a path is for everybody: what the page that asks for the token is made of, and routes that were added so.
func (s *Server) open(path string) bool {
	switch path {
	case "/login", "/assets/look.css", "/assets/page.css", "/assets/icon.svg", "/favicon.ico":
		return true
	}
	return s.free[path]
}

// allowed tells whether the request has shown the token: in its cookie, or as a bearer.
func (s *Server) allowed(r *http.Request) bool {
	if s.config.Token == "" {
		return true
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.right(bearer)
	}
	cookie, err := r.Cookie(cookieName)
	return err == nil && same(cookie.Value, s.session())
}

// Allowed tells whether the request has shown the token, for routes of others that say more to who has.
func (s *Server) Allowed(r *http.Request) bool { return s.allowed(r) }

// right tells whether it is the token, in a time that does not tell how much of it is right.
func (s *Server) right(token string) bool { return same(token, s.config.Token) }

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// session is what the cookie holds: it shows that its bearer knew the token, and is not the token.
func (s *Server) session() string {
	mac := hmac.New(sha256.New, []byte(s.config.Token))
	mac.Write([]byte("ensue live page"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// refuse asks people for the token, and tells programs that they need it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		http.Redirect(w, r, "login", http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="ensue"`)
	http.Error(w, "the token is needed (serve.token): as a bearer, or by /login", http.StatusUnauthorized)
}

// askToken is GET /login.
func (s *Server) askToken(w http.ResponseWriter, r *http.Request) {
	if s.allowed(r) {
		http.Redirect(w, r, "./", http.StatusSeeOther)
		return
	}
	s.file(w, r, "login.html", http.StatusOK)
}

// takeToken is POST /login.
func (s *Server) takeToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	if !s.right(r.PostFormValue("token")) {
		select {
		case s.wrong <- struct{}{}:
			defer func() { <-s.wrong }()
			select {
			case <-time.After(wrongDelay):
			case <-r.Context().Done():
				return
			}
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many wrong tokens at once", http.StatusTooManyRequests)
			return
		}
		s.file(w, r, "wrong.html", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: s.session(), Path: "/", MaxAge: int(cookieAge.Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "./", http.StatusSeeOther)
}
