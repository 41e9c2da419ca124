package predictor_test

import (
	"fmt"
	"time"

	"github.com/ensue-video/ensue/predictor"
)

// How badly the tokens that came fit those that were expected, token by token.
func ExampleEnergyMap() {
	expected := []float32{1, 2, 3, 4} // two tokens of two numbers
	seen := []float32{1, 2, 3, 8}
	energy := make([]float32, 2)
	predictor.EnergyMap(expected, seen, 2, energy)
	fmt.Println(energy)
	// Output: [0 2]
}

// A stream is judged against its own past: an energy far above it breaks, one far below it stalls.
func ExampleRunning() {
	past := predictor.NewRunning(predictor.Config{}.Default())
	for n := range 100 {
		past.Observe(0.4+0.01*float64(n%5), time.Second)
	}
	for _, energy := range []float64{0.42, 3, 0.001} {
		judged := past.Judge(energy)
		fmt.Println(energy, judged.PValue < 0.001, judged.Calm)
	}
	// Output:
	// 0.42 false false
	// 3 true false
	// 0.001 true true
}
