package sink

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ensue-video/ensue/internal/postgres"
	"github.com/ensue-video/ensue/stream"
)

func postgresSinkOf(t *testing.T, server *postgres.Server, change ...func(*PostgresConfig)) *postgresSink {
	t.Helper()
	c := DefaultPostgres()
	c.URL, c.DeliveryTimeout = server.URL(), 30*time.Second
	for _, f := range change {
		f(&c)
	}
	s := open(t, Config{Postgres: &c}).(*postgresSink)
	s.patience.first, s.patience.most = 10*time.Millisecond, 100*time.Millisecond
	return s
}

// embedded is a result with two embeddings.
func embedded(name string, n int, vectors ...[]float32) *stream.Result {
	r := result(name, n)
	r.Windows = []stream.Window{{Start: 1, Energy: 2}}
	r.Expected = &stream.Expected{Median: 1, Low: 0.5, High: 2}
	for i, vector := range vectors {
		r.Next = append(r.Next, stream.Next{Seconds: float64(i + 1), Dim: int32(len(vector)), Encoding: "float32-base64", Data: bytesOf(vector)})
	}
	return r
}

func TestPostgres(t *testing.T) {
	server := postgres.Start(t)
	db := server.Connect()
	count := func(table string) (n int) {
		t.Helper()
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}

	t.Run("a result is a row, and replaces itself", func(t *testing.T) {
		s := postgresSinkOf(t, server, func(c *PostgresConfig) { c.Table = "a" })
		third := float32(1) / 3
		first := embedded("lobby", 1, []float32{1, 0, third}, []float32{0, 1, 0})
		unscored := &stream.Result{
			ID: "u", Stream: "lobby", Y: first.Y, Verdict: stream.Unscored, Reason: stream.ReasonFirst, Model: "m",
		}
		require.NoError(t, s.Write(t.Context(), []*stream.Result{unscored, first, embedded("yard", 1, []float32{0, 1, 0}), first}))
		first.Verdict = stream.Breaks
		require.NoError(t, s.Write(t.Context(), []*stream.Result{first}))
		require.Equal(t, 3, count("a"))
		var verdict, vector string
		var start time.Time
		var windows []stream.Window
		var seconds []float64
		require.NoError(t, db.QueryRow(t.Context(),
			`SELECT verdict, next_1::text, y_start, windows, next_seconds FROM a WHERE id = $1`, first.ID).
			Scan(&verdict, &vector, &start, &windows, &seconds))
		require.Equal(t, "breaks", verdict)
		require.Equal(t, "[1,0,0.33333334]", vector)
		require.True(t, start.Equal(first.Y.Start))
		require.Equal(t, first.Windows, windows)
		require.Equal(t, []float64{1, 2}, seconds)
		var like []string
		rows, err := db.Query(t.Context(), `SELECT stream FROM a WHERE next_1 IS NOT NULL ORDER BY next_1 <=> '[0,2,0]'`)
		require.NoError(t, err)
		like, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, []string{"yard", "lobby"}, like)
		_, err = db.Exec(t.Context(), `CREATE INDEX ON a USING hnsw ((next_1::vector(3)) vector_cosine_ops)`)
		require.NoError(t, err, "as docs/sinks.md says")
	})

	t.Run("a batch is there whole or not at all", func(t *testing.T) {
		s := postgresSinkOf(t, server, func(c *PostgresConfig) { c.Table = "b" })
		bad := embedded("lobby", 2, []float32{1})
		bad.Stream = "lob\x00by"
		failure := failureOf(t, s.Write(t.Context(), []*stream.Result{embedded("lobby", 1, []float32{1}), bad}))
		require.Equal(t, CodeRejected, failure.Code)
		require.True(t, failure.Permanent, "it becomes a dead letter")
		require.Zero(t, count("b"))
		require.NoError(t, s.Write(t.Context(), []*stream.Result{embedded("lobby", 1, []float32{1})}), "the connection goes on")
		require.Equal(t, 1, count("b"))
	})

	t.Run("a database that is away is waited for", func(t *testing.T) {
		s := postgresSinkOf(t, server, func(c *PostgresConfig) { c.Table = "c" })
		require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
		server.Kill()
		back := make(chan error, 1)
		go func() { back <- s.Write(context.WithoutCancel(t.Context()), []*stream.Result{result("lobby", 2)}) }()
		time.Sleep(200 * time.Millisecond)
		server.Launch()
		require.NoError(t, <-back)
		db = server.Connect()
		require.Equal(t, 2, count("c"), "what was acknowledged before the crash is there, too")
	})

	t.Run("a database that stays away stops the write in time", func(t *testing.T) {
		s := postgresSinkOf(t, server, func(c *PostgresConfig) {
			c.URL, c.DeliveryTimeout = "postgres://ensue:hunter2@127.0.0.1:1/x", 300*time.Millisecond
		})
		failure := failureOf(t, s.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
		require.Equal(t, CodeUnreachable, failure.Code)
		require.False(t, failure.Permanent)
		require.NotContains(t, failure.Error(), "hunter2")
	})

	t.Run("what somebody has to mend is told at once", func(t *testing.T) {
		_, err := db.Exec(t.Context(), `CREATE ROLE guest LOGIN PASSWORD 'guest'; CREATE TABLE other (x int)`)
		require.NoError(t, err)
		as := func(user, password, database string) string {
			address, err := url.Parse(server.URL())
			require.NoError(t, err)
			address.User, address.Path = url.UserPassword(user, password), "/"+database
			return address.String()
		}
		for name, test := range map[string]struct {
			change func(*PostgresConfig)
			want   stream.Code
		}{
			"password":  {func(c *PostgresConfig) { c.URL = as("ensue", "wrong-hunter2", "postgres") }, CodeLogin},
			"database":  {func(c *PostgresConfig) { c.URL = as("ensue", postgres.Password, "nowhere") }, CodeDatabase},
			"no table":  {func(c *PostgresConfig) { c.Table, c.Create = "nothing", false }, CodeDatabase},
			"no schema": {func(c *PostgresConfig) { c.Table = "nowhere.results" }, CodeDatabase},
			"no rights": {func(c *PostgresConfig) { c.URL = as("guest", "guest", "postgres") }, CodeNotAuthorized},
			"other":     {func(c *PostgresConfig) { c.Table, c.Create = "other", false }, CodeDatabase},
		} {
			t.Run(name, func(t *testing.T) {
				begin := time.Now()
				failure := failureOf(t, postgresSinkOf(t, server, test.change).Write(t.Context(), []*stream.Result{result("lobby", 1)}))
				require.Equal(t, test.want, failure.Code, failure.Error())
				require.False(t, failure.Permanent)
				require.Less(t, time.Since(begin), 20*time.Second)
				require.NotContains(t, failure.Error(), "hunter2")
			})
		}
	})

	t.Run("a table that an administrator has made is used", func(t *testing.T) {
		for _, statement := range CreateStatements("made", 2) {
			_, err := db.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		_, err := db.Exec(t.Context(), `GRANT SELECT, INSERT, UPDATE ON made TO guest`)
		require.NoError(t, err)
		s := postgresSinkOf(t, server, func(c *PostgresConfig) {
			address, _ := url.Parse(c.URL)
			address.User = url.UserPassword("guest", "guest")
			c.URL, c.Table, c.Create = address.String(), "made", false
		})
		require.NoError(t, s.Write(t.Context(), []*stream.Result{embedded("lobby", 1, []float32{1}, []float32{2})}))
		require.Equal(t, 1, count("made"))
	})

	t.Run("synchronous_commit is on although the database has it off", func(t *testing.T) {
		_, err := db.Exec(t.Context(), `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN NEW.reason := current_setting('synchronous_commit'); RETURN NEW; END $$`)
		require.NoError(t, err)
		for _, statement := range CreateStatements("noted", 0) {
			_, err := db.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		_, err = db.Exec(t.Context(), `CREATE TRIGGER note BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION note()`)
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), `ALTER DATABASE postgres SET synchronous_commit = off`)
		require.NoError(t, err)
		s := postgresSinkOf(t, server, func(c *PostgresConfig) { c.Table = "noted" })
		require.NoError(t, s.Write(t.Context(), []*stream.Result{result("lobby", 1)}))
		var setting string
		require.NoError(t, db.QueryRow(t.Context(), `SELECT reason FROM noted`).Scan(&setting))
		require.Equal(t, "on", setting)
	})
}
