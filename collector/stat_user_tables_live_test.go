package collector_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// tables returns what makes an engine for stat_user_tables on these databases
// alone, which shows so many tables at most; 0 is as many as declared.
func tables(t *testing.T, srv *pgtest.Server, limit int, databases ...string) func() *scrape.Engine {
	return watchIn(t, srv, limit, databases, collector.StatUserTables)
}

// watchIn returns what makes an engine for these collectors on these databases
// alone, which shows so many label sets at most; 0 is as many as declared.
func watchIn(t *testing.T, srv *pgtest.Server, limit int, databases []string, collectors ...spec.Collector) func() *scrape.Engine {
	options := scrape.Options{
		Collectors: collectors, Logger: testLogger{t},
		Watch: func(database string) bool { return slices.Contains(databases, database) },
	}
	if limit > 0 {
		options.Limits = map[string]int{}
		for _, c := range collectors {
			options.Limits[c.Name] = limit
		}
	}
	return func() *scrape.Engine {
		t.Helper()
		server, err := postgres.New(postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres"), Probe: scrape.Probe(collectors)})
		if err != nil {
			t.Fatal(err)
		}
		e := scrape.New(t.Context(), server, options)
		t.Cleanup(e.Close)
		return e
	}
}

// shownTables lists the tables of a database on a page, as schema.name.
func (s snapshot) shownTables(database string) []string {
	var names []string
	for _, m := range s["pg_stat_user_tables_n_live_tup"].GetMetric() {
		if hasLabels(m, []string{"datname", database}) {
			names = append(names, labelValue(m, "schemaname")+"."+labelValue(m, "relname"))
		}
	}
	slices.Sort(names)
	return names
}

func labelValue(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// viewSQL reads PostgreSQL's own numbers of all tables that have any.
const viewSQL = `SELECT jsonb_object_agg(s.schemaname || '.' || s.relname, to_jsonb(s))
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'`

// TestStatUserTables compares every sample of tables of every kind with
// PostgreSQL's own view, and shows what is never in it.
func TestStatUserTables(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		odd := `odd "name" \ 'of` + "\n" + `table' {x="y"}`
		quoted := pgx.Identifier{odd, odd}.Sanitize()
		const still = " WITH (autovacuum_enabled = off)"
		srv.ExecIn(t, db,
			"CREATE TABLE busy (id int PRIMARY KEY, n int, m int)"+still, "CREATE INDEX ON busy (n)",
			"CREATE TABLE bare (id int)"+still,
			"CREATE TABLE never (id int)"+still, "INSERT INTO never VALUES (1)",
			"CREATE UNLOGGED TABLE unlogged (id int)"+still,
			"CREATE SCHEMA "+pgx.Identifier{odd}.Sanitize(), "CREATE TABLE "+quoted+" (id int)"+still, "INSERT INTO "+quoted+" VALUES (1), (2)",
			"INSERT INTO busy SELECT g, g, g FROM generate_series(1, 1000) g",
			"UPDATE busy SET m = 0 WHERE id <= 50",
			"UPDATE busy SET n = 0 WHERE id <= 30",
			"DELETE FROM busy WHERE id > 900",
			"CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM busy",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing AS SELECT 1 AS id")
		began := srv.Query(t, db, "SELECT clock_timestamp()")
		srv.ExecIn(t, db, "VACUUM busy", "ANALYZE busy", "INSERT INTO busy VALUES (2000, 1, 1)", "DELETE FROM busy WHERE id = 5",
			"SELECT count(*) FROM busy", "SET enable_seqscan = off; SELECT * FROM busy WHERE id = 7; SELECT * FROM busy WHERE n = 8")

		var differ string
		defer func() {
			if t.Failed() {
				t.Log(differ)
			}
		}()
		page := anew(t, tables(t, srv, 0, db), "pg_stat_user_tables_n_tup_ins_total", func(s snapshot) bool {
			differ = compareTables(t, srv, s, db)
			return differ == "" && s.sum("pg_stat_user_tables_n_tup_ins_total", "relname", "busy") == 1001 &&
				s.sum("pg_stat_user_tables_idx_scan_total", "relname", "busy") >= 2
		})
		want := []string{odd + "." + odd, "public.bare", "public.busy", "public.never", "public.summary", "public.unlogged"}
		if got := page.shownTables(db); !slices.Equal(got, want) {
			t.Errorf("the tables are %q, want %q", got, want)
		}
		checkVacuumed(t, page, srv, began)
		page.absent(t, "pg_stat_user_tables_partitions")
		page.absent(t, "pg_stat_user_tables_idx_scan_total", "relname", "bare")
	})
}

// compareTables tells where a page and PostgreSQL's own view are not alike.
func compareTables(t *testing.T, srv *pgtest.Server, s snapshot, db string) string {
	t.Helper()
	rows := viewRows(t, srv, db, viewSQL)
	if got, want := s.shownTables(db), slices.Sorted(maps.Keys(rows)); !slices.Equal(got, want) {
		return fmt.Sprintf("the page has %q, and the view %q", got, want)
	}
	var b strings.Builder
	for _, row := range rows {
		schema, _ := row["schemaname"].(string)
		name, _ := row["relname"].(string)
		b.WriteString(row.differences(s, collector.StatUserTables, "datname", db, "schemaname", schema, "relname", name))
	}
	return b.String()
}

// checkVacuumed wants the times of one table, and of another that was never
// vacuumed none: not 1970.
func checkVacuumed(t *testing.T, page snapshot, srv *pgtest.Server, began string) {
	t.Helper()
	since, err := time.Parse("2006-01-02 15:04:05.999999-07", began)
	if err != nil {
		t.Fatal(err)
	}
	for _, deed := range []string{"vacuum", "analyze"} {
		last := "pg_stat_user_tables_last_" + deed + "_timestamp_seconds"
		checkBetween(t, last, page.value(t, last, "relname", "busy"), since, time.Now())
		page.absent(t, last, "relname", "never")
		page.absent(t, "pg_stat_user_tables_last_auto"+deed+"_timestamp_seconds")
		count := "pg_stat_user_tables_" + deed + "_count_total"
		if v := page.value(t, count, "relname", "busy"); v != 1 {
			t.Errorf("the table was %sd %v times, want 1", deed, v)
		}
		page.absent(t, count, "relname", "never")
		if srv.Major >= 18 && page.value(t, "pg_stat_user_tables_"+deed+"_seconds_total", "relname", "busy") <= 0 {
			t.Errorf("the %s took no time", deed)
		}
	}
	if srv.Major >= 16 {
		for _, scan := range []string{"seq", "idx"} {
			last := "pg_stat_user_tables_last_" + scan + "_scan_timestamp_seconds"
			checkBetween(t, last, page.value(t, last, "relname", "busy"), since, time.Now())
			page.absent(t, last, "relname", "never")
		}
	}
}

// partitioned makes a table whose partitions have partitions, in two schemas: 3
// leaves with 10, 20 and 30 rows.
var partitioned = []string{
	"CREATE SCHEMA parts",
	"CREATE TABLE events (at int, what int) PARTITION BY RANGE (at)",
	"CREATE TABLE parts.early PARTITION OF events FOR VALUES FROM (0) TO (100) PARTITION BY LIST (what)",
	"CREATE TABLE parts.early_1 PARTITION OF parts.early FOR VALUES IN (1) WITH (autovacuum_enabled = off)",
	"CREATE TABLE parts.early_2 PARTITION OF parts.early FOR VALUES IN (2) WITH (autovacuum_enabled = off)",
	"CREATE TABLE late PARTITION OF events FOR VALUES FROM (100) TO (200) WITH (autovacuum_enabled = off)",
	"CREATE INDEX ON events (at)",
	"INSERT INTO events SELECT 1, 1 FROM generate_series(1, 10)",
	"INSERT INTO events SELECT 2, 2 FROM generate_series(1, 20)",
	"INSERT INTO events SELECT 150, 3 FROM generate_series(1, 30)",
	"SELECT count(*) FROM events",
}

// TestStatUserTablesLocked holds tables, partitions and a partition root under
// ACCESS EXCLUSIVE: the page comes at once and has them all.
func TestStatUserTablesLocked(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		srv.ExecIn(t, db, "CREATE TABLE plain (id int PRIMARY KEY)", "INSERT INTO plain VALUES (1)",
			"CREATE TABLE others (id int) PARTITION BY RANGE (id)", "CREATE TABLE others_1 PARTITION OF others DEFAULT", "INSERT INTO others VALUES (1)")
		open := tables(t, srv, 0, db)
		arrived := all(adds("pg_stat_user_tables_n_live_tup", 60, "relname", "events"),
			adds("pg_stat_user_tables_n_live_tup", 1, "relname", "plain"), adds("pg_stat_user_tables_n_live_tup", 1, "relname", "others"))
		anew(t, open, "pg_stat_user_tables_n_live_tup", arrived)

		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE",
			"LOCK TABLE plain, others_1 IN ACCESS EXCLUSIVE MODE", "REINDEX TABLE plain", "ALTER TABLE plain ADD COLUMN n int")
		began := time.Now()
		page := scrapePage(t, open())
		// It takes a tenth of a second, on a machine with nothing else to do.
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the page took %v", took)
		}
		page.succeeded(t, "stat_user_tables")
		if got, want := page.shownTables(db), []string{"public.events", "public.others", "public.plain"}; !slices.Equal(got, want) {
			t.Errorf("the tables are %q, want %q", got, want)
		}
		if !arrived(page) {
			t.Errorf("a lock has changed the numbers:\n%s", page.text("pg_stat_user_tables_n_live_tup"))
		}
	})
}

