package sink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ensue-video/ensue/stream"
)

// postgresErrors is what PostgreSQL's codes mean for a write, by code or class
// (https://www.postgresql.org/docs/current/errcodes-appendix.html). What is not here passes by itself: restarts, full disks, too many
// connections, deadlocks.
var postgresErrors = []struct {
	prefix    string
	code      stream.Code
	permanent bool
	hint      string
}{
	{"28", CodeLogin, false, "is the password in sink.postgres.url right?"},
	{"3D000", CodeDatabase, false, "create the database, or correct sink.postgres.url"},
	{"3F000", CodeDatabase, false, "create the schema, or correct sink.postgres.table"},
	{
		"42501", CodeNotAuthorized, false,
		"grant this user what it lacks, or have somebody else make the table (docs/sinks.md) and write create: false",
	},
	{"42P01", CodeDatabase, false, "write create: true, or make the table (docs/sinks.md)"},
	{"42703", CodeDatabase, false, "the table lacks a column: write create: true, or add it (docs/sinks.md)"},
	{"42704", CodeDatabase, false, "pgvector is not in this database: write create: true, or run CREATE EXTENSION vector"},
	{"42804", CodeDatabase, false, "the table is not one of results: name another in sink.postgres.table"},
	{"42P10", CodeDatabase, false, "the table has no primary key id: name another in sink.postgres.table"},
	{"0A000", CodeDatabase, false, "install pgvector on the server of the database"},
	{"58P01", CodeDatabase, false, "install pgvector on the server of the database"},
	{"22", CodeRejected, true, ""},
	{"23", CodeRejected, true, ""},
	{"54", CodeTooLarge, true, ""},
}

// classifyPostgres is the failure behind an error of a write; nil for none.
func classifyPostgres(err error) *stream.Failure {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*stream.Failure](err); ok {
		return failure
	}
	failure := &stream.Failure{Code: CodeUnreachable, Stage: "sink", Err: err}
	told, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return failure
	}
	for _, known := range postgresErrors {
		if !strings.HasPrefix(told.Code, known.prefix) {
			continue
		}
		failure.Code, failure.Permanent = known.code, known.permanent
		if known.hint != "" {
			failure.Err = fmt.Errorf("%w; %s", err, known.hint)
		}
		break
	}
	return failure
}

// madeByAnother says that what was to be made was made by another process in the same moment, which IF NOT EXISTS does not see.
func madeByAnother(err error) bool {
	told, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (told.Code == "23505" || told.Code == "42P07" || told.Code == "42710" || told.Code == "42701")
}
