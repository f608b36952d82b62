package scrape_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestIsolation runs collectors that fail in every way beside one that works:
// each costs only itself, and its reason is told.
func TestIsolation(t *testing.T) {
	label := gauge("two", `SELECT 'a'::text AS state
     , 1::double precision AS v
 FROM generate_series(1, 2)`)
	label.Labels = []string{"state"}
	null := gauge("nil", `SELECT NULL::text AS state
     , 1::double precision AS v`)
	null.Labels = []string{"state"}
	many := gauge("many", `SELECT g::text AS state
     , 1::double precision AS v
 FROM generate_series(1, 101) g`)
	many.Labels = []string{"state"}
	collectors := []spec.Collector{
		gauge("slow", `SELECT 1::double precision AS v
 FROM pg_catalog.pg_sleep(30)`),
		gauge("zero", `SELECT (1 / (SELECT 0))::double precision AS v`),
		gauge("absent", `SELECT v AS v
 FROM pg_catalog.no_such_view`),
		gauge("denied", `SELECT 1::double precision AS v
 FROM pg_catalog.pg_authid`),
		gauge("cast", `SELECT 1 AS v`),
		gauge("extra", `SELECT 1::double precision AS v
     , 2::double precision AS w`),
		gauge("renamed", "SELECT 1::double precision AS w /* AS v\n AS v\n */"),
		label, null, many, one(),
	}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), collectors)
		text := e.text(t, deadline)
		wants(t, text, "pg_up 1", "pg_one_v 1", success("one", 1),
			failed("slow", "timeout", 1), failed("zero", "other", 1), failed("absent", "undefined", 1),
			failed("denied", "permission", 1), failed("cast", "mismatch", 1), failed("extra", "mismatch", 1),
			failed("renamed", "mismatch", 1), failed("two", "duplicate", 1), failed("nil", "mismatch", 1),
			failed("many", "limit", 1), success("slow", 0), success("many", 0))
		lacks(t, text, "pg_slow", "pg_two", "pg_many", "pg_nil")

		// What does not pass by itself is left alone for an hour; what may, is not.
		text = e.text(t, deadline)
		wants(t, text, failed("slow", "timeout", 2), failed("absent", "undefined", 1), failed("denied", "permission", 1), success("denied", 0))
		if n := strings.Count(e.logs.String(), "collector=denied"); n != 1 {
			t.Errorf("denied is logged %d times, want once", n)
		}
	})
}

// TestMissingColumn lets a text lose the lines that read what a server lacks: a
// column, a function, another relation.
func TestMissingColumn(t *testing.T) {
	c := gauge("fork", `
SELECT 1::double precision              AS v
     , d.no_such_column::double precision AS w
     , 'ä'::text                        AS state
     , d.nor_this::double precision     AS x
     , 3::double precision              AS y
     , pg_catalog.no_such_function(d.oid)::double precision                         AS p
     , (SELECT pg_catalog.count(*) FROM pg_catalog.no_such_view)::double precision  AS q
     , 4::double precision              AS z
  FROM pg_catalog.pg_database d
 WHERE d.datname = 'postgres'`)
	c.Labels = []string{"state"}
	for _, name := range []string{"w", "x", "y", "p", "q", "z"} {
		c.Metrics = append(c.Metrics, spec.Metric{Name: name, Type: spec.Gauge, Help: "A value."})
	}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c})
		text := e.text(t, deadline)
		wants(t, text, `pg_fork_v{state="ä"} 1`, `pg_fork_y{state="ä"} 3`, `pg_fork_z{state="ä"} 4`, success("fork", 1),
			`pgvigil_collector_columns_missing{collector="fork",datname=""} 4`)
		lacks(t, text, "pg_fork_w", "pg_fork_x", "pg_fork_p", "pg_fork_q")
	})
}

