package collector_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// slowCost has VACUUM and ANALYZE sleep at each page.
const slowCost = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1"

// slowly is a function that an index of an expression calls, in place of which
// slower comes before the index is built anew.
const (
	slowly = "CREATE FUNCTION slowly(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'"
	slower = "CREATE OR REPLACE FUNCTION slowly(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(180); RETURN $1; END'"
)

// paged makes a table with a row a page.
func paged(table string, rows int) []string {
	return []string{
		"CREATE TABLE " + table + " (id int, pad text) WITH (fillfactor = 10, autovacuum_enabled = off)",
		fmt.Sprintf("INSERT INTO %s SELECT g, repeat('x', 1000) FROM generate_series(1, %d) g", table, rows),
	}
}

// progressScene keeps one command of each kind that reports its progress running.
func progressScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	maker := session(t, srv, pgtest.Superuser, "postgres", slowly)
	for _, table := range []string{"being_vacuumed", "being_analyzed", "being_indexed", "being_rewritten", "being_copied"} {
		run(t, maker, paged(table, 300)...)
	}
	run(t, maker, "CREATE INDEX ON being_rewritten (slowly(id))", slower)
	for _, sql := range []string{
		"VACUUM being_vacuumed", "ANALYZE being_analyzed", "CREATE INDEX ON being_indexed (slowly(id))", "VACUUM FULL being_rewritten",
	} {
		linger(t, session(t, srv, pgtest.Superuser, "postgres", slowCost), sql)
	}
	if srv.Major >= 14 {
		copySlowly(t, srv, "being_copied")
	}
	backUp(t, srv, "PROGRESS")
}

// copySlowly copies rows 1 to 9 from a file, without row 2, into a table whose
// trigger stops at row 5. From 17 on the fourth line is not well formed.
func copySlowly(t *testing.T, srv *pgtest.Server, table string) (file string) {
	t.Helper()
	file = srv.Query(t, "postgres", "SHOW data_directory") + "/" + table
	conn := session(t, srv, pgtest.Superuser, "postgres",
		"COPY (SELECT CASE WHEN g = 4 AND current_setting('server_version_num')::int >= 170000 THEN 'x' ELSE g::text END, 'pad' FROM generate_series(1, 9) g) TO '"+file+"'",
		"CREATE FUNCTION "+table+"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 5 THEN PERFORM pg_sleep(180); END IF; RETURN NEW; END'",
		"CREATE TRIGGER slow BEFORE INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION "+table+"()")
	options := ""
	if srv.Major >= 17 {
		options = " WITH (ON_ERROR ignore)"
	}
	linger(t, conn, "COPY "+table+" FROM '"+file+"'"+options+" WHERE id <> 2")
	return file
}

// backUp begins a base backup that takes long, until the end of the test.
func backUp(t *testing.T, srv *pgtest.Server, options ...string) {
	t.Helper()
	command := "BASE_BACKUP (" + strings.Join(append(options, "CHECKPOINT 'fast'", "MAX_RATE 32"), ", ") + ")"
	if srv.Major < 15 {
		command = "BASE_BACKUP " + strings.Join(append(options, "FAST", "MAX_RATE 32"), " ")
	}
	send(t, walsender(t, srv, pgtest.Superuser, "true"), command)
}

// schema makes a schema in the database postgres, which is where names can be
// looked up, and drops it after the test. It is named after a database of the test.
func schema(t *testing.T, srv *pgtest.Server, database string) string {
	t.Helper()
	name := "of_" + database
	conn := session(t, srv, pgtest.Superuser, "postgres", "CREATE SCHEMA "+name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), bound)
		defer cancel()
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	return name
}

// blocks is the size of a table in blocks.
func blocks(t *testing.T, srv *pgtest.Server, database, table string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(srv.Query(t, database, "SELECT pg_relation_size('"+table+"') / 8192"), 64)
	if err != nil || n < 1 {
		t.Fatalf("%s has %v blocks, %v", table, n, err)
	}
	return n
}

