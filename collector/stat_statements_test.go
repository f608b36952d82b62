package collector_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// quick returns the collectors of the flags with rhythms short enough for a test.
func quick(flags ...string) []spec.Collector {
	var chosen []spec.Collector
	for _, c := range serverCollectors() {
		if slices.Contains(flags, c.Flag()) {
			if c.Cost.Every > 0 {
				c.Cost.Every = 150 * time.Millisecond // and after three times as long it is dropped
			}
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// observe returns an engine for collectors on a server, as pg_monitor, whose
// background collectors may take all the server's time.
func observe(t *testing.T, srv *pgtest.Server, limits map[string]int, chosen ...spec.Collector) *scrape.Engine {
	t.Helper()
	server, err := postgres.New(postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres"), Probe: scrape.Probe(chosen)})
	if err != nil {
		t.Fatal(err)
	}
	e := scrape.New(t.Context(), server, scrape.Options{Collectors: chosen, Limits: limits, Share: 1000, Logger: testLogger{t}})
	t.Cleanup(e.Close)
	return e
}

// refreshed scrapes until what the page shows of a background collector was asked
// for after this was called: the first answer to come may have been on its way.
func refreshed(t *testing.T, e *scrape.Engine, name string) snapshot {
	t.Helper()
	const read = "pgvigil_collector_last_success_timestamp_seconds"
	later := func(than float64) snapshot {
		return eventually(t, e, read, func(s snapshot) bool {
			at := s.values(read, "collector", name)
			return len(at) > 0 && slices.Min(at) > than && !slices.Contains(s.values("pgvigil_collector_success", "collector", name), 0)
		})
	}
	first := later(float64(time.Now().UnixMilli()+1) / 1000)
	return later(slices.Max(first.values(read, "collector", name)))
}

const (
	calls     = "pg_stat_statements_calls_total"
	queryInfo = "pg_stat_statements_query_info"
)

// statementsScene runs statements that plan, spill, use a temporary table and
// parallel workers.
func statementsScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	session(t, srv, pgtest.Superuser, "postgres",
		"SET pg_stat_statements.track_planning = on", "SELECT 1 AS planned",
		"SET temp_buffers = '800kB'", "CREATE TEMPORARY TABLE local AS SELECT g, repeat('x', 500) AS pad FROM generate_series(1, 8000) g",
		"SELECT count(*) FROM local", "DROP TABLE local",
		"CREATE TEMPORARY TABLE small AS SELECT 1 AS i", "SELECT i FROM small", "SELECT i FROM small", "DROP TABLE small",
		"SET work_mem = '64kB'", "SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g ORDER BY g DESC OFFSET 10) s",
		"SET max_parallel_workers_per_gather = 2", "SET parallel_setup_cost = 0", "SET parallel_tuple_cost = 0", "SET min_parallel_table_scan_size = 0",
		"SELECT count(*) FROM accounts WHERE id > 0")
}

// TestStatStatements counts known work by database and user, at top level and
// within a function, on the extension as each major ships it.
func TestStatStatements(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"pg_stat_statements.track": "all"}})
		srv.Exec(t, "CREATE EXTENSION pg_stat_statements")
		other := srv.Database(t)
		srv.Exec(t, "CREATE FUNCTION twice() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM 1 AS twin; RETURN (SELECT 4711 AS within); END'")
		for range 3 {
			srv.ExecIn(t, other, "SELECT 'known', 1.5, 2")
		}
		srv.Exec(t, "SELECT twice()", "SELECT twice()", "SELECT pg_sleep(0.05)")
		e := observe(t, srv, nil, quick("stat_statements", "query_text")...)
		page := eventually(t, e, queryInfo, func(s snapshot) bool { return len(s.values(queryInfo)) > 3 })
		page.succeeded(t, "stat_statements", "stat_statements_info", "query_text")
		if known := page.sum(calls, "datname", other, "usename", "postgres", "queryid", id(t, page, "SELECT $1, $2, $3")); known != 3 {
			t.Errorf("the known query was called %v times, want 3:\n%s", known, page.text(calls))
		}
		sleep := page.value(t, "pg_stat_statements_seconds_total", "datname", "postgres", "queryid", id(t, page, "SELECT pg_sleep($1)"))
		if sleep < 0.05 || sleep > 30 {
			t.Errorf("a sleep of 50 ms took %v s", sleep)
		}
		entries, _ := strconv.ParseFloat(srv.Query(t, "postgres", "SELECT count(*)::text FROM pg_stat_statements(false)"), 64)
		if got := page.value(t, "pg_stat_statements_entries"); math.Abs(got-entries) > 20 {
			t.Errorf("there are %v entries, the view has %v", got, entries)
		}
		if got := page.value(t, "pg_stat_statements_entries_limit"); got != 5000 {
			t.Errorf("the limit is %v, want 5000", got)
		}
	})
}

