package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/stream"
)

const token = "0123456789abcdef-token"

// serving is a server on a free port; it ends with the test.
func serving(t *testing.T, config Config) *Server {
	t.Helper()
	s, err := New(config, About{Name: "lobby", Model: "pixels@1"}, nil)
	require.NoError(t, err)
	require.NoError(t, s.Listen(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		require.NoError(t, <-ended)
	})
	return s
}

// reply is an answer that was read to its end.
type reply struct {
	StatusCode int
	Header     http.Header
}

// ask sends a request and returns the answer with its body read.
func ask(t *testing.T, method, address string, change func(*http.Request)) (reply, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	require.NoError(t, err)
	if change != nil {
		change(request)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(answer.Body)
	require.NoError(t, err)
	http.DefaultClient.CloseIdleConnections()
	return reply{answer.StatusCode, answer.Header}, body.String()
}

// scored is a result of one window; the last of every ten is as its verdict says.
func scored(name string, i int, verdict stream.Verdict) *stream.Result {
	energy, p := 0.1+0.01*float64(i%7), 0.4
	if verdict == stream.Breaks {
		energy, p = 0.8, 1e-5
	}
	at := time.Date(2026, 11, 24, 9, 0, i, 0, time.UTC)
	result := &stream.Result{
		ID: fmt.Sprintf("%s-%d", name, i), Stream: name, Verdict: verdict, Energy: &energy, PValue: &p,
		Y:        stream.Extent{Segment: fmt.Sprintf("%s/%d", name, i), Start: at, End: at.Add(time.Second)},
		Expected: &stream.Expected{Median: 0.12, Low: 0.08, High: 0.2},
		Windows:  []stream.Window{{Start: float64(i), Energy: energy, PValue: &p}},
		Map:      &stream.Array{Shape: []int32{1, 2, 2}, Encoding: "float16-base64"},
	}
	for _, half := range []uint16{0x2e66, 0x2e66, 0x2e66, 0x3a66} { // 0.1, 0.1, 0.1, 0.8
		result.Map.Data = binary.LittleEndian.AppendUint16(result.Map.Data, half)
	}
	return result
}

func clipOf(i int) *stream.Clip {
	pixels := bytes.Repeat([]byte{byte(40 * i), 120, 90}, 64*64)
	clip := stream.NewClip(pixels, 1, 64, 64, nil)
	at := time.Duration(i) * time.Second
	clip.Times, clip.Start, clip.End = []time.Duration{at}, at, at+time.Second
	clip.Step, clip.ShownWidth, clip.ShownHeight = time.Second, 1920, 1080
	return clip
}

// feed tells the server of a segment as the engine does.
func feed(s *Server, name string, i int, verdict stream.Verdict) {
	segment := &stream.Segment{Stream: name, Sequence: int64(i), Received: time.Now()}
	result := scored(name, i, verdict)
	s.Scored(segment, clipOf(i), result)
	s.Done(segment, result, nil)
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		code   stream.Code
	}{
		"localhost":             {Config{Address: "localhost:8080"}, ""},
		"the default":           {Config{}, ""},
		"127.0.0.1":             {Config{Address: "127.0.0.1:0"}, ""},
		"IPv6":                  {Config{Address: "[::1]:8080"}, ""},
		"all, with a token":     {Config{Address: ":8080", Token: token}, ""},
		"all":                   {Config{Address: ":8080"}, CodeNoToken},
		"all of IPv4":           {Config{Address: "0.0.0.0:8080"}, CodeNoToken},
		"a name":                {Config{Address: "camera-host:8080"}, CodeNoToken},
		"looks like localhost":  {Config{Address: "localhost.example.com:8080"}, CodeNoToken},
		"no port":               {Config{Address: "localhost"}, CodeConfig},
		"a port too high":       {Config{Address: "localhost:80800"}, CodeConfig},
		"a URL":                 {Config{Address: "http://localhost:8080"}, CodeConfig},
		"a token that is short": {Config{Address: ":8080", Token: "hunter2"}, CodeConfig},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.config, About{}, nil)
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, c.code, stream.AsFailure(err, "x").Code)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAnAddressThatIsTakenIsTold(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s, err := New(Config{Address: taken.Addr().String()}, About{}, nil)
	require.NoError(t, err)
	require.Equal(t, CodeListen, stream.AsFailure(s.Listen(t.Context()), "x").Code)
}

