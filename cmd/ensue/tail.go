package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/stream"
	"github.com/ensue-video/ensue/tail"
)

// reachTimeout is how long a command waits for a broker before it says that there is none.
const reachTimeout = 10 * time.Second

type tailFlags struct {
	config   tail.Config
	from     string
	most     int
	patience time.Duration
	stream   string
	cluster  clusterFlags
}

func (a *app) tailCommand() *cobra.Command {
	var flags tailFlags
	command := &cobra.Command{
		Use:   "tail",
		Short: "follow the results of a topic, as a table or (with --json) a line of JSON each",
		Long: "Tail reads results without joining a consumer group, so it disturbs nobody. It follows until it is interrupted, or until\n" +
			"--max results or --idle time. With --json it prints the results themselves, a line each, not an envelope.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.tail(command, flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.config.Topic, "topic", "video.energy", "topic of the results")
	f.StringVar(&flags.from, "from", "oldest", "where to begin: oldest or newest")
	f.StringVar(&flags.stream, "stream", "", "only the results of this stream")
	f.BoolVar(&flags.config.Once, "once", false, "drop results whose id was seen already")
	f.IntVar(&flags.most, "max", 0, "stop after so many results; 0 means never")
	f.DurationVar(&flags.patience, "idle", 0, "stop after so long without a result; 0 means never")
	flags.cluster.add(f)
	return command
}

// errEnough ends the reading.
var errEnough = errors.New("enough")

func (a *app) tail(command *cobra.Command, flags tailFlags) error {
	if flags.from != "oldest" && flags.from != "newest" {
		return inputError("flags.value", fmt.Errorf("--from %q is not known", flags.from), "it is oldest or newest")
	}
	flags.config.Newest = flags.from == "newest"
	place, err := a.place(&flags.cluster, command.Flags(), flags.config.Topic, "sink.kafka", (*pipelines.Definition).ResultsPlace)
	if err != nil {
		return err
	}
	flags.config.Brokers, flags.config.Topic, flags.config.Security = place.Brokers, place.Topic, place.Security
	flags.config.Naming = place.Naming()
	reader, err := tail.NewReader(flags.config)
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := reach(command.Context(), reader.Check); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(command.Context())
	defer cancel()
	show := a.shower()
	idle, shown := newIdle(flags.patience, cancel), 0
	defer idle.stop()
	err = reader.Read(ctx, func(result *stream.Result) error {
		idle.reset()
		if flags.stream != "" && result.Stream != flags.stream {
			return nil
		}
		if err := show(result); err != nil {
			return err
		}
		if shown++; shown == flags.most {
			return errEnough
		}
		return nil
	}, func(record stream.Record, err error) {
		a.logger().Warn("skipped a record that is no result",
			"topic", record.Topic, "partition", record.Partition, "offset", record.Offset, "error", err)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// reach asks whether a broker answers, for a bounded time.
func reach(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		return environmentError(string(stream.AsFailure(err, "kafka").Code), err,
			"see --brokers or --definition; --help lists the flags for TLS and login, docs/security.md explains them")
	}
	return nil
}

// reachFor is reach again and again while no broker answers, for so long. What a broker refuses is told at once.
func reachFor(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	for begun := time.Now(); ; {
		err := reach(ctx, ask)
		if err == nil || ctx.Err() != nil || connect.Why(err) != "" || time.Since(begun) >= patience {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// shower prints results the way the person asked for.
func (a *app) shower() func(*stream.Result) error {
	if a.json {
		lines := json.NewEncoder(a.out)
		return func(result *stream.Result) error { return lines.Encode(result) }
	}
	table := tail.NewTable(a.out)
	table.Colour = a.colour()
	return table.Print
}

// idle calls stop when nothing has happened for a while; a patience of 0 waits for ever.
type idle struct {
	patience time.Duration
	timer    *time.Timer
}

func newIdle(patience time.Duration, stop func()) *idle {
	if patience <= 0 {
		return &idle{}
	}
	return &idle{patience: patience, timer: time.AfterFunc(patience, stop)}
}

func (i *idle) reset() {
	if i.timer != nil {
		i.timer.Reset(i.patience)
	}
}

func (i *idle) stop() {
	if i.timer != nil {
		i.timer.Stop()
	}
}