// TestStatProgressVacuum vacuums one table of the database we are in, which is
// named, and two of another, which are added up without a name.
func TestStatProgressVacuum(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		in := schema(t, srv, db)
		vacuum := func(database, table string, rows int) {
			conn := session(t, srv, pgtest.Superuser, database, paged(table, rows)...)
			run(t, conn, "CREATE INDEX ON "+table+" (id)", "DELETE FROM "+table, slowCost)
			if srv.Major >= 18 {
				run(t, conn, "SET track_cost_delay_timing = on")
			}
			linger(t, conn, "VACUUM "+table)
		}
		vacuum("postgres", in+".t", 400)
		vacuum(db, "t", 410)
		vacuum(db, "u", 420)

		const metric = "pg_stat_progress_vacuum_"
		named := []string{"datname", "postgres", "schemaname", in, "relname", "t"}
		others := []string{"datname", db, "schemaname", "", "relname", ""}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_progress_vacuum"), metric+"phase", all(
			has(metric+"phase", 1, append(named, "phase", "scanning heap")...),
			has(metric+"phase", 2, append(others, "phase", "scanning heap")...),
			has(metric+"heap_blks", blocks(t, srv, "postgres", in+".t"), named...),
			has(metric+"heap_blks", blocks(t, srv, db, "t")+blocks(t, srv, db, "u"), others...),
			func(s snapshot) bool { return s.sum(metric+"heap_blks_scanned", others...) > 2 },
			func(s snapshot) bool {
				return s.sum(metric+"num_dead_tuples", others...)+s.sum(metric+"num_dead_item_ids", others...) > 0
			},
			func(s snapshot) bool { return srv.Major < 18 || s.sum(metric+"delay_seconds", others...) > 0.1 },
		))
		page.succeeded(t, "stat_progress_vacuum", "stat_progress_vacuum_phase")
		for _, table := range [][]string{named, others} {
			if scanned, all := page.value(t, metric+"heap_blks_scanned", table...), page.value(t, metric+"heap_blks", table...); scanned > all {
				t.Errorf("%v of %v blocks are scanned", scanned, all)
			}
			if v := page.value(t, metric+"index_vacuums", table...) + page.value(t, metric+"heap_blks_vacuumed", table...); v != 0 {
				t.Errorf("while the table is scanned it is vacuumed: %v", v)
			}
		}
		// What was rows is bytes since 17, under another name.
		rows, bytes := []string{"max_dead_tuples", "num_dead_tuples"}, []string{"max_dead_tuple_bytes", "dead_tuple_bytes", "num_dead_item_ids", "indexes"}
		if srv.Major >= 17 {
			rows, bytes = bytes, rows
		}
		for _, name := range rows {
			page.value(t, metric+name, named...)
		}
		for _, name := range bytes {
			page.absent(t, metric+name)
		}

		// Who may not see it knows that something is vacuumed, and nothing else.
		page = eventually(t, watch(t, srv, pgtest.Nobody, "stat_progress_vacuum"), metric+"phase", has(metric+"phase", 2, append(others, "phase", "")...))
		page.succeeded(t, "stat_progress_vacuum", "stat_progress_vacuum_phase")
		page.absent(t, metric+"heap_blks", others...)
		page.absent(t, metric+"phase", "schemaname", in)
	})
}

// TestStatProgressAnalyze analyzes a partitioned table.
func TestStatProgressAnalyze(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		in := schema(t, srv, srv.Database(t))
		conn := session(t, srv, pgtest.Superuser, "postgres", paged(in+".part", 400)...)
		run(t, conn, "CREATE TABLE "+in+".t (id int, pad text) PARTITION BY RANGE (id)",
			"ALTER TABLE "+in+".t ATTACH PARTITION "+in+".part FOR VALUES FROM (1) TO (1000)", slowCost)
		if srv.Major >= 18 {
			run(t, conn, "SET track_cost_delay_timing = on")
		}
		linger(t, conn, "ANALYZE "+in+".t")

		const metric = "pg_stat_progress_analyze_"
		labels := []string{"datname", "postgres", "schemaname", in, "relname", "t"}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_progress_analyze"), metric+"phase", all(
			has(metric+"phase", 1, append(labels, "phase", "acquiring inherited sample rows")...),
			has(metric+"sample_blks", blocks(t, srv, "postgres", in+".part"), labels...),
			func(s snapshot) bool { return s.sum(metric+"sample_blks_scanned", labels...) > 1 },
			func(s snapshot) bool { return srv.Major < 18 || s.sum(metric+"delay_seconds", labels...) > 0.1 },
		))
		page.succeeded(t, "stat_progress_analyze", "stat_progress_analyze_phase")
		for name, want := range map[string]float64{"child_tables": 1, "child_tables_done": 0, "ext_stats": 0, "ext_stats_computed": 0} {
			if v := page.value(t, metric+name, labels...); v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
	})
}

