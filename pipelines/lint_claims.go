package pipelines

import (
	"fmt"
	"strings"
	"time"

	"github.com/ensue-video/ensue/claim"
)

// brokerRetention is log.retention.hours of a broker where nobody changed it: how long a topic keeps records.
const brokerRetention = 168 * time.Hour

// claimRules know what can be wrong with payloads that are not in their records.
func claimRules() []rule {
	return []rule{
		{
			code: "definition.claim_ttl", severity: SeverityWarning,
			doc:   "Payloads are kept for a shorter time than topics keep records: a pipeline that is behind finds claims that have expired.",
			reads: []string{"ingest.claims.ttl"}, find: claimTTL,
		},
		{
			code: "definition.claim_timeout", severity: SeverityError,
			doc: "Getting a payload and decoding it may take longer than `drain_timeout`.",
			reads: []string{
				"ingest.claims.timeout", "ingest.kafka.drain_timeout", "decode.limits.timeout",
			}, find: claimTimeout,
		},
		{
			code: "definition.claim_keys", severity: SeverityError,
			doc:   "One of the two keys of the object store is given without the other.",
			reads: []string{"ingest.claims.s3.access_key", "ingest.claims.s3.secret_key"}, find: claimKeys,
		},
		{
			code: "definition.claim_plain", severity: SeverityWarning,
			doc:   "The object store is spoken to without TLS, and is not on this machine.",
			reads: []string{"ingest.claims.s3.tls", "ingest.claims.s3.endpoint", "ingest.claims.allow"}, find: claimPlain,
		},
		{
			code: "definition.claim_files", severity: SeverityNote, doc: "Recorded files carry no claims: `ingest.claims` has no effect.",
			reads: []string{"ingest.claims", "ingest.files"}, find: claimFiles,
		},
	}
}

func claimTTL(def *Definition) []violation {
	claims := def.Ingest.Claims
	if claims == nil {
		return nil
	}
	return when(claims.TTL < brokerRetention, "ingest.claims.ttl",
		fmt.Sprintf("payloads are gone after %s, but topics keep records %s unless told otherwise: a record read later than that "+
			"becomes a dead letter (ingest.claim_expired)", formatDuration(claims.TTL), formatDuration(brokerRetention)),
		fmt.Sprintf("keep payloads longer, or set the topic's retention.ms to %d or less; ensue check asks the broker",
			claims.TTL.Milliseconds()))
}

func claimTimeout(def *Definition) []violation {
	claims, kafka := def.Ingest.Claims, def.Ingest.Kafka
	if claims == nil || kafka == nil {
		return nil
	}
	whole := claims.Timeout + def.Decode.Limits.Timeout
	return when(whole >= kafka.DrainTimeout, "ingest.claims.timeout",
		fmt.Sprintf("getting a payload and decoding it (decode.limits.timeout) may take %s, but what is under way must be finished in "+
			"ingest.kafka.drain_timeout: %s", formatDuration(whole), formatDuration(kafka.DrainTimeout)),
		"write a shorter timeout, or a longer drain_timeout")
}

func claimKeys(def *Definition) []violation {
	claims := def.Ingest.Claims
	if claims == nil || (claims.S3.AccessKey == "") == (claims.S3.SecretKey == "") {
		return nil
	}
	given, missing := "access_key", "secret_key"
	if claims.S3.AccessKey == "" {
		given, missing = missing, given
	}
	return when(true, "ingest.claims.s3."+given, "there is no ingest.claims.s3."+missing+" beside it",
		"write both, or neither to use those of the environment")
}

func claimPlain(def *Definition) []violation {
	claims := def.Ingest.Claims
	if claims == nil || claims.S3.TLS || !inBuckets(claims.Allow) {
		return nil
	}
	host, _, _ := strings.Cut(claims.S3.Endpoint, ":")
	local := host == "localhost" || strings.HasPrefix(host, "127.") || strings.HasPrefix(claims.S3.Endpoint, "[::1]")
	return when(!local, "ingest.claims.s3.tls", "video and signatures travel to "+claims.S3.Endpoint+" in the clear", "write true")
}

// inBuckets says whether one of the places is a bucket.
func inBuckets(places []string) bool {
	for _, text := range places {
		if place, err := claim.ParsePlace(text); err == nil && place.Scheme == claim.SchemeS3 {
			return true
		}
	}
	return false
}

func claimFiles(def *Definition) []violation {
	return when(def.Ingest.Claims != nil && def.Ingest.Files != nil, "ingest.claims", "has no effect: recorded files carry no claims",
		"remove it")
}