// TestMissingLabel: a collector that lacks what tells its rows apart, or whose text
// means nothing without the lines that are gone, fails alone, and rests.
func TestMissingLabel(t *testing.T) {
	sole := gauge("sole", `
SELECT 1::double precision       AS v
     , d.no_such_column::text    AS state
  FROM pg_catalog.pg_database d
 WHERE d.datname = 'postgres'`)
	sole.Labels = []string{"state"}
	second := gauge("second", `
SELECT d.datname::text           AS name
     , d.no_such_column::text    AS state
     , 1::double precision       AS v
  FROM pg_catalog.pg_database d`)
	second.Labels = []string{"name", "state"}
	keyed := perDatabase(gauge("keyed", `
SELECT d.datname::text           AS name
     , d.no_such_column::text    AS id
     , 1::double precision       AS v
  FROM pg_catalog.pg_database d`), time.Minute)
	keyed.Labels = []string{"name"}
	keyed.Fold = &spec.Fold{Key: "id", Rank: []string{"v"}, Limit: 5}
	grouped := gauge("grouped", `
SELECT pg_catalog.count(*)::double precision  AS v
     , d.no_such_column::text                 AS state
  FROM pg_catalog.pg_database d
 GROUP BY 2`)
	grouped.Labels = []string{"state"}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{sole, second, keyed, grouped, one()})
		for range 2 {
			text := e.text(t, deadline)
			wants(t, text, "pg_up 1", "pg_one_v 1", success("one", 1),
				failed("sole", "undefined", 1), failed("second", "undefined", 1),
				failed("keyed", "undefined", 1), failed("grouped", "undefined", 1))
			lacks(t, text, "pg_sole", "pg_second", "pg_keyed", "pg_grouped")
		}
	})
}

// TestSessionSettings proves what every session promises.
func TestSessionSettings(t *testing.T) {
	c := gauge("settings", `
SELECT s.name::text                          AS name
     , pg_catalog.current_setting(s.name)    AS setting
     , 1::double precision                   AS v
  FROM pg_catalog.pg_settings s
 WHERE s.name IN ('default_transaction_read_only', 'lock_timeout', 'search_path', 'jit', 'statement_timeout',
                  'max_parallel_workers_per_gather', 'application_name', 'client_encoding')`)
	c.Labels = []string{"name", "setting"}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		text := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c}).text(t, deadline)
		for name, setting := range map[string]string{
			"default_transaction_read_only": "on", "lock_timeout": "100ms", "search_path": "pg_catalog", "jit": "off",
			"statement_timeout": "500ms", "max_parallel_workers_per_gather": "0", "application_name": "pgvigil", "client_encoding": "UTF8",
		} {
			wants(t, text, `pg_settings_v{name="`+name+`",setting="`+setting+`"} 1`)
		}
	})
}

// TestSingleFlight lets twenty scrapes at once share one run and one session.
func TestSingleFlight(t *testing.T) {
	slow := gauge("slow", `SELECT 1::double precision AS v
 FROM pg_catalog.pg_sleep(0.3)`)
	slow.Cost.Timeout = 10 * time.Second
	srv := servers.On(t, 18)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{
		slow, perDatabase(gauge("sized", `SELECT 1::double precision AS v`), time.Minute),
	})
	e.text(t, deadline)
	before := e.server.Stats()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { wants(t, e.text(t, deadline), "pg_slow_v 1") })
	}
	wg.Wait()
	after := e.server.Stats()
	if n := after.Queries - before.Queries; n != 3 {
		t.Errorf("20 scrapes at once sent %d queries, want the 3 of one run", n)
	}
	if after.Opened != before.Opened || after.Open > 3 {
		t.Errorf("%d sessions opened, %d open", after.Opened-before.Opened, after.Open)
	}
}

// TestBackground shows the rhythm of a collector that runs beside the scrape:
// the first scrape waits for it, the next serve what is kept.
func TestBackground(t *testing.T) {
	srv := servers.On(t, 17)
	clock := every(gauge("clock", `SELECT extract(epoch FROM clock_timestamp())::double precision AS v
  FROM pg_catalog.pg_sleep(0.3)`), 3*time.Second)
	clock.Cost.Timeout = 10 * time.Second
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), clock}, func(_ *postgres.Config, o *scrape.Options) {
		o.Share = 1 // so that the governor leaves the rhythm alone
	})
	line := func(text string) string {
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, "pg_clock_v ") {
				return l
			}
		}
		t.Fatalf("no pg_clock_v on the page:\n%s", text)
		return ""
	}
	first := line(e.text(t, deadline))
	if again := line(e.text(t, deadline)); again != first {
		t.Errorf("a result younger than its rhythm was read again: %s then %s", first, again)
	}
	time.Sleep(3 * time.Second) // and due it is
	if stale := line(e.text(t, deadline)); stale != first {
		t.Errorf("a scrape waited for a refresh although it had something to serve: %s then %s", first, stale)
	}
	for began := time.Now(); line(e.text(t, deadline)) == first; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the refresh that a scrape started never came")
		}
	}
	wants(t, e.text(t, deadline), `pgvigil_collector_interval_seconds{collector="clock"} 3`)
}

