package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ensue-video/ensue/resultfile"
	"github.com/ensue-video/ensue/stream"
)

const (
	// DefaultPostgresTable is the table of results where the definition names none.
	DefaultPostgresTable = "ensue_results"
	// connectTimeout is how long a database may take to answer, statementTimeout how long one batch may take.
	connectTimeout   = 10 * time.Second
	statementTimeout = 30 * time.Second
)

// DefaultPostgres is what a definition's sink.postgres is before its keys are read.
func DefaultPostgres() PostgresConfig {
	return PostgresConfig{Table: DefaultPostgresTable, Create: true, DeliveryTimeout: DefaultDeliveryTimeout}
}

// tableForm is a name without quotes, with its schema or without.
var tableForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?$`)

// CheckTable says what is wrong with the name of a table; nil where nothing is.
func CheckTable(name string) error {
	if tableForm.MatchString(name) {
		return nil
	}
	return errors.New("is no name of a table: up to 63 lower-case letters, digits and underscores, behind a schema and a dot where it has one")
}

// CheckPostgresURL says what is wrong with the address of a database, without repeating it; nil where nothing is.
func CheckPostgresURL(url string) error {
	if _, err := pgx.ParseConfig(url); err != nil || url == "" {
		return errors.New("is no address of a database")
	}
	return nil
}

func (v *validation) postgres(c *PostgresConfig) {
	if err := CheckPostgresURL(c.URL); err != nil {
		v.fail("sink.postgres.url: %w: write postgres://user:password@host:5432/database", err)
	}
	if err := CheckTable(c.Table); err != nil {
		v.fail("sink.postgres.table: %q %w", c.Table, err)
	}
	v.timeout("sink.postgres.delivery_timeout", c.DeliveryTimeout)
}

// postgresSink writes results into a table, a row a result.
//
// Invariant 1: a write is a transaction and over once it is committed; a database whose synchronous_commit is off is asked to wait for the
// disk all the same. Invariant 2: a row has the result's id as its key, so that a result that is written again replaces itself.
type postgresSink struct {
	config   PostgresConfig
	log      *slog.Logger
	patience patience
	// conn is nil where there is none; embeddings is how many columns of embeddings the table is known to have.
	conn       *pgx.Conn
	embeddings int
	closed     bool
}

func openPostgres(c *Config, _ []string, log *slog.Logger, _ []Option) (Sink, error) {
	if c.Postgres == nil {
		return nil, nil
	}
	return &postgresSink{config: *c.Postgres, log: orSilent(log).With("table", c.Postgres.Table), patience: defaultPatience()}, nil
}

// Write writes the results in one transaction.
func (s *postgresSink) Write(ctx context.Context, results []*stream.Result) error {
	if len(results) == 0 {
		return nil
	}
	if s.closed {
		return failTransient(CodeClosed, "sink.postgres: writing: it is closed")
	}
	rows := make([][]any, len(results))
	embeddings := 0
	for i, result := range results {
		row, err := postgresRow(result)
		if err != nil {
			return err
		}
		rows[i], embeddings = row, max(embeddings, len(result.Next))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.DeliveryTimeout, errDelivery)
	defer cancel()
	err := s.patience.retry(ctx, s.log, func(ctx context.Context) *stream.Failure {
		ctx, cancel := context.WithTimeout(ctx, statementTimeout)
		defer cancel()
		err := s.write(ctx, rows, embeddings)
		if err != nil && (s.conn == nil || s.conn.IsClosed()) {
			s.conn = nil
		}
		return classifyPostgres(err)
	})
	if err == nil {
		return nil
	}
	failure := stream.AsFailure(err, "sink")
	failure.Err = fmt.Errorf("writing %d results to the table %s: %w", len(results), s.config.Table, failure.Err)
	return failure
}

// write makes one try.
func (s *postgresSink) write(ctx context.Context, rows [][]any, embeddings int) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.prepare(ctx, embeddings); err != nil {
		return err
	}
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`)
	for _, row := range rows {
		batch.Queue(upsert(s.config.Table, len(row)-len(postgresColumns())), row...)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return errors.Join(err, s.giveUp(ctx, tx))
	}
	return tx.Commit(ctx)
}

// giveUp rolls a transaction back; a connection that cannot is of no use any more.
func (s *postgresSink) giveUp(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
	defer cancel()
	if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		return s.conn.Close(ctx)
	}
	return nil
}

func (s *postgresSink) connect(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	conn, err := ConnectPostgres(ctx, s.config.URL)
	if err == nil {
		s.conn, s.embeddings = conn, -1
	}
	return err
}

// ConnectPostgres connects to a database. What the error says holds no password.
func ConnectPostgres(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fail(CodeBadConfig, "the address of the database cannot be read: write postgres://user:password@host:5432/database")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "ensue"
	}
	// What is already there is no news.
	config.RuntimeParams["client_min_messages"] = "warning"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database %s at %s:%d: %w", config.Database, config.Host, config.Port, err)
	}
	return conn, nil
}

// prepare makes what the table lacks, where the definition allows it; a column for every embedding.
func (s *postgresSink) prepare(ctx context.Context, embeddings int) error {
	if s.embeddings >= embeddings {
		return nil
	}
	if s.config.Create {
		for _, statement := range CreateStatements(s.config.Table, embeddings) {
			if _, err := s.conn.Exec(ctx, statement); err != nil && !madeByAnother(err) {
				return err
			}
		}
	}
	s.embeddings = embeddings
	return nil
}

