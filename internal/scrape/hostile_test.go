package scrape_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// hostileMajors are the oldest and the newest: what hurts is the protocol and
// the operating system, which the majors between do not change.
func hostileMajors() []int { return []int{13, 18} }

func eachHostile(t *testing.T, body func(t *testing.T, major int)) {
	for _, major := range hostileMajors() {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			body(t, major)
		})
	}
}

func connectFailed(reason string, n int) string {
	return fmt.Sprintf(`pgvigil_connect_failures_total{reason=%q} %d`, reason, n)
}

// stop ends a server that is to be started again, and waits until nobody answers.
func stop(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	if err := srv.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		conn, err := net.Dial("tcp", net.JoinHostPort(srv.Host(), strconv.Itoa(srv.Port())))
		if err != nil {
			return
		}
		conn.Close()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server does not stop")
}

// TestServerDown starts without a server and follows it up, down and up again.
func TestServerDown(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{})
	stop(t, srv)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one()})
	text := e.text(t, deadline)
	wants(t, text, "pg_up 0", connectFailed("refused", 1))
	lacks(t, text, "pg_one_v")
	for range 2 {
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The lasting session died with the old server; this very scrape sees the new one.
		wants(t, e.text(t, deadline), "pg_up 1", "pg_one_v 1")
	}
	stop(t, srv)
	wants(t, e.text(t, deadline), "pg_up 0", connectFailed("refused", 2))
	if n := strings.Count(e.logs.String(), "server is down"); n != 2 {
		t.Errorf("the log says %d times that the server is down, want 2", n)
	}
}

// TestConnectReasons tells why a server cannot be reached, and shows no secret.
func TestConnectReasons(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-Passw0rd"
	srv := pgtest.New(t, 16, pgtest.Options{HBA: "host all all 127.0.0.1/32 scram-sha-256\n"})
	plain := strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "//pgvigil", "//pgvigil:"+secret, 1)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for name, c := range map[string]struct{ dsn, reason string }{
		"wrong password": {plain, "auth"},
		"no TLS there":   {strings.Replace(plain, "sslmode=disable", "sslmode=require", 1), "tls"},
		"no such name":   {"host=no-such-host.invalid user=pgvigil password=" + secret, "dns"},
		"nobody there":   {"host=127.0.0.1 port=1 user=pgvigil password=" + secret, "refused"},
		"silence":        {fmt.Sprintf("host=127.0.0.1 port=%d user=pgvigil password=%s", silent.Addr().(*net.TCPAddr).Port, secret), "timeout"},
		"no database":    {strings.Replace(srv.DSN("postgres", "nowhere"), "//postgres", "//postgres:"+secret, 1), "other"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, c.dsn, []spec.Collector{one()})
			text := e.text(t, time.Second)
			wants(t, text, "pg_up 0", connectFailed(c.reason, 1))
			if strings.Contains(text+e.logs.String(), secret) {
				t.Errorf("the secret shows:\n%s", e.logs)
			}
		})
	}
}

// TestTooManyConnections finds the server full: before our session exists, and
// after, when the lasting session goes on.
func TestTooManyConnections(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"max_connections": "8", "superuser_reserved_connections": "3", "max_wal_senders": "2",
		}})
		before := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one()})
		after := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), perDatabase(gauge("tables", `SELECT 1::double precision AS v`), time.Second)})
		ctx := t.Context()
		after.Scrape(timeout(t, deadline), scrape.Selection{Key: "one", Want: func(f string) bool { return f == "one" }})
		for range 8 { // until it is full
			conn, err := pgx.Connect(ctx, srv.DSN(pgtest.Nobody, "postgres"))
			if err != nil {
				break
			}
			t.Cleanup(func() { conn.Close(context.WithoutCancel(ctx)) })
		}
		wants(t, before.text(t, deadline), "pg_up 0", connectFailed("too_many_connections", 1))
		text := after.text(t, deadline)
		wants(t, text, "pg_up 1", "pg_one_v 1", `pgvigil_collector_success{collector="tables",datname="postgres"} 0`, failed("tables", "connection", 1))
	})
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestFrozen stops every process of the server with SIGSTOP: pages keep coming
// at their deadline, sessions do not pile up, and it recovers by itself.
func TestFrozen(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		slow := every(gauge("slow", `SELECT 1::double precision AS v`), 200*time.Millisecond)
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), slow})
		wants(t, e.text(t, deadline), "pg_up 1", "pg_one_v 1")
		if err := srv.Freeze(); err != nil {
			t.Fatal(err)
		}
		// The session is there, and does not answer: this page says why it is 0.
		wants(t, e.text(t, 300*time.Millisecond), "pg_up 0", connectFailed("timeout", 1))
		for range 4 {
			began := time.Now()
			text := e.text(t, 300*time.Millisecond)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the page of a frozen server took %s", took)
			}
			wants(t, text, "pg_up 0", success("one", 0))
			lacks(t, text, "pg_one_v")
			if open := e.server.Stats().Open; open > 3 {
				t.Errorf("%d sessions are open", open)
			}
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { wants(t, e.text(t, 300*time.Millisecond), "pg_up 0") })
		}
		wg.Wait()
		if err := srv.Thaw(); err != nil {
			t.Fatal(err)
		}
		eventually(t, e, "pg_up 1")
		wants(t, e.text(t, deadline), "pg_one_v 1")
		if open := e.server.Stats().Open; open > 3 {
			t.Errorf("%d sessions are open after recovery", open)
		}
	})
}

