package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/internal/topicread"
	"github.com/ensue-video/ensue/stream"
)

// The codes of dead letters that cannot be looked at or sent again.
const (
	// CodeBroker: no broker answered.
	CodeBroker stream.Code = "dead.broker_unreachable"
	// CodeTopicMissing: a topic does not exist.
	CodeTopicMissing stream.Code = "dead.topic_missing"
	// CodeNotAuthorized: the broker does not let this client read or write a topic.
	CodeNotAuthorized stream.Code = "dead.not_authorized"
	// CodeTLS: no encrypted connection to the brokers can be made.
	CodeTLS stream.Code = "dead.tls_failed"
	// CodeLogin: the brokers do not accept who this client says it is.
	CodeLogin stream.Code = "dead.login_failed"
	// CodeNoFile: the file of dead letters cannot be opened.
	CodeNoFile stream.Code = "dead.no_such_file"
	// CodeFile: the file of dead letters cannot be read or written.
	CodeFile stream.Code = "dead.file"
	// CodeNoSuchLetter: there is no letter of that id, or more than one.
	CodeNoSuchLetter stream.Code = "dead.no_such_letter"
	// CodeNoRecord: the record of a letter cannot be had any more.
	CodeNoRecord stream.Code = "dead.record_gone"
)

// Config says where the dead letters are.
type Config struct {
	Brokers  []string
	Security *connect.Security
	// Naming says how messages name what to change about that; nil is as flags.
	Naming connect.Naming
	// Topic holds them, unless File is set: a file as sink.dead_letter.jsonl writes it.
	Topic, File string
}

// Letter is a dead letter and what was done about it.
type Letter struct {
	*stream.ToldLetter
	// Retried is when it was sent again; zero when it was not.
	Retried time.Time
}

// Filter chooses letters; what is empty chooses all.
type Filter struct {
	Stream string
	Code   stream.Code
	Since  time.Time
	// Fresh leaves out those that were sent again.
	Fresh bool
}

func (f Filter) takes(letter *Letter) bool {
	return (f.Stream == "" || f.Stream == letter.Segment.Stream) && (f.Code == "" || f.Code == letter.Failure.Code) &&
		!letter.Time.Before(f.Since) && (!f.Fresh || letter.Retried.IsZero())
}

// Letters are those there are now, the oldest first, without their payloads: of a letter that was written twice the last one. What is no
// dead letter goes to odd; it may be nil.
func Letters(ctx context.Context, config Config, filter Filter, odd func(error)) ([]*Letter, error) {
	found := &found{letters: map[string]*Letter{}, retried: map[string]time.Time{}, odd: odd}
	if err := config.each(ctx, found.take); err != nil {
		return nil, err
	}
	var letters []*Letter
	for id, letter := range found.letters {
		letter.Retried = found.retried[id]
		if filter.takes(letter) {
			letters = append(letters, letter)
		}
	}
	slices.SortFunc(letters, func(a, b *Letter) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Place.String(), b.Place.String()), cmp.Compare(a.ID, b.ID))
	})
	return letters, nil
}

// found gathers letters and what is said about them.
type found struct {
	letters map[string]*Letter
	retried map[string]time.Time
	odd     func(error)
}

func (f *found) take(record stream.Record) error {
	if id, at, ok := stream.RetriedFromRecord(record); ok {
		f.retried[id] = at
		return nil
	}
	letter, err := stream.LetterFromRecord(record)
	if err != nil {
		if f.odd != nil {
			f.odd(err)
		}
		return nil
	}
	letter.Record.Value = nil // a topic of videos does not fit into memory
	f.letters[letter.ID] = &Letter{ToldLetter: letter}
	return nil
}

// Find is the letter whose id begins so; it must be the only one.
func Find(letters []*Letter, id string) (*Letter, error) {
	var match *Letter
	for _, letter := range letters {
		if !strings.HasPrefix(letter.ID, id) {
			continue
		}
		if match != nil {
			return nil, stream.Fail("dead", CodeNoSuchLetter, "several dead letters begin with %q: write more of the id", id)
		}
		match = letter
	}
	if match == nil || id == "" {
		return nil, stream.Fail("dead", CodeNoSuchLetter, "there is no dead letter %q: `ensue dead list` shows those there are", id)
	}
	return match, nil
}

