package pipelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/decode"
	"github.com/ensue-video/ensue/ingest"
	"github.com/ensue-video/ensue/sink"
)

// Checked is the outcome of one check of a definition against the world it is to run in.
type Checked struct {
	// Name is what was checked: "broker localhost:9092", "topic video.segments", "encoder pixels".
	Name string `json:"name"`
	// OK says that it is as it should be; Detail says how it is.
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	// Hint is what to do where it is not OK, or a warning where it is.
	Hint string `json:"hint,omitempty"`
}

// checkTimeout bounds every question to a broker.
const checkTimeout = 10 * time.Second

// Check builds the definition's stages and asks its brokers, topics, files and folders whether they are there. It writes
// nothing and joins no group.
func Check(ctx context.Context, def *Definition) []Checked {
	checks := append(checkModel(def), checkAround(ctx, def)...)
	checks = append(checks, checkServe(ctx, def)...) // not around a pipeline that runs, whose page has the address
	return append(checks, checkMembers(ctx, def)...)
}

// checkAround asks what is around a pipeline, which /readyz does again and again: it makes nothing that costs much.
func checkAround(ctx context.Context, def *Definition) []Checked {
	var checks []Checked
	if def.Ingest.Files != nil {
		checks = append(checks, checkFiles(def.Ingest.Files))
	}
	for _, cluster := range clusters(def) {
		checks = append(checks, cluster.check(ctx)...)
	}
	checks = append(checks, checkClaims(ctx, def)...)
	checks = append(checks, checkState(ctx, def)...)
	for _, path := range jsonlPaths(def) {
		checks = append(checks, checkFolder(path))
	}
	checks = append(checks, checkSinks(ctx, def)...)
	return checks
}

// asking is a client for questions to brokers.
func asking(brokers []string, security *connect.Security) (*kgo.Client, error) {
	return kgo.NewClient(append(connect.Options(brokers, security), kgo.ClientID("ensue-check"))...)
}

// askSource has a check made by a question to the brokers that segments come from.
func askSource(
	ctx context.Context, def *Definition, check Checked, question func(context.Context, *kgo.Client, *Definition, Checked) Checked,
) []Checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	client, err := asking(def.Ingest.Kafka.Brokers, def.Ingest.Kafka.Security)
	if err != nil {
		check.Detail = err.Error()
		return []Checked{check}
	}
	defer client.Close()
	return []Checked{question(ctx, client, def, check)}
}

func checkModel(def *Definition) []Checked {
	made, err := buildNets(def)
	if err != nil {
		return []Checked{{Name: "model " + def.Encoder.Model, Detail: err.Error(), Hint: "see encoder and predictor; ensue lint tells more"}}
	}
	checks := checkNets(def, made)
	if err := made.close(); err != nil {
		checks = append(checks, Checked{Name: "model " + def.Encoder.Model, Detail: "closing it: " + err.Error()})
	}
	return checks
}

func checkNets(def *Definition, made *nets) []Checked {
	info := made.encoder.Info()
	encoding := Checked{
		Name: "encoder " + info.Name, OK: true,
		Detail: fmt.Sprintf("%dx%d pixels to %dx%dx%d tokens a step, %s",
			info.Width, info.Height, info.GridHeight, info.GridWidth, info.Dim, info.Digest),
	}
	if d, ok := describe(def); ok && d.model != nil {
		encoding.Detail += explainModel(def, d) + "; " + made.device.Describe()
		for _, term := range modelTerms(def, d, runtime.GOMAXPROCS(0)) {
			encoding.Detail += fmt.Sprintf("; %s %s", term.Name, roughBytes(float64(term.Bytes)))
		}
	}
	predicting := made.predictor.Info()
	checks := []Checked{encoding, {Name: "predictor " + predicting.Name, OK: true, Detail: predicting.Digest}}
	size, fit := frame(info)
	decoder, err := decode.New(def.Decode, size, decode.WithFit(fit))
	if err != nil {
		return append(checks, Checked{Name: "decoder", Detail: err.Error()})
	}
	decoder.Close()
	return append(checks, Checked{Name: "decoder", OK: true, Detail: "FFmpeg and OpenCV are linked in and answer"})
}

