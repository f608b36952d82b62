package collector_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// bloatScene has a table and indexes of every judgement, one of which the role of
// the tests may not read.
func bloatScene(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	primary.Exec(t,
		"CREATE TABLE stock (id int CONSTRAINT stock_pkey PRIMARY KEY, a int, b int, note text) WITH (autovacuum_enabled = off)",
		"INSERT INTO stock SELECT g, g % 6000, g % 6000, 'note ' || g FROM generate_series(1, 30000) g",
		"DELETE FROM stock WHERE id % 2 = 0",
		"CREATE INDEX stock_a_b ON stock (a, b)",
		"CREATE TABLE stock_new (id int CONSTRAINT stock_new_pkey PRIMARY KEY) WITH (autovacuum_enabled = off)",
		"INSERT INTO stock_new SELECT generate_series(1, 10000)",
		"CREATE TABLE stock_old (id int CONSTRAINT stock_old_pkey PRIMARY KEY) WITH (autovacuum_enabled = off)",
		"INSERT INTO stock_old SELECT generate_series(1, 10000)",
		"CREATE TABLE stock_secret (id int CONSTRAINT stock_secret_pkey PRIMARY KEY) WITH (autovacuum_enabled = off)",
		"INSERT INTO stock_secret SELECT generate_series(1, 10000)",
		"GRANT SELECT ON stock, stock_new, stock_old TO "+pgtest.Monitor)
	analyzed(t, primary, "postgres", "stock", "stock_old", "stock_secret")
	primary.Exec(t, "UPDATE stock_old SET id = -id")
}

// analyzed vacuums and analyzes tables until the statistics know of no change
// since: changes may be reported after the ANALYZE that has seen them.
func analyzed(t *testing.T, srv *pgtest.Server, database string, tables ...string) {
	t.Helper()
	for _, table := range tables {
		known := "SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE last_analyze IS NOT NULL AND relid = '" + table + "'::regclass"
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			srv.ExecIn(t, database, "VACUUM ANALYZE "+table)
			if srv.Query(t, database, known) == "0" {
				break
			}
			if time.Since(began) > 30*time.Second {
				t.Fatalf("the statistics of %s never came", table)
			}
		}
	}
}

// bloat returns what makes an engine for the collectors of bloat on one database.
func bloat(t *testing.T, srv *pgtest.Server, user, database string) func() *scrape.Engine {
	return func() *scrape.Engine {
		t.Helper()
		server, err := postgres.New(postgres.Config{ConnString: srv.DSN(user, "postgres")})
		if err != nil {
			t.Fatal(err)
		}
		e := scrape.New(t.Context(), server, scrape.Options{
			Collectors: []spec.Collector{collector.Bloat, collector.BloatIndexes}, Logger: testLogger{t},
			Watch: func(name string) bool { return name == database },
		})
		t.Cleanup(e.Close)
		return e
	}
}

// reader makes a role with pg_monitor that is gone after the test.
func reader(t *testing.T, srv *pgtest.Server) (role, database string) {
	t.Helper()
	conn := srv.Conn(t, pgtest.Superuser, "postgres")
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), "DROP ROLE IF EXISTS "+role); err != nil {
			t.Error(err)
		}
	})
	database = srv.Database(t) // dropped before the role, with what was granted there
	role = "reader_of_" + database
	srv.Exec(t, "CREATE ROLE "+role+" LOGIN IN ROLE pg_monitor")
	return role, database
}

// reasons sums why tables and indexes of a database are not judged.
func reasons(s snapshot, database string) map[string]float64 {
	sums := map[string]float64{}
	for _, kind := range []string{"table", "index"} {
		for _, reason := range []string{"locked", "hidden", "without_statistics", "stale", "unclear"} {
			if n := s.sum("pg_bloat_"+kind+"_"+reason, "datname", database); n > 0 {
				sums[kind+" "+reason] = n
			}
		}
	}
	return sums
}