// TestStatProgressCreateIndex builds an index of a partitioned table, and one
// that has to wait for who writes to the table.
func TestStatProgressCreateIndex(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		in := schema(t, srv, db)
		conn := session(t, srv, pgtest.Superuser, "postgres", "SET search_path = "+in, slowly, slower)
		run(t, conn, paged("part", 40)...)
		run(t, conn, "CREATE TABLE t (id int, pad text) PARTITION BY RANGE (id)", "ALTER TABLE t ATTACH PARTITION part FOR VALUES FROM (1) TO (1000)")
		linger(t, conn, "CREATE INDEX ON t (slowly(id))")
		session(t, srv, pgtest.Superuser, db, "CREATE TABLE t (id int)", "BEGIN", "INSERT INTO t VALUES (1)")
		linger(t, session(t, srv, pgtest.Superuser, db), "CREATE INDEX CONCURRENTLY ON t (id)")

		const metric = "pg_stat_progress_create_index_"
		named := []string{"datname", "postgres", "schemaname", in, "relname", "t"}
		other := []string{"datname", db, "schemaname", "", "relname", ""}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_progress_create_index"), metric+"phase", all(
			has(metric+"phase", 1, append(named, "command", "CREATE INDEX", "phase", "building index: scanning table")...),
			has(metric+"blocks", blocks(t, srv, "postgres", in+".part"), named...),
			has(metric+"phase", 1, append(other, "command", "CREATE INDEX CONCURRENTLY", "phase", "waiting for writers before build")...),
			has(metric+"lockers", 1, other...),
		))
		page.succeeded(t, "stat_progress_create_index", "stat_progress_create_index_phase")
		for name, want := range map[string]float64{"partitions": 1, "partitions_done": 0, "lockers": 0, "tuples": 0, "tuples_done": 0} {
			if v := page.value(t, metric+name, named...); v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if v := page.value(t, metric+"lockers_done", other...); v != 0 {
			t.Errorf("%v sessions are waited for no more, and the one is still there", v)
		}
	})
}

// TestStatProgressCluster rewrites a table, under ACCESS EXCLUSIVE, and stops at
// the second of its indexes.
func TestStatProgressCluster(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		in := schema(t, srv, srv.Database(t))
		conn := session(t, srv, pgtest.Superuser, "postgres", "SET search_path = "+in, slowly)
		run(t, conn, paged("t", 40)...)
		run(t, conn, "CREATE INDEX ON t (id)", "CREATE INDEX ON t (slowly(id))", slower)
		linger(t, conn, "VACUUM FULL t")

		const metric = "pg_stat_progress_cluster_"
		labels := []string{"datname", "postgres", "schemaname", in, "relname", "t"}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_progress_cluster"), metric+"phase", all(
			has(metric+"phase", 1, append(labels, "command", "VACUUM FULL", "phase", "rebuilding index")...),
			has(metric+"index_rebuilds", 1, labels...)))
		page.succeeded(t, "stat_progress_cluster", "stat_progress_cluster_phase")
		for name, want := range map[string]float64{
			"heap_tuples_scanned": 40, "heap_tuples_written": 40,
			"heap_blks": 40, "heap_blks_scanned": 40,
		} {
			if v := page.value(t, metric+name, labels...); v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
	})
}