// id finds the queryid of a text on the page.
func id(t *testing.T, page snapshot, query string) string {
	t.Helper()
	for _, m := range page[queryInfo].GetMetric() {
		if hasLabels(m, []string{"query", query}) {
			for _, l := range m.GetLabel() {
				if l.GetName() == "queryid" {
					return l.GetValue()
				}
			}
		}
	}
	t.Fatalf("no text is %q:\n%s", query, page.text(queryInfo))
	return ""
}

// TestStatStatementsTwins: what runs at top level and within a function has two
// entries with one queryid, and is one series.
func TestStatStatementsTwins(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{Settings: map[string]string{"pg_stat_statements.track": "all"}})
	srv.Exec(t, "CREATE EXTENSION pg_stat_statements",
		"CREATE TABLE t (i int)",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t WHERE i = 1'",
		"DELETE FROM t WHERE i = 1", "SELECT f()", "SELECT f()")
	if twins := srv.Query(t, "postgres", "SELECT count(*)::text FROM pg_stat_statements WHERE query ~ '^DELETE FROM t'"); twins != "2" {
		t.Fatalf("the statement has %s entries, and the test needs 2", twins)
	}
	e := observe(t, srv, nil, quick("stat_statements", "query_text")...)
	page := eventually(t, e, queryInfo, func(s snapshot) bool { return len(s.values(queryInfo)) > 3 })
	if got := page.value(t, calls, "queryid", id(t, page, "DELETE FROM t WHERE i = $1")); got != 3 {
		t.Errorf("the twins were called %v times, want 3", got)
	}
}

// TestStatStatementsVersions reads every version of the extension that a major
// can have, in any schema of any database.
func TestStatStatementsVersions(t *testing.T) {
	for _, major := range pgtest.Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			srv := pgtest.New(t, major, pgtest.Options{})
			srv.Exec(t, "CREATE DATABASE away", "CREATE DATABASE aaa")
			for minor := 7; spec.Ext(1, minor) <= shipped("pg_stat_statements", spec.Version(major)); minor++ {
				version := fmt.Sprintf("1.%d", minor)
				srv.ExecIn(t, "away", `DROP SCHEMA IF EXISTS "odd ""schema""" CASCADE`, `CREATE SCHEMA "odd ""schema"""`, `GRANT USAGE ON SCHEMA "odd ""schema""" TO pgvigil`,
					fmt.Sprintf(`CREATE EXTENSION pg_stat_statements SCHEMA "odd ""schema""" VERSION '%s'`, version), "SELECT 1 AS one")
				// A new engine: the facts of a session are as of its opening.
				e := observe(t, srv, nil, quick("stat_statements", "query_text")...)
				page := eventually(t, e, calls, func(s snapshot) bool {
					return len(s.values(calls, "datname", "away")) > 0 && len(s.values(queryInfo)) > 0
				})
				e.Close()
				page.succeeded(t, "stat_statements", "stat_statements_info", "query_text")
				page.value(t, "pg_stat_statements_entries")
				for metric, since := range map[string]int{
					"pg_stat_statements_seconds_total": 0, "pg_stat_statements_block_read_seconds_total": 0, "pg_stat_statements_wal_bytes_total": 8,
					"pg_stat_statements_deallocations_total": 9,
				} {
					if there := page[metric] != nil; there != (minor >= since) {
						t.Errorf("version %s: %s is there: %v", version, metric, there)
					}
				}
				if missing := page.sum("pgvigil_collector_columns_missing"); missing != 0 {
					t.Errorf("version %s: %v columns were missing", version, missing)
				}
			}
		})
	}
}

