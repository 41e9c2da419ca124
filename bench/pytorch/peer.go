package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// peer is the Python process, for one number of threads.
type peer struct {
	command  *exec.Cmd
	requests io.WriteCloser
	replies  *bufio.Scanner
	cache    string
	own      bool // count processor time
	versions map[string]string
}

// request is a line to the peer.
type request struct {
	Do      string  `json:"do"`
	ID      string  `json:"id"`
	Kind    string  `json:"kind,omitempty"`
	Model   string  `json:"model,omitempty"`
	Input   string  `json:"input,omitempty"`
	Target  string  `json:"target,omitempty"`
	Frames  int     `json:"frames,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	Dtype   string  `json:"dtype,omitempty"`
	Mode    string  `json:"mode,omitempty"`
	File    string  `json:"file,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Own     bool    `json:"own,omitempty"`
}

// reply is a line from it.
type reply struct {
	Error   string  `json:"error"`
	Seconds float64 `json:"seconds"`
	Loss    float64 `json:"loss"`
}

var errNoModules = errors.New("this Python lacks what is compared with: make a virtual environment, " +
	"`pip install -r bench/pytorch/requirements.txt` in it, and name it: `make bench-pytorch PYTHON=.venv/bin/python`")

// checkPython tells whether an interpreter has the modules.
func checkPython(python string) error {
	const modules = "import importlib.util as u, sys; " +
		"sys.exit(any(u.find_spec(m) is None for m in ('torch', 'transformers', 'onnxruntime', 'onnx', 'safetensors')))"
	if err := exec.Command(python, "-c", modules).Run(); err != nil {
		return fmt.Errorf("%s: %w", python, errNoModules)
	}
	return nil
}

func startPeer(s settings, threads int) (*peer, error) {
	p := &peer{command: exec.Command(s.python, s.script, strconv.Itoa(threads), s.cache), cache: s.cache, own: s.own}
	p.command.Stderr = os.Stderr
	var err error
	if p.requests, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.replies = bufio.NewScanner(output)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if !p.replies.Scan() {
		return nil, fmt.Errorf("starting %s: %w", s.python, p.command.Wait())
	}
	return p, json.Unmarshal(p.replies.Bytes(), &p.versions)
}

func (p *peer) ask(r request) (reply, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, err
	}
	if _, err := p.requests.Write(append(line, '\n')); err != nil {
		return reply{}, err
	}
	var answer reply
	if !p.replies.Scan() {
		return answer, fmt.Errorf("the peer ended: %w", errors.Join(p.replies.Err(), p.command.Wait()))
	}
	if err := json.Unmarshal(p.replies.Bytes(), &answer); err != nil {
		return answer, err
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("the peer, asked to %s %s: %s", r.Do, r.ID, answer.Error)
	}
	return answer, nil
}

func (p *peer) stop() error {
	return errors.Join(p.requests.Close(), p.command.Wait())
}

// theirs is a case that the peer has opened in one mode.
type theirs struct {
	peer     *peer
	id, mode string
}

func (p *peer) open(c netCase, f files, dtype, mode string) (*theirs, error) {
	t := &theirs{peer: p, id: c.name + "/" + dtype + "/" + mode, mode: mode}
	r := request{Do: "open", ID: t.id, Kind: "forward", Model: f.model, Input: f.input, Frames: c.frames, Dtype: dtype, Mode: mode}
	if c.train {
		r.Kind, r.Target = "train", f.target
		if c.recurrent {
			r.Kind, r.Batch = "recurrent", c.batch
		}
	}
	_, err := p.ask(r)
	return t, err
}

func (t *theirs) measure(atLeast time.Duration) (time.Duration, error) {
	answer, err := t.peer.ask(request{Do: "run", ID: t.id, Seconds: atLeast.Seconds(), Own: t.peer.own})
	return time.Duration(answer.Seconds * float64(time.Second)), err
}

func (t *theirs) output() ([]float32, error) {
	file := filepath.Join(t.peer.cache, "output.f32")
	if _, err := t.peer.ask(request{Do: "output", ID: t.id, File: file}); err != nil {
		return nil, err
	}
	return readFloats(file)
}

func (t *theirs) step() (float64, error) {
	answer, err := t.peer.ask(request{Do: "step", ID: t.id})
	return answer.Loss, err
}

func (t *theirs) close() error {
	_, err := t.peer.ask(request{Do: "close", ID: t.id})
	return err
}