// Invariant 4.
func TestWithoutATokenOnlyThisMachineIsAnswered(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	answer, body := ask(t, http.MethodGet, s.URL()+"api/state", nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Contains(t, body, `"name":"lobby"`)
	answer, _ = ask(t, http.MethodGet, s.URL()+"api/state", func(r *http.Request) { r.Host = "rebound.example.com" })
	require.Equal(t, http.StatusMisdirectedRequest, answer.StatusCode)
}

// Invariant 4.
func TestTheTokenOpensThePage(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0", Token: token})
	for _, path := range []string{"api/state", "api/events", "api/frames/0", "assets/page.js", "assets/page.html"} {
		answer, body := ask(t, http.MethodGet, s.URL()+path, nil)
		require.Equal(t, http.StatusUnauthorized, answer.StatusCode, path)
		require.NotContains(t, body, "lobby")
	}
	answer, _ := ask(t, http.MethodGet, s.URL(), nil)
	require.Equal(t, http.StatusSeeOther, answer.StatusCode)
	answer, _ = ask(t, http.MethodGet, s.URL()+"api/state", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
	require.Equal(t, http.StatusOK, answer.StatusCode)
	answer, _ = ask(t, http.MethodGet, s.URL()+"api/state", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token[1:]) })
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	got, err := browser.PostForm(s.URL()+"login", url.Values{"token": {"wrong"}})
	require.NoError(t, err)
	got.Body.Close()
	require.Equal(t, http.StatusUnauthorized, got.StatusCode)
	got, err = browser.PostForm(s.URL()+"login", url.Values{"token": {token}})
	require.NoError(t, err)
	got.Body.Close()
	require.Equal(t, http.StatusOK, got.StatusCode)
	address, _ := url.Parse(s.URL())
	cookies := jar.Cookies(address)
	require.Len(t, cookies, 1)
	require.NotContains(t, cookies[0].Value, token, "the cookie is not the token")
}

func TestEveryAnswerHasThePolicy(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	for _, path := range []string{"", "assets/page.js", "api/state", "nowhere"} {
		answer, _ := ask(t, http.MethodGet, s.URL()+path, nil)
		require.Equal(t, policy, answer.Header.Get("Content-Security-Policy"), path)
		require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"))
	}
	require.NotContains(t, policy, "unsafe")
	for _, name := range []string{"page.html", "login.html", "wrong.html"} {
		text, err := assets.ReadFile("assets/" + name)
		require.NoError(t, err)
		require.NotRegexp(t, `(?i) (style|on[a-z]+)=|<style|<script>|https?://`, string(text), name)
	}
}