// ratio is the part of a relation that is wasted, absent where nothing is said.
func (s snapshot) ratio(t *testing.T, kind, label, name string) float64 {
	t.Helper()
	size := s.values("pg_bloat_"+kind+"_size_bytes", label, name, "method", "estimate")
	if len(size) == 0 {
		s.absent(t, "pg_bloat_"+kind+"_wasted_bytes", label, name)
		return spec.Absent()
	}
	return s.value(t, "pg_bloat_"+kind+"_wasted_bytes", label, name, "method", "estimate") / size[0]
}

const still = " WITH (autovacuum_enabled = off)"

// judged makes a table and two indexes, of which half is deleted, and the same
// with nothing deleted.
var judged = []string{
	"CREATE TABLE half (id int CONSTRAINT half_pkey PRIMARY KEY, kind int, note text)" + still,
	"CREATE INDEX half_kind ON half (kind)",
	"INSERT INTO half SELECT g, g % 10, repeat('n', g % 50) FROM generate_series(1, 50000) g",
	"DELETE FROM half WHERE id % 2 = 0",
	"CREATE TABLE fresh (id int CONSTRAINT fresh_pkey PRIMARY KEY, kind int, note text)" + still,
	"INSERT INTO fresh SELECT g, g % 10, repeat('n', g % 50) FROM generate_series(1, 30000) g",
	"CREATE INDEX fresh_kind ON fresh (kind)",
}

// TestBloat judges a table and indexes that are half empty, and some that are
// full. Where it cannot be known it says nothing but how many there are.
func TestBloat(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, judged...)
		srv.ExecIn(t, db,
			"CREATE TABLE tiny (id int PRIMARY KEY)"+still, "INSERT INTO tiny SELECT generate_series(1, 100)",
			"CREATE TABLE never (id int CONSTRAINT never_pkey PRIMARY KEY)"+still, "INSERT INTO never SELECT generate_series(1, 10000)",
			"CREATE TABLE aged (id int CONSTRAINT aged_pkey PRIMARY KEY)"+still, "INSERT INTO aged SELECT generate_series(1, 10000)",
			"CREATE TABLE pairs (a int, b int)"+still, "INSERT INTO pairs SELECT g % 2000, g % 2000 FROM generate_series(1, 20000) g", "CREATE INDEX pairs_a_b ON pairs (a, b)",
			"CREATE TABLE partial (a int, b int)"+still, "INSERT INTO partial SELECT g, nullif(g % 4, 1) FROM generate_series(1, 40000) g",
			"CREATE INDEX partial_a ON partial (a) WHERE b IS NULL", "CREATE INDEX partial_lower ON partial (lower(md5(a::text)))")
		analyzed(t, srv, db, "half", "fresh", "aged", "pairs", "partial")
		srv.ExecIn(t, db, "DELETE FROM aged WHERE id % 2 = 0")
		want := map[string]float64{
			"table without_statistics": 1, "index without_statistics": 1, "table stale": 1, "index stale": 1, "index unclear": 1,
		}
		page := anew(t, bloat(t, srv, pgtest.Superuser, db), "pg_bloat_table_stale", func(s snapshot) bool {
			return fmt.Sprint(reasons(s, db)) == fmt.Sprint(want)
		})
		page.succeeded(t, "bloat", "bloat_indexes")
		for _, c := range []struct {
			kind, label, name string
			low, high         float64
		}{
			{"table", "relname", "half", 0.45, 0.55},
			{"table", "relname", "fresh", 0, 0.05},
			{"table", "relname", "partial", 0, 0.05},
			{"index", "indexrelname", "half_pkey", 0.45, 0.55},
			{"index", "indexrelname", "half_kind", 0.4, 0.6},
			{"index", "indexrelname", "fresh_pkey", 0, 0.05},
			{"index", "indexrelname", "fresh_kind", 0, 0.05},
			{"index", "indexrelname", "partial_a", 0, 0.1},
			{"index", "indexrelname", "partial_lower", 0, 0.05},
		} {
			if ratio := page.ratio(t, c.kind, c.label, c.name); !(ratio >= c.low && ratio <= c.high) {
				t.Errorf("%s is wasted by %v, want %v to %v", c.name, ratio, c.low, c.high)
			}
		}
		for _, name := range []string{"tiny", "never", "aged"} {
			page.absent(t, "pg_bloat_table_wasted_bytes", "relname", name)
			page.absent(t, "pg_bloat_index_wasted_bytes", "relname", name)
		}
		page.absent(t, "pg_bloat_index_wasted_bytes", "relname", "pairs")
	})
}

