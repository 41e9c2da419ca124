package main

import (
	"fmt"
	"math"
)

// compare makes sure that all compute the same, and says how exactly.
func compare(full, half *ours, torch, torchHalf, onnx *theirs) (note string, err error) {
	want, err := torch.output()
	if err != nil {
		return "", err
	}
	got, err := full.output()
	if err != nil {
		return "", err
	}
	if err := near("float32", want, got); err != nil {
		return "", err
	}
	narrow, err := half.output()
	if err != nil {
		return "", err
	}
	note = fmt.Sprintf("f32 within %.0e; bf16 off by %.4f", largest(want, got), deviation(want, narrow))
	bound := 0.02
	if torchHalf != nil {
		theirs, err := torchHalf.output()
		if err != nil {
			return "", err
		}
		bound = 1.2 * deviation(want, theirs)
		note += fmt.Sprintf(", torch's by %.4f", deviation(want, theirs))
	}
	if d := deviation(want, narrow); !(d <= bound) {
		return "", fmt.Errorf("bfloat16 is off by %.4f of the results' size, at most %.4f is allowed", d, bound)
	}
	if onnx != nil {
		third, err := onnx.output()
		if err != nil {
			return "", err
		}
		return note, near("ONNX Runtime", want, third)
	}
	return note, nil
}

func near(name string, want, got []float32) error {
	if len(want) != len(got) {
		return fmt.Errorf("%s gives %d numbers, PyTorch %d", name, len(got), len(want))
	}
	if d := largest(want, got); !(d <= tolerance) {
		return fmt.Errorf("%s differs from PyTorch by up to %.2g, at most %.0e is allowed", name, d, tolerance)
	}
	return nil
}

// largest is the largest difference.
func largest(want, got []float32) (most float64) {
	for i, x := range want {
		d := math.Abs(float64(x) - float64(got[i]))
		if !(d <= most) { // NaN counts
			most = d
		}
	}
	return most
}

// deviation is the root mean square of the difference, as a share of that of the numbers themselves.
func deviation(want, got []float32) float64 {
	var error2, size2 float64
	for i, x := range want {
		d := float64(x) - float64(got[i])
		error2 += d * d
		size2 += float64(x) * float64(x)
	}
	return math.Sqrt(error2 / size2)
}

// compareSteps takes some training steps on both sides: the losses must agree.
func compareSteps(our *ours, torch *theirs) (note string, err error) {
	// Opening took one step of ours already.
	first := our.loss
	for step := range 4 {
		want, err := torch.step()
		if err != nil {
			return "", err
		}
		got := first
		if step > 0 {
			if err := our.device.Run(our.once); err != nil {
				return "", err
			}
			got = our.loss
		}
		if d := math.Abs(got-want) / want; !(d <= tolerance) {
			return "", fmt.Errorf("the loss of step %d is %.6f, PyTorch's %.6f", step+1, got, want)
		}
		note = fmt.Sprintf("loss %.6f, torch %.6f", got, want)
	}
	return note, nil
}
