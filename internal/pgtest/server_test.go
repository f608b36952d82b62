package pgtest

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var servers = NewSet(Options{})

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

func TestEach(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *Server) {
		if v := srv.Query(t, "postgres", "SHOW server_version"); v != srv.Version || !strings.HasPrefix(v, strconv.Itoa(srv.Major)+".") {
			t.Errorf("server_version is %q, Version %q, Major %d", v, srv.Version, srv.Major)
		}
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (i int); INSERT INTO t VALUES (7)")
		if v := srv.Query(t, db, "SELECT i FROM t"); v != "7" {
			t.Errorf("read %q from the table, want 7", v)
		}
		for user, want := range map[string]bool{Monitor: true, Nobody: false} {
			var monitors bool
			err := srv.Conn(t, user, db).QueryRow(t.Context(), "SELECT pg_has_role('pg_monitor', 'MEMBER')").Scan(&monitors)
			if err != nil || monitors != want {
				t.Errorf("%s is a member of pg_monitor: %v, %v; want %v", user, monitors, err, want)
			}
		}
	})
}

func TestStandby(t *testing.T) {
	for _, major := range Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary := New(t, major, Options{Settings: map[string]string{"max_connections": "123"}})
			standby := New(t, major, Options{StandbyOf: primary})
			cascade := New(t, major, Options{StandbyOf: standby})
			primary.Exec(t, "CREATE TABLE t AS SELECT 42 AS i")
			for _, srv := range []*Server{standby, cascade} {
				eventually(t, "row on standby", func() bool {
					v, err := srv.query(t.Context(), "postgres", "SELECT i FROM t")
					return err == nil && v == "42"
				})
			}
			if err := standby.Promote(t.Context()); err != nil {
				t.Fatal(err)
			}
			standby.Exec(t, "INSERT INTO t VALUES (43)")
			if v := standby.Query(t, "postgres", "SELECT pg_is_in_recovery()"); v != "f" {
				t.Errorf("pg_is_in_recovery after promotion is %q", v)
			}
			if err := primary.Follow(t.Context(), standby, 0); err != nil {
				t.Fatal(err)
			}
			if v := primary.Query(t, "postgres", "SELECT max(i) || ' ' || pg_is_in_recovery() FROM t"); v != "43 true" {
				t.Errorf("the former primary reads %q", v)
			}
		})
	}
}

func TestFreeze(t *testing.T) {
	srv := New(t, 18, Options{})
	conn := srv.Conn(t, Monitor, "postgres")
	if err := srv.Freeze(); err != nil {
		t.Fatal(err)
	}
	if !srv.proc.running() {
		t.Fatal("frozen server is gone")
	}
	for what, ask := range map[string]func(context.Context) error{
		"old session": func(ctx context.Context) error { return conn.Ping(ctx) },
		"new session": func(ctx context.Context) error {
			_, err := pgx.Connect(ctx, srv.DSN(Monitor, "postgres"))
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s of a frozen server: %v, want no answer", what, err)
		}
	}
	if err := srv.Thaw(); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "SELECT 1")
}

func TestStop(t *testing.T) {
	for name, before := range map[string]func(*Server) error{
		"running": func(*Server) error { return nil },
		"frozen":  (*Server).Freeze,
		"killed":  func(s *Server) error { return s.Signal(syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := New(t, 15, Options{})
			srv.Conn(t, Monitor, "postgres") // stays open
			tasks, err := srv.proc.children()
			if err != nil || len(tasks) < 5 {
				t.Fatalf("children are %v, %v", tasks, err)
			}
			tasks = append(tasks, task{pid: srv.proc.pid()})
			if err := before(srv); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for range 2 {
				if err := srv.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("stopping took %v", took)
			}
			eventually(t, "end of all processes", func() bool { return gone(tasks) })
			if _, err := os.Stat(srv.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("directory is still there: %v", err)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"orderly": syscall.SIGHUP, "crash": syscall.SIGQUIT, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := New(t, 17, Options{})
			port := srv.Port()
			srv.Exec(t, "CREATE TABLE t AS SELECT 42 AS i")
			if err := srv.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := srv.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v := srv.Query(t, "postgres", "SELECT i FROM t"); v != "42" || srv.Port() != port {
				t.Errorf("after restart the row is %q and the port %d, was %d", v, srv.Port(), port)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	srv := New(t, 13, Options{
		Settings: map[string]string{"track_functions": "pl", "archive_mode": "", "cluster_name": `it's \ here`},
		InitDB:   []string{"-E", "SQL_ASCII", "--locale=C"},
		HBA:      "hostssl all " + Monitor + " all trust",
		TLS:      true,
	})
	for setting, want := range map[string]string{
		"track_functions": "pl", "archive_mode": "off", "cluster_name": `it's \ here`, "server_encoding": "SQL_ASCII", "ssl": "on",
	} {
		if v := srv.Query(t, "postgres", "SHOW "+setting); v != want {
			t.Errorf("%s is %q, want %q", setting, v, want)
		}
	}
	srv.Conn(t, Monitor, "postgres")
	if conn, err := pgx.Connect(t.Context(), srv.DSN(Nobody, "postgres")); err == nil {
		conn.Close(t.Context())
		t.Error("pg_hba.conf lets everybody in")
	}
	New(t, 13, Options{StandbyOf: srv})
}

func TestCertify(t *testing.T) {
	srv := New(t, 18, Options{TLS: true})
	until := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	if err := srv.Certify(until); err != nil {
		t.Fatal(err)
	}
	if err := srv.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(t.Context(), srv.DSN(Monitor, "postgres")) // until the reload it trusts another certificate
		if err != nil && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		shown := conn.PgConn().Conn().(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
		if !shown.Equal(until) {
			t.Errorf("the certificate is valid until %v, want %v", shown, until)
		}
		return
	}
}

func TestDir(t *testing.T) {
	base, err := os.MkdirTemp("", "pgtest-dir-") // not t.TempDir: closed to the user of the servers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	opt := Options{Dir: filepath.Join(base, "kept"), TLS: true}
	first := New(t, 18, opt)
	first.Exec(t, "CREATE TABLE t AS SELECT 42 AS i")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if v := New(t, 18, opt).Query(t, "postgres", "SELECT i FROM t"); v != "42" {
		t.Errorf("second server of the directory reads %q, want 42", v)
	}
}

func TestStartFails(t *testing.T) {
	bin := find(t, 16)
	_, err := Start(t.Context(), bin, 16, Options{Settings: map[string]string{"work_mem": "much"}})
	if err == nil || !strings.Contains(err.Error(), `pgtest: start server 16: `) || !strings.Contains(err.Error(), "work_mem") {
		t.Errorf("bad setting: %v", err)
	}
	if _, err = Start(t.Context(), bin, 9, Options{}); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("unknown major: %v", err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(poll) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func gone(list []task) bool {
	for _, t := range list {
		if err := syscall.Kill(t.pid, 0); !errors.Is(err, syscall.ESRCH) {
			return false
		}
	}
	return true
}
