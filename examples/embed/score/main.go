package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ensue-video/ensue/pipelines"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: score X.mp4 Y.mp4")
	}
	def, err := pipelines.Open("replay") // a stock definition; def.Encoder.Model = "builtin" chooses the learned model
	if err != nil {
		log.Fatal(err)
	}
	x, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	y, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	result, err := pipelines.Score(context.Background(), def, x, y)
	if err != nil {
		log.Fatal(err)
	}
	if result.Energy == nil {
		log.Fatalf("no energy: %s", result.Reason)
	}
	fmt.Printf("%.4f\n", *result.Energy)
}
