package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/internal/apachekafka"
	"github.com/ensue-video/ensue/stream"
)

// s3Keys are what the object store of the tests lets in, and what nothing may ever print.
const (
	s3AccessKey = "claims-access-key"
	s3SecretKey = "hunter2-claims"
)

// s3Store is an object store that checks signatures, with a bucket "video".
func s3Store(t *testing.T) (endpoint string) {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket(t.Context(), "video"))
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{s3AccessKey: s3SecretKey})).Server())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", s3AccessKey)
	secret := write(t, "secret", s3SecretKey+"\n")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY_FILE", secret)
	t.Setenv("S3_SECRET_FILE", secret)
	return server.Listener.Addr().String()
}

// claimsIn is the part of a definition that lets claims lie somewhere.
func claimsIn(place, endpoint string) string {
	s3 := ""
	if endpoint != "" {
		s3 = fmt.Sprintf(`, s3: {endpoint: %q, tls: false, region: us-east-1, access_key: %s, secret_key: "${file:%s}"}`,
			endpoint, s3AccessKey, os.Getenv("S3_SECRET_FILE"))
	}
	return fmt.Sprintf("  claims: {allow: [%q], timeout: 500ms%s}\n", place, s3)
}

// withClaims writes the test's definition with claims in it.
func withClaims(t *testing.T, addr, claims string) string {
	t.Helper()
	text, err := os.ReadFile(definition(t, addr))
	require.NoError(t, err)
	return write(t, "claims.yaml", strings.Replace(string(text), "\ndecode:\n", "\n"+claims+"decode:\n", 1))
}

func TestClaimsOnAnObjectStoreGiveTheResultsOfReplayOnTheEmbeddedBroker(t *testing.T) {
	claimsGiveTheResultsOfReplay(t, embedded(t))
}

func TestClaimsOnAnObjectStoreGiveTheResultsOfReplayOnApacheKafka(t *testing.T) {
	claimsGiveTheResultsOfReplay(t, apachekafka.Start(t).Addr())
}

func claimsGiveTheResultsOfReplay(t *testing.T, addr string) {
	t.Helper()
	endpoint, files := s3Store(t), samples()[:1]
	replayed := replay(t, files)
	topics(t, addr)
	got := ensue(t, append([]string{
		"publish", "--brokers", addr, "--claim-above", "10KiB", "--store", "s3://video/segments",
		"--s3-endpoint", endpoint, "--s3-insecure", "--s3-region", "us-east-1",
	}, files...)...)
	require.Zero(t, got.code, got.err)
	path := withClaims(t, addr, claimsIn("s3://video/segments", endpoint))
	linted, checked, explained := ensue(t, "lint", path), ensue(t, "check", path), ensue(t, "explain", path)
	require.Zero(t, linted.code, linted.out)
	require.Zero(t, checked.code, checked.out)
	require.Contains(t, checked.out, "claims s3://video/segments")
	pipeline := start(t, "run", "--log", "debug", path)
	published := tailed(t, addr, len(replayed), pipeline)
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
	requireSame(t, replayed, published)
	for _, said := range []string{
		got.out, got.err, linted.out, linted.err, checked.out, checked.err, explained.out, explained.err, pipeline.out.String(),
		pipeline.err.String(),
	} {
		require.NotContains(t, said, s3SecretKey)
	}
}

func TestSweepRemovesWhatNoRecordRefersTo(t *testing.T) {
	addr, dir := embedded(t), t.TempDir()
	topics(t, addr)
	place := "file://" + filepath.ToSlash(dir)
	got := ensue(t, "publish", "--brokers", addr, "--claim-above", "0B", "--store", place, samples()[0])
	require.Zero(t, got.code, got.err)
	orphan := filepath.Join(dir, "shelf", "orphan")
	require.NoError(t, os.WriteFile(orphan, []byte("nobody wants it"), 0o600))
	old := time.Now().Add(-3 * time.Hour)
	payloads := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			payloads++
			return os.Chtimes(path, old, old)
		}
		return err
	}))

	parsed, _ := envelopeOf(t, "claims", "sweep", "--store", place, "--brokers", addr, "--older", "1h")
	summary := parsed.Data.(map[string]any)
	require.EqualValues(t, payloads, summary["objects"])
	require.EqualValues(t, payloads-1, summary["kept"])
	require.EqualValues(t, 1, summary["orphans"])
	require.FileExists(t, orphan, "a dry run")
	require.Zero(t, ensue(t, "claims", "sweep", "--store", place, "--brokers", addr, "--older", "4h", "--remove").code)
	require.FileExists(t, orphan, "too young")
	got = ensue(t, "claims", "sweep", "--store", place, "--brokers", addr, "--older", "1h", "--remove")
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, place+"/shelf/orphan")
	require.NoFileExists(t, orphan)

	got = ensue(t, "claims", "sweep", "--store", place, "--brokers", addr, "--topic", "nowhere", "--older", "1h", "--remove")
	require.Equal(t, exitEnvironment, got.code, "what is not read to its end may refer to everything")
	require.Equal(t, exitInput, ensue(t, "claims", "sweep", "--store", place, "--older", "1m").code)
	require.Equal(t, exitInput, ensue(t, "claims", "sweep").code)
	require.Equal(t, exitInput, ensue(t, "claims", "sweep", "--store", "file:///").code)
}

