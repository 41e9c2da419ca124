package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ensue-video/ensue/nn"
)

// checkpointFile holds everything a training goes on from: weights of both copies and the optimiser as tensors, the rest as JSON in the
// file's metadata. It is one file because it is replaced as a whole: a kill leaves the old one or the new one.
const checkpointFile = "checkpoint.safetensors"

// stateKey is where the metadata has the JSON.
const stateKey = "state"

// state is what a training knows beside its weights.
type state struct {
	// Step is how many steps were taken, Elapsed how long they took: schedules over time go on from it.
	Step    int           `json:"step"`
	Elapsed time.Duration `json:"elapsed_ns"`
	// Settings is the digest of what the weights depend on.
	Settings string `json:"settings"`
	Watch    watch  `json:"watch"`
	// Last is the last look.
	Last *Sample `json:"last,omitempty"`
}

// digest identifies the settings that a training must not change when it goes on: not how long it is to last, nor how it is watched.
func (c *Config) digest() (string, error) {
	fixed := *c
	fixed.Name, fixed.Output, fixed.Model.Start = "", "", ""
	fixed.Budget, fixed.Checkpoint, fixed.Telemetry, fixed.Collapse = BudgetConfig{}, CheckpointConfig{}, TelemetryConfig{}, CollapseConfig{}
	fixed.Data.Workers, fixed.Data.Ahead, fixed.Data.Footage.Cache = 0, 0, ""
	text, err := fixed.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// learned is what a checkpoint holds tensors of.
type learned struct {
	online, target, extra *nn.Parameters
	// verifier is nil where there is none.
	verifier  *verifying
	optimiser *nn.AdamW
	// muon is nil where AdamW moves everything.
	muon *muon
}

// section is some of a checkpoint's parameters.
type section struct {
	ps     *nn.Parameters
	prefix string
}

// others are the parameters beside the model's.
func (l *learned) others() []section {
	parts := []section{{l.extra, "extra."}}
	if l.verifier != nil {
		parts = append(parts, section{l.verifier.learns, "online."}, section{l.verifier.follows, "target."})
	}
	return parts
}

func checkpointPath(output string) string { return filepath.Join(output, checkpointFile) }

// save writes a checkpoint.
func (l *learned) save(output string, s *state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	f := &nn.TensorFile{Metadata: map[string]string{stateKey: string(text)}}
	l.online.Put(f, "online.", nn.Float32)
	l.target.Put(f, "target.", nn.Float32)
	for _, part := range l.others() {
		part.ps.Put(f, part.prefix, nn.Float32)
	}
	l.optimiser.Put(f, "optimiser.")
	if l.muon != nil {
		l.muon.put(f, "muon.")
	}
	if err := f.Write(checkpointPath(output)); err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	return nil
}

// load reads a checkpoint; the settings must be those it was made with.
func (l *learned) load(output, settings string) (s state, err error) {
	path := checkpointPath(output)
	file, err := nn.OpenSafetensors(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("resuming %s: %w", output, ErrNoCheckpoint)
	}
	if err != nil {
		return s, fmt.Errorf("resuming: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := json.Unmarshal([]byte(file.Metadata[stateKey]), &s); err != nil {
		return s, fmt.Errorf("resuming from %s: it has no state: %w", path, err)
	}
	if s.Settings != settings {
		return s, fmt.Errorf("resuming from %s: %w: take the definition it was made with, or another output", path, ErrOther)
	}
	for _, part := range append(l.others(), section{l.online, "online."}, section{l.target, "target."}) {
		if err := part.ps.Load(file, part.prefix); err != nil {
			return s, fmt.Errorf("resuming from %s: %w", path, err)
		}
	}
	if err := l.optimiser.Load(file, "optimiser."); err != nil {
		return s, fmt.Errorf("resuming from %s: %w", path, err)
	}
	if l.muon != nil {
		if err := l.muon.load(file, "muon."); err != nil {
			return s, fmt.Errorf("resuming from %s: %w", path, err)
		}
	}
	return s, nil
}