// TestStatProgressCopy copies from a file into a table, and from two clients that
// send nothing into temporary tables, which have no names.
func TestStatProgressCopy(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := watch(t, srv, pgtest.Monitor, "stat_progress_copy")
		if srv.Major < 14 {
			scrapePage(t, e).value(t, "pgvigil_collector_skipped", "collector", "stat_progress_copy", "reason", "version")
			return
		}
		db := srv.Database(t)
		in := schema(t, srv, db)
		srv.Exec(t, paged(in+".t", 1)...)
		file := copySlowly(t, srv, in+".t")
		for range 2 {
			send(t, session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE t (id int)").PgConn(), "COPY t FROM STDIN")
		}

		const metric = "pg_stat_progress_copy_"
		named := []string{"datname", "postgres", "schemaname", in, "relname", "t", "command", "COPY FROM", "type", "FILE"}
		others := []string{"datname", db, "schemaname", "", "relname", "", "command", "COPY FROM", "type", "PIPE"}
		processed, skipped := 3.0, 0.0 // of rows 1 to 4 without 2
		if srv.Major >= 17 {
			processed, skipped = 2, 1
		}
		page := eventually(t, e, metric+"running", all(
			has(metric+"running", 1, named...), has(metric+"running", 2, others...), has(metric+"tuples_processed", processed, named...)))
		page.succeeded(t, "stat_progress_copy")
		size := srv.Query(t, "postgres", "SELECT size FROM pg_stat_file('"+file+"')")
		if v := page.value(t, metric+"size_bytes", named...); strconv.FormatFloat(v, 'f', -1, 64) != size {
			t.Errorf("the file is %v bytes, want %s", v, size)
		}
		if v := page.value(t, metric+"tuples_excluded", named...); v != 1 {
			t.Errorf("%v rows are left out, want 1", v)
		}
		if srv.Major >= 17 && page.value(t, metric+"tuples_skipped", named...) != skipped {
			t.Errorf("the malformed row was not passed over:\n%s", page.text(metric+"tuples_skipped"))
		}
		page.absent(t, metric+"size_bytes", others...)
		if v := page.value(t, metric+"processed_bytes", others...); v != 0 {
			t.Errorf("%v bytes have come from clients that send none", v)
		}
	})
}

// TestStatProgressBasebackup takes a base backup, and then a second whose size
// was not estimated: so that of both is not known.
func TestStatProgressBasebackup(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		const metric = "pg_stat_progress_basebackup_"
		e := watch(t, srv, pgtest.Monitor, "stat_progress_basebackup")
		page := scrapePage(t, e)
		page.succeeded(t, "stat_progress_basebackup", "stat_progress_basebackup_phase")
		page.absent(t, metric+"phase")
		page.absent(t, metric+"backup_streamed_bytes")

		backUp(t, srv, "PROGRESS")
		page = eventually(t, e, metric+"phase", all(
			has(metric+"phase", 1, "phase", "streaming database files"),
			func(s snapshot) bool { return s.sum(metric+"backup_streamed_bytes") > 0 }))
		if size := page.value(t, metric+"backup_bytes"); size < 20<<20 || size < page.value(t, metric+"backup_streamed_bytes") {
			t.Errorf("the backup is %v bytes", size)
		}
		if v := page.value(t, metric+"tablespaces"); v < 1 || page.value(t, metric+"tablespaces_streamed") != 0 {
			t.Errorf("%v tablespaces are backed up:\n%s", v, page.text(metric+"tablespaces_streamed"))
		}

		backUp(t, srv)
		page = eventually(t, e, metric+"phase", has(metric+"phase", 2, "phase", "streaming database files"))
		page.absent(t, metric+"backup_bytes")

		page = scrapePage(t, watch(t, srv, pgtest.Nobody, "stat_progress_basebackup"))
		if v := page.value(t, metric+"phase", "phase", ""); v != 2 {
			t.Errorf("%v backups are known to whom they are hidden, want 2", v)
		}
		page.absent(t, metric+"backup_streamed_bytes")
	})
}