// TestBloatLayouts deletes each second row of tables, and with it each second
// entry of their indexes, where a page holds less or more than their columns say.
func TestBloatLayouts(t *testing.T) {
	layouts := []struct {
		name, columns, options, values, index string
		rows                                  int
	}{
		{"alignment", "a bool, b bigint, c int, d double precision, e smallint, f timestamptz", "", "true, g, g, g, 1, now()", "(a, b, e)", 10000},
		{"fillfactor", "a int, b int", "fillfactor = 70, ", "g, g", "(a) WITH (fillfactor = 50)", 10000},
		{"bitmap", "a int, b int, c int, d int, e int, f int, g int, h int, i int", "", "g, NULL, NULL, NULL, NULL, NULL, NULL, NULL, nullif(g % 4, 0)", "(i, a)", 10000},
		{"dropped", "x text, a int, y bigint, b bigint, z int", "", "g, g", "(b)", 10000},
		{"toast", "a int, b text", "", "g, (SELECT string_agg(md5(g::text || i), '') FROM generate_series(1, 80) i)", "(a)", 5000},
		{"merged", "a int, b text", "", "g % 25, md5(g::text)", "(a)", 30000},
		{"single", "a numeric, b int", "", "g % 25, g", "(a)", 10000},
		{"chosen", "a int, b int", "", "g % 25, g", "(a) WITH (deduplicate_items = off)", 10000},
		{"partial", "a text, b int", "", "CASE WHEN g % 4 < 2 THEN md5(g::text) END, g", "(a) WHERE a IS NOT NULL", 10000},
		{"expression", "a text, b int", "", "md5(g::text), g", "(upper(a))", 10000},
		{"include", "a int, b text", "", "g, md5(g::text)", "(a) INCLUDE (b)", 10000},
	}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		var names, script []string
		for _, l := range layouts {
			names = append(names, l.name)
			script = append(script, fmt.Sprintf("CREATE TABLE %s (id int, %s) WITH (%sautovacuum_enabled = off)", l.name, l.columns, l.options))
			if l.name == "dropped" {
				script = append(script, "ALTER TABLE dropped DROP x, DROP y, DROP z")
			}
			script = append(script, fmt.Sprintf("INSERT INTO %s SELECT g, %s FROM generate_series(1, %d) g", l.name, l.values, l.rows))
			script = append(script, fmt.Sprintf("CREATE INDEX %s_index ON %s %s", l.name, l.name, l.index),
				fmt.Sprintf("DELETE FROM %s WHERE id %% 2 = 0", l.name))
		}
		srv.ExecIn(t, db, script...)
		analyzed(t, srv, db, names...)
		page := scrapePage(t, bloat(t, srv, pgtest.Superuser, db)())
		for _, name := range names {
			if ratio := page.ratio(t, "table", "relname", name); !(ratio > 0.44 && ratio < 0.56) {
				t.Errorf("of the table %s %v is wasted, want half", name, ratio)
			}
			// Pages of merged keys are few, and the root is one of them.
			if ratio := page.ratio(t, "index", "indexrelname", name+"_index"); !(ratio > 0.4 && ratio < 0.56) {
				t.Errorf("of the index %s_index %v is wasted, want half", name, ratio)
			}
		}
	})
}

