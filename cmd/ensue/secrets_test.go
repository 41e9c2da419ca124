package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/ensue-video/ensue/connect"
)

// sworn is part of every secret of these tests, and of nothing else.
const sworn = "hunter2"

// vault is a definition with a secret in every place for one, on a broker that wants a login.
type vault struct {
	t    *testing.T
	addr string
	page string
	path string
	// printed is everything that any command said, by what it was.
	printed map[string]string
}

const vaultDefinition = `
version: 1
name: vault
ingest:
  kafka:
    brokers: ["%[1]s"]
    topic: video.segments
    group: vault
    session_timeout: 9s
    drain_timeout: 5s
    security: {sasl: {mechanism: plain, user: ensue, password: "${file:%[2]s}"}}
  claims:
    allow: [s3://video/segments]
    timeout: 300ms
    s3: {endpoint: "127.0.0.1:1", tls: false, access_key: "${VAULT_ACCESS_KEY}", secret_key: "${VAULT_SECRET_KEY}"}
decode: {limits: {timeout: 3s}}
predictor:
  calibrate: {warmup: 8s}
sink:
  kafka: {brokers: ["%[1]s"], topic: video.energy, security: {sasl: {mechanism: plain, user: other, password: "${VAULT_PASSWORD}"}}}
  dead_letter: {kafka: {topic: video.dead}}
state: {topic: video.state}
serve: {address: "%[3]s", token: "${VAULT_TOKEN}"}
`

func newVault(t *testing.T) *vault {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "ensue", sworn+"-file"),
		kfake.Superuser("PLAIN", "other", sworn+"-variable"),
		kfake.SeedTopics(2, "video.segments"), kfake.SeedTopics(1, "video.energy", "video.dead"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	for name, value := range map[string]string{
		"VAULT_PASSWORD": sworn + "-variable", "VAULT_SECRET_KEY": sworn + "-secret-key", "VAULT_ACCESS_KEY": sworn + "-access-key",
		"VAULT_TOKEN": sworn + "-token-of-the-page", connect.PasswordVariable: sworn + "-file", tokenVariable: sworn + "-of-senders",
		"AWS_SECRET_ACCESS_KEY": sworn + "-aws", "AWS_SESSION_TOKEN": sworn + "-session",
		"AWS_ENDPOINT_URL_S3": "http://key:" + sworn + "-url@127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	v := &vault{t: t, addr: cluster.ListenAddrs()[0], page: freeAddress(t), printed: map[string]string{}}
	v.path = write(t, "vault.yaml", fmt.Sprintf(vaultDefinition, v.addr, write(t, "password", sworn+"-file\n"), v.page))
	return v
}

// say runs a command line in both forms, at the most talkative level, and keeps what it said.
func (v *vault) say(code int, args ...string) {
	v.t.Helper()
	for _, form := range [][]string{nil, {"--json"}} {
		all := slices.Concat(args, form, []string{"--log", "debug"})
		got := ensue(v.t, all...)
		require.Equal(v.t, code, got.code, "%v: %s%s", all, got.out, got.err)
		v.printed[strings.Join(all, " ")] = got.out + got.err
	}
}

// ask keeps what the live page answers.
func (v *vault) ask(path string) string {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, "http://"+v.page+path, http.NoBody)
	require.NoError(v.t, err)
	request.Header.Set("Authorization", "Bearer "+sworn+"-token-of-the-page")
	response, err := http.DefaultClient.Do(request)
	require.NoError(v.t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	v.printed["GET "+path] = fmt.Sprint(response.Header) + string(body)
	return string(body)
}

// topic keeps what lies on a topic, but the records of senders, which are theirs.
func (v *vault) topic(name string) {
	v.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.addr), kgo.SASL(plain.Auth{User: "ensue", Pass: sworn + "-file"}.AsMechanism()),
		kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(v.t, err)
	defer client.Close()
	fetches := client.PollFetches(v.t.Context())
	require.NoError(v.t, fetches.Err())
	fetches.EachRecord(func(record *kgo.Record) {
		text := fmt.Sprintf("%s %s", record.Key, record.Value)
		for _, header := range record.Headers {
			if header.Key != "ensue-ref" {
				text += fmt.Sprintf(" %s: %s", header.Key, header.Value)
			}
		}
		v.printed[fmt.Sprintf("%s[%d]@%d", name, record.Partition, record.Offset)] = text
	})
}

// require looks at everything.
func (v *vault) require() {
	v.t.Helper()
	require.Greater(v.t, len(v.printed), 40)
	for what, text := range v.printed {
		if at := strings.Index(text, sworn); at >= 0 && !strings.Contains(what, sworn) {
			v.t.Errorf("%s prints a secret: …%s…", what, text[max(0, at-100):min(len(text), at+60)])
		} else if at >= 0 {
			v.t.Errorf("a command prints a secret that was an argument of it: …%s…", text[max(0, at-100):min(len(text), at+60)])
		}
	}
}

// In every place for a secret there is one, from a file or from the environment; whatever is done, nothing shows it.
func TestNothingPrintsASecret(t *testing.T) {
	v := newVault(t)
	login := []string{"--brokers", v.addr, "--sasl", "plain", "--sasl-user", "ensue"}
	v.say(exitOK, slices.Concat([]string{"publish"}, login, samples()[:1])...)
	v.poison()
	v.run()
	for _, topic := range []string{"video.energy", "video.dead", "video.state"} {
		v.topic(topic)
	}

	v.say(exitOK, "lint", v.path)
	v.say(exitOK, "explain", v.path)
	v.say(exitEnvironment, "check", v.path) // the store is not there
	v.say(exitOK, append([]string{"tail", "--max", "3"}, login...)...)
	v.say(exitOK, "tail", "--max", "3", "--definition", v.path)
	v.say(exitOK, "dead", "list", "--definition", v.path)
	letters := listedDead(t, v.addr, "--sasl", "plain", "--sasl-user", "ensue").Letters
	require.Len(t, letters, 2)
	for _, letter := range letters {
		v.say(exitOK, "dead", "show", "--definition", v.path, letter.ID)
	}
	v.say(exitOK, "dead", "retry", "--all", "--again", "--definition", v.path)
	v.say(exitOK, "doctor")
	v.say(exitOK, "version")
	v.say(exitOK, "schema")
	v.replay()
	v.fail()
	v.require()
}

