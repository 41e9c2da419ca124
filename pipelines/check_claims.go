package pipelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ensue-video/ensue/claim"
	"github.com/ensue-video/ensue/ingest"
)

// checkClaims asks the stores of claims whether they answer, and the topic whether it keeps records longer than they keep payloads.
func checkClaims(ctx context.Context, def *Definition) []Checked {
	config := def.Ingest.Claims
	if config == nil {
		return nil
	}
	claims, err := ingest.NewClaims(*config, def.Decode.Limits.Bytes)
	if err != nil {
		return []Checked{{Name: "claims", Detail: err.Error(), Hint: "see ingest.claims"}}
	}
	var checks []Checked
	for _, store := range claims.Stores() {
		checks = append(checks, checkStore(ctx, store))
	}
	if err := claims.Close(); err != nil {
		checks = append(checks, Checked{Name: "claims", Detail: "closing the stores: " + err.Error()})
	}
	if def.Ingest.Kafka != nil {
		checks = append(checks, checkRetention(ctx, def))
	}
	return checks
}

// checkStore asks for an object that is not there: who may read is told so, everybody else is not.
func checkStore(ctx context.Context, store claim.Store) Checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	place := store.Place()
	check := Checked{Name: "claims " + place.String()}
	if place.Scheme == claim.SchemeFile {
		if info, err := os.Stat("/" + filepath.FromSlash(place.Prefix)); err != nil || !info.IsDir() {
			check.Detail, check.Hint = "the folder is not there", "make or mount it; see ingest.claims.allow"
			return check
		}
	}
	switch _, err := store.Stat(ctx, "ensue-check"); {
	case err == nil, errors.Is(err, claim.ErrGone):
		check.OK, check.Detail = true, "answering"
	case errors.Is(err, claim.ErrDenied):
		check.Detail = err.Error()
		check.Hint = "are the keys right, and may they read there? A store that may not be listed says this of what is missing, too"
	default:
		check.Detail, check.Hint = err.Error(), "is the store running, and are ingest.claims.s3.endpoint and tls right?"
	}
	return check
}

// checkRetention compares how long the topic keeps records with how long payloads are kept.
func checkRetention(ctx context.Context, def *Definition) Checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	kafka, ttl := def.Ingest.Kafka, def.Ingest.Claims.TTL
	check := Checked{Name: "claims of " + kafka.Topic, OK: true, Detail: "payloads are kept for " + formatDuration(ttl)}
	kept, err := retention(ctx, kafka)
	switch {
	case err != nil:
		check.OK, check.Detail = false, "asking how long the topic keeps records: "+err.Error()
	case kept == 0:
		check.Detail += ", the topic does not say how long it keeps records"
	case kept < 0:
		check.Detail, check.Hint = check.Detail+", records for ever",
			"what is read later than that becomes a dead letter: set retention.ms of the topic"
	default:
		check.Detail += ", records for " + formatDuration(kept)
		if kept > ttl {
			check.Hint = "records outlive their payloads: keep payloads longer, or set the topic's retention.ms to " +
				strconv.FormatInt(ttl.Milliseconds(), 10)
		}
	}
	return check
}

// retention is the topic's retention.ms: negative for ever, zero where the broker does not tell.
func retention(ctx context.Context, config *ingest.KafkaConfig) (time.Duration, error) {
	client, err := asking(config.Brokers, config.Security)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, config.Topic, []string{"retention.ms"}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for i := range response.Resources {
		for _, told := range response.Resources[i].Configs {
			if told.Name != "retention.ms" || told.Value == nil {
				continue
			}
			ms, err := strconv.ParseInt(*told.Value, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading retention.ms %q: %w", *told.Value, err)
			}
			// What a time of this program cannot hold is for ever.
			if ms < 0 || ms > int64(1<<62)/int64(time.Millisecond) {
				return -1, nil
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	return 0, nil
}