// TestAgeLimit drops a result that could not be refreshed.
func TestAgeLimit(t *testing.T) {
	srv := servers.On(t, 16)
	srv.Exec(t, "CREATE TABLE age_limit AS SELECT 1 AS x", "GRANT SELECT ON age_limit TO pgvigil")
	c := every(gauge("aged", `SELECT x::double precision AS v
 FROM public.age_limit`), 3*time.Second)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c})
	wants(t, e.text(t, deadline), "pg_aged_v 1")
	good := time.Now()
	srv.Exec(t, "DROP TABLE age_limit")
	// The failure is told at once; the value stays until it is too old.
	text := eventually(t, e, success("aged", 0))
	if time.Since(good) < 9*time.Second-500*time.Millisecond {
		wants(t, text, "pg_aged_v 1")
	}
	for strings.Contains(text, "pg_aged_v") {
		if time.Since(good) > 15*time.Second {
			t.Fatal("a value is shown that was read five times its rhythm ago")
		}
		time.Sleep(200 * time.Millisecond)
		text = e.text(t, deadline)
	}
	if age := time.Since(good); age < 8*time.Second {
		t.Errorf("a value was dropped %v after it was read, which is not three times its rhythm", age)
	}
	wants(t, text, success("aged", 0))
	if !strings.Contains(text, `pgvigil_collector_last_success_timestamp_seconds{collector="aged"`) {
		t.Error("the page does not tell how old the last good run is")
	}
}

// TestGovernor makes a background collector rest a hundred times what it took.
func TestGovernor(t *testing.T) {
	srv := servers.On(t, 18)
	c := every(gauge("heavy", `SELECT 1::double precision AS v
 FROM pg_catalog.pg_sleep(0.2)`), time.Second)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c})
	text := e.text(t, deadline)
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, `pgvigil_collector_interval_seconds{collector="heavy"} 2`) {
			return // 20-odd seconds: 100 times 0.2
		}
	}
	t.Errorf("the rhythm was not stretched:\n%s", grep(text, "pgvigil_collector_interval_seconds"))
}

// TestSessionsOfManyDatabases holds the budget when there are more databases
// than sessions, and keeps no session in the way of DROP DATABASE.
func TestSessionsOfManyDatabases(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		srv.Exec(t, "CREATE DATABASE "+name)
	}
	c := perDatabase(gauge("every", `SELECT 1::double precision AS v`), time.Second)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), c})
	text := e.text(t, deadline)
	for _, name := range []string{"a", "b", "c", "d", "e", "postgres"} {
		wants(t, text, `pg_every_v{datname="`+name+`"} 1`)
	}
	wants(t, text, "pgvigil_databases_watched 6")
	if stats := e.server.Stats(); stats.Open > 3 || stats.Opened != 7 {
		t.Errorf("%d sessions open and %d opened, want at most 3 and 7", stats.Open, stats.Opened)
	}
	srv.Exec(t, "DROP DATABASE c", "ALTER DATABASE d RENAME TO f")
	text = e.text(t, deadline)
	lacks(t, text, `datname="c"`, `datname="d"`)
	wants(t, eventually(t, e, `pg_every_v{datname="f"} 1`), "pgvigil_databases_watched 5")
	if opened := e.server.Stats().Opened; opened == 7 {
		t.Error("nothing was read anew")
	}
}

// TestWatch leaves databases out by choice and by privilege, and says so.
func TestWatch(t *testing.T) {
	srv := pgtest.New(t, 15, pgtest.Options{})
	srv.Exec(t, "CREATE DATABASE secret", "REVOKE CONNECT ON DATABASE secret FROM PUBLIC", "CREATE DATABASE boring")
	c := perDatabase(gauge("every", `SELECT 1::double precision AS v`), time.Minute)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{c}, func(_ *postgres.Config, o *scrape.Options) {
		o.Watch = func(name string) bool { return name != "boring" }
	})
	text := e.text(t, deadline)
	wants(t, text, `pg_every_v{datname="postgres"} 1`, `pgvigil_database_skipped{datname="boring",reason="excluded"} 1`,
		`pgvigil_database_skipped{datname="secret",reason="permission"} 1`)
	lacks(t, text, `pg_every_v{datname="secret"}`, `pg_every_v{datname="boring"}`)
}

