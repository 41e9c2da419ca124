package main

import (
	"fmt"
	"io"
	"os"

	"github.com/ensue-video/ensue/pipelines"
)

// maxDefinition is the largest definition file that is read; the parser has its own, smaller bound and the better message.
const maxDefinition = 4 << 20

// read reads the definition a person named: a file, "-" for the standard input, or the name of a stock definition.
func (a *app) read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(a.in, maxDefinition))
	}
	data, err := os.ReadFile(name)
	if err == nil {
		return data, nil
	}
	if stock, ok := pipelines.Stock(name); ok { // also where a folder has that name
		return stock, nil
	}
	return nil, inputError("definition.no_such_file", fmt.Errorf("reading the definition: %w", err),
		fmt.Sprintf("name a file, or one of the stock definitions: %v", pipelines.StockNames()))
}

// load reads and lints a definition; it refuses one with errors, and shows all that is wrong.
func (a *app) load(name string) (*pipelines.Definition, error) {
	data, err := a.read(name)
	if err != nil {
		return nil, err
	}
	def, findings := pipelines.Parse(name, data, a.env)
	if def == nil {
		return nil, a.refuse(name, findings)
	}
	return def, a.review(name, def)
}

// review refuses a definition whose parts contradict each other.
func (a *app) review(name string, def *pipelines.Definition) error {
	if findings := pipelines.Review(def); pipelines.HasErrors(findings) {
		return a.refuse(name, findings)
	}
	return nil
}

// refuse is the error of a definition that cannot be run.
func (a *app) refuse(name string, findings []pipelines.Finding) error {
	if !a.json {
		printFindings(a.err, findings)
	}
	return &exitError{
		exit: exitInput, code: "definition.invalid", data: findings, told: !a.json,
		hint: "ensue lint " + name + " shows this without running anything; docs/definition.md describes every key",
		err:  fmt.Errorf("the definition %s has errors", name),
	}
}

func printFindings(out io.Writer, findings []pipelines.Finding) {
	for _, finding := range findings {
		fmt.Fprintln(out, finding)
	}
}
