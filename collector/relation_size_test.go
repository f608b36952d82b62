package collector_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const (
	tableSize   = "pg_stat_user_tables_table_size_bytes"
	indexSize   = "pg_stat_user_tables_index_size_bytes"
	toastSize   = "pg_relation_size_toast_bytes"
	catalogSize = "pg_relation_size_catalog_bytes"
	estimated   = "pg_relation_size_estimated_bytes"
	lockedTable = "pg_relation_size_locked_relations"
)

func sizes(t *testing.T, srv *pgtest.Server, limit int, databases ...string) func() *scrape.Engine {
	return watchIn(t, srv, limit, databases, collector.RelationSize)
}

// bytesOf asks PostgreSQL for a number of bytes.
func bytesOf(t *testing.T, srv *pgtest.Server, database, sql string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(srv.Query(t, database, "SELECT "+sql), 64)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// checkSize compares a table's samples with PostgreSQL's own functions.
func checkSize(t *testing.T, srv *pgtest.Server, page snapshot, database, schema, table string) {
	t.Helper()
	oid := "'" + strings.ReplaceAll(pgx.Identifier{schema, table}.Sanitize(), "'", "''") + "'::regclass"
	labels := []string{"datname", database, "schemaname", schema, "relname", table}
	for metric, sql := range map[string]string{
		tableSize: "pg_table_size(" + oid + ")", indexSize: "pg_indexes_size(" + oid + ")",
		toastSize: "(SELECT pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid = " + oid + " AND reltoastrelid <> 0)",
	} {
		if srv.Query(t, database, "SELECT "+sql) == "" {
			page.absent(t, metric, labels...)
		} else if got, want := page.value(t, metric, labels...), bytesOf(t, srv, database, sql); got != want {
			t.Errorf("%s%q is %v, want %v", metric, labels, got, want)
		}
	}
	page.absent(t, estimated, labels...)
	page.absent(t, lockedTable, labels...)
}

// TestRelationSize measures tables of every kind, one that no VACUUM or ANALYZE
// has ever seen among them, and the catalogs.
func TestRelationSize(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		odd := pgx.Identifier{oddName, oddName}.Sanitize()
		const still = " WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)"
		srv.ExecIn(t, db,
			"CREATE TABLE docs (id int PRIMARY KEY, doc text)"+still, "ALTER TABLE docs ALTER doc SET STORAGE EXTERNAL",
			"INSERT INTO docs SELECT g, repeat('x', 10000) FROM generate_series(1, 100) g", "CREATE INDEX ON docs (id)", "VACUUM docs",
			"CREATE TABLE unseen (id int, n int) WITH (autovacuum_enabled = off)", "INSERT INTO unseen SELECT g, g FROM generate_series(1, 10000) g",
			"CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY) WITH (autovacuum_enabled = off)", "INSERT INTO unlogged VALUES (1)",
			"CREATE TABLE bare (id int)", "CREATE MATERIALIZED VIEW summary AS SELECT id FROM docs",
			"CREATE SCHEMA "+pgx.Identifier{oddName}.Sanitize(), "CREATE TABLE "+odd+" (id int) WITH (autovacuum_enabled = off)", "INSERT INTO "+odd+" VALUES (1)",
		)
		srv.ExecIn(t, db, partitioned...)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing AS SELECT 1 AS id")
		open := sizes(t, srv, 0, db)
		const catalogs = `(SELECT sum(pg_total_relation_size(oid)) FROM pg_class
 WHERE relkind = 'r' AND NOT relisshared AND relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace))`
		// Autovacuum may be at the catalogs.
		page := anew(t, open, catalogSize, func(s snapshot) bool { return s.sum(catalogSize) == bytesOf(t, srv, db, catalogs) })
		page.succeeded(t, "relation_size")
		for _, table := range []string{"docs", "unseen", "unlogged", "bare", "summary"} {
			checkSize(t, srv, page, db, "public", table)
		}
		checkSize(t, srv, page, db, oddName, oddName)
		if v := page.value(t, toastSize, "relname", "docs"); v < 1e6 {
			t.Errorf("a million bytes of TOAST data are %v", v)
		}
		if v := page.value(t, tableSize, "relname", "unseen"); v < 300e3 {
			t.Errorf("the table that no vacuum has seen has %v bytes", v)
		}
		page.absent(t, tableSize, "relname", "passing")
		page.absent(t, tableSize, "schemaname", "pg_catalog")
		page.absent(t, catalogSize, "schemaname", "public")
		leaves := func(function string) float64 {
			return bytesOf(t, srv, db, "sum("+function+"(relid)) FROM pg_partition_tree('events')")
		}
		for metric, function := range map[string]string{tableSize: "pg_table_size", indexSize: "pg_indexes_size"} {
			if got, want := page.value(t, metric, "relname", "events"), leaves(function); got != want || got == 0 {
				t.Errorf("%s of three partitions is %v, want %v", metric, got, want)
			}
		}
		page.absent(t, tableSize, "relname", "late")

		srv.ExecIn(t, db, "DROP TABLE parts.early_1", "ALTER TABLE unseen RENAME TO seen")
		page = scrapePage(t, open())
		if got, want := page.value(t, tableSize, "relname", "events"), leaves("pg_table_size"); got != want {
			t.Errorf("the bytes of two partitions are %v, want %v", got, want)
		}
		checkSize(t, srv, page, db, "public", "seen")
		page.absent(t, tableSize, "relname", "unseen")
	})
}

