package metrics

import (
	"bytes"
	"fmt"
	"strings"
)

// Reference is docs/metrics.md, made from the table.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, section := range []struct {
		title string
		rows  []Metric
	}{
		{"What flows", flowMetrics()},
		{"Stages and queues", stageMetrics()},
		{"Times", timeMetrics()},
		{"Health", healthMetrics()},
		{"Reading from Kafka", ingestMetrics()},
		{"Streams", streamMetrics()},
		{"Reloads", reloadMetrics()},
		{"What runs", infoMetrics()},
	} {
		fmt.Fprintf(&b, "## %s\n\n| metric | type | counts | labels | what it says |\n| --- | --- | --- | --- | --- |\n", section.title)
		for _, m := range section.rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, m.Unit, labelsOf(m), m.Help)
		}
		b.WriteString("\n")
	}
	b.WriteString(referenceTail)
	return b.Bytes()
}

func labelsOf(m Metric) string {
	parts := make([]string, len(m.Labels))
	for i, label := range m.Labels {
		parts[i] = "`" + label.Name + "`: " + label.Bound
	}
	return strings.Join(parts, "; ")
}

const referenceHead = "<!-- Made from the table in metrics/table.go by go test ./metrics -run TestReference -update; do not edit. -->\n" +
	"# Metrics\n\n" +
	"With `serve` in its definition a pipeline answers Prometheus at `/metrics` of the same address as the [live page](live.md).\n" +
	"`ensue demo --serve` has all that the dashboard asks for: `curl localhost:8080/metrics`.\n" +
	"[operations.md](operations.md) says which to watch and what to do; `deploy/prometheus` and `deploy/grafana` hold the\n" +
	"alert rules and the dashboard.\n\n" +
	"Every metric carries the label `pipeline`, the definition's `name`. Beside them stand those of the Go runtime (`go_…`) and\n" +
	"of the process (`process_…`); the Go heap does not see what FFmpeg, OpenCV and the model hold,\n" +
	"`process_resident_memory_bytes` does. A label whose values nobody can list is bounded; what is beyond is told together as\n" +
	"`" + Other + "`.\n\n"

const referenceTail = "What stands in a table is there once it has something to say: `ensue_dead_letters_total` after the first " +
	"dead letter of a\n" +
	"code, `ensue_stream_p_value` once a stream has warmed up, the lag once a process reads partitions.\n"
