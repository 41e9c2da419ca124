package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ensue-video/ensue/sink"
)

// Postgres is a Store of what sink.postgres has written; the database does the searching, by an index where it has one.
type Postgres struct {
	conn  *pgx.Conn
	table string
}

// OpenPostgres connects to the database.
func OpenPostgres(ctx context.Context, url, table string) (*Postgres, error) {
	if err := sink.CheckTable(table); err != nil {
		return nil, fmt.Errorf("%q %w", table, err)
	}
	conn, err := sink.ConnectPostgres(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Postgres{conn, table}, nil
}

// Close ends the connection.
func (p *Postgres) Close(ctx context.Context) error { return p.conn.Close(ctx) }

// embeddings is how many columns of embeddings the table has.
func (p *Postgres) embeddings(ctx context.Context) (n int, err error) {
	var there bool
	err = p.conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, p.table).Scan(&there)
	if err == nil && !there {
		return 0, fmt.Errorf("there is no table %s", p.table)
	}
	if err == nil {
		err = p.conn.QueryRow(ctx,
			`SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname ~ '^next_[0-9]+$' AND NOT attisdropped`,
			p.table).Scan(&n)
	}
	return n, p.failed("looking at", err)
}

func (p *Postgres) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the table %s: %w", doing, p.table, err)
}

// Streams implements Store.
func (p *Postgres) Streams(ctx context.Context) ([]Known, error) {
	n, err := p.embeddings(ctx)
	if err != nil {
		return nil, err
	}
	embedded := "0"
	if n > 0 {
		embedded = "count(" + sink.EmbeddingColumn(0) + ")"
	}
	rows, err := p.conn.Query(ctx, `SELECT stream, least(min(y_start), min(x_start)), max(y_end), count(*), `+embedded+
		` FROM `+p.table+` GROUP BY stream ORDER BY stream COLLATE "C"`)
	if err != nil {
		return nil, p.failed("reading", err)
	}
	known, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k Known, err error) {
		err = row.Scan(&k.Stream, &k.First, &k.Last, &k.Results, &k.Embedded)
		k.First, k.Last = k.First.UTC(), k.Last.UTC()
		return k, err
	})
	return known, p.failed("reading", err)
}

const momentColumns = `id, stream, y_segment, y_start, y_end, verdict, model`

func (m *Moment) scan() []any {
	return []any{&m.ID, &m.Stream, &m.Segment, &m.Start, &m.End, (*string)(&m.Verdict), &m.Model}
}

func (m *Moment) utc() { m.Start, m.End = m.Start.UTC(), m.End.UTC() }

// At implements Store.
func (p *Postgres) At(ctx context.Context, name string, at time.Time) (*Embedded, error) {
	n, err := p.embeddings(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	var columns strings.Builder
	for i := range n {
		columns.WriteString(", " + sink.EmbeddingColumn(i) + "::text")
	}
	found := &Embedded{}
	texts := make([]*string, n)
	into := append(found.scan(), &found.Seconds)
	for i := range texts {
		into = append(into, &texts[i])
	}
	err = p.conn.QueryRow(ctx, `SELECT `+momentColumns+`, next_seconds`+columns.String()+` FROM `+p.table+
		` WHERE stream = $1 AND y_start <= $2 AND y_end > $2 AND `+sink.EmbeddingColumn(0)+` IS NOT NULL
		ORDER BY y_start DESC LIMIT 1`, name, at).
		Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, p.failed("reading", err)
	}
	found.utc()
	for i := range found.Seconds {
		if i == n || texts[i] == nil {
			return nil, fmt.Errorf("reading the table %s: result %s lacks an embedding", p.table, found.ID)
		}
		var vector []float32
		if err := json.Unmarshal([]byte(*texts[i]), &vector); err != nil { // pgvector writes vectors as JSON does
			return nil, p.failed("reading a vector of", err)
		}
		found.Vectors = append(found.Vectors, vector)
	}
	return found, nil
}

// Nearest implements Store.
func (p *Postgres) Nearest(ctx context.Context, query Query) (*Nearest, error) {
	column := sink.EmbeddingColumn(query.Horizon)
	// The cast has the form of an index on embeddings of this length (docs/sinks.md).
	distance := fmt.Sprintf("%s::vector(%d) <=> $1::text::vector(%d)", column, len(query.Vector), len(query.Vector))
	rows, err := p.conn.Query(ctx, `SELECT `+momentColumns+`, 1 - (`+distance+`) FROM `+p.table+`
		WHERE model = $2 AND id <> $3 AND `+column+` IS NOT NULL AND vector_dims(`+column+`) = `+strconv.Itoa(len(query.Vector))+`
		AND NOT (stream = $4 AND abs(extract(epoch FROM y_start - $5)) < $6::double precision)
		ORDER BY `+distance+`, stream COLLATE "C", y_start, id LIMIT $7`,
		sink.VectorText(query.Vector), query.Like.Model, query.Like.ID, query.Like.Stream, query.Like.Start, query.Apart.Seconds(), query.K)
	if err != nil {
		return nil, p.failed("searching", err)
	}
	matches, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Match, err error) {
		err = row.Scan(append(m.scan(), &m.Similarity)...)
		m.utc()
		return m, err
	})
	if told, ok := errors.AsType[*pgconn.PgError](err); ok && told.Code == "42703" {
		return nil, fmt.Errorf("searching the table %s: it has no column %s: %w", p.table, column, err)
	}
	return &Nearest{Matches: matches, Compared: -1, Left: -1}, p.failed("searching", err)
}

var (
	_ Store = Files{}
	_ Store = (*Postgres)(nil)
)