// TestRelationSizeLocked locks tables, an index, a TOAST table's index and a
// partition, and waits to lock one: none holds the page up, each is counted, and
// what was once vacuumed is estimated. The parent of a partition may be locked.
func TestRelationSizeLocked(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		var script strings.Builder
		tables := []string{"free", "direct", "by_index", "by_toast", "queued", "unseen"}
		for _, table := range tables {
			fmt.Fprintf(&script, `
CREATE TABLE %[1]s (id int, doc text) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX %[1]s_id ON %[1]s (id);
INSERT INTO %[1]s SELECT g, 'x' FROM generate_series(1, 2000) g;`, table)
		}
		srv.ExecIn(t, db, script.String(), "VACUUM ANALYZE free, direct, by_index, by_toast, queued")
		srv.ExecIn(t, db, partitioned...)
		srv.ExecIn(t, db, "ANALYZE parts.early_1", "ANALYZE parts.early_2", "ANALYZE late")
		toast := srv.Query(t, db, "SELECT i.indexrelid::regclass FROM pg_class c JOIN pg_index i ON i.indrelid = c.reltoastrelid WHERE c.oid = 'by_toast'::regclass")
		truth := bytesOf(t, srv, db, "pg_table_size('direct')")
		indexes := bytesOf(t, srv, db, "pg_indexes_size('direct')")

		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE direct, unseen IN ACCESS EXCLUSIVE MODE", "LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE",
			"LOCK TABLE ONLY parts.early IN ACCESS EXCLUSIVE MODE")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE late IN ACCESS EXCLUSIVE MODE")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "REINDEX INDEX by_index_id")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "REINDEX INDEX "+toast)
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE queued IN ACCESS SHARE MODE")
		linger(t, session(t, srv, pgtest.Superuser, db, "BEGIN"), "LOCK TABLE queued IN ACCESS EXCLUSIVE MODE")
		for began := time.Now(); srv.Query(t, db, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'queued'::regclass") != "1"; time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > bound {
				t.Fatal("nobody waits for the lock")
			}
		}

		began := time.Now()
		page := scrapePage(t, sizes(t, srv, 0, db)())
		// It takes a tenth of a second, on a machine with nothing else to do.
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the page took %v", took)
		}
		page.succeeded(t, "relation_size")
		checkSize(t, srv, page, db, "public", "free")
		for _, table := range []string{"direct", "by_index", "by_toast", "queued", "unseen", "events"} {
			if v := page.value(t, lockedTable, "relname", table); v != 1 {
				t.Errorf("%s has %v locked relations, want 1", table, v)
			}
		}
		if v := page.sum(lockedTable, "datname", db); v != 6 {
			t.Errorf("%v relations are locked, want 6", v)
		}
		page.absent(t, tableSize, "relname", "unseen")
		for _, table := range []string{"direct", "by_index", "by_toast", "queued"} {
			// relpages has no free space map and no visibility map.
			if v := page.value(t, tableSize, "relname", table); v > truth || v < truth-6*8192 {
				t.Errorf("%s has about %v bytes, want %v", table, v, truth)
			}
			if v := page.value(t, indexSize, "relname", table); v != indexes {
				t.Errorf("the index of %s has %v bytes, want %v", table, v, indexes)
			}
			if v := page.value(t, estimated, "relname", table) - page.value(t, tableSize, "relname", table); v != indexes {
				t.Errorf("%v bytes of the index of %s are estimated, want %v", v, table, indexes)
			}
		}
		if v := page.value(t, tableSize, "relname", "events"); v != 3*8192 {
			t.Errorf("three partitions of a page each, one of them locked, are %v bytes", v)
		}
	})
}