// CreateStatements make the table for results with so many embeddings, or what it lacks. A database administrator runs them where the
// program may not.
func CreateStatements(table string, embeddings int) []string {
	columns := make([]string, 0, len(postgresColumns()))
	for _, column := range postgresColumns() {
		columns = append(columns, column.name+" "+column.typ)
	}
	_, bare, found := strings.Cut(table, ".")
	if !found {
		bare = table
	}
	statements := []string{
		"CREATE EXTENSION IF NOT EXISTS vector",
		"CREATE TABLE IF NOT EXISTS " + table + " (\n  " + strings.Join(columns, ",\n  ") + "\n)",
		"CREATE INDEX IF NOT EXISTS " + bare + "_stream_time ON " + table + " (stream, y_start)",
	}
	for n := range embeddings {
		statements = append(statements, "ALTER TABLE "+table+" ADD COLUMN IF NOT EXISTS "+EmbeddingColumn(n)+" vector")
	}
	return statements
}

// EmbeddingColumn is the column of the nth embedding, from 0.
func EmbeddingColumn(n int) string { return "next_" + strconv.Itoa(n+1) }

// postgresColumn is a column of the table.
type postgresColumn struct{ name, typ string }

// postgresColumns are those of every table; embeddings come behind them.
func postgresColumns() []postgresColumn {
	return []postgresColumn{
		{"id", "text PRIMARY KEY"},
		{"stream", "text NOT NULL"},
		{"y_segment", "text NOT NULL"},
		{"y_start", "timestamptz NOT NULL"},
		{"y_end", "timestamptz NOT NULL"},
		{"x_segment", "text"},
		{"x_start", "timestamptz"},
		{"x_end", "timestamptz"},
		{"verdict", "text NOT NULL"},
		{"reason", "text"},
		{"energy", "double precision"},
		{"p_value", "double precision"},
		{"expected_median", "double precision"},
		{"expected_low", "double precision"},
		{"expected_high", "double precision"},
		{"windows", "jsonb"},
		{"horizons", "jsonb"},
		{"model", "text NOT NULL"},
		{"frames", "integer NOT NULL"},
		{"dropped", "integer NOT NULL"},
		{"fps", "double precision NOT NULL"},
		{"next_seconds", "double precision[]"},
	}
}

// upsert is the statement that writes a row.
func upsert(table string, embeddings int) string {
	var names, values, sets []string
	add := func(name, cast string) {
		names = append(names, name)
		values = append(values, "$"+strconv.Itoa(len(names))+cast)
		sets = append(sets, name+" = EXCLUDED."+name)
	}
	for _, column := range postgresColumns() {
		cast := ""
		if column.typ == "jsonb" {
			cast = "::jsonb"
		}
		add(column.name, cast)
	}
	for n := range embeddings {
		// By way of text: the driver does not know the types of extensions.
		add(EmbeddingColumn(n), "::text::vector")
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") +
		") ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets[1:], ", ")
}

// postgresRow is the values of a result's row.
func postgresRow(r *stream.Result) ([]any, error) {
	if err := r.Check(); err != nil {
		return nil, fail(stream.CodeBadResult, "result %q of %q: %w", r.ID, r.Y.Segment, err)
	}
	windows, err := json.Marshal(r.Windows)
	if err != nil {
		return nil, fail(stream.CodeBadResult, "encoding result %q: %w", r.ID, err)
	}
	horizons, err := json.Marshal(r.Horizons)
	if err != nil {
		return nil, fail(stream.CodeBadResult, "encoding result %q: %w", r.ID, err)
	}
	var xSegment *string
	var xStart, xEnd *time.Time
	if r.X != nil {
		xSegment, xStart, xEnd = &r.X.Segment, &r.X.Start, &r.X.End
	}
	var median, low, high *float64
	if e := r.Expected; e != nil {
		median, low, high = &e.Median, &e.Low, &e.High
	}
	seconds := make([]float64, len(r.Next))
	for n, next := range r.Next {
		seconds[n] = next.Seconds
	}
	row := []any{
		r.ID, r.Stream, r.Y.Segment, r.Y.Start, r.Y.End, xSegment, xStart, xEnd, string(r.Verdict), orNull(string(r.Reason)), r.Energy, r.PValue,
		median, low, high, string(windows), string(horizons), r.Model, r.Decode.Frames, r.Decode.Dropped, r.Decode.FPS, seconds,
	}
	for _, next := range r.Next {
		vector, err := resultfile.Embedding(next)
		if err != nil {
			return nil, fail(stream.CodeBadResult, "result %q: %w", r.ID, err)
		}
		row = append(row, VectorText(vector))
	}
	return row, nil
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// VectorText is a vector as pgvector reads it, exactly.
func VectorText(vector []float32) string {
	text := make([]byte, 0, 12*len(vector)+2)
	text = append(text, '[')
	for i, value := range vector {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, float64(value), 'g', -1, 32)
	}
	return string(append(text, ']'))
}

// Close ends the connection.
func (s *postgresSink) Close() error {
	s.closed = true
	if s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	err := s.conn.Close(ctx)
	s.conn = nil
	if err != nil {
		return failTransient(CodeUnreachable, "sink.postgres: closing the connection: %w", err)
	}
	return nil
}

var _ Sink = (*postgresSink)(nil)
