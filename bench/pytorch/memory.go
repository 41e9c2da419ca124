package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/encoder"
	"github.com/ensue-video/ensue/model"
	"github.com/ensue-video/ensue/nn"
)

const (
	memoryName = "memory vit-l 64 frames at 256"
	// goalMemory is in GB, beside the mapped weights.
	goalMemory = 3.0
)

var memoryCase = netCase{size: 1024, layers: 24, heads: 16, crop: 256, frames: 64, batch: 1}

// memory measures, in a process of its own, how much memory a long clip takes.
func memory(s settings, out *table) error {
	f := memoryCase.files(s.cache)
	if err := f.make(memoryCase); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, "--memory-of", f.model)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("measuring memory: %w", err)
	}
	var whole, mapped float64
	if _, err := fmt.Sscan(string(output), &whole, &mapped); err != nil {
		return fmt.Errorf("measuring memory: %w", err)
	}
	out.memory(whole, mapped)
	return nil
}

// encodeAndTell encodes a clip of 64 frames and prints the peak of the resident memory and what part of it is the mapped file, in GB.
func encodeAndTell(dir string) error {
	m, err := model.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	device, err := nn.Open(nn.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = device.Close() }()
	e, err := encoder.NewVJEPA2(m, device)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	c := memoryCase
	clip := make([]float32, c.batch*c.frames*3*c.crop*c.crop)
	for i := range clip {
		clip[i] = float32(i%255)/128 - 1
	}
	video := encoder.Video{B: c.batch, T: c.frames, C: 3, H: c.crop, W: c.crop, Data: clip}
	if _, err := e.EncodeVideo(context.Background(), video); err != nil {
		return err
	}
	runtime.KeepAlive(clip)
	peak, err := statusGB("VmHWM")
	if err != nil {
		return err
	}
	mapped, err := statusGB("RssFile")
	fmt.Println(peak, mapped)
	return err
}

// statusGB reads a line of /proc/self/status.
func statusGB(key string) (float64, error) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), key+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024 / 1e9, err
		}
	}
	return 0, errors.New("/proc/self/status has no " + key)
}

func (t *table) memory(whole, mapped float64) {
	verdict := "ok"
	if whole-mapped > goalMemory {
		verdict, t.missed = "missed", true
	}
	if t.json {
		t.print(map[string]any{"case": memoryName, "peak_gb": whole, "mapped_gb": mapped, "goal": goalMemory, "verdict": verdict})
		return
	}
	fmt.Printf("%-34s peak %.2f GB resident, %.2f of it the mapped weights; goal ≤ %.0f beside them: %s\n",
		memoryName, whole, mapped, goalMemory, verdict)
}
