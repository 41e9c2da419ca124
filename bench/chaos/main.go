package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	minutes                             float64
	seed                                uint64
	broker, delivery                    string
	nodes, members, partitions, streams int
	rate, poison                        float64
	churn, claims, keep                 bool
	program, dir, report, video         string
	sabotage                            string
	calm                                time.Duration
}

func main() {
	os.Exit(command(os.Args[1:]))
}

// command is the program: 0 when nothing was lost or came twice, 1 when something was, 2 for wrong flags, 3 where the machine lacks
// something.
func command(arguments []string) int {
	s, err := parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	report, err := run(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return exitOf(err)
	}
	report.print(os.Stdout)
	if s.report != "" {
		if err := report.write(s.report); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			return 1
		}
	}
	if !report.OK {
		return 1
	}
	return 0
}

func parse(arguments []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.Float64Var(&s.minutes, "minutes", 20, "how long things are disturbed")
	f.Uint64Var(&s.seed, "seed", 0, "what happens follows from it; 0 takes the time")
	f.StringVar(&s.broker, "broker", "apache", "apache or embedded")
	f.IntVar(&s.nodes, "brokers", 1, "how many brokers of Apache Kafka")
	f.StringVar(&s.delivery, "delivery", "at_least_once", "at_least_once or exactly_once")
	f.IntVar(&s.members, "members", 3, "processes of the pipeline")
	f.IntVar(&s.partitions, "partitions", 12, "partitions of the segments' topic")
	f.IntVar(&s.streams, "streams", 24, "streams")
	f.Float64Var(&s.rate, "rate", 1, "segments a second and stream")
	poison := f.String("poison", "0%", "part of the records that cannot be processed, as 5%")
	f.DurationVar(&s.calm, "calm", 30*time.Second, "with --poison: how long each of the two quiet phases is whose latencies are compared")
	f.BoolVar(&s.churn, "churn", false, "only members joining and leaving, every 5 s")
	f.BoolVar(&s.claims, "claims", false, "every other segment is a claim on a folder")
	f.StringVar(&s.program, "ensue", "bin/ensue", "the program under test")
	f.StringVar(&s.video, "video", "examples/video/shelf.mp4", "the footage that clips are cut from")
	f.StringVar(&s.dir, "dir", "", "where logs go; default: a new temporary folder, kept when something is wrong")
	f.BoolVar(&s.keep, "keep", false, "keep the folder in any case")
	f.StringVar(&s.sabotage, "sabotage", "", "lose, repeat or change one result at the end, to see the checker fail")
	f.StringVar(&s.report, "json", "", "file that the report is written to, as JSON")
	if err := f.Parse(arguments); err != nil {
		return s, err
	}
	text, percent := strings.CutSuffix(*poison, "%")
	part, err := strconv.ParseFloat(text, 64)
	if percent {
		part /= 100
	}
	if err != nil || part < 0 || part > 0.5 {
		return s, fmt.Errorf("--poison %s: write a part of at most a half, as 5%%", *poison)
	}
	s.poison = part
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	switch {
	case s.broker != "apache" && s.broker != "embedded":
		return s, fmt.Errorf("--broker %s: write apache or embedded", s.broker)
	case s.delivery != "at_least_once" && s.delivery != exactlyOnce:
		return s, fmt.Errorf("--delivery %s: write at_least_once or exactly_once", s.delivery)
	case s.sabotage != "" && sabotages[s.sabotage] == nil:
		return s, fmt.Errorf("--sabotage %s: write lose, repeat or change", s.sabotage)
	case s.minutes <= 0 || s.members < 1 || s.streams < 1 || s.partitions < 1 || s.rate <= 0 || s.nodes < 1:
		return s, errors.New("numbers must be more than 0")
	case f.NArg() > 0:
		return s, fmt.Errorf("%q is not known; see --help", f.Arg(0))
	}
	return s, nil
}

const exactlyOnce = "exactly_once"