// TestStatStatementsAbsent: without the extension, without the library and
// without the privilege there is a skip that says so, and no error in the log.
func TestStatStatementsAbsent(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{})
	skipped := func(srv *pgtest.Server, user, reason string) {
		t.Helper()
		page := scrapePage(t, watch(t, srv, user, "stat_statements", "query_text"))
		if got := page.sum("pgvigil_collector_skipped", "collector", "stat_statements", "reason", reason); got != 1 {
			t.Errorf("as %s the skip is not %s:\n%s", user, reason, page.text("pgvigil_collector_skipped"))
		}
		page.absent(t, calls)
	}
	skipped(srv, pgtest.Monitor, "extension")
	srv.Exec(t, "CREATE EXTENSION pg_stat_statements")
	skipped(srv, pgtest.Nobody, "privilege")
	srv.Exec(t, "CREATE SCHEMA closed", "ALTER EXTENSION pg_stat_statements SET SCHEMA closed")
	skipped(srv, pgtest.Monitor, "privilege")
	without := pgtest.New(t, 18, pgtest.Options{Settings: map[string]string{"shared_preload_libraries": ""}})
	without.Exec(t, "CREATE EXTENSION pg_stat_statements")
	skipped(without, pgtest.Monitor, "setting")
	for _, s := range []*pgtest.Server{srv, without} {
		if log := s.Log(); strings.Contains(log, "STATEMENT:  /* pgvigil ") {
			t.Errorf("a statement made an error in the server's log:\n%s", log)
		}
	}
}

// TestQueryText: secrets of utility statements do not show, texts are one line.
func TestQueryText(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		srv.Exec(t, "CREATE EXTENSION pg_stat_statements",
			"CREATE ROLE r LOGIN PASSWORD 'hidden1'", "ALTER\n ROLE r PASSWORD $$hidden2$$", "SELECT\n1 AS\t\"quoted \\ \"\"name\"",
			"SELECT "+strings.Repeat("length('x') + ", 100)+"1")
		e := observe(t, srv, nil, quick("stat_statements", "query_text")...)
		page := eventually(t, e, queryInfo, func(s snapshot) bool { return len(s.values(queryInfo)) > 4 })
		id(t, page, `SELECT $1 AS "quoted \ ""name"`)
		text := page.text(queryInfo)
		if strings.Contains(text, "hidden") {
			t.Errorf("a password shows:\n%s", text)
		}
		for _, m := range page[queryInfo].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "query" && (len([]rune(l.GetValue())) > 300 || strings.ContainsAny(l.GetValue(), "\n\t")) {
					t.Errorf("a text is long or of several lines: %q", l.GetValue())
				}
			}
		}
	})
}

// statementsOracle adds up what the extension has recorded, by reading the view
// right before each scrape, while nobody works.
type statementsOracle struct {
	conn  *pgx.Conn
	last  map[string]entry
	calls float64
	rows  float64
}

type entry struct{ since, calls, rows float64 }

