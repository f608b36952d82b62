// Package pgtest runs real PostgreSQL servers, of every major that pgvigil supports, and poolers before them, for tests,
// the benchmark and the demo.
//
// A test package starts one server a major, lazily, and shares them:
//
//	var servers = pgtest.NewSet(pgtest.Options{})
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		servers.Each(t, func(t *testing.T, srv *pgtest.Server) { … })
//	}
//
// A test that stops, freezes or promotes its server takes its own from New. Start is for programs that are not tests.
// install.sh fetches the servers; pgbouncer is the system's.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTimeout  = 2 * time.Minute
	haltTimeout   = 10 * time.Second // for each of fast and immediate shutdown
	freezeTimeout = 20 * time.Second
	host          = "127.0.0.1"
)

// Options say in what a server differs from the ordinary: a primary with everything on that pgvigil can look at.
type Options struct {
	// Settings override those of the ordinary server; the value "" leaves a setting at PostgreSQL's default.
	Settings map[string]string
	// InitDB are initdb's arguments, by default for UTF8. A standby has its upstream's.
	InitDB []string
	// HBA is the text of pg_hba.conf, for all but the superuser, who is always trusted. By default all are.
	HBA string
	// TLS switches it on, with a certificate for 127.0.0.1 and localhost: see Server.CertFile.
	TLS bool
	// StandbyOf makes a streaming standby, through a slot and under an application name, both standby1, standby2, …
	// The upstream must still have its first WAL: create standbys before the data.
	StandbyOf *Server
	// Link is the port, on the same host, that the standby reaches its upstream by; 0 is the upstream's own.
	Link int
	// Socket makes a Unix socket too, in the server's directory, for programs that know no other way in.
	Socket bool
	// Dir is made and used as the server's directory, and stays after Stop for a later Start with the same Dir. Without
	// it the directory is temporary.
	Dir string
	// Made says that Dir/data holds a server that somebody else has made, configured whole. It is run as it is, and
	// the other options mean nothing.
	Made *Made
}

// Made says how a server is reached that somebody else has made.
type Made struct {
	// Port is the one that it listens at.
	Port int
	// DSN is the URL of a database for a user, as Server.DSN.
	DSN func(user, database string) string
}

// A Server is a running PostgreSQL. Its methods may be called concurrently.
type Server struct {
	Major   int
	Version string // as in server_version: 18.4

	bin   Binaries
	opt   Options
	dir   string  // the data directory and the log
	name  string  // of a standby's slot and application
	named *Server // the upstream that has that slot
	port  int

	standbys, databases atomic.Int32 // how many there have been: for their names

	mu   sync.Mutex // held while the process is started, signalled or ended
	proc *process   // nil before the first start
}