// Invariant 5.
func TestOnlyThePageItselfAcknowledges(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	feed(s, "a", 1, stream.Breaks)
	id := s.state.alarms[0].ID
	address := fmt.Sprintf("%sapi/alarms/%d/acknowledge", s.URL(), id)
	page := func(r *http.Request) { r.Header.Set(pageHeader, "1") }
	for name, change := range map[string]func(*http.Request){
		"a form of another site":   nil,
		"a script of another site": func(r *http.Request) { page(r); r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another origin":           func(r *http.Request) { page(r); r.Header.Set("Origin", "https://example.com") },
	} {
		answer, _ := ask(t, http.MethodPost, address, change)
		require.Equal(t, http.StatusForbidden, answer.StatusCode, name)
	}
	require.Nil(t, s.state.alarms[0].Acknowledged)
	answer, _ := ask(t, http.MethodPost, address, page)
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.NotNil(t, s.state.alarms[0].Acknowledged)
	answer, _ = ask(t, http.MethodDelete, address, page)
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.Nil(t, s.state.alarms[0].Acknowledged)
	answer, _ = ask(t, http.MethodPost, s.URL()+"api/alarms/99/acknowledge", page)
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
}

func TestFramesAreMadeWhenSomebodyLooks(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	feed(s, "a", 0, stream.Continues)
	require.Empty(t, s.frames.wanted, "nobody looks")
	address := s.URL() + "api/frames/0"
	answer, _ := ask(t, http.MethodGet, address, nil)
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	feed(s, "a", 1, stream.Continues)
	answer, body := ask(t, http.MethodGet, address, nil)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	hot, err := jpeg.Decode(strings.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, 384, hot.Bounds().Dx())
	require.Equal(t, 216, hot.Bounds().Dy(), "it has the shape that people see")
	_, plain := ask(t, http.MethodGet, address+"?map=0", nil)
	require.NotEqual(t, body, plain)
	s.frames.tidy(time.Now().Add(wantedFor))
	require.Empty(t, s.frames.wanted, "nobody has asked for long enough")
	answer, _ = ask(t, http.MethodGet, s.URL()+"api/frames/-1", nil)
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
}

func TestAlarmsHaveAPicture(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	feed(s, "a", 1, stream.Breaks)
	address := fmt.Sprintf("%sapi/alarms/%d/picture", s.URL(), s.state.alarms[0].ID)
	require.Eventually(t, func() bool {
		answer, body := ask(t, http.MethodGet, address, nil)
		return answer.StatusCode == http.StatusOK && strings.HasPrefix(body, "\xff\xd8")
	}, 10*time.Second, 20*time.Millisecond)
}

func TestAnAlarmThatGoesOnIsOneAlarm(t *testing.T) {
	s := newState()
	now := time.Now()
	say := func(i int, verdict stream.Verdict, p float64) {
		result := scored("a", i, verdict)
		*result.PValue = p
		s.result(&stream.Segment{Stream: "a"}, result, now)
	}
	say(0, stream.Continues, .4)
	say(1, stream.Stalls, 1e-4)
	require.True(t, s.acknowledge(s.alarms[0].ID, true, now))
	s.pictured("a-1", []byte{1})
	say(2, stream.Stalls, 1e-9)
	say(3, stream.Stalls, 1e-5)
	s.pictured("a-2", []byte{2})
	require.Len(t, s.alarms, 1)
	a := s.alarms[0]
	require.Equal(t, 3, a.Results)
	require.Equal(t, 3*time.Second, a.Until.Sub(a.Time))
	require.InDelta(t, 1e-9, float64(a.P), 1e-15, "the most surprising one's numbers")
	require.Equal(t, []byte{1}, s.picture(a.ID), "the picture is of its beginning")
	require.NotNil(t, a.Acknowledged, "what is known to go on is no news")
	require.Len(t, s.changes(now).Alarms, 1, "it is told once")
	_, _, pictured := s.observe(scored("a", 4, stream.Stalls))
	require.True(t, pictured, "no more pictures are needed")

	say(5, stream.Breaks, 1e-6)
	say(6, stream.Continues, .5)
	say(7, stream.Breaks, 1e-6)
	require.Len(t, s.alarms, 3, "another verdict is another alarm, and so is one that comes again")
	require.Equal(t, []int{3, 1, 1}, []int{s.alarms[0].Results, s.alarms[1].Results, s.alarms[2].Results})
}

// events reads updates from the server until f returns true.
func events(t *testing.T, s *Server, f func(update map[string]any) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"api/events", http.NoBody)
	require.NoError(t, err)
	answer, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var update map[string]any
		require.NoError(t, json.Unmarshal([]byte(data), &update))
		if f(update) {
			return
		}
	}
	require.NoError(t, lines.Err())
	t.Fatal("the events ended")
}

