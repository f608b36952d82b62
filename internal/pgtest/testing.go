package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// sqlTimeout bounds each statement of a test, so that a mistake shows where it is.
const sqlTimeout = 30 * time.Second

// A Set is one server a major, each started when a test first asks for it, for all tests of a package.
type Set struct {
	opt Options

	mu      sync.Mutex
	servers map[int]*shared
}

type shared struct {
	once sync.Once
	srv  *Server
	err  error
}

// NewSet returns a set of servers with these options. It starts none.
func NewSet(opt Options) *Set { return &Set{opt: opt, servers: make(map[int]*shared)} }

// Main runs the tests, stops the servers, and says which versions they were. TestMain exits with what it returns.
func (s *Set) Main(m *testing.M) int {
	code := m.Run()
	s.mu.Lock()
	defer s.mu.Unlock()
	var versions []string
	for _, major := range Majors() {
		sh := s.servers[major]
		if sh == nil || sh.srv == nil {
			continue
		}
		versions = append(versions, sh.srv.Version)
		if err := sh.srv.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if len(versions) == 0 {
		versions = []string{"not run"}
	}
	fmt.Fprintln(os.Stderr, "pgtest: PostgreSQL", strings.Join(versions, ", "))
	return code
}

// Each runs a parallel subtest against each major. They run when the test that called it has returned.
func (s *Set) Each(t *testing.T, body func(t *testing.T, srv *Server)) {
	t.Helper()
	for _, major := range Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			body(t, s.On(t, major))
		})
	}
}

// On returns the shared server of a major. Without it the test is skipped, and in CI it fails.
func (s *Set) On(t testing.TB, major int) *Server {
	t.Helper()
	bin := find(t, major)
	s.mu.Lock()
	sh := s.servers[major]
	if sh == nil {
		sh = new(shared)
		s.servers[major] = sh
	}
	s.mu.Unlock()
	sh.once.Do(func() { sh.srv, sh.err = Start(t.Context(), bin, major, s.opt) })
	if sh.err != nil {
		t.Fatal(sh.err)
	}
	return sh.srv
}

// New starts a server for one test. Without the major the test is skipped, and in CI it fails.
func New(t testing.TB, major int, opt Options) *Server {
	t.Helper()
	srv, err := Start(t.Context(), find(t, major), major, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of server %d:\n%s", major, tail(srv.Log(), 40))
		}
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// find returns the binaries if they have the major. Where nobody reads what was skipped, missing it is a failure.
func find(t testing.TB, major int) Binaries {
	t.Helper()
	giveUp := t.Skipf
	if os.Getenv("CI") != "" {
		giveUp = t.Fatalf
	}
	bin, err := Find()
	if err != nil {
		giveUp("%v", err)
	}
	if !slices.Contains(bin.Majors(), major) {
		giveUp("pgtest: PostgreSQL %d is not installed in %s", major, bin.dir)
	}
	return bin
}

// Away is an IPv4 address of this machine that is not of the loopback, if it has one. A session that comes from it seems
// to come over a network, to a server that listens on the loopback only.
func Away() (netip.Addr, bool) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// Exec runs statements as the superuser in database postgres, each argument in a session of its own.
func (s *Server) Exec(t testing.TB, sql ...string) {
	t.Helper()
	s.ExecIn(t, "postgres", sql...)
}

// ExecIn runs statements as the superuser, each argument in a session of its own.
func (s *Server) ExecIn(t testing.TB, database string, sql ...string) {
	t.Helper()
	if err := s.exec(t.Context(), database, sql...); err != nil {
		t.Fatal(err)
	}
}

// Query runs a query as the superuser and returns its first value as text, "" for null and for no row.
func (s *Server) Query(t testing.TB, database, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sqlTimeout)
	defer cancel()
	v, err := s.query(ctx, database, sql)
	if err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
	return v
}

// Database makes an empty database that is dropped after the test, and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context()) // which is over by now
		if err := s.exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// Conn connects until the end of the test.
func (s *Server) Conn(t testing.TB, user, database string) *pgx.Conn {
	t.Helper()
	return s.ConnFrom(t, netip.Addr{}, user, database)
}

// ConnFrom is Conn from an address of this machine, such as Away.
func (s *Server) ConnFrom(t testing.TB, from netip.Addr, user, database string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sqlTimeout)
	defer cancel()
	config, err := pgx.ParseConfig(s.DSN(user, database))
	if err != nil {
		t.Fatal(err)
	}
	if from.IsValid() {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		config.DialFunc = dialer.DialContext
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		conn.Close(ctx) // its error is the server's absence, which the test may have wanted
	})
	return conn
}

func (s *Server) exec(ctx context.Context, database string, sql ...string) error {
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	for _, text := range sql {
		if _, err := s.query(ctx, database, text); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	return nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}
