package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/pipelines"
	"github.com/ensue-video/ensue/publish"
)

type sweepFlags struct {
	storeFlags
	cluster clusterFlags
	topics  []string
	older   time.Duration
	remove  bool
}

// leastAge is the youngest an orphan may be: a sender puts the payload into the store before the claim is on the topic.
const leastAge = 10 * time.Minute

func (a *app) claimsCommand() *cobra.Command {
	claims := &cobra.Command{Use: "claims", Short: "look after payloads that lie in an object store"}
	var flags sweepFlags
	sweep := &cobra.Command{
		Use:   "sweep --store PLACE",
		Short: "find, and with --remove remove, payloads that no record refers to any more",
		Long: "Sweep lists the payloads of a store that are older than --older, reads the topics to their end, and tells which payloads\n" +
			"nothing there refers to. It removes them only with --remove. Name every topic whose records refer to the store: the segments and\n" +
			"the dead letters. When a topic cannot be read to its end nothing is removed.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return a.sweep(command, flags) },
	}
	f := sweep.Flags()
	flags.add(f, "the payloads")
	f.StringSliceVar(&flags.topics, "topic", []string{"video.segments", "video.dead"}, "topics whose records may refer to the store")
	flags.cluster.add(f)
	f.DurationVar(&flags.older, "older", 168*time.Hour, "how old an orphan must be at least; not less than 10m")
	f.BoolVar(&flags.remove, "remove", false, "remove the orphans; without it they are only told")
	claims.AddCommand(sweep)
	return claims
}

// sweptOrphan is one payload that nothing refers to.
type sweptOrphan struct {
	Ref      string    `json:"ref"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// sweepSummary is what a sweep came to.
type sweepSummary struct {
	claim.Swept
	Store string `json:"store"`
	// Records were read, References were found in them.
	Records    int64         `json:"records"`
	References int           `json:"references"`
	List       []sweptOrphan `json:"list"`
}

func (a *app) sweep(command *cobra.Command, flags sweepFlags) (err error) {
	switch {
	case flags.store == "":
		return inputError("flags.value", errors.New("there is no --store"), "as in --store s3://video/segments")
	case flags.older < leastAge:
		return inputError("flags.value", fmt.Errorf("--older %s is less than %s", flags.older, leastAge),
			"a payload is in the store before its claim is on the topic; a young one may be waiting for that")
	}
	store, err := a.openStore(flags.storeFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	begin := time.Now()
	found, err := a.references(command, flags)
	if err != nil {
		return err
	}
	summary := sweepSummary{Store: store.Place().String(), Records: found.Records, References: len(found.Refs), List: []sweptOrphan{}}
	// Ages count from before the topics were read: what was written since is young whatever the clock says.
	config := claim.SweepConfig{
		Older: flags.older, Now: begin, Remove: flags.remove,
		Referenced: func(ref claim.Ref) bool { return found.Refs[ref.String()] },
	}
	summary.Swept, err = claim.Sweep(command.Context(), store, config, func(ref claim.Ref, object claim.Object) error {
		summary.List = append(summary.List, sweptOrphan{Ref: ref.String(), Bytes: object.Size, Modified: object.Modified})
		return nil
	})
	if err != nil {
		return environmentError("claims.store", err, "is --store right, and may this user list and remove there?")
	}
	return a.say(command, summary, summary.print)
}

// references are those of every topic that is meant: the ones of --topic, or of the definition both that of the segments and that of
// the dead letters, wherever each lies.
func (a *app) references(command *cobra.Command, flags sweepFlags) (publish.References, error) {
	places, err := a.sweepPlaces(command, flags)
	if err != nil {
		return publish.References{}, err
	}
	all := publish.References{Refs: map[string]bool{}}
	for _, place := range places {
		found, err := publish.FindReferences(command.Context(), place.Brokers, place.Security, []string{place.Topic})
		if err != nil {
			hint := "nothing was removed; are --brokers and --topic right?"
			if connect.Why(err) != "" || place.Security.HintUnanswered(err, place.Naming()) != "" {
				hint = "nothing was removed; " + place.Security.Advice(err, place.Naming())
			}
			return all, environmentError("claims.topics", err, hint)
		}
		all.Records += found.Records
		maps.Copy(all.Refs, found.Refs)
	}
	return all, nil
}

func (a *app) sweepPlaces(command *cobra.Command, flags sweepFlags) ([]pipelines.Place, error) {
	if flags.cluster.definition == "" || command.Flags().Changed("topic") {
		place, err := a.place(&flags.cluster, command.Flags(), "", "ingest.kafka", (*pipelines.Definition).SegmentsPlace)
		places := make([]pipelines.Place, len(flags.topics))
		for i, topic := range flags.topics {
			places[i] = place
			places[i].Topic = topic
		}
		return places, err
	}
	segments, err := a.place(&flags.cluster, command.Flags(), "", "ingest.kafka", (*pipelines.Definition).SegmentsPlace)
	if err != nil {
		return nil, err
	}
	letters, err := a.place(&flags.cluster, command.Flags(), "", "sink.dead_letter.kafka", (*pipelines.Definition).DeadLettersPlace)
	return []pipelines.Place{segments, letters}, err
}

func (s sweepSummary) print(out io.Writer) error {
	did := "would be removed (say --remove)"
	if s.Removed {
		did = "removed"
	}
	for _, orphan := range s.List {
		if _, err := fmt.Fprintf(out, "%s  %12d  %s\n", orphan.Modified.UTC().Format(time.RFC3339), orphan.Bytes, orphan.Ref); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s: %d payloads; %d referred to by %d records, %d too young, %d orphans (%d bytes) %s\n",
		s.Store, s.Objects, s.Kept, s.Records, s.Young, s.Orphans, s.Bytes, did)
	return err
}
