package pipelines

import (
	"github.com/ensue-video/ensue/connect"
	"github.com/ensue-video/ensue/sink"
)

// securityFields are the keys of the `security` block of the object at path; the same wherever there are brokers. computed says in
// words what a block that is not written is; empty is none.
func securityFields(path, computed string) []Field {
	at := path + ".security"
	notes := "`tls: {}` is enough where the machine trusts the broker's certificate. Files are read again for every connection, so rotated " +
		"certificates and tokens are taken up without a restart."
	if computed != "" {
		notes = "Without it a sink that names no brokers of its own gets into those of `ingest.kafka` as the source does. " + notes
	}
	return []Field{
		{
			Path: at, Kind: KindObject,
			Doc:   "How to get into the brokers: encryption and login; without it connections are in the clear and nobody is asked who this is.",
			Notes: notes,
		},
		{Path: at + ".tls", Kind: KindObject, Doc: "Encrypts the connections."},
		{
			Path: at + ".tls.ca", Kind: KindString, Computed: "what the machine trusts", Examples: []string{"/etc/kafka/ca.pem"},
			Why: "brokers with a public certificate need none",
			Doc: "A PEM file with the certificates of the authorities to trust.",
		},
		{
			Path: at + ".tls.certificate", Kind: KindString, Computed: "none", Examples: []string{"/etc/kafka/ensue.pem"},
			Why: "most brokers know clients by their login",
			Doc: "A PEM file with the certificate that shows the broker who this client is.",
		},
		{
			Path: at + ".tls.key", Kind: KindString, Computed: "none", Examples: []string{"/etc/kafka/ensue.key"},
			Why: "it belongs to the certificate",
			Doc: "A PEM file with the certificate's private key, not encrypted.",
		},
		{
			Path: at + ".tls.server_name", Kind: KindString, Computed: "the host of the broker's address",
			Examples: []string{"kafka.example.com"},
			Why:      "certificates have the names that clients connect to",
			Doc:      "The name that the brokers' certificates must have.",
		},
		{
			Path: at + ".tls.insecure", Kind: KindBool, Default: "false",
			Why: "anybody in between could read along",
			Doc: "Whether to take any certificate of a broker without a look at it.",
		},
		{Path: at + ".sasl", Kind: KindObject, Doc: "Logs in."},
		{
			Path: at + ".sasl.mechanism", Kind: KindEnum, Required: true, Options: connect.Mechanisms(),
			Examples: []string{connect.MechanismScram512},
			Meant: map[string]string{
				"PLAIN": connect.MechanismPlain, "SCRAM-SHA-256": connect.MechanismScram256, "SCRAM-SHA-512": connect.MechanismScram512,
				"scram": connect.MechanismScram512, "OAUTHBEARER": connect.MechanismOAuthBearer, "oauth": connect.MechanismOAuthBearer,
			},
			Doc: "How to log in, as the broker offers it.",
		},
		{
			Path: at + ".sasl.user", Kind: KindString, Computed: "none", Examples: []string{"ensue"},
			Why: "only a token says by itself who this is",
			Doc: "The user to log in as; for all mechanisms but `oauthbearer`.",
		},
		{
			Path: at + ".sasl.password", Kind: KindString, Secret: true, Computed: "none",
			Examples: []string{"${file:/run/secrets/kafka}", "${KAFKA_PASSWORD}"},
			Why:      "only a token says by itself who this is",
			Doc:      "The user's password; from a file or a variable, it appears in no output.",
		},
		{
			Path: at + ".sasl.token_file", Kind: KindString, Computed: "none", Examples: []string{"/var/run/secrets/token"},
			Why: "only oauthbearer has tokens",
			Doc: "The file with the token of `oauthbearer`; it is read at every login.",
		},
	}
}

// transactionFields are the keys of exactly-once delivery.
func transactionFields() []Field {
	defaults := sink.DefaultTransaction()
	return []Field{
		{
			Path: "sink.kafka.transaction", Kind: KindObject,
			Doc: "How `delivery: exactly_once` cuts what it writes into transactions.",
			Notes: "A transaction is begun when results are ready and ended when they are written; it holds no segment that is still being " +
				"processed. When partitions are taken away the open transaction is aborted, and what of it belongs to partitions that stay is " +
				"written again in the next one.",
		},
		{
			Path: "sink.kafka.transaction.segments", Kind: KindInt, Unit: "segments", Default: KindInt.format(defaults.Segments),
			Min: "1", Max: "10000",
			Why: "what is repeated after an abort stays small",
			Doc: "How many segments' results one transaction takes at most.",
		},
		{
			Path: "sink.kafka.transaction.interval", Kind: KindDuration, Default: formatDuration(defaults.Interval), Min: "0s", Max: "1m",
			Why: "a transaction costs the brokers several small writes whatever it holds",
			Doc: "How long results are gathered before their transaction is ended; readers see them only then.",
		},
		{
			Path: "sink.kafka.transaction.timeout", Kind: KindDuration, Default: formatDuration(defaults.Timeout), Min: "1s", Max: "1h",
			Why: "shorter than session_timeout: what a killed process left open is aborted before its partitions are read by another",
			Doc: "After how long the broker aborts a transaction whose writer is gone; it must be longer than writing takes.",
		},
		{
			Path: "sink.kafka.transaction.id", Kind: KindString, Computed: "the group and a random part",
			Examples: []string{"ensue-lobby-${HOSTNAME}"}, check: checkGroup, Why: "processes never share one by accident",
			Doc: "The transactional id, another one for every process; a name that a restarted process has again ends what it left open at once.",
		},
	}
}