// TestNeeds skips, with its reason, what a server cannot give.
func TestNeeds(t *testing.T) {
	standby := gauge("on_standby", `SELECT 1::double precision AS v`)
	standby.Needs.Role = spec.Standby
	young := gauge("young", `SELECT 1::double precision AS v`)
	young.Queries[0].Since = 14
	ext := gauge("extended", `SELECT 1::double precision AS v`)
	ext.Needs.Extension = "pgstattuple"
	hba := gauge("hba", `SELECT 1::double precision AS v`)
	hba.Needs = spec.Needs{Execute: []string{"pg_catalog.pg_hba_file_rules()"}, Grant: "GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO pgvigil"}
	wal := gauge("wal", `SELECT 1::double precision AS v`)
	wal.Needs = spec.Needs{Execute: []string{"pg_catalog.pg_ls_waldir()"}, Grant: "GRANT pg_monitor TO pgvigil"}
	set := gauge("preparing", `SELECT 1::double precision AS v`)
	set.Needs.Setting = "max_prepared_transactions"
	srv := pgtest.New(t, 13, pgtest.Options{Settings: map[string]string{"max_prepared_transactions": "0"}})
	srv.Exec(t, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	text := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{standby, young, ext, hba, wal, set}).text(t, deadline)
	for collector, reason := range map[string]string{
		"on_standby": "role", "young": "version", "extended": "extension", "hba": "privilege", "preparing": "setting",
	} {
		wants(t, text, `pgvigil_collector_skipped{collector="`+collector+`",datname="",reason="`+reason+`"} 1`)
		lacks(t, text, "pg_"+collector+"_v", `pgvigil_collector_success{collector="`+collector+`"`)
	}
	wants(t, text, "pg_wal_v 1")
	if strings.Contains(srv.Log(), "ERROR") {
		t.Errorf("a need that is not met made an error in the server's log:\n%s", srv.Log())
	}
}

// TestSelection runs and shows only what collect[] wants.
func TestSelection(t *testing.T) {
	srv := servers.On(t, 14)
	two := gauge("two", `SELECT 2::double precision AS v`)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), two})
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	names := map[string]bool{}
	for _, f := range e.Scrape(ctx, scrape.Selection{Key: "two", Want: func(flag string) bool { return flag == "two" }}) {
		names[f.Name] = true
	}
	if names["pg_one_v"] || !names["pg_two_v"] || !names["pg_up"] {
		t.Errorf("the page has %v", names)
	}
}

// TestKeptSessionLost reads again at once what failed because its kept session
// had been ended: by a restart, which the scrape notices, or by somebody.
func TestKeptSessionLost(t *testing.T) {
	srv := pgtest.New(t, 16, pgtest.Options{})
	slow := every(gauge("slow", `SELECT extract(epoch FROM clock_timestamp())::double precision AS v`), 3*time.Second)
	e := engine(t, srv.DSN(pgtest.Monitor, "postgres"), []spec.Collector{one(), slow}, func(_ *postgres.Config, o *scrape.Options) {
		o.Share = 1
	})
	wants(t, e.text(t, deadline), success("slow", 1))
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, eventually(t, e, success("slow", 1)), "pg_one_v 1")
	lacks(t, e.text(t, deadline), `pgvigil_collector_failures_total{collector="slow"`)

	srv.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgvigil'")
	time.Sleep(3 * time.Second) // so that it is due
	eventually(t, e, success("slow", 0))
	began := time.Now()
	eventually(t, e, success("slow", 1))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("what failed with its session was read again after %s", took)
	}
}

// TestTLS gives an emitter what its session's handshake agreed on, with the scrape
// and in the background, and nothing where the session is not encrypted.
func TestTLS(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{TLS: true})
	now := gauge("now", `SELECT 1::double precision AS unused`)
	now.Emit = func() spec.Emitter {
		return spec.EmitFunc(func(run spec.Run, _ *spec.Rows, out *spec.Sink) error {
			out.Row()
			if run.TLS != nil && run.TLS.NotAfter.After(run.Now) {
				out.Set("v", 1)
			}
			return nil
		})
	}
	later := every(now, time.Minute)
	later.Name = "later"
	collectors := []spec.Collector{now, later}
	encrypted := srv.DSN(pgtest.Monitor, "postgres")
	wants(t, engine(t, encrypted, collectors).text(t, deadline), "pg_now_v 1", "pg_later_v 1")

	plain := strings.Replace(encrypted, "sslmode=verify-full", "sslmode=disable", 1)
	text := engine(t, plain, collectors).text(t, deadline)
	wants(t, text, success("now", 1), success("later", 1))
	lacks(t, text, "pg_now_v", "pg_later_v")
}