// tableTrial refreshes a collector of one database whenever it is told to, on one
// engine's memory.
type tableTrial struct {
	c       spec.Collector
	trial   *scrape.Trial
	session *postgres.Session
	now     time.Time
}

func newTableTrial(t *testing.T, srv *pgtest.Server, database string, c spec.Collector) *tableTrial {
	t.Helper()
	server, err := postgres.New(postgres.Config{ConnString: srv.DSN(pgtest.Monitor, database)})
	if err != nil {
		t.Fatal(err)
	}
	session, err := server.Main(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context()) // which is over by now
		server.Release(ctx, session)
		server.Close(ctx)
	})
	return &tableTrial{c: c, trial: scrape.NewTrial(c), session: session, now: time.Unix(1700000000, 0)}
}

// refresh is a run a minute after the one before.
func (r *tableTrial) refresh(t *testing.T) snapshot {
	t.Helper()
	r.now = r.now.Add(time.Minute)
	sql, skip, err := r.trial.SQL(r.session.Facts, spec.Primary)
	if err != nil || skip != "" {
		t.Fatalf("no SQL: skip %q, %v", skip, err)
	}
	s := snapshot{}
	query := postgres.Query{Name: r.c.Name, SQL: sql, Timeout: bound}
	if err := r.session.Run(t.Context(), []postgres.Query{query}, func(_ int, result postgres.Result) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		run := spec.Run{Now: r.now, Database: r.session.Database(), Role: spec.Primary}
		fams, err := r.trial.Page(run, r.session.Facts, result.Rows, result.Dropped)
		if err != nil {
			t.Fatal(err)
		}
		gathered, err := page.Gatherer(func() []page.Family { return fams }).Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range gathered {
			s[f.GetName()] = f
		}
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// settle refreshes until ok holds: before 15 statistics come in their own time.
func (r *tableTrial) settle(t *testing.T, ok func(snapshot) bool) snapshot {
	t.Helper()
	var s snapshot
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if s = r.refresh(t); ok(s) {
			return s
		}
	}
	t.Fatalf("the statistics never came:\n%s", s.text(r.c.FullName(r.c.Metrics[0].Name)))
	return nil
}

// TestStatUserTablesPartitions rolls partitions of partitions up into their
// root, and lets no counter fall when they are detached, dropped or attached.
func TestStatUserTablesPartitions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		trial := newTableTrial(t, srv, db, collector.StatUserTables)
		last := trial.settle(t, func(s snapshot) bool {
			return s.sum("pg_stat_user_tables_n_tup_ins_total") == 60 && s.sum("pg_stat_user_tables_seq_scan_total") >= 3
		})
		for _, step := range []struct {
			sql              string
			tables           []string
			partitions, live float64 // of the first table
		}{
			{"ANALYZE events", []string{"public.events"}, 3, 60},
			{"DROP TABLE parts.early_2", []string{"public.events"}, 2, 40},
			{"ALTER TABLE events DETACH PARTITION late", []string{"public.events", "public.late"}, 1, 10},
			{"ALTER TABLE events ATTACH PARTITION late FOR VALUES FROM (100) TO (200)", []string{"public.events"}, 2, 40},
			{"INSERT INTO events SELECT 150, 3 FROM generate_series(1, 5)", []string{"public.events"}, 2, 45},
			{"ALTER TABLE events RENAME TO history", []string{"public.history"}, 2, 45},
			{"SELECT pg_stat_reset()", []string{"public.history"}, 2, 0},
		} {
			srv.ExecIn(t, db, step.sql)
			name := strings.TrimPrefix(step.tables[0], "public.")
			page := trial.settle(t, all(adds("pg_stat_user_tables_n_live_tup", step.live, "relname", name),
				adds("pg_stat_user_tables_partitions", step.partitions, "relname", name)))
			if got := page.shownTables(db); !slices.Equal(got, step.tables) {
				t.Errorf("after %s the tables are %q, want %q", step.sql, got, step.tables)
			}
			checkNoneFell(t, step.sql, last, page)
			last = page
		}
	})
}

