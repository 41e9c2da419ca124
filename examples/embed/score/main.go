package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ensue-video/ensue/pipelines"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: score X.mp4 Y.mp4")
	}
	def, err := pipelines.Open("replay") // a stock definition; def.Encoder.Model = "./model" chooses another model
	if err != nil {
		return err
	}
	x, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	y, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	result, err := pipelines.Score(context.Background(), def, x, y)
	if err != nil {
		return err
	}
	if result.Energy == nil {
		return fmt.Errorf("no energy: %s", result.Reason)
	}
	fmt.Printf("%.4f\n", *result.Energy)
	return nil
}
