package pipelines

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Text is the explanation for people.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline %s\n\nstages\n", e.Name)
	for i, stage := range e.Stages {
		fmt.Fprintf(&b, "  %s", stage.Stage)
		if stage.Workers > 1 {
			fmt.Fprintf(&b, " (%d side by side)", stage.Workers)
		}
		fmt.Fprintf(&b, ": %s\n", stage.Does)
		if i < len(e.Queues) {
			queue := e.Queues[i]
			fmt.Fprintf(&b, "    then up to %d segments wait; when full, %s\n", queue.Segments, queue.Full)
		}
	}
	e.Memory.text(&b)
	fmt.Fprintf(&b, "\ndelivery: %s\n", e.Delivery.Guarantee)
	for _, why := range e.Delivery.Why {
		fmt.Fprintf(&b, "  - %s\n", why)
	}
	b.WriteString("\nvalues\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range e.Values {
		origin := v.Origin
		if v.Why != "" {
			origin += " (" + v.Why + ")"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Path, v.Value, origin)
	}
	_ = table.Flush() // a strings.Builder takes everything
	return b.String()
}

func (m MemoryExplanation) text(b *strings.Builder) {
	fmt.Fprintf(b, "\nmemory: at most about %s = %s\n", roughBytes(float64(m.Bound)), m.Formula)
	for _, term := range m.Terms {
		fmt.Fprintf(b, "  %s: %s = %s\n", term.Name, roughBytes(float64(term.Bytes)), term.Formula)
	}
	fmt.Fprintf(b, "  and for %s: %s = %s\n", m.PerStream.Name, roughBytes(float64(m.PerStream.Bytes)), m.PerStream.Formula)
	if m.PerPartition != nil {
		fmt.Fprintf(b, "  and for %s: %s = %s\n", m.PerPartition.Name, roughBytes(float64(m.PerPartition.Bytes)), m.PerPartition.Formula)
	}
}