// poison sends a record that is no video, and one whose claim has credentials in it.
func (v *vault) poison() {
	v.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.addr), kgo.SASL(plain.Auth{User: "ensue", Pass: sworn + "-file"}.AsMechanism()),
		kgo.DefaultProduceTopic("video.segments"))
	require.NoError(v.t, err)
	defer client.Close()
	claim := []kgo.RecordHeader{{Key: "ensue-ref", Value: []byte("s3://key:" + sworn + "-url@video/segments/a")}}
	for _, record := range []*kgo.Record{{Key: []byte("text"), Value: []byte("no video")}, {Key: []byte("claim"), Headers: claim}} {
		require.NoError(v.t, client.ProduceSync(v.t.Context(), record).FirstErr())
	}
}

// run runs the pipeline until everything is processed, with its page open.
func (v *vault) run() {
	v.t.Helper()
	pipeline := start(v.t, "run", "--log", "debug", v.path)
	tailedBy(v.t, []string{"--definition", v.path}, len(replay(v.t, samples()[:1])), pipeline)
	require.Eventually(v.t, func() bool {
		return len(listedDead(v.t, v.addr, "--sasl", "plain", "--sasl-user", "ensue").Letters) == 2
	}, patience, time.Second, pipeline.err.String())
	require.Contains(v.t, v.ask("/api/state"), "shelf")
	for _, path := range []string{"/", "/login", "/metrics", "/healthz", "/readyz", "/api/nothing"} {
		v.ask(path)
	}
	require.NoError(v.t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(v.t, pipeline.end(v.t), pipeline.err.String())
	v.printed["run"] = pipeline.out.String() + pipeline.err.String()
}

// replay makes the report and the plot.
func (v *vault) replay() {
	v.t.Helper()
	folder := v.t.TempDir()
	page, plot, lines := filepath.Join(folder, "r.html"), filepath.Join(folder, "p.svg"), filepath.Join(folder, "r.jsonl")
	v.say(exitOK, "replay", "-d", v.path, "--report", page, "--plot", plot, "--results", lines, samples()[0])
	for _, path := range []string{page, plot, lines} {
		text, err := os.ReadFile(path)
		require.NoError(v.t, err)
		v.printed[path] = string(text)
	}
	require.Contains(v.t, v.printed[page], "predictor.calibrate.warmup", "the report shows the definition")
}

// fail does what goes wrong.
func (v *vault) fail() {
	v.t.Helper()
	text := textOf(v.t, v.path)
	wrong := write(v.t, "wrong", sworn+"-that-is-wrong")
	secret := "${file:" + wrong + "}"
	for name, c := range map[string][2]string{
		"a wrong password":    {"group: vault", "group: vault2"},
		"a number":            {"session_timeout: 9s", `session_timeout: "` + secret + `"`},
		"a choice":            {"mechanism: plain, user: ensue", `mechanism: "` + secret + `", user: ensue`},
		"a path":              {"predictor:\n", "encoder: {model: \"" + secret + "\"}\npredictor:\n"},
		"an address":          {`brokers: ["` + v.addr + `"]` + "\n", `brokers: ["sasl://ensue:` + sworn + `-url@127.0.0.1:1"]` + "\n"},
		"a place":             {"s3://video/segments", "s3://key:" + sworn + "-url@video/segments"},
		"a token, too short":  {"${VAULT_TOKEN}", "hunter2"},
		"written out":         {"${VAULT_PASSWORD}", sworn + "-written-out"},
		"a key nobody knows":  {"group: vault", "group: vault\n    pasword: " + sworn + "-typo"},
		"no such secret file": {"group: vault", `group: "${file:/nowhere/password}"`},
	} {
		changed := strings.Replace(text, c[0], c[1], 1)
		require.NotEqual(v.t, text, changed, name)
		if name == "a wrong password" {
			changed = strings.Replace(changed, filepath.Join(filepath.Dir(wrong), "password"), wrong, 1)
		}
		path := write(v.t, "broken.yaml", changed)
		for _, command := range []string{"lint", "explain", "check"} {
			for _, form := range [][]string{nil, {"--json"}} {
				got := ensue(v.t, slices.Concat([]string{command, path}, form)...)
				v.printed[strings.Join(append([]string{name, command}, form...), " ")] = got.out + got.err
			}
		}
	}
	nowhere := "sasl://ensue:" + sworn + "-url@127.0.0.1:1"
	v.say(exitEnvironment, "tail", "--brokers", nowhere)
	v.say(exitEnvironment, "dead", "list", "--brokers", nowhere)
	v.say(exitEnvironment, "publish", "--brokers", nowhere, samples()[0])
	v.say(exitInput, "publish", "--brokers", v.addr, "--store", "s3://key:"+sworn+"-url@video/segments", samples()[0])
	v.say(exitInput, "tail", "--brokers", v.addr, "--sasl", "plain")
	v.say(exitEnvironment, "tail", "--brokers", v.addr, "--sasl", "plain", "--sasl-user", "nobody")
	v.say(exitEnvironment, "claims", "sweep", "--store", "s3://video/segments", "--s3-insecure", "--brokers", "127.0.0.1:1")
}