// checkNoneFell fails for a counter that is less than it was.
func checkNoneFell(t *testing.T, deed string, before, after snapshot) {
	t.Helper()
	for metric, family := range before {
		for _, m := range family.GetMetric() {
			if m.Counter == nil {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName(), l.GetValue())
			}
			for _, now := range after.values(metric, labels...) {
				if now < number(m) {
					t.Errorf("after %s %s%v fell from %v to %v", deed, metric, labels, number(m), now)
				}
			}
		}
	}
}

// TestStatUserTablesDatabaseGone drops a database and renames another between
// two scrapes: their series go, and nothing fails.
func TestStatUserTablesDatabaseGone(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		dropped, old, renamed := srv.Database(t), srv.Database(t), srv.Database(t)
		srv.Exec(t, "DROP DATABASE "+renamed) // its name is free, and is dropped in the end
		for _, db := range []string{dropped, old} {
			srv.ExecIn(t, db, "CREATE TABLE stock (id int)")
		}
		e := tables(t, srv, 0, dropped, old, renamed)()
		page := scrapePage(t, e)
		for _, db := range []string{dropped, old} {
			page.value(t, "pg_stat_user_tables_n_live_tup", "datname", db, "relname", "stock")
		}

		srv.Exec(t, "DROP DATABASE "+dropped+" WITH (FORCE)", "ALTER DATABASE "+old+" RENAME TO "+renamed)
		page = scrapePage(t, e)
		page.value(t, "pg_stat_user_tables_n_live_tup", "datname", renamed, "relname", "stock")
		for name, family := range page {
			for _, m := range family.GetMetric() {
				if db := labelValue(m, "datname"); db == dropped || db == old {
					t.Errorf("%s still has a series of the database %s", name, db)
				}
			}
		}
		page.absent(t, "pgvigil_collector_failures_total")
		page.succeeded(t, "stat_user_tables")
	})
}