// Start starts a server and returns when it answers; a standby, when it streams. ctx bounds the start only.
func Start(ctx context.Context, bin Binaries, major int, opt Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := &Server{Major: major, bin: bin, opt: opt}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: start server %d: %w", major, err), s.Stop())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	work, err := s.bin.workDir()
	if err != nil {
		return err
	}
	unlock, err := lockStart(ctx, work)
	if err != nil {
		return err
	}
	defer unlock()
	if up := s.opt.StandbyOf; up != nil {
		s.opt.InitDB = up.opt.InitDB
		s.named, s.name = up, fmt.Sprintf("standby%d", up.standbys.Add(1))
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	if s.opt.Made != nil {
		s.port = s.opt.Made.Port
	} else if err := s.fill(ctx); err != nil {
		return err
	}
	if s.opt.StandbyOf != nil {
		if err := s.makeSlot(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.launch(ctx); err != nil {
		return err
	}
	if s.Version, err = s.query(ctx, "postgres", "SHOW server_version"); err != nil {
		return err
	}
	if s.opt.StandbyOf != nil {
		return s.awaitStreaming(ctx)
	}
	return nil
}

// fill makes the data directory, if it is not there, and its files that do not change while it is in use.
func (s *Server) fill(ctx context.Context) error {
	if _, err := os.Stat(s.file("PG_VERSION")); err != nil {
		if err := s.makeData(ctx); err != nil {
			return err
		}
	}
	return s.configure()
}

func (s *Server) makeDir() (err error) {
	if s.opt.Dir == "" {
		s.dir, err = os.MkdirTemp("", "pgtest-")
	} else {
		s.dir, err = filepath.Abs(s.opt.Dir)
	}
	if err != nil {
		return err
	}
	return makeDir(s.dir)
}

func (s *Server) makeData(ctx context.Context) error {
	args := s.opt.InitDB
	if len(args) == 0 {
		args = []string{"-E", "UTF8", "--locale=" + locale}
	}
	template, err := s.bin.template(ctx, s.Major, args)
	if err != nil {
		return fmt.Errorf("make template: %w", err)
	}
	if _, err := run(ctx, "", "cp", "-a", template, s.file("")); err != nil {
		return err
	}
	if s.opt.StandbyOf != nil {
		return writeFile(s.file("standby.signal"), "")
	}
	return nil
}

// launch runs postgres until it answers, at first on any free port and then always on that one.
func (s *Server) launch(ctx context.Context) error {
	restart := s.port != 0
	for {
		if !restart {
			var err error
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		offset := len(s.Log())
		err := s.run(ctx)
		if err == nil {
			return nil
		}
		said := s.Log()[offset:]
		// Somebody else may have taken the port, or backends of a crashed postmaster may still be about to go.
		if strings.Contains(said, "Address already in use") || strings.Contains(said, "pre-existing shared memory block") {
			if pause(ctx) == nil {
				continue
			}
		}
		return fmt.Errorf("%w; server log:\n%s", err, tail(said, 40))
	}
}

func (s *Server) run(ctx context.Context) error {
	if s.opt.Made == nil {
		if err := writeFile(s.file(confName), s.conf()); err != nil {
			return err
		}
	}
	postgres, err := s.bin.program(s.Major, "postgres")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // postgres has its own
	cmd := exec.Command(postgres, "-D", s.file(""))
	cmd.Dir = s.dir
	cmd.Env = environ()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = lifelong()
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	s.proc = proc
	if err := s.awaitAnswer(ctx); err != nil {
		return errors.Join(err, proc.halt())
	}
	return nil
}

func (s *Server) awaitAnswer(ctx context.Context) error {
	for {
		data, err := s.query(ctx, "postgres", "SHOW data_directory")
		if err == nil && data == s.file("") { // and not another server, to which we lost the port
			return nil
		}
		if !s.proc.running() {
			return fmt.Errorf("postgres ended: %w", s.proc.err)
		}
		if cause := pause(ctx); cause != nil {
			return fmt.Errorf("wait for an answer: %w: %w", cause, err)
		}
	}
}

// Stop ends the server, by force if it must, and removes its directory unless Options.Dir named it. It may be called
// again.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.proc != nil && s.proc.running() {
		err = s.proc.halt()
	}
	if s.opt.Dir == "" && s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	if err != nil {
		return fmt.Errorf("pgtest: stop server %d: %w", s.Major, err)
	}
	return nil
}

// Restart ends the server, if it is running, and starts it again on the same port with the same data.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.proc.running() {
		err = s.proc.halt()
	}
	if err == nil {
		err = s.launch(ctx)
	}
	if err != nil {
		return fmt.Errorf("pgtest: restart server %d: %w", s.Major, err)
	}
	return nil
}

// Signal sends a signal to the postmaster: SIGHUP reloads, SIGQUIT ends it without a checkpoint.
func (s *Server) Signal(sig syscall.Signal) error {
	return s.control("signal", func(p *process) error { return p.signal(sig) })
}

// Freeze stops the server in its tracks, all of its processes: connections stay, and get no answer.
func (s *Server) Freeze() error { return s.control("freeze", (*process).freeze) }

// Thaw undoes Freeze.
func (s *Server) Thaw() error { return s.control("thaw", (*process).thaw) }

func (s *Server) control(deed string, do func(*process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := do(s.proc); err != nil {
		return fmt.Errorf("pgtest: %s server %d: %w", deed, s.Major, err)
	}
	return nil
}

// Host is the server's address.
func (s *Server) Host() string { return host }

// Port is the server's port, which it keeps across Restart.
func (s *Server) Port() int { return s.port }

// PID is the postmaster's process, or was the last one's.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.pid()
}

// Dir is the data directory.
func (s *Server) Dir() string { return s.file("") }

// DSN is the URL of a database for a user: Superuser, Monitor, Nobody, or one that a test has created.
func (s *Server) DSN(user, database string) string {
	if s.opt.Made != nil {
		return s.opt.Made.DSN(user, database)
	}
	params := url.Values{"sslmode": {"disable"}}
	if s.opt.TLS {
		params = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CertFile()}}
	}
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort(host, strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: params.Encode(),
	}
	return dsn.String()
}

// Log is what the server has written to its log; Stop removes it with a temporary directory.
func (s *Server) Log() string {
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		return ""
	}
	return string(log)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

// file is a path in the data directory.
func (s *Server) file(name string) string { return filepath.Join(s.dir, "data", name) }

// socketDir is where the server's Unix socket is, empty without one.
func (s *Server) socketDir() string {
	if s.opt.Socket {
		return s.dir
	}
	return ""
}

// query runs SQL as the superuser and returns its last result's first value as text, "" if it is null or not there.
func (s *Server) query(ctx context.Context, database, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, s.DSN(Superuser, database))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 {
		return "", nil
	}
	if rows := results[len(results)-1].Rows; len(rows) > 0 && len(rows[0]) > 0 {
		return string(rows[0][0]), nil
	}
	return "", nil
}

// freePort picks a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
