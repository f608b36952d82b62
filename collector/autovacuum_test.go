package collector_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// autovacuumScene keeps a table due: a worker passes by a table that is locked.
func autovacuumScene(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	primary.Exec(t, "CREATE TABLE queue (id int)", "INSERT INTO queue SELECT generate_series(1, 2000)")
	session(t, primary, pgtest.Superuser, "postgres", "BEGIN", "LOCK TABLE queue IN SHARE UPDATE EXCLUSIVE MODE")
}

// engines returns what makes an engine for a flag anew, without what was read before.
func engines(t *testing.T, srv *pgtest.Server, flag string) func() *scrape.Engine {
	return func() *scrape.Engine {
		t.Helper()
		return watch(t, srv, pgtest.Monitor, flag)
	}
}

// TestAutovacuumWorkers has one worker vacuum slowly, as it likes and to prevent
// wraparound, and then switches autovacuum off.
func TestAutovacuumWorkers(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"autovacuum_naptime": "1s", "autovacuum_max_workers": "4",
		}})
		const slowly = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_analyze_threshold = 1000000"
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "autovacuum")
		page := scrapePage(t, e)
		checkNumbers(t, page, map[string]float64{"pg_autovacuum_enabled": 1, "pg_autovacuum_max_workers": 4})
		if major >= 18 {
			checkNumbers(t, page, map[string]float64{"pg_autovacuum_worker_slots": 16})
		}

		srv.ExecIn(t, db,
			"CREATE TABLE slow (id int) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, "+slowly+")",
			"INSERT INTO slow SELECT generate_series(1, 100000)", "DELETE FROM slow")
		eventually(t, e, "pg_autovacuum_workers", func(s snapshot) bool { return s.sum("pg_autovacuum_workers") >= 1 })
		if n := page.value(t, "pg_autovacuum_wraparound_workers"); n != 0 {
			t.Errorf("%v workers prevent wraparound, and nothing is old", n)
		}

		srv.ExecIn(t, db,
			"CREATE TABLE old (id int) WITH (autovacuum_freeze_max_age = 100000, autovacuum_vacuum_insert_threshold = -1, "+slowly+")",
			"INSERT INTO old SELECT generate_series(1, 100000)",
			spendTransactions)
		eventually(t, e, "pg_autovacuum_wraparound_workers", adds("pg_autovacuum_wraparound_workers", 1))

		srv.Exec(t, "ALTER SYSTEM SET track_counts = off", "SELECT pg_reload_conf()")
		eventually(t, e, "pg_autovacuum_enabled", has("pg_autovacuum_enabled", 0))
		srv.Exec(t, "ALTER SYSTEM RESET track_counts", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
		eventually(t, e, "pg_autovacuum_enabled", has("pg_autovacuum_enabled", 0))
		srv.Exec(t, "ALTER SYSTEM SET track_activities = off", "SELECT pg_reload_conf()")
		eventually(t, e, "pg_autovacuum_wraparound_workers", func(s snapshot) bool {
			return len(s.values("pg_autovacuum_wraparound_workers")) == 0 && s["pg_autovacuum_workers"] != nil
		})
	})
}

// spendTransactions uses up as many transaction ids as the least that may be
// asked of autovacuum_freeze_max_age, and spendMultixacts as many multixact ids:
// each row of the table is locked by a transaction and one of its own below it.
const (
	spendTransactions = "DO $$ BEGIN FOR i IN 1..100010 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"
	spendMultixacts   = `DO $$ BEGIN
  PERFORM 1 FROM multi FOR KEY SHARE;
  FOR i IN 1..10010 LOOP
    BEGIN
      PERFORM 1 FROM multi WHERE id = i FOR NO KEY UPDATE;
    EXCEPTION WHEN division_by_zero THEN
    END;
  END LOOP;
END $$`
)

// triggers are pairs of tables, one at a trigger and one a row beyond it, by their
// names. None but the trigger it is about is within reach.
type triggers struct{ tables, vacuum, changes []string }

func (s *triggers) pair(name, options, change string, at int) {
	for suffix, n := range map[string]int{"_at": at, "_past": at + 1} {
		table := name + suffix
		s.tables = append(s.tables,
			"CREATE TABLE "+table+" (id int, filler text) WITH ("+options+")",
			"ALTER TABLE "+table+" ALTER filler SET STORAGE EXTERNAL",
			"INSERT INTO "+table+" SELECT generate_series(1, 1000)")
		s.vacuum = append(s.vacuum, "VACUUM ANALYZE "+table)
		s.changes = append(s.changes, fmt.Sprintf(change, table, n))
	}
}