// TestStatUserTablesOther has more tables than may be shown: those left are added
// up for each database, and nothing is lost.
func TestStatUserTablesOther(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		const limit, many = 5, 8
		one, two := srv.Database(t), srv.Database(t)
		for _, db := range []string{one, two} {
			var script strings.Builder
			for i := range many {
				fmt.Fprintf(&script, "CREATE TABLE t%d (id int) WITH (autovacuum_enabled = off); INSERT INTO t%d SELECT generate_series(1, %d);", i, i, 10+i)
			}
			srv.ExecIn(t, db, script.String())
		}
		total := float64(many*10 + many*(many-1)/2)
		page := anew(t, tables(t, srv, limit, one, two), "pg_stat_user_tables_n_live_tup", all(
			adds("pg_stat_user_tables_n_live_tup", total, "datname", one), adds("pg_stat_user_tables_n_live_tup", total, "datname", two)))
		folded := 0.0
		for _, db := range []string{one, two} {
			other := []string{"datname", db, "schemaname", "other", "relname", "other"}
			rest := page.value(t, "pg_stat_user_tables_n_live_tup", other...)
			if rest <= 0 || rest > total {
				t.Errorf("the rest of %s has %v rows of %v", db, rest, total)
			}
			// A table that was shown and then folded does not bring what it has counted before.
			if v := page.sum("pg_stat_user_tables_n_tup_ins_total", "datname", db); v <= 0 || v > total {
				t.Errorf("%v rows were inserted in %s, want at most %v", v, db, total)
			}
			in := page.value(t, "pgvigil_collector_folded", "collector", "stat_user_tables", "datname", db)
			if shown := len(page.shownTables(db)) - 1; float64(shown)+in != many {
				t.Errorf("of %d tables of %s %d are shown and %v folded", many, db, shown, in)
			}
			folded += in
		}
		if want := float64(2*many - limit); folded != want {
			t.Errorf("%v tables are folded, want %v", folded, want)
		}
	})
}
