package pipelines

import (
	"strings"

	"github.com/ensue-video/ensue/claim"
)

// claimFields are the keys of segments that lie in an object store.
func claimFields() []Field {
	return []Field{
		{
			Path: "ingest.claims", Kind: KindObject,
			Doc: "Where payloads may lie that are not in their records: a record then carries a claim, the address of the payload.",
			Notes: "A claim is a record without a value and with the headers `ensue-ref`, `ensue-sha256` and, if told, `ensue-size`. " +
				"Without this key claims become dead letters. [claims.md](claims.md) tells more.",
		},
		{
			Path: "ingest.claims.allow", Kind: KindList, Item: KindString, Required: true,
			Examples: []string{"[s3://video/segments]", `["file:///var/lib/ensue/claims"]`}, check: checkPlace,
			Doc: "The places claims may lie in: buckets with a prefix, or folders; a claim that leads anywhere else becomes a dead letter.",
		},
		{
			Path: "ingest.claims.timeout", Kind: KindDuration, Default: "15s", Min: "100ms", Max: "10m",
			Why: "64 MiB at 50 Mbit/s take 11 s",
			Doc: "How long getting one payload may take, tries again included; after that the segment becomes a dead letter.",
		},
		{
			Path: "ingest.claims.ttl", Kind: KindDuration, Default: "168h", Min: "1m", Max: "87600h",
			Why: "as long as topics keep records unless told otherwise",
			Doc: "How long the store keeps payloads (its lifecycle rule, or how `ensue claims sweep` is run); it is only compared with how long " +
				"the topic keeps records.",
		},
		{
			Path: "ingest.claims.workers", Kind: KindInt, Unit: "payloads side by side", Default: "4", Min: "1", Max: "1024",
			Why: "hides the delay of a store without crowding it",
			Doc: "How many payloads, of different streams, are got side by side.",
		},
		{
			Path: "ingest.claims.s3", Kind: KindObject,
			Doc: "How the object store of `s3://` claims is reached.",
			Notes: "Without keys here they are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`) or of " +
				"the file that `AWS_SHARED_CREDENTIALS_FILE` names (`~/.aws/credentials`).",
		},
		{
			Path: "ingest.claims.s3.endpoint", Kind: KindString, Default: "s3.amazonaws.com",
			Examples: []string{`"${S3_ENDPOINT:localhost:8333}"`}, check: checkEndpoint,
			Why: "where the protocol comes from; SeaweedFS, Garage, RustFS and Ceph have their own",
			Doc: "The store, host or host:port; no claim can name another one.",
		},
		{
			Path: "ingest.claims.s3.region", Kind: KindString, Computed: "what the store says", Examples: []string{"eu-central-1"},
			Why: "most stores have one region",
			Doc: "The region of the bucket.",
		},
		{
			Path: "ingest.claims.s3.tls", Kind: KindBool, Default: "true",
			Why: "payloads and signatures are readable on the way otherwise",
			Doc: "Whether the store is spoken to through TLS.",
		},
		{
			Path: "ingest.claims.s3.access_key", Kind: KindString, Secret: true, Computed: "that of the environment",
			Examples: []string{`"${S3_ACCESS_KEY}"`},
			Why:      "one place for keys",
			Doc:      "The access key.",
		},
		{
			Path: "ingest.claims.s3.secret_key", Kind: KindString, Secret: true, Computed: "that of the environment",
			Examples: []string{`"${file:/run/secrets/s3}"`},
			Why:      "one place for keys",
			Doc:      "The secret key; it needs an `access_key` beside it.",
		},
		{
			Path: "ingest.claims.s3.session_token", Kind: KindString, Secret: true, Computed: "that of the environment",
			Examples: []string{`"${file:/run/secrets/s3-token}"`},
			Why:      "only temporary keys have one",
			Doc:      "The session token of temporary keys.",
		},
	}
}

// checkPlace wants a bucket or a folder.
func checkPlace(text string) *complaint {
	if _, err := claim.ParsePlace(text); err != nil {
		return &complaint{
			message: "is no place for claims: " + err.Error(), hint: "write s3://bucket/prefix, or file:///folder with a folder of its own",
		}
	}
	return nil
}

// checkEndpoint wants a host, with or without a port: a URL would also carry a path or a password.
func checkEndpoint(text string) *complaint {
	if _, rest, isURL := strings.Cut(text, "://"); isURL {
		return &complaint{
			message:    "is a URL, and endpoints are host:port",
			hint:       "write the host and the port only; ingest.claims.s3.tls says whether TLS is used",
			suggestion: strings.Trim(rest, "/"),
		}
	}
	if text == "" || strings.ContainsAny(text, "/@ \t\n") {
		return &complaint{message: "is no endpoint", hint: "endpoints are host or host:port, as in localhost:8333"}
	}
	return nil
}