func triggersOf(major int) *triggers {
	const (
		noVacuum  = "autovacuum_vacuum_threshold = 1000000"
		noInsert  = "autovacuum_vacuum_insert_threshold = -1"
		noAnalyze = "autovacuum_analyze_threshold = 1000000"

		del     = "DELETE FROM %s WHERE id <= %d"
		insert  = "INSERT INTO %s SELECT generate_series(1, %d)"
		replace = "DO $$ BEGIN INSERT INTO %[1]s SELECT -g, repeat('x', 3000) FROM generate_series(1, %[2]d) g; DELETE FROM %[1]s WHERE id < 0; END $$"
	)
	var s triggers
	s.pair("dead", noInsert+", "+noAnalyze, del, 250)
	s.pair("changed", noVacuum+", "+noInsert, del, 150)
	s.pair("moved", noInsert+", "+noAnalyze+", autovacuum_vacuum_threshold = 5, autovacuum_vacuum_scale_factor = 0.01", del, 15)
	// The options of a TOAST table are its own if it has any, and are else those of its
	// table. Each of these values is two rows of it.
	s.pair("toasted", noVacuum+", "+noInsert+", "+noAnalyze+", toast.autovacuum_vacuum_threshold = 20", replace, 10)
	s.pair("heir", "autovacuum_vacuum_threshold = 20, autovacuum_vacuum_scale_factor = 1, "+noInsert+", "+noAnalyze, replace, 10)
	inserts := 1200 // 1000 + 0.2 * 1000
	if major >= 18 {
		inserts = 1150 // of what is not frozen
		s.pair("most", noInsert+", "+noAnalyze+", autovacuum_vacuum_max_threshold = 30", del, 30)
		s.changes = append(s.changes, "UPDATE pg_class SET relallfrozen = 25 WHERE relname LIKE 'inserted%'")
	}
	s.pair("inserted", noVacuum+", "+noAnalyze, insert, inserts)
	s.changes = append(s.changes,
		"UPDATE pg_class SET relpages = 100, relallvisible = 100 WHERE relname LIKE '%_at' OR relname LIKE '%_past'",
		"CREATE TABLE parts (id int) PARTITION BY RANGE (id)",
		"CREATE TABLE part_past PARTITION OF parts DEFAULT WITH ("+noInsert+", "+noAnalyze+", autovacuum_vacuum_threshold = 0)",
		"INSERT INTO parts VALUES (1)", "DELETE FROM parts",
		// Left alone, and yet forced.
		"CREATE TABLE multi (id int PRIMARY KEY) WITH (autovacuum_enabled = false, autovacuum_multixact_freeze_max_age = 10000)",
		"INSERT INTO multi SELECT generate_series(1, 10010)", spendMultixacts,
		"CREATE TABLE multi_young (id int) WITH (autovacuum_multixact_freeze_max_age = 10000)",
		"CREATE TABLE old (id int) WITH (autovacuum_enabled = off, autovacuum_freeze_max_age = 100000)",
		"CREATE TABLE old_toast (id int, filler text) WITH (toast.autovacuum_freeze_max_age = 100000)",
		spendTransactions,
		"CREATE TABLE young (id int) WITH (autovacuum_freeze_max_age = 100000)",
		"CREATE TABLE alone (id int) WITH (autovacuum_enabled = 0)", "INSERT INTO alone SELECT generate_series(1, 2000)",
		"CREATE TABLE half (id int, filler text) WITH (toast.autovacuum_enabled = no)",
		// Catalogs are due as well, after so many tables.
		"VACUUM ANALYZE pg_class", "VACUUM ANALYZE pg_attribute", "VACUUM ANALYZE pg_type", "VACUUM ANALYZE pg_depend",
		"VACUUM ANALYZE pg_index", "VACUUM ANALYZE pg_constraint", "VACUUM pg_statistic",
	)
	return &s
}

// make makes the tables, and changes them when the statistics know that they are
// vacuumed: what a session has done comes there after it, at the latest.
func (s *triggers) make(t *testing.T, srv *pgtest.Server, db string) {
	t.Helper()
	srv.ExecIn(t, db, s.tables...)
	const settled = "SELECT count(*)::text FROM pg_stat_user_tables WHERE n_tup_ins = 1000"
	for began := time.Now(); srv.Query(t, db, settled) != strconv.Itoa(len(s.tables)/3); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > bound {
			t.Fatal("the statistics never told of the tables")
		}
	}
	srv.ExecIn(t, db, s.vacuum...)
	srv.ExecIn(t, db, s.changes...)
}