// TestRelationSizeOther has more tables than are measured or shown. The largest of
// both databases are, the one that no vacuum has seen among them, and what is
// shown and the rest add up to what PostgreSQL says.
func TestRelationSizeOther(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		const limit, many = 4, 120
		one, two := srv.Database(t), srv.Database(t)
		for _, db := range []string{one, two} {
			var small, large, empty strings.Builder
			for i := range many {
				fmt.Fprintf(&small, "CREATE TABLE small%d WITH (autovacuum_enabled = off) AS SELECT 1 AS id; ANALYZE small%d;", i, i)
				fmt.Fprintf(&empty, "CREATE TABLE empty%d (id int) WITH (autovacuum_enabled = off);", i)
			}
			for i := range 2 {
				fmt.Fprintf(&large, "CREATE TABLE large%d WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 60000) AS id; ANALYZE large%d;", i, i)
			}
			// Then newer ones, of which there are more than are measured for being new.
			srv.ExecIn(t, db, small.String(), "CREATE TABLE unseen WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 80000) AS id", empty.String())
			if db == one {
				srv.ExecIn(t, db, large.String())
			}
		}
		const user = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
		page := anew(t, sizes(t, srv, limit, one, two), tableSize, func(s snapshot) bool {
			// It is measured once its rows have been counted, which before 15 takes its time.
			return len(s.values(tableSize, "relname", "unseen")) == 2 && s.sum(tableSize, "datname", two) == bytesOf(t, srv, two, "sum(pg_table_size(oid)) "+user)
		})
		for _, db := range []string{one, two} {
			if got, want := page.sum(tableSize, "datname", db), bytesOf(t, srv, db, "sum(pg_table_size(oid)) "+user); got != want {
				t.Errorf("the tables of %s add up to %v bytes, want %v", db, got, want)
			}
			if v := page.value(t, estimated, "datname", db, "relname", "other"); v < 20*8192 {
				t.Errorf("%v bytes of %s are estimated, want those of 20 tables at least", v, db)
			}
			checkSize(t, srv, page, db, "public", "unseen")
			catalogs := bytesOf(t, srv, db, "sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND NOT relisshared AND relnamespace <> 'public'::regnamespace")
			if v := page.sum(catalogSize, "datname", db, "relname", "other"); v > catalogs || v < catalogs/2 {
				t.Errorf("the catalogs of %s add up to %v bytes, want about %v", db, v, catalogs)
			}
		}
		checkSize(t, srv, page, one, "public", "large0")
		checkSize(t, srv, page, one, "public", "large1")
		if shown := len(page.values(tableSize)); shown != limit+2 {
			t.Errorf("%d tables and remainders are shown, want %d", shown, limit+2)
		}
	})
}