// TestBloatHidden shows what pg_monitor alone may judge, and what each grant adds:
// SELECT on a table does not open the statistics of its index on an expression.
func TestBloatHidden(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		role, db := reader(t, srv)
		srv.ExecIn(t, db, judged...)
		srv.ExecIn(t, db, "CREATE INDEX half_expression ON half ((kind + 1))",
			"CREATE TABLE guarded (id int CONSTRAINT guarded_pkey PRIMARY KEY)"+still, "INSERT INTO guarded SELECT generate_series(1, 10000)",
			"ALTER TABLE guarded ENABLE ROW LEVEL SECURITY", "GRANT SELECT ON guarded TO "+role)
		analyzed(t, srv, db, "half", "fresh", "guarded")

		page := scrapePage(t, bloat(t, srv, role, db)())
		page.absent(t, "pg_bloat_table_wasted_bytes")
		page.absent(t, "pg_bloat_index_wasted_bytes")
		checkReasons(t, page, db, map[string]float64{"table hidden": 3, "index hidden": 6})

		srv.ExecIn(t, db, "GRANT SELECT ON half TO "+role, "GRANT SELECT (id, kind, note) ON fresh TO "+role)
		page = scrapePage(t, bloat(t, srv, role, db)())
		checkReasons(t, page, db, map[string]float64{"table hidden": 1, "index hidden": 2})
		if ratio := page.ratio(t, "table", "relname", "half"); !(ratio > 0.45 && ratio < 0.55) {
			t.Errorf("half is wasted by %v", ratio)
		}
		page.absent(t, "pg_bloat_index_wasted_bytes", "indexrelname", "half_expression")

		if srv.Major >= 14 {
			srv.ExecIn(t, db, "GRANT pg_read_all_data TO "+role)
			page = scrapePage(t, bloat(t, srv, role, db)())
			checkReasons(t, page, db, map[string]float64{"table hidden": 1, "index hidden": 1}) // those with row security
			page.value(t, "pg_bloat_index_wasted_bytes", "indexrelname", "half_expression")
		}
	})
}

func checkReasons(t *testing.T, page snapshot, database string, want map[string]float64) {
	t.Helper()
	if got := reasons(page, database); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("not judged are %v, want %v", got, want)
	}
}

// TestBloatLocked holds a table and an index under ACCESS EXCLUSIVE: the page
// comes at once, counts them, and judges the others.
func TestBloatLocked(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, judged...)
		srv.ExecIn(t, db, "CREATE TABLE held (id int CONSTRAINT held_pkey PRIMARY KEY)"+still, "INSERT INTO held SELECT generate_series(1, 10000)")
		analyzed(t, srv, db, "half", "fresh", "held")
		// A lock that is waited for stops those who come after, too.
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE held IN ACCESS SHARE MODE")
		linger(t, session(t, srv, pgtest.Superuser, db, "BEGIN"), "LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE fresh IN ACCESS EXCLUSIVE MODE", "REINDEX INDEX half_kind")

		want := map[string]float64{"table locked": 2, "index locked": 4}
		page := anew(t, bloat(t, srv, pgtest.Superuser, db), "pg_bloat_table_locked", func(s snapshot) bool {
			return fmt.Sprint(reasons(s, db)) == fmt.Sprint(want)
		})
		page.succeeded(t, "bloat", "bloat_indexes")
		page.absent(t, "pg_bloat_table_wasted_bytes", "relname", "fresh")
		page.absent(t, "pg_bloat_table_wasted_bytes", "relname", "held")
		page.value(t, "pg_bloat_table_wasted_bytes", "relname", "half")
		page.value(t, "pg_bloat_index_wasted_bytes", "indexrelname", "half_pkey")
	})
}