func checkFiles(config *ingest.FilesConfig) Checked {
	paths, err := ingest.ExpandPaths(config.Paths)
	if err != nil {
		return Checked{Name: "files", Detail: err.Error(), Hint: "see ingest.files.paths"}
	}
	return Checked{Name: "files", OK: true, Detail: fmt.Sprintf("%d files", len(paths))}
}

func jsonlPaths(def *Definition) []string {
	var paths []string
	if def.Sink.JSONL != nil && def.Sink.JSONL.Path != "-" {
		paths = append(paths, def.Sink.JSONL.Path)
	}
	if def.Sink.DeadLetter.JSONL != nil && def.Sink.DeadLetter.JSONL.Path != "-" {
		paths = append(paths, def.Sink.DeadLetter.JSONL.Path)
	}
	return paths
}

func checkFolder(path string) Checked {
	check := Checked{Name: "file " + path}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		check.OK, check.Detail = true, "the folder "+folder+" will be made"
	case err != nil:
		check.Detail = err.Error()
	case !info.IsDir():
		check.Detail, check.Hint = folder+" is no folder", "name a file in a folder that can be written"
	case !writable(folder):
		check.Detail, check.Hint = "files cannot be written in "+folder, "give this user the right to, or name another folder"
	default:
		check.OK, check.Detail = true, "the folder is there, and can be written in"
	}
	return check
}

// cluster is the brokers that some topics of a definition live on.
type cluster struct {
	brokers  []string
	security *connect.Security
	// key is where the definition says how to get in.
	key    string
	topics []wantedTopic
	// transaction is how transactions are made there; nil: none are.
	transaction *sink.TransactionConfig
}

// wantedTopic is a topic and the largest record the pipeline may put there or must be able to get from there.
type wantedTopic struct {
	key, name string
	record    int64
}

// clusters gathers the topics of the definition by brokers, the source's first.
func clusters(def *Definition) []*cluster {
	var all []*cluster
	add := func(at entrance, topic wantedTopic) {
		brokers := at.brokers
		if len(brokers) == 0 {
			brokers = def.Brokers()
		}
		topic.key = at.path + ".topic"
		for _, known := range all {
			if slices.Equal(known.brokers, brokers) && reflect.DeepEqual(known.security, at.security) {
				known.topics = append(known.topics, topic)
				return
			}
		}
		all = append(all, &cluster{brokers: brokers, security: at.security, key: at.path + ".security", topics: []wantedTopic{topic}})
	}
	with := *def
	with.Sink = def.sinks()
	for _, at := range entrances(&with) {
		switch at.path {
		case "ingest.kafka":
			add(at, wantedTopic{name: def.Ingest.Kafka.Topic})
		case "sink.kafka":
			add(at, wantedTopic{name: def.Sink.Kafka.Topic})
		default:
			// A dead letter carries the whole record that could not be processed.
			add(at, wantedTopic{name: def.Sink.DeadLetter.Kafka.Topic, record: def.Decode.Limits.Bytes})
		}
	}
	if out := exactly(def); out != nil && len(all) > 0 {
		all[0].transaction = &out.Transaction
	}
	return all
}

func (c *cluster) check(ctx context.Context) []Checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	name := fmt.Sprintf("brokers %v", c.brokers)
	if err := c.security.Check(); err != nil {
		return []Checked{{Name: name, Detail: err.Error(), Hint: "make the file readable, or change " + c.key}}
	}
	client, err := asking(c.brokers, c.security)
	if err != nil {
		return []Checked{{Name: name, Detail: err.Error()}}
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return []Checked{{Name: name, Detail: err.Error(), Hint: c.security.Advice(err, connect.Below(c.key))}}
	}
	checks := []Checked{{Name: name, OK: true, Detail: "answering; " + c.security.String()}}
	for _, topic := range c.topics {
		checks = append(checks, topic.check(ctx, client, c))
	}
	if c.transaction != nil {
		checks = append(checks, c.checkTransactions(ctx, client))
	}
	return checks
}

