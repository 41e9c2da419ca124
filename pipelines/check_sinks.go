package pipelines

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"

	"github.com/ensue-video/ensue/sink"
)

// checkSinks asks the sinks that lead out of Kafka whether they are there. It writes nothing, and posts nothing.
func checkSinks(ctx context.Context, def *Definition) []Checked {
	var checks []Checked
	if out := def.Sink.Parquet; out != nil {
		checks = append(checks, checkFolder(filepath.Join(out.Path, "table")))
	}
	if out := def.Sink.Postgres; out != nil {
		checks = append(checks, checkPostgres(ctx, out))
	}
	if out := def.Sink.Webhook; out != nil {
		checks = append(checks, checkWebhook(ctx, out))
	}
	return checks
}

func checkPostgres(ctx context.Context, config *sink.PostgresConfig) Checked {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	check := Checked{Name: "table " + config.Table, Hint: "see sink.postgres"}
	conn, err := sink.ConnectPostgres(ctx, config.URL)
	if err != nil {
		check.Detail = err.Error()
		return check
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	var version, extension *string
	var table bool
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version'),
		(SELECT installed_version FROM pg_available_extensions WHERE name = 'vector'), to_regclass($1) IS NOT NULL`, config.Table).
		Scan(&version, &extension, &table)
	switch {
	case err != nil:
		check.Detail = err.Error()
		return check
	case !config.Create && (extension == nil || !table):
		check.Detail, check.Hint = "the table or pgvector is missing", "write create: true, or make the table (docs/sinks.md)"
		return check
	}
	check.OK, check.Hint = true, ""
	check.Detail = fmt.Sprintf("PostgreSQL %s answers", *version)
	if extension == nil {
		check.Detail += "; the extension vector will be made"
	}
	if !table {
		check.Detail += "; the table will be made"
	}
	return check
}

// checkWebhook only connects: a request would be taken for a result.
func checkWebhook(ctx context.Context, config *sink.WebhookConfig) Checked {
	check := Checked{Name: "webhook " + config.URL, Hint: "see sink.webhook.url"}
	address, err := url.Parse(config.URL)
	if err != nil {
		check.Detail = err.Error()
		return check
	}
	port := address.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[address.Scheme]
	}
	dialer := net.Dialer{Timeout: checkTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.Hostname(), port))
	if err != nil {
		check.Detail = err.Error()
		return check
	}
	check.OK, check.Detail, check.Hint = true, "the receiver takes connections; nothing was sent", ""
	if err := conn.Close(); err != nil {
		check.OK, check.Detail = false, err.Error()
	}
	return check
}