// Whole is the letter with its record as it was: from the letter itself, or from where its record came from.
func Whole(ctx context.Context, config Config, letter *Letter) (*stream.ToldLetter, error) {
	whole := *letter.ToldLetter
	if config.File == "" {
		record, err := config.record(ctx, letter.Place)
		if err != nil {
			return nil, err
		}
		if record != nil {
			told, err := stream.LetterFromRecord(*record)
			if err != nil {
				return nil, err
			}
			whole = *told
		}
	}
	if whole.Bytes == len(whole.Record.Value) && config.File == "" {
		return &whole, nil
	}
	return config.fetch(ctx, &whole)
}

// fetch completes a letter from where its record came from.
func (c Config) fetch(ctx context.Context, letter *stream.ToldLetter) (*stream.ToldLetter, error) {
	origin := letter.Origin
	if origin.Topic == "" {
		return nil, stream.Fail("dead", CodeNoRecord, "letter %s is of the file %s: replay that", letter.ID, origin.File)
	}
	record, err := c.record(ctx, origin)
	if err != nil {
		return nil, err
	}
	if record == nil || len(record.Value) != letter.Bytes || digest(record.Value) != letter.SHA256 && letter.SHA256 != "" {
		return nil, stream.Fail("dead", CodeNoRecord,
			"letter %s has no payload, and the record it is about, %s, is not there any more: retention has passed it", letter.ID, origin)
	}
	letter.Record = *record
	return letter, nil
}

// Check asks whether a broker answers, within the time of ctx.
func (c Config) Check(ctx context.Context) error {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return c.failed("connecting", err)
	}
	defer client.Close()
	return c.failed("connecting", client.Ping(ctx))
}

func (c Config) options() []kgo.Opt {
	return append(connect.Options(c.Brokers, c.Security), kgo.ClientID("ensue-dead"), kgo.DisableClientMetrics())
}

// record is the record at a place; nil where there is none.
func (c Config) record(ctx context.Context, at stream.Origin) (*stream.Record, error) {
	record, err := c.reader().Record(ctx, at.Topic, int32(at.Partition), at.Offset)
	if err != nil {
		return nil, c.failed("reading "+at.String(), err)
	}
	if record == nil {
		return nil, nil //nolint:nilnil // it is gone
	}
	plain := recordOf(record)
	return &plain, nil
}

// each calls take with every record that the topic or the file holds now.
func (c Config) each(ctx context.Context, take func(stream.Record) error) error {
	if c.File != "" {
		return c.eachLine(take)
	}
	err := c.reader().All(ctx, c.Topic, func(record *kgo.Record) error { return take(recordOf(record)) })
	return c.failed("reading the dead letters", err)
}

func (c Config) reader() topicread.Reader {
	return topicread.Reader{Options: c.options()}
}

// failed gives an error of the broker its code.
func (c Config) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*stream.Failure](err); ok {
		return failure
	}
	naming := c.Naming
	if naming == nil {
		naming = connect.Flag
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return stream.FailTransient("dead", CodeTopicMissing, "%s on %s: %w", doing, strings.Join(c.Brokers, ", "), err)
	}
	failure := c.Security.Unreached("dead", c.Brokers, naming, err)
	failure.Err = fmt.Errorf("%s: %w", doing, failure.Err)
	if failure.Code == CodeNotAuthorized {
		failure.Err = fmt.Errorf("%w read it, and to send letters again write to it and to the topic of the segments", failure.Err)
	}
	return failure
}

func recordOf(record *kgo.Record) stream.Record {
	headers := make([]stream.Header, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = stream.Header{Key: header.Key, Value: header.Value}
	}
	return stream.Record{
		Topic: record.Topic, Partition: int(record.Partition), Offset: record.Offset, Time: record.Timestamp,
		Key: record.Key, Value: record.Value, Headers: headers,
	}
}
