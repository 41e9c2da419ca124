package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ensue-video/ensue/metrics"
)

// manifest is what the tests look at of a manifest.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		MinReplicas, MaxReplicas int
		ScaleTargetRef           struct{ Kind, Name string }
		Metrics                  []struct {
			External struct{ Metric struct{ Name string } }
		}
		Template struct {
			Spec struct {
				AutomountServiceAccountToken  *bool
				TerminationGracePeriodSeconds int
				SecurityContext               struct {
					RunAsNonRoot   bool
					SeccompProfile struct{ Type string }
				}
				Containers []struct {
					SecurityContext struct {
						AllowPrivilegeEscalation *bool
						ReadOnlyRootFilesystem   bool
						Capabilities             struct{ Drop []string }
					}
					Resources                     struct{ Limits map[string]string }
					LivenessProbe, ReadinessProbe struct {
						HTTPGet        struct{ Path string }
						TimeoutSeconds int
					}
				}
			}
		}
	}
}

// manifests are the files of the kustomization by kind.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	var kustomization struct{ Resources []string }
	read := func(name string, to any) {
		text, err := os.ReadFile(filepath.Join("kubernetes", name))
		require.NoError(t, err)
		decode(t, text, to)
	}
	read("kustomization.yaml", &kustomization)
	found := map[string]manifest{}
	for _, name := range kustomization.Resources {
		var m manifest
		read(name, &m)
		require.Equal(t, "ensue", m.Metadata.Name)
		found[m.Kind] = m
	}
	require.Len(t, found, 7)
	return found
}

// decode reads YAML as JSON does, which minds no case.
func decode(t *testing.T, text []byte, to any) {
	t.Helper()
	var loose map[string]any
	require.NoError(t, yaml.Unmarshal(text, &loose))
	data, err := json.Marshal(loose)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, to))
}

func TestThePodIsHardenedAndHasTimeToDrain(t *testing.T) {
	found := manifests(t)
	pod := found["Deployment"].Spec.Template.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.True(t, pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, "RuntimeDefault", pod.SecurityContext.SeccompProfile.Type)
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	require.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, container.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []string{"ALL"}, container.SecurityContext.Capabilities.Drop)
	require.NotEmpty(t, container.Resources.Limits["memory"])
	require.Equal(t, "/healthz", container.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/readyz", container.ReadinessProbe.HTTPGet.Path)
	require.Greater(t, container.ReadinessProbe.TimeoutSeconds, 5, "asking brokers may take that long")

	def := parse(t, "ensue.yaml", []byte(found["ConfigMap"].Data["ensue.yaml"]))
	const stages = 10 * time.Second // what they get after the drain
	require.Greater(t, time.Duration(pod.TerminationGracePeriodSeconds)*time.Second, def.Ingest.Kafka.DrainTimeout+stages)
}

func TestTheAutoscalerScalesOnAMetricThereIs(t *testing.T) {
	found := manifests(t)
	scaler := found["HorizontalPodAutoscaler"].Spec
	require.Equal(t, "Deployment", scaler.ScaleTargetRef.Kind)
	require.Equal(t, metrics.IngestLag, scaler.Metrics[0].External.Metric.Name)
	require.Greater(t, scaler.MaxReplicas, scaler.MinReplicas)
	adapter, err := os.ReadFile("kubernetes/prometheusadapter.yaml")
	require.NoError(t, err)
	require.Contains(t, string(adapter), "as: "+metrics.IngestLag+"}")
}