func TestTheFlagsOfClaimsBelongTogether(t *testing.T) {
	file := samples()[0]
	for _, flags := range [][]string{
		{"--claim-above", "4MiB"},
		{"--claim-above", "4", "--store", "file:///tmp/claims"},
		{"--claim-above", "4MiB", "--store", "file:///"},
		{"--store", "s3://video", "--s3-endpoint", "http://store"},
	} {
		got := ensue(t, append([]string{"publish", "--brokers", "127.0.0.1:1", file}, flags...)...)
		require.Equal(t, exitInput, got.code, "%v: %s", flags, got.err)
		require.Contains(t, got.err, "hint:")
	}
	require.Equal(t, exitInput, ensue(t, "publish", "--listen", "127.0.0.1:0", file).code)
	require.Equal(t, exitInput, ensue(t, "publish", "--listen", "127.0.0.1:0", "--listen-cert", "a.pem").code)
	require.Equal(t, exitInput, ensue(t, "publish", "--listen", "127.0.0.1:0", "--max-bytes", "many").code)
}

func TestSegmentsSentByHTTPGiveTheResultsOfReplayOnTheEmbeddedBroker(t *testing.T) {
	sendByHTTP(t, embedded(t))
}

func TestSegmentsSentByHTTPGiveTheResultsOfReplayOnApacheKafka(t *testing.T) {
	sendByHTTP(t, apachekafka.Start(t).Addr())
}

// sendByHTTP sends a file by HTTP, some of it twice, to a process that is stopped in the middle.
func sendByHTTP(t *testing.T, addr string) {
	t.Helper()
	file := samples()[0]
	replayed := replay(t, []string{file})
	topics(t, addr)
	t.Setenv("ENSUE_PUBLISH_TOKEN_FILE", write(t, "token", "hunter2-listen\n"))
	address := freeAddress(t)
	listening := startListening(t, address, "--brokers", addr)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	sent := 0
	require.NoError(t, ingest.SegmentsOf(t.Context(), file, "shelf", 2*time.Second, func(segment *stream.Segment) error {
		for range 1 + segment.Sequence%2 {
			require.Contains(t, []int{http.StatusCreated, http.StatusOK}, putSegment(t, client, address, segment))
		}
		if sent++; sent == 5 {
			require.NoError(t, listening.Process.Signal(syscall.SIGTERM))
			require.Zero(t, listening.end(t), listening.err.String())
			require.Contains(t, listening.out.String(), "5 segments")
			require.NotContains(t, listening.out.String()+listening.err.String(), "hunter2")
			listening = startListening(t, address, "--brokers", addr)
			require.Equal(t, http.StatusCreated, putSegment(t, client, address, segment),
				"a new process does not remember: it is on the topic twice")
		}
		return nil
	}))
	pipeline := start(t, "run", definition(t, addr))
	requireSame(t, replayed, tailed(t, addr, len(replayed), pipeline))
	require.NoError(t, pipeline.Process.Signal(syscall.SIGTERM))
	require.Zero(t, pipeline.end(t), pipeline.err.String())
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func startListening(t *testing.T, address string, flags ...string) *process {
	t.Helper()
	listening := start(t, append([]string{"publish", "--listen", address}, flags...)...)
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + "/readyz") //nolint:noctx // it answers or it does not
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond, "it does not listen")
	http.DefaultClient.CloseIdleConnections()
	return listening
}

func putSegment(t *testing.T, client *http.Client, address string, segment *stream.Segment) int {
	t.Helper()
	path := "http://" + address + "/streams/shelf/segments/" + strconv.FormatInt(segment.Sequence, 10)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, path, bytes.NewReader(segment.Payload))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer hunter2-listen")
	request.Header.Set("Content-Type", "video/mp4")
	request.Header.Set("Ensue-Start", segment.Start.Format(time.RFC3339Nano))
	request.Header.Set("Ensue-Epoch", segment.Epoch.Format(time.RFC3339Nano))
	request.Header.Set("Ensue-Duration", segment.Duration.String())
	if segment.Mark == stream.MarkEnd {
		request.Header.Set("Ensue-End", "true")
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var told map[string]any
	require.NoError(t, json.NewDecoder(response.Body).Decode(&told))
	return response.StatusCode
}