// TestBloatUncounted judges by the last ANALYZE where the server has lost count,
// as after a crash or on a standby, unless the size has changed since.
func TestBloatUncounted(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, judged...)
		analyzed(t, srv, db, "half", "fresh")
		srv.ExecIn(t, db, "SELECT pg_stat_reset()")
		uncounted := func(s snapshot) bool {
			return s.ratio(t, "table", "relname", "half") > 0.45 && s.ratio(t, "table", "relname", "fresh") < 0.05
		}
		anew(t, bloat(t, srv, pgtest.Superuser, db), "pg_bloat_table_wasted_bytes", uncounted)

		srv.ExecIn(t, db, "UPDATE fresh SET note = note || repeat('n', 100)", "SELECT pg_stat_reset()")
		page := anew(t, bloat(t, srv, pgtest.Superuser, db), "pg_bloat_table_stale", adds("pg_bloat_table_stale", 1, "relname", "fresh"))
		page.absent(t, "pg_bloat_table_wasted_bytes", "relname", "fresh")
	})
}

// TestBloatMeasured: with pg_monitor alone, which is shown no statistics, the worst
// suspects are measured, but for one that is locked.
func TestBloatMeasured(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		srv.Exec(t, "CREATE SCHEMA tools", "GRANT USAGE ON SCHEMA tools TO pgvigil", "CREATE EXTENSION pgstattuple SCHEMA tools")
		for _, table := range []string{"bloated", "whole", "locked"} {
			srv.Exec(t,
				"CREATE TABLE "+table+" (id int CONSTRAINT "+table+"_pkey PRIMARY KEY, pad text)",
				"INSERT INTO "+table+" SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g",
			)
		}
		srv.Exec(t, "DELETE FROM bloated WHERE id % 5 <> 0") // not at the end, which vacuum would cut off
		analyzed(t, srv, "postgres", "bloated", "whole", "locked")
		lock := srv.Conn(t, pgtest.Superuser, "postgres")
		if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE locked"); err != nil {
			t.Fatal(err)
		}
		const waste, size = "pg_bloat_table_wasted_bytes", "pg_bloat_table_size_bytes"
		e := observe(t, srv, nil, quick("bloat")...)
		began := float64(time.Now().Unix())
		page := eventually(t, e, waste, func(s snapshot) bool {
			return len(s.values(waste, "method", "measured")) == 2 && len(s.values("pg_bloat_index_wasted_bytes", "method", "measured")) == 2
		})
		page.succeeded(t, "bloat", "bloat_indexes", "bloat_measured", "bloat_indexes_measured")
		if len(page.values(waste, "method", "estimate")) != 0 {
			t.Errorf("pg_monitor alone has estimates:\n%s", page.text(waste))
		}
		for _, test := range []struct {
			relname    string
			low, high  float64
			index      string
			from, upto float64
		}{
			{"bloated", 0.7, 0.85, "bloated_pkey", 0.7, 0.85},
			{"whole", 0, 0.05, "whole_pkey", 0, 0.05},
		} {
			if got := page.value(t, waste, "relname", test.relname) / page.value(t, size, "relname", test.relname); got < test.low || got > test.high {
				t.Errorf("%s wastes %.3f of itself, want %v to %v", test.relname, got, test.low, test.high)
			}
			got := page.value(t, "pg_bloat_index_wasted_bytes", "indexrelname", test.index) / page.value(t, "pg_bloat_index_size_bytes", "indexrelname", test.index)
			if got < test.from || got > test.upto {
				t.Errorf("%s wastes %.3f of itself, want %v to %v", test.index, got, test.from, test.upto)
			}
			if at := page.value(t, "pg_bloat_table_measured_timestamp_seconds", "relname", test.relname); at < began-1 || at > float64(time.Now().Unix()+1) {
				t.Errorf("%s was measured at %v, began at %v", test.relname, at, began)
			}
		}
		page.value(t, "pg_bloat_table_locked", "relname", "locked")
	})
}
