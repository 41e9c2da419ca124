package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the command line.
type settings struct {
	rounds  int
	threads []int
	cases   selection
	seconds time.Duration // a turn lasts at least so long
	own     bool          // count the time that the processor works for a side, not the time that passes
	half    bool          // measure PyTorch in bfloat16 too
	python  string
	script  string
	cache   string
	json    bool
	memory  string // the model whose memory this process measures
}

const (
	exitMissed      = 1
	exitEnvironment = 3
)

var errMissed = errors.New("a goal is missed")

func main() {
	s, err := parse()
	if err == nil {
		err = run(s)
	}
	switch {
	case err == nil:
	case errors.Is(err, errNoModules):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitEnvironment)
	default:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitMissed)
	}
}

func parse() (s settings, err error) {
	var threads, cases string
	flag.IntVar(&s.rounds, "rounds", 5, "turns of each side")
	flag.StringVar(&threads, "threads", "1,2", "numbers of threads, with commas between")
	flag.StringVar(&cases, "cases", ".", "regular expression of the cases to measure")
	flag.DurationVar(&s.seconds, "turn", 400*time.Millisecond, "how long a turn lasts at least")
	flag.BoolVar(&s.half, "torch-bf16", true,
		"measure PyTorch in bfloat16 too; without instructions for it a call of a large model takes minutes")
	flag.BoolVar(&s.own, "processor-time", false,
		"count processor time, where other work runs on the machine; with one thread only, and no products")
	flag.StringVar(&s.python, "python", "python3", "a Python with bench/pytorch/requirements.txt")
	flag.StringVar(&s.script, "script", "bench/pytorch/peer.py", "the peer's program")
	flag.StringVar(&s.cache, "cache", ".cache/bench-pytorch", "where models and compiled kernels are kept")
	flag.BoolVar(&s.json, "json", false, "print JSON")
	flag.StringVar(&s.memory, "memory-of", "", "only encode with this model and print the memory that takes; the command starts itself so")
	flag.Parse()
	for number := range strings.SplitSeq(threads, ",") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return s, fmt.Errorf("--threads: %q is no number of threads", number)
		}
		s.threads = append(s.threads, n)
	}
	if s.cases.Regexp, err = regexp.Compile(cases); err != nil {
		return s, fmt.Errorf("--cases: %w", err)
	}
	if s.own && !slices.Equal(s.threads, []int{1}) {
		return s, errors.New("--processor-time is for --threads 1: threads that wait for each other count as work")
	}
	s.cache, err = filepath.Abs(s.cache)
	return s, err
}

func run(s settings) error {
	if s.memory != "" {
		return encodeAndTell(s.memory)
	}
	if err := checkPython(s.python); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cache, 0o700); err != nil {
		return err
	}
	out := newTable(s.json)
	for _, threads := range s.threads {
		if err := runThreads(s, threads, out); err != nil {
			return err
		}
	}
	if s.cases.MatchString(memoryName) {
		if err := memory(s, out); err != nil {
			return err
		}
	}
	return out.finish()
}

// runThreads measures all cases with one number of threads.
func runThreads(s settings, threads int, out *table) (err error) {
	b := &bench{settings: s, threads: threads, peak: peak(threads), out: out, modes: map[string]string{}}
	products := s.cases.products()
	if s.own {
		products = nil // the fastest of many short calls: they need no such clock
	}
	for _, shape := range products {
		if err := b.product(shape); err != nil {
			return err
		}
	}
	nets := s.cases.nets()
	if len(nets) == 0 {
		return nil
	}
	if b.peer, err = startPeer(s, threads); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.peer.stop()) }()
	out.versions = b.peer.versions
	for _, c := range nets {
		measure := b.forward
		if c.train {
			measure = b.train
		}
		if err := measure(c); err != nil {
			return fmt.Errorf("%s, threads %d: %w", c.name, threads, err)
		}
	}
	return nil
}