// TestAutovacuumTables compares what is due with what PostgreSQL takes once
// autovacuum is on: tables at a trigger are not due, those a row past it are.
func TestAutovacuumTables(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off", "autovacuum_naptime": "1s"}})
		db := srv.Database(t)
		triggersOf(major).make(t, srv, db)
		due := []string{"changed_past", "dead_past", "heir_past", "inserted_past", "moved_past", "multi", "old", "old_toast", "part_past", "toasted_past"}
		vacuum := 5.0
		if major >= 18 {
			due = append(due, "most_past")
			vacuum++
		}
		labels := []string{"datname", db}
		name := func(relname string) []string {
			return append(slices.Clone(labels), "schemaname", "public", "relname", relname)
		}
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE young, dead_at IN ACCESS EXCLUSIVE MODE")

		page := anew(t, engines(t, srv, "autovacuum"), "pg_autovacuum_table_vacuum_ratio", all(
			adds("pg_autovacuum_vacuum_due_tables", vacuum, labels...),
			adds("pg_autovacuum_insert_due_tables", 1, labels...),
			adds("pg_autovacuum_analyze_due_tables", 1, labels...),
			adds("pg_autovacuum_disabled_due_tables", 2, labels...)))
		whole := append(slices.Clone(labels), "schemaname", "", "relname", "")
		for metric, want := range map[string]float64{"freeze_due_tables": 2, "multixact_due_tables": 1, "disabled_tables": 4} {
			if got := page.value(t, "pg_autovacuum_"+metric, whole...); got != want {
				t.Errorf("%s is %v, want %v", metric, got, want)
			}
		}
		if got := page.value(t, "pg_autovacuum_vacuum_due_bytes", whole...); got < 5*100*8192 || got > 8*100*8192 {
			t.Errorf("%v bytes are due; five tables or more have 100 pages each", got)
		}
		for relname, metric := range map[string]string{
			"dead_past": "vacuum", "inserted_past": "insert", "changed_past": "analyze", "heir_past": "vacuum", "toasted_past": "vacuum",
			"moved_past": "vacuum", "old_toast": "freeze", "old": "freeze", "multi": "multixact",
		} {
			if got := page.value(t, "pg_autovacuum_table_"+metric+"_ratio", name(relname)...); got < 1 || got > 1.2 {
				t.Errorf("%s has the %s ratio %v", relname, metric, got)
			}
		}
		if v := page.value(t, "pg_autovacuum_table_vacuum_ratio", name("moved_past")...); v != 1 {
			t.Errorf("16 dead rows over 16 are %v", v)
		}
		page.absent(t, "pg_autovacuum_table_vacuum_ratio", name("old")...)

		srv.Exec(t, "ALTER SYSTEM SET autovacuum = on", "SELECT pg_reload_conf()")
		slices.Sort(due)
		awaitTaken(t, srv, db, due)
	})
}

// awaitTaken waits until autovacuum has taken the tables, and fails if it has
// taken any other: it decides on all of them before it takes the first.
func awaitTaken(t *testing.T, srv *pgtest.Server, db string, want []string) {
	t.Helper()
	const takenSQL = `
SELECT coalesce(string_agg(DISTINCT c.relname, ' ' ORDER BY c.relname), '')
  FROM pg_stat_all_tables s
  JOIN pg_class c ON s.relid IN (c.oid, c.reltoastrelid)
 WHERE c.relnamespace = 'public'::regnamespace AND s.autovacuum_count + s.autoanalyze_count > 0`
	var taken []string
	for began := time.Now(); time.Since(began) < bound; time.Sleep(100 * time.Millisecond) {
		taken = strings.Fields(srv.Query(t, db, takenSQL))
		if len(taken) >= len(want) {
			break
		}
	}
	if !slices.Equal(taken, want) {
		t.Errorf("autovacuum has taken %q, and due were %q", taken, want)
	}
}

// TestAutovacuumTablesMost has more tables due than are named, and a shared
// catalog, which is no database's own.
func TestAutovacuumTablesMost(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		db := srv.Database(t)
		for i := range 12 {
			srv.ExecIn(t, db, fmt.Sprintf("CREATE TABLE t%02d (id int) WITH (autovacuum_vacuum_insert_threshold = -1)", i),
				fmt.Sprintf("INSERT INTO t%02d SELECT generate_series(1, %d)", i, 1000+100*i))
		}
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing AS SELECT generate_series(1, 5000)")
		srv.Exec(t, "DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE 'CREATE ROLE r' || i; EXECUTE 'DROP ROLE r' || i; END LOOP; END $$")
		page := anew(t, engines(t, srv, "autovacuum"), "pg_autovacuum_analyze_due_tables",
			adds("pg_autovacuum_analyze_due_tables", 12, "datname", db))
		shown := page.named("pg_autovacuum_table_analyze_ratio", "relname", "datname", db)
		if len(shown) != 10 || shown["t00"] || shown["t01"] || !shown["t02"] {
			t.Errorf("of twelve tables these are named: %v", shown)
		}
	})
}