// TestDeadline answers within a millisecond's deadline, and is none the worse
// for it.
func TestDeadline(t *testing.T) {
	srv := servers.On(t, 18)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(),
		patient(gauge("slow", `SELECT 1::double precision AS v
  FROM pg_catalog.pg_sleep(0.4)`))})
	e.text(t, time.Millisecond)
	wants(t, e.text(t, deadline), "pg_up 1", "pg_one_v 1", "pg_slow_v 1")
	opened := e.server.Stats().Opened
	for range 5 {
		e.text(t, time.Millisecond)
	}
	// Late in the middle of a query: what came before it is there.
	text := e.text(t, 200*time.Millisecond)
	wants(t, text, "pg_up 1", "pg_one_v 1", success("slow", 0))
	lacks(t, text, "pg_slow_v")
	wants(t, e.text(t, deadline), "pg_slow_v 1")
	if again := e.server.Stats().Opened; again != opened {
		t.Errorf("deadlines cost %d new sessions; a cancelled query should leave its session", again-opened)
	}
}

// TestHastyScrape lets a scrape with plenty of time not suffer from one with
// little that came before it.
func TestHastyScrape(t *testing.T) {
	srv := servers.On(t, 16)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{
		gauge("slow", `SELECT 1::double precision AS v
  FROM pg_catalog.pg_sleep(0.4)`)})
	e.text(t, deadline)
	var wg sync.WaitGroup
	wg.Go(func() { lacks(t, e.text(t, 200*time.Millisecond), "pg_slow_v") })
	time.Sleep(50 * time.Millisecond)
	wants(t, e.text(t, deadline), "pg_slow_v 1")
	wg.Wait()
}

// TestHangUp cancels the run nobody waits for any more.
func TestHangUp(t *testing.T) {
	srv := servers.On(t, 17)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{
		patient(gauge("hangup", `SELECT 1::double precision AS v
  FROM pg_catalog.pg_sleep(5)`))})
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	e.Scrape(ctx, scrape.Selection{})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a scrape whose client hung up went on for %s", took)
	}
	const running = `SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '/* pgvigil hangup%'`
	for srv.Query(t, "postgres", running) != "0" {
		if time.Since(began) > 4*time.Second {
			t.Fatal("the query goes on on the server")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// patient gives a collector more time than any machine takes.
func patient(c spec.Collector) spec.Collector {
	c.Cost.Timeout = 10 * time.Second
	return c
}

// TestLockedCatalog holds a catalogue ACCESS EXCLUSIVE: what reads it fails by
// lock_timeout, the rest is there.
func TestLockedCatalog(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		languages := gauge("languages", `SELECT count(*)::double precision AS v
  FROM pg_catalog.pg_language`)
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{languages, one()})
		wants(t, e.text(t, deadline), "pg_languages_v 4")
		conn := srv.Conn(t, pgtest.Superuser, "postgres")
		if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE pg_catalog.pg_language IN ACCESS EXCLUSIVE MODE"); err != nil {
			t.Fatal(err)
		}
		text := e.text(t, deadline)
		wants(t, text, "pg_up 1", "pg_one_v 1", failed("languages", "lock_timeout", 1), success("languages", 0))
		// An engine that comes new prepares its texts against the lock.
		fresh := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{languages, one()})
		wants(t, fresh.text(t, deadline), "pg_one_v 1", failed("languages", "lock_timeout", 1))
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		wants(t, e.text(t, deadline), "pg_languages_v 4", success("languages", 1))
		wants(t, fresh.text(t, deadline), "pg_languages_v 4", success("languages", 1))
	})
}

