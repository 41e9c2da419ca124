package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/internal/fixture"
	"github.com/ensue-video/ensue/metrics"
)

// program is the path of a program of Debian's package prometheus: the one that is installed, or that scripts/setup.sh has brought. Without
// it the test is skipped with a message.
func program(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := exec.LookPath(fixture.Repository(".cache", "prometheus", "usr", "bin", name))
	if err != nil {
		t.Skipf("needs %s: scripts/setup.sh prometheus", name)
	}
	return path
}

func promtool(t *testing.T, input []byte, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program(t, "promtool"), arguments...)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "promtool %s: %s", strings.Join(arguments, " "), output)
	return string(output)
}

func TestAlertRulesAreCleanAndFireWhenTheyShould(t *testing.T) {
	require.Contains(t, promtool(t, nil, "check", "rules", "prometheus/alerts.yml"), "SUCCESS")
	require.Contains(t, promtool(t, nil, "test", "rules", "prometheus/alerts_test.yml"), "SUCCESS")
	require.Contains(t, promtool(t, nil, "check", "config", "--syntax-only", "prometheus/prometheus.yml"), "SUCCESS")
}

// alerts are the names and expressions of the alert rules.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
				Labels      map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	found := map[string]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			require.Contains(t, []string{"page", "ticket"}, rule.Labels["severity"], rule.Alert)
			require.Equal(t, "docs/operations.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook"])
			found[rule.Alert] = rule.Expr
		}
	}
	require.NotEmpty(t, found)
	return found
}

func TestEveryAlertIsTestedAndSaysWhatToDo(t *testing.T) {
	tests, err := os.ReadFile("prometheus/alerts_test.yml")
	require.NoError(t, err)
	operations, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for name := range alerts(t) {
		require.Contains(t, string(tests), name, "alerts_test.yml")
		require.Contains(t, string(operations), "\n### "+name+"\n", "docs/operations.md")
	}
}

// dashboard are the queries of the dashboard by panel, with Grafana's variables filled in.
func dashboard(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboards/ensue.json")
	require.NoError(t, err)
	var file struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	fill := strings.NewReplacer("$pipeline", ".*", "$stream", ".*", "$__rate_interval", "10s")
	found := map[string][]string{}
	for _, panel := range file.Panels {
		for _, target := range panel.Targets {
			found[panel.Title] = append(found[panel.Title], fill.Replace(target.Expr))
		}
	}
	require.Greater(t, len(found), 20)
	return found
}

// TestEveryMetricIsEmitted by a real pipeline on the embedded broker that is sent some of everything.
func TestEveryMetricIsEmitted(t *testing.T) {
	began := time.Now()
	pipeline := run(t)
	t.Run("every declared metric is emitted", func(t *testing.T) {
		require.Eventually(t, func() bool {
			_, scrape := fetch(t, pipeline.address+"metrics")
			missing := absent(string(scrape))
			if len(missing) > 0 && time.Since(began) > 20*time.Second {
				t.Log("missing so far", missing)
			}
			return len(scrape) > 0 && len(missing) == 0
		}, 40*time.Second, 200*time.Millisecond)
	})
	t.Run("promtool has nothing to say against them", func(t *testing.T) {
		status, scrape := fetch(t, pipeline.address+"metrics")
		require.Equal(t, http.StatusOK, status)
		require.Empty(t, promtool(t, scrape, "check", "metrics"))
	})
	t.Run("the health check of docker-compose.yml passes", func(t *testing.T) {
		services, _ := composeFile(t)
		target, err := url.Parse(pipeline.address)
		require.NoError(t, err)
		healthy := func(port string) error {
			arguments := slices.Clone(services["ensue"].HealthCheck.Test[1:])
			last := len(arguments) - 1
			require.Contains(t, arguments[last], "/8080;")
			arguments[last] = strings.ReplaceAll(arguments[last], "8080", port)
			return exec.CommandContext(t.Context(), arguments[0], arguments[1:]...).Run()
		}
		require.Eventually(t, func() bool { return healthy(target.Port()) == nil }, 20*time.Second, 100*time.Millisecond)
		status, ready := fetch(t, pipeline.address+"readyz")
		require.Equal(t, http.StatusOK, status, "%s", ready)
		_, closed, err := net.SplitHostPort(freeAddress(t))
		require.NoError(t, err)
		require.Error(t, healthy(closed))
	})
	t.Logf("%.1f s", time.Since(began).Seconds())
}

