package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/stream"
)

// settings are the command line.
type settings struct {
	fps     float64
	size    int
	threads int
	rounds  int
	python  string
	script  string
	peers   []string
	files   []string
}

// outcome is one run over all files.
type outcome struct {
	Sampled   int     `json:"sampled"`
	Decoded   int     `json:"decoded"`
	Failed    int     `json:"failed"`
	Wall      float64 `json:"wall"`
	Processor float64 `json:"processor"`
}

// contender is one way to do the work.
type contender struct {
	name string
	run  func(context.Context, settings) (outcome, error)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	s, err := parse()
	if err != nil {
		return err
	}
	contenders := []contender{{"ensue", ours}}
	for _, peer := range s.peers {
		switch peer {
		case "pyav":
			contenders = append(contenders, contender{"pyav", pyav})
		case "ffmpeg":
			contenders = append(contenders, contender{"ffmpeg", commandLine})
		default:
			return fmt.Errorf("--peers: %q is neither pyav nor ffmpeg", peer)
		}
	}
	runtime.GOMAXPROCS(s.threads)
	ctx := context.Background()
	results := make([][]outcome, len(contenders))
	for round := range s.rounds {
		for turn := range contenders {
			i := (turn + round) % len(contenders) // nobody always goes first
			result, err := contenders[i].run(ctx, s)
			if err != nil {
				return fmt.Errorf("running %s: %w", contenders[i].name, err)
			}
			results[i] = append(results[i], result)
		}
	}
	return table(contenders, results)
}

func parse() (settings, error) {
	var s settings
	var peers string
	flag.Float64Var(&s.fps, "fps", 8, "sampling rate")
	flag.IntVar(&s.size, "size", 128, "width and height of the samples")
	flag.IntVar(&s.threads, "threads", 2, "threads for every contender")
	flag.IntVar(&s.rounds, "rounds", 5, "runs of each contender")
	flag.StringVar(&s.python, "python", "python3", "a Python with PyAV, for the peer pyav")
	flag.StringVar(&s.script, "script", "bench/decode/peer_pyav.py", "the peer's program")
	flag.StringVar(&peers, "peers", "pyav,ffmpeg", "who to compare with: pyav, ffmpeg, or nothing")
	flag.Parse()
	for _, argument := range flag.Args() {
		found, err := expand(argument)
		if err != nil {
			return settings{}, err
		}
		s.files = append(s.files, found...)
	}
	if len(s.files) == 0 {
		return settings{}, errors.New("name the video files, or folders of them, to decode")
	}
	if peers != "" {
		s.peers = strings.Split(peers, ",")
	}
	return s, nil
}

// expand is the files of a folder, or the file itself.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	return files, nil
}

// ours decodes with one Decoder per thread, each taking the next file, as a pipeline does with segments. The largest files go first, so
// that no thread is left alone with one at the end.
func ours(ctx context.Context, s settings) (outcome, error) {
	config := decode.Default()
	config.FPS = s.fps
	config.Limits.Duration, config.Limits.Frames = time.Hour, 1<<20
	files, err := bySize(s.files)
	if err != nil {
		return outcome{}, err
	}
	next := make(chan string)
	results := make([]outcome, s.threads)
	before, start := processor(syscall.RUSAGE_SELF), time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i := range s.threads {
		group.Go(func() error { return work(ctx, config, s.size, next, &results[i]) })
	}
	group.Go(func() error {
		defer close(next)
		for _, file := range files {
			select {
			case next <- file:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return outcome{}, err
	}
	total := outcome{Wall: time.Since(start).Seconds(), Processor: processor(syscall.RUSAGE_SELF) - before}
	for _, result := range results {
		total.Sampled += result.Sampled
		total.Decoded += result.Decoded
		total.Failed += result.Failed
	}
	return total, nil
}

func bySize(files []string) ([]string, error) {
	sizes := map[string]int64{}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		sizes[file] = info.Size()
	}
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(sizes[b], sizes[a]) })
	return sorted, nil
}

func work(ctx context.Context, config decode.Config, size int, next <-chan string, result *outcome) error {
	decoder, err := decode.New(config, decode.Size{Width: size, Height: size})
	if err != nil {
		return err
	}
	defer decoder.Close()
	for file := range next {
		payload, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		clip, err := decoder.Decode(ctx, &stream.Segment{Stream: filepath.Base(file), Payload: payload}, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			result.Failed++
			continue
		}
		result.Sampled += clip.T
		result.Decoded += clip.Decoded
		clip.Release()
	}
	return nil
}

// pyav runs the peer's program once for all files; it measures itself, without starting Python.
func pyav(ctx context.Context, s settings) (outcome, error) {
	arguments := append([]string{s.script, strconv.FormatFloat(s.fps, 'g', -1, 64), strconv.Itoa(s.size)}, s.files...)
	command := exec.CommandContext(ctx, s.python, arguments...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("%s with PyAV (pip install av): %w", s.python, err)
	}
	var result outcome
	err = json.Unmarshal(output, &result)
	return result, err
}

// commandLine runs one ffmpeg process per file, as scripts do.
func commandLine(ctx context.Context, s settings) (outcome, error) {
	var result outcome
	before, start := processor(syscall.RUSAGE_CHILDREN), time.Now()
	filter := fmt.Sprintf("fps=%g,scale=%d:%d:flags=area,format=rgb24", s.fps, s.size, s.size)
	for _, file := range s.files {
		command := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-nostdin", "-threads", strconv.Itoa(s.threads), "-i", file,
			"-map", "0:v:0", "-vf", filter, "-f", "rawvideo", "-")
		output, err := command.Output()
		if err != nil && len(output) == 0 {
			result.Failed++
			continue
		}
		result.Sampled += len(output) / (s.size * s.size * 3)
	}
	result.Wall, result.Processor = time.Since(start).Seconds(), processor(syscall.RUSAGE_CHILDREN)-before
	return result, nil
}

// processor is the processor time used so far, in seconds.
func processor(who int) float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func table(contenders []contender, results [][]outcome) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "who\tsampled\tdecoded\tfailed\twall s\tspread\tprocessor s\twall ratio\tspread\tprocessor ratio")
	for i, contender := range contenders {
		wall := pick(results[i], func(o outcome) float64 { return o.Wall })
		busy := pick(results[i], func(o outcome) float64 { return o.Processor })
		ratios, busyRatios := make([]float64, len(wall)), make([]float64, len(wall))
		for round := range wall {
			ratios[round] = wall[round] / results[0][round].Wall
			busyRatios[round] = busy[round] / results[0][round].Processor
		}
		first := results[i][0]
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%.2f\t%.2f–%.2f\t%.2f\t%.2f\t%.2f–%.2f\t%.2f\n", contender.name, first.Sampled, first.Decoded,
			first.Failed, median(wall), slices.Min(wall), slices.Max(wall), median(busy), median(ratios), slices.Min(ratios),
			slices.Max(ratios), median(busyRatios))
	}
	return out.Flush()
}

func pick(results []outcome, value func(outcome) float64) []float64 {
	values := make([]float64, len(results))
	for i, result := range results {
		values[i] = value(result)
	}
	return values
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