// TestLockedDatabases holds pg_database ACCESS EXCLUSIVE: the server is up all the
// same, and its databases are those known before.
func TestLockedDatabases(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		db := perDatabase(gauge("dbs", `SELECT 1::double precision AS v`), time.Hour)
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{db, one()})
		wants(t, e.text(t, deadline), `pg_dbs_v{datname="postgres"} 1`)
		conn := srv.Conn(t, pgtest.Superuser, "postgres")
		if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE"); err != nil {
			t.Fatal(err)
		}
		wants(t, e.text(t, deadline), "pg_up 1", "pg_one_v 1", `pg_dbs_v{datname="postgres"} 1`, "pgvigil_databases_watched 1")
	})
}

// TestFullLockTable fills the lock table, which no look-up of a shared catalogue
// can do without: the server is up all the same.
func TestFullLockTable(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"max_locks_per_transaction": "10", "max_connections": "20"}})
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one()})
		wants(t, e.text(t, deadline), "pg_up 1")
		conn := srv.Conn(t, pgtest.Superuser, "postgres")
		if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		full := false
		for i := range 100000 {
			if _, err := conn.Exec(t.Context(), fmt.Sprintf("SAVEPOINT s; SELECT pg_advisory_xact_lock(%d)", i)); err != nil {
				if _, err := conn.Exec(t.Context(), "ROLLBACK TO s"); err != nil {
					t.Fatal(err)
				}
				full = true
				break
			}
		}
		if !full {
			t.Fatal("the lock table never filled")
		}
		wants(t, e.text(t, deadline), "pg_up 1", "pg_one_v 1", "pgvigil_databases_watched 1")
	})
}

// TestPromotion notices a promotion in the next scrape.
func TestPromotion(t *testing.T) {
	eachHostile(t, func(t *testing.T, major int) {
		primary := pgtest.New(t, major, pgtest.Options{})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
		on := func(name string, role spec.Role) spec.Collector {
			c := gauge(name, `SELECT 1::double precision AS v`)
			c.Needs.Role = role
			return c
		}
		collectors := []spec.Collector{
			on("on_standby", spec.Standby), on("on_primary", spec.Primary),
			every(on("kept_standby", spec.Standby), time.Hour), every(on("kept_primary", spec.Primary), time.Hour),
		}
		e := engine(t, standby.DSN(pgtest.Monitor, "postgres"), collectors)
		text := e.text(t, deadline)
		wants(t, text, "pg_on_standby_v 1", "pg_kept_standby_v 1")
		lacks(t, text, "pg_on_primary_v", "pg_kept_primary_v")
		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		text = e.text(t, deadline)
		wants(t, text, "pg_on_primary_v 1", "pg_kept_primary_v 1")
		lacks(t, text, "pg_on_standby_v", "pg_kept_standby_v")
	})
}

// TestNames takes names with quotes, newlines and bytes that are no UTF-8.
func TestNames(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{InitDB: []string{"-E", "SQL_ASCII", "--locale=C"}})
	srv.Exec(t, `CREATE DATABASE "a""b\c`+"\n"+`d"`, "SET client_encoding = 'SQL_ASCII'; CREATE TABLE \"caf\xe9\" ()")
	c := perDatabase(gauge("names", `
SELECT c.relname::text       AS relname
     , 1::double precision   AS v
  FROM pg_catalog.pg_class c
 WHERE c.relname LIKE 'caf%'`), time.Minute)
	c.Labels = []string{"relname"}
	db := perDatabase(gauge("dbs", `SELECT 1::double precision AS v`), time.Minute)
	text := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c, db}).text(t, deadline)
	wants(t, text, `pg_names_v{datname="postgres",relname="caf`+"\uFFFD"+`"} 1`, `pg_dbs_v{datname="a\"b\\c\nd"} 1`)
	if !bytes.Equal(bytes.ToValidUTF8([]byte(text), []byte("?")), []byte(text)) {
		t.Error("the page is not valid UTF-8")
	}
}

// TestSecretsRotate reads the password anew at each connect.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 15, pgtest.Options{HBA: "host all all 127.0.0.1/32 scram-sha-256\n"})
	srv.Exec(t, "ALTER ROLE pgvigil PASSWORD 'first'")
	password := "first"
	var mu sync.Mutex
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one()}, func(c *postgres.Config, _ *scrape.Options) {
		c.Password = func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			return password, nil
		}
	})
	wants(t, e.text(t, deadline), "pg_up 1")
	srv.Exec(t, "ALTER ROLE pgvigil PASSWORD 'second'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgvigil'")
	wants(t, e.text(t, deadline), "pg_up 0", connectFailed("auth", 1))
	mu.Lock()
	password = "second"
	mu.Unlock()
	wants(t, e.text(t, deadline), "pg_up 1")
}