func TestEventsAreEverythingAndThenWhatChanges(t *testing.T) {
	s := serving(t, Config{Address: "127.0.0.1:0"})
	for i := range 3 {
		feed(s, "a", i, stream.Continues)
	}
	n := 0
	events(t, s, func(update map[string]any) bool {
		n++
		if n == 1 {
			require.Equal(t, true, update["whole"])
			one := update["streams"].([]any)[0].(map[string]any)
			require.Len(t, one["points"], 3)
			feed(s, "b", 0, stream.Breaks)
			s.Done(&stream.Segment{Stream: "c", Sequence: 4}, nil, stream.Fail("decode", "decode.no_video", "nothing in it"))
			return false
		}
		require.Nil(t, update["whole"])
		if update["alarms"] == nil || update["dead"] == nil {
			return false
		}
		require.Equal(t, "b", update["alarms"].([]any)[0].(map[string]any)["stream"])
		require.Equal(t, "decode.no_video", update["dead"].([]any)[0].(map[string]any)["code"])
		return true
	})
}

// Invariant 3.
func TestAClientThatIsSlowGetsTheLatestState(t *testing.T) {
	all := newClients()
	whole := func() []byte { return []byte("whole") }
	slow, err := all.join(whole)
	require.NoError(t, err)
	quick, err := all.join(whole)
	require.NoError(t, err)
	for i := range 100 {
		all.send([]byte(fmt.Sprint(i)), whole)
		for len(quick.updates) > 0 {
			<-quick.updates
		}
		require.LessOrEqual(t, len(slow.updates), maxBehind)
	}
	require.False(t, quick.behind)
	// What it reads begins with everything, and nothing is missing after that.
	require.Equal(t, "whole", string(<-slow.updates))
	last := 99 - len(slow.updates)
	for len(slow.updates) > 0 {
		last++
		require.Equal(t, fmt.Sprint(last), string(<-slow.updates))
	}
	require.Equal(t, 99, last)
	all.close()
	_, err = all.join(whole)
	require.ErrorIs(t, err, errClosed)
}

func TestTooManyPagesAreRefused(t *testing.T) {
	all := newClients()
	for range maxClients {
		_, err := all.join(func() []byte { return nil })
		require.NoError(t, err)
	}
	_, err := all.join(func() []byte { return nil })
	require.ErrorIs(t, err, errFull)
}

// Invariant 2.
func TestWhatIsKeptIsBounded(t *testing.T) {
	s := newState()
	now := time.Now()
	for i := range maxStreams + 50 {
		segment := &stream.Segment{Stream: fmt.Sprint("s", i)}
		s.result(segment, scored(segment.Stream, 0, stream.Breaks), now.Add(time.Duration(i)))
		s.failure(segment, stream.Fail("decode", "decode.corrupt", "%s", strings.Repeat("ü", 5000)), now)
		s.pictured(fmt.Sprint("never written ", i), []byte{1})
	}
	for i := range 3 * maxPoints {
		s.result(&stream.Segment{Stream: "s1000"}, scored("s1000", i, stream.Continues), now.Add(time.Hour))
	}
	require.Len(t, s.streams, maxStreams)
	require.NotContains(t, s.streams, "s0", "the one that was silent longest made room")
	require.Len(t, s.streams["s1000"].Points, maxPoints)
	require.Len(t, s.alarms, maxAlarms)
	require.Len(t, s.dead, maxDead)
	require.LessOrEqual(t, len(s.dead[0].Message), maxText+4)
	require.LessOrEqual(t, len(s.early), maxJobs)
	changes := s.changes(now)
	require.Len(t, changes.Gone, 50)
	require.LessOrEqual(t, len(changes.Alarms), maxAlarms)
	require.Empty(t, s.changes(now).Streams)
}

// Invariant 1.
func TestObserversReturnAtOnceWhileNobodyServes(t *testing.T) {
	s, err := New(Config{}, About{}, nil)
	require.NoError(t, err)
	begin := time.Now()
	for i := range 2000 {
		feed(s, "a", i, stream.Breaks) // no worker takes the pictures
	}
	require.Less(t, time.Since(begin), 5*time.Second)
	require.Len(t, s.frames.jobs, maxJobs)
}