// read adds what came since it last read: of an entry that began anew, all.
func (o *statementsOracle) read(t *testing.T, since string) {
	t.Helper()
	rows, err := o.conn.Query(t.Context(), `
SELECT concat_ws(' ', s.dbid, s.queryid), `+since+`::float8, s.calls::float8, s.rows::float8
  FROM pg_stat_statements(false) s`)
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]entry{}
	var key string
	var e entry
	if _, err := pgx.ForEachRow(rows, []any{&key, &e.since, &e.calls, &e.rows}, func() error {
		was := o.last[key]
		if e.since != was.since || e.calls < was.calls {
			was = entry{}
		}
		o.calls += e.calls - was.calls
		o.rows += e.rows - was.rows
		now[key] = e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	o.last = now
}

// TestStatStatementsProperty drives servers with random work in two databases,
// more queries than the view has room for, and resets of one entry and of all. No
// series ever decreases while the exporter lives, and all series there have been
// add up to what the extension recorded, however few of them are shown.
func TestStatStatementsProperty(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"pg_stat_statements.max": "100", "pg_stat_statements.track_utility": "off"}})
		srv.Exec(t, "CREATE EXTENSION pg_stat_statements", "CREATE ROLE worker LOGIN", "CREATE DATABASE other",
			// So that only the worker's statements are recorded, and they rest while the view is read.
			"ALTER ROLE postgres SET pg_stat_statements.track = 'none'", "ALTER ROLE pgvigil SET pg_stat_statements.track = 'none'")
		since := "0"
		if major >= 17 {
			since = "extract(epoch FROM s.stats_since)"
		}
		oracle := &statementsOracle{conn: srv.Conn(t, pgtest.Superuser, "postgres"), last: map[string]entry{}}
		workers := []*pgx.Conn{srv.Conn(t, "worker", "postgres"), srv.Conn(t, "worker", "other")}
		chosen := quick("stat_statements")
		e := observe(t, srv, map[string]int{"stat_statements": 12}, chosen...)
		random := rand.New(rand.NewPCG(uint64(major), 42))
		ever := map[string]map[string]float64{calls: {}, "pg_stat_statements_rows_total": {}}
		for step := range 60 {
			statementsWork(t, random, workers)
			switch random.IntN(12) {
			case 0:
				srv.Exec(t, "SELECT pg_stat_statements_reset()")
			case 1:
				srv.Exec(t, `SELECT pg_stat_statements_reset(userid, dbid, queryid) FROM (
SELECT userid, dbid, queryid FROM pg_stat_statements WHERE queryid IS NOT NULL ORDER BY random() LIMIT 5) s`)
			}
			oracle.read(t, since)
			page := refreshed(t, e, "stat_statements")
			for metric, want := range map[string]float64{calls: oracle.calls, "pg_stat_statements_rows_total": oracle.rows} {
				sum := 0.0
				for _, m := range page[metric].GetMetric() {
					key, v := fmt.Sprint(m.GetLabel()), number(m)
					if was := ever[metric][key]; v < was {
						t.Fatalf("step %d: %s%s fell from %v to %v", step, metric, key, was, v)
					}
					ever[metric][key] = v
				}
				for _, v := range ever[metric] {
					sum += v
				}
				if sum != want {
					t.Fatalf("step %d: all series of %s add up to %v, the extension recorded %v", step, metric, sum, want)
				}
			}
			if shown := len(page.values(calls)); shown > 12+2 {
				t.Fatalf("step %d: %d series of calls are shown, want 12 and the rest of each database", step, shown)
			}
		}
		if got := scrapePage(t, e).sum("pgvigil_collector_evicted_total"); got == 0 {
			t.Error("no entry was evicted, or nobody noticed")
		}
		if oracle.calls < 1000 || len(ever[calls]) < 14 {
			t.Errorf("the test did little: %v calls, %d series", oracle.calls, len(ever[calls]))
		}
	})
}

// statementsWork runs random queries out of more than there is room for.
func statementsWork(t *testing.T, random *rand.Rand, workers []*pgx.Conn) {
	t.Helper()
	for range 5 + random.IntN(60) {
		shape := int(random.ExpFloat64() * 30)
		sql := "SELECT " + strings.Repeat("1 + ", shape%40) + "length('x')" + strings.Repeat(", 2", shape/40)
		if _, err := workers[random.IntN(len(workers))].Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}