// checkTransactions asks whether the brokers' settings leave room for exactly-once delivery.
func (c *cluster) checkTransactions(ctx context.Context, client *kgo.Client) Checked {
	check := Checked{Name: "transactions", OK: true, Detail: "the brokers allow them"}
	settings, err := brokerSettings(ctx, client, "offset.metadata.max.bytes", "transaction.max.timeout.ms")
	if err != nil {
		check.Detail = "the brokers do not tell their settings: " + err.Error()
		return check
	}
	if metadata, ok := settings["offset.metadata.max.bytes"]; ok && metadata < ingest.MetadataBytes {
		check.OK, check.Detail = false, fmt.Sprintf("offset.metadata.max.bytes of the brokers is %d", metadata)
		check.Hint = fmt.Sprintf("raise it to %d, its default: exactly_once keeps there what is already written", ingest.MetadataBytes)
	}
	if longest, ok := settings["transaction.max.timeout.ms"]; ok && longest < c.transaction.Timeout.Milliseconds() {
		check.OK, check.Detail = false, fmt.Sprintf("transaction.max.timeout.ms of the brokers is %d", longest)
		check.Hint = "lower sink.kafka.transaction.timeout to " + formatDuration(time.Duration(longest)*time.Millisecond)
	}
	return check
}

// brokerSettings are settings of a broker that are whole numbers.
func brokerSettings(ctx context.Context, client *kgo.Client, names ...string) (map[string]int64, error) {
	known, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err == nil && len(known.Brokers) == 0 {
		err = errors.New("no broker is known")
	}
	if err != nil {
		return nil, err
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(known.Brokers[0].NodeID))
	resource.ConfigNames = names
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for _, told := range response.Resources {
		if err := kerr.ErrorForCode(told.ErrorCode); err != nil {
			return nil, err
		}
		for _, config := range told.Configs {
			if config.Value == nil {
				continue
			}
			if value, err := strconv.ParseInt(*config.Value, 10, 64); err == nil {
				found[config.Name] = value
			}
		}
	}
	return found, nil
}

func (t wantedTopic) check(ctx context.Context, client *kgo.Client, on *cluster) Checked {
	check := Checked{Name: "topic " + t.name}
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(t.name)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err == nil && len(response.Topics) == 1 {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		check.Detail = err.Error()
		check.Hint = "create the topic (kafka-topics.sh --create --topic " + t.name + " --partitions 4), or change " + t.key
		if why := connect.Why(err); why != "" {
			check.Hint = on.security.Hint(why, err, connect.Below(on.key)) + " describe, read or write the topic"
		}
		return check
	}
	largest := t.largest(ctx, client)
	check.OK, check.Detail = true, fmt.Sprintf("%d partitions, records up to %s", len(response.Topics[0].Partitions), sizeOrUnknown(largest))
	if largest > 0 && largest < t.record {
		check.Hint = fmt.Sprintf("max.message.bytes is %d, below decode.limits.bytes (%d): larger segments lose their payload here",
			largest, t.record)
	}
	return check
}

// largest is the topic's max.message.bytes; 0 where the broker does not tell.
func (t wantedTopic) largest(ctx context.Context, client *kgo.Client) int64 {
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, t.name
	resource.ConfigNames = []string{"max.message.bytes"}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	if err != nil || len(response.Resources) != 1 {
		return 0
	}
	for _, config := range response.Resources[0].Configs {
		if config.Value != nil {
			if value, err := strconv.ParseInt(*config.Value, 10, 64); err == nil {
				return value
			}
		}
	}
	return 0
}

func sizeOrUnknown(bytes int64) string {
	if bytes == 0 {
		return "unknown size"
	}
	return strconv.FormatInt(bytes, 10) + " bytes"
}