// TestEveryQueryHasDataInTheDemo: a real Prometheus scrapes what `ensue demo --serve` runs, and is asked all that the dashboard and the
// alerts ask.
func TestEveryQueryHasDataInTheDemo(t *testing.T) {
	program(t, "prometheus")
	began := time.Now()
	prometheus := scraping(t, demonstrated(t))
	pending := dashboard(t)
	require.Eventually(t, func() bool {
		for title, queries := range pending {
			pending[title] = slices.DeleteFunc(queries, func(query string) bool { return prometheus.query(t, query) == "" })
			if len(pending[title]) == 0 {
				delete(pending, title)
			}
		}
		return len(pending) == 0
	}, time.Minute, 500*time.Millisecond, "queries without data: %v", pending)
	t.Logf("every query had data after %.1f s", time.Since(began).Seconds())
	prometheus.requireHealthyRules(t)
	for name, expr := range alerts(t) {
		require.NotContains(t, prometheus.query(t, expr), "error", name)
	}
}

// absent are the metrics of the table that are not in the scrape.
func absent(scrape string) []string {
	var missing []string
	for _, m := range metrics.Table() {
		suffix := ""
		if m.Type == metrics.Histogram {
			suffix = "_count"
		}
		if !regexp.MustCompile(`(?m)^` + m.Name + suffix + `\{.*\} [0-9]`).MatchString(scrape) {
			missing = append(missing, m.Name)
		}
	}
	return missing
}

// server is a Prometheus.
type server struct{ address string }

// scraping starts a Prometheus with the configuration of this folder, which scrapes the pipeline every second.
func scraping(t *testing.T, pipeline *running) *server {
	t.Helper()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	text, err := os.ReadFile("prometheus/prometheus.yml")
	require.NoError(t, err)
	rules, err := filepath.Abs("prometheus/alerts.yml")
	require.NoError(t, err)
	target, err := url.Parse(pipeline.address)
	require.NoError(t, err)
	config := strings.NewReplacer(
		"ensue:8080", target.Host, "/run/secrets/ensue_token", write("token", token), "/etc/prometheus/alerts.yml", rules,
		"scrape_interval: 5s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s",
	).Replace(string(text))
	address := freeAddress(t)
	command := exec.Command(program(t, "prometheus"), "--config.file="+write("prometheus.yml", config), "--storage.tsdb.path="+folder+"/data",
		"--web.listen-address="+address, "--log.level=warn")
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	s := &server{address: "http://" + address}
	require.Eventually(t, func() bool {
		status, _ := fetch(t, s.address+"/-/ready")
		return status == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond)
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// query says what is wrong with the answer to a query: an error, or no data; "" where there are data.
func (s *server) query(t *testing.T, expr string) string {
	t.Helper()
	_, body := fetch(t, s.address+"/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	if answer.Status != "success" {
		return "error: " + answer.Error
	}
	for _, sample := range answer.Data.Result {
		if fmt.Sprint(sample.Value[1]) != "NaN" {
			return ""
		}
	}
	return "no data"
}

// requireHealthyRules waits until every rule was evaluated, and wants none to have failed.
func (s *server) requireHealthyRules(t *testing.T) {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	require.Eventually(t, func() bool {
		_, body := fetch(t, s.address+"/api/v1/rules")
		require.NoError(t, json.Unmarshal(body, &answer))
		healthy := 0
		for _, group := range answer.Data.Groups {
			for _, rule := range group.Rules {
				require.NotEqual(t, "err", rule.Health, "%s: %s", rule.Name, rule.LastError)
				if rule.Health == "ok" {
					healthy++
				}
			}
		}
		return healthy == len(alerts(t))
	}, 10*time.Second, 200*time.Millisecond)
}
