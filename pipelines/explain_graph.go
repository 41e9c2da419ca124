package pipelines

import (
	"fmt"
	"strings"
)

// graphNode is a stage, or an end of the pipeline, in a drawing.
type graphNode struct {
	id    string
	lines []string
	end   bool
}

// graphEdge joins two nodes; dashed ones are what happens to what cannot be processed.
type graphEdge struct {
	from, to, label string
	dashed          bool
}

// lineWidth is how long a line of a node is at most; what a stage does is a long sentence.
const lineWidth = 46

// graph is the explanation as nodes and edges, for Dot and Mermaid.
func (e Explanation) graph() (nodes []graphNode, edges []graphEdge) {
	for i, stage := range e.Stages {
		title := stage.Stage
		if stage.Workers > 1 {
			title += fmt.Sprintf(" (%d side by side)", stage.Workers)
		}
		lines := append([]string{title}, wrap(firstClause(stage.Does), lineWidth)...)
		nodes = append(nodes, graphNode{id: stage.Stage, lines: lines})
		if i < len(e.Queues) {
			queue := e.Queues[i]
			edges = append(edges, graphEdge{from: queue.From, to: queue.To, label: fmt.Sprintf("up to %d segments", queue.Segments)})
		}
	}
	last := e.Stages[len(e.Stages)-1].Stage
	for i, out := range e.Results {
		id := fmt.Sprintf("results%d", i+1)
		nodes = append(nodes, graphNode{id: id, lines: append([]string{"results"}, wrap(out, lineWidth)...), end: true})
		edges = append(edges, graphEdge{from: last, to: id, label: e.Delivery.Guarantee})
	}
	if e.DeadLetters != "" {
		nodes = append(nodes, graphNode{id: "dead", lines: append([]string{"dead letters"}, wrap(e.DeadLetters, lineWidth)...), end: true})
		edges = append(edges, graphEdge{from: last, to: "dead", label: "what cannot be processed", dashed: true})
	}
	return nodes, edges
}

// Dot is the explanation as a drawing for graphviz.
func (e Explanation) Dot() string {
	nodes, edges := e.graph()
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=TB\n  label=\"pipeline %s, %s\"\n",
		"ensue", quote.Replace(e.Name), quote.Replace(e.Delivery.Guarantee))
	b.WriteString("  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10]\n" +
		"  edge [fontname=\"sans-serif\", fontsize=9]\n")
	for _, node := range nodes {
		lines := make([]string, len(node.lines))
		for i, line := range node.lines {
			lines[i] = quote.Replace(line)
		}
		shape := ""
		if node.end {
			shape = ", shape=cylinder, style=solid"
		}
		fmt.Fprintf(&b, "  %s [label=\"%s\"%s]\n", node.id, strings.Join(lines, `\n`), shape)
	}
	for _, edge := range edges {
		style := ""
		if edge.dashed {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %s -> %s [label=\"%s\"%s]\n", edge.from, edge.to, quote.Replace(edge.label), style)
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid is the explanation as a flowchart that GitHub and many editors draw inside Markdown.
func (e Explanation) Mermaid() string {
	nodes, edges := e.graph()
	// In Mermaid a quoted label ends at the next quote whatever stands before it, and # begins an entity.
	quote := strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "`", "#96;")
	var b strings.Builder
	b.WriteString("flowchart TB\n")
	for _, node := range nodes {
		lines := make([]string, len(node.lines))
		for i, line := range node.lines {
			lines[i] = quote.Replace(line)
		}
		open, shut := `["`, `"]`
		if node.end {
			open, shut = `[("`, `")]`
		}
		fmt.Fprintf(&b, "  %s%s%s%s\n", node.id, open, strings.Join(lines, "<br/>"), shut)
	}
	for _, edge := range edges {
		arrow := "-->"
		if edge.dashed {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", edge.from, arrow, quote.Replace(edge.label), edge.to)
	}
	return b.String()
}

// firstClause is what stands before the first semicolon.
func firstClause(text string) string {
	clause, _, _ := strings.Cut(text, "; ")
	return clause
}

// wrap breaks a text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
