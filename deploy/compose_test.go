package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/pipelines"
)

// service is what the tests look at of a service.
type service struct {
	Image       string
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	Privileged  bool     `yaml:"privileged"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	MemLimit    string   `yaml:"mem_limit"`
	NetworkMode string   `yaml:"network_mode"`
	Environment map[string]string
	Secrets     []string
	Volumes     []string
	HealthCheck struct{ Test []string }
}

func composeFile(t *testing.T) (services map[string]service, secrets map[string]struct{ File string }) {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	require.NoError(t, err)
	var file struct {
		Services map[string]service
		Secrets  map[string]struct{ File string }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Services, 7)
	return file.Services, file.Secrets
}

func TestEveryServiceIsHardened(t *testing.T) {
	services, secrets := composeFile(t)
	for name, s := range services {
		t.Run(name, func(t *testing.T) {
			require.NotContains(t, []string{"", "0", "root", "0:0"}, s.User)
			require.True(t, s.ReadOnly, "its file system can be written")
			require.Equal(t, []string{"ALL"}, s.CapDrop)
			require.Empty(t, s.CapAdd)
			require.False(t, s.Privileged)
			require.Empty(t, s.NetworkMode)
			require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt)
			require.Regexp(t, `^[0-9]+[mg]$`, s.MemLimit)
			require.NotContains(t, s.Image, ":latest")
			for _, secret := range s.Secrets {
				require.Contains(t, secrets, secret)
			}
			for _, volume := range s.Volumes {
				require.NotContains(t, volume, "docker.sock")
				if strings.HasPrefix(volume, ".") {
					require.True(t, strings.HasSuffix(volume, ":ro"), "%s can be written from inside", volume)
				}
			}
		})
	}
}

// parse reads a definition that takes its token from a mounted secret.
func parse(t *testing.T, name string, text []byte) *pipelines.Definition {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(secret, []byte(token), 0o600))
	mounted := strings.NewReplacer("/run/secrets/ensue_token", secret, "/run/secrets/ensue/token", secret).Replace(string(text))
	require.Contains(t, mounted, secret)
	for _, finding := range pipelines.Lint(name, []byte(mounted), nil) {
		require.Equal(t, pipelines.SeverityNote, finding.Severity, "%v", finding)
	}
	def, findings := pipelines.Parse(name, []byte(mounted), nil)
	require.NotNil(t, def, "%v", findings)
	return def
}

func TestTheDefinitionOfTheComposeFileFitsWhatItStarts(t *testing.T) {
	services, secrets := composeFile(t)
	text, err := os.ReadFile("ensue.yaml")
	require.NoError(t, err)
	def := parse(t, "ensue.yaml", text)
	prometheus, err := os.ReadFile("prometheus/prometheus.yml")
	require.NoError(t, err)
	_, port, _ := strings.Cut(def.Serve.Address, ":")
	require.Contains(t, string(prometheus), `targets: ["ensue:`+port+`"]`)
	require.Contains(t, string(prometheus), "credentials_file: /run/secrets/ensue_token")
	for _, name := range []string{"ensue", "ingest", "mediamtx", "prometheus"} {
		require.Equal(t, []string{"ensue_token"}, services[name].Secrets)
	}
	file := strings.TrimSuffix(strings.TrimPrefix(secrets["ensue_token"].File, "${ENSUE_TOKEN_FILE:-./deploy/"), "}")
	trial, err := os.ReadFile(file)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(strings.TrimSpace(string(trial))), 16)
}
