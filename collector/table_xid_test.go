package collector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

const (
	xidAge  = "pg_table_xid_relfrozenxid_age"
	mxidAge = "pg_table_xid_relminmxid_age"
)

// aged gives a relation's oldest ids an age, as no vacuum for a long time would.
func aged(relation string, xids, mxids int) string {
	return fmt.Sprintf(`UPDATE pg_class
   SET relfrozenxid = ((pg_snapshot_xmin(pg_current_snapshot())::text::bigint + 4294967296 - %d) %% 4294967296)::text::xid
     , relminmxid = (((SELECT min(datminmxid::text::bigint + mxid_age(datminmxid)) FROM pg_database) + 4294967296 - %d) %% 4294967296)::text::xid
 WHERE oid = '%s'::regclass`, xids, mxids, relation)
}

// TestTableXid ages tables, a TOAST table, a partition, a materialized view and a
// catalog: the oldest of the database are named, by transaction id or multixact id.
func TestTableXid(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		srv.ExecIn(t, db, "CREATE TABLE heap (id int, doc text)", "CREATE TABLE toasted (id int, doc text)", "CREATE TABLE shared_rows (id int)",
			"CREATE TABLE young (id int)", "CREATE MATERIALIZED VIEW summary AS SELECT 1 AS id", "CREATE TABLE \"odd\n\"\"name\" (id int)",
			"CREATE TABLE small (id int)", "CREATE TABLE large AS SELECT generate_series(1, 5000) AS id", "ANALYZE large")
		toast := srv.Query(t, db, "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'toasted'::regclass")
		ages := map[string]int{"heap": 100e6, toast: 90e6, "late": 80e6, "summary": 70e6, "pg_amop": 60e6, `odd` + "\n" + `""name`: 50e6}
		for relation, age := range ages {
			if strings.HasPrefix(relation, "odd") {
				relation = `"` + relation + `"`
			}
			srv.ExecIn(t, db, aged(relation, age, 0))
		}
		// Nearest of all: 240 of 400 million multixact ids are more than 100 of 200 million others.
		srv.ExecIn(t, db, aged("shared_rows", 0, 240e6), aged("small", 40e6, 0), aged("large", 40e6, 0))

		page := scrapePage(t, watchIn(t, srv, 0, []string{db}, collector.TableXid)())
		page.succeeded(t, "table_xid")
		for relname, want := range map[string]int{
			"heap": 100e6, "toasted": 90e6, "late": 80e6, "summary": 70e6, "pg_amop": 60e6, "odd\n\"name": 50e6, "small": 40e6, "large": 40e6,
		} {
			// What goes on beside the test takes ids too.
			if v := page.value(t, xidAge, "datname", db, "relname", relname); v < float64(want) || v > float64(want)+1e6 {
				t.Errorf("the age of %q is %v, want %v", relname, v, want)
			}
		}
		page.value(t, xidAge, "schemaname", "pg_catalog", "relname", "pg_amop")
		if v := page.value(t, mxidAge, "relname", "shared_rows"); v < 240e6 || v > 241e6 {
			t.Errorf("the age of the multixact ids is %v, want 240 million", v)
		}
		if n := len(page.values(xidAge)); n != 10 {
			t.Errorf("%d tables are named, want 10", n)
		}
		page.absent(t, xidAge, "relname", "young")

		// Of two as old the larger is named.
		for i := range 3 {
			srv.ExecIn(t, db, fmt.Sprintf("CREATE TABLE older%d (id int)", i), aged(fmt.Sprintf("older%d", i), 45e6, 0))
		}
		page = scrapePage(t, watchIn(t, srv, 0, []string{db}, collector.TableXid)())
		page.value(t, xidAge, "relname", "older2")
		page.absent(t, xidAge, "relname", "small")

		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE heap IN ACCESS EXCLUSIVE MODE")
		began := time.Now()
		page = scrapePage(t, watchIn(t, srv, 0, []string{db}, collector.TableXid)())
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the page took %v", took)
		}
		page.value(t, xidAge, "relname", "heap")
	})
}

// TestTableXidTemporary has a temporary table of a session that lives, and one
// whose session is gone and that autovacuum has yet to drop.
func TestTableXidTemporary(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		const number, orphaned, age = "pg_table_xid_temporary_tables", "pg_table_xid_orphaned_temporary_tables", "pg_table_xid_temporary_relfrozenxid_age"
		scrape := func() snapshot {
			return scrapePage(t, watchIn(t, srv, 0, []string{db}, collector.TableXidTemporary)())
		}
		check := func(page snapshot, tables, orphans float64) {
			t.Helper()
			if v := page.value(t, number, "datname", db); v != tables {
				t.Errorf("there are %v temporary tables, want %v", v, tables)
			}
			if srv.Major < 16 {
				page.absent(t, orphaned)
			} else if v := page.value(t, orphaned, "datname", db); v != orphans {
				t.Errorf("%v temporary tables are orphans, want %v", v, orphans)
			}
		}
		page := scrape()
		check(page, 0, 0)
		page.absent(t, age)
		page.absent(t, "pg_table_xid_temporary_relminmxid_age")

		conn := session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing (id int, doc text)", "CREATE TEMP TABLE fleeting (id int)")
		page = scrape()
		check(page, 2, 0)
		young := page.value(t, age)
		page.value(t, "pg_table_xid_temporary_relminmxid_age")
		for range 5 {
			srv.Query(t, db, "SELECT pg_current_xact_id()")
		}
		if v := scrape().value(t, age); v < young+5 {
			t.Errorf("5 transactions later the age is %v, and was %v", v, young)
		}
		srv.ExecIn(t, db, "SET allow_system_table_mods = on; CREATE SCHEMA pg_temp_9999", "CREATE TABLE lost (id int)",
			"UPDATE pg_class SET relnamespace = 'pg_temp_9999'::regnamespace, relpersistence = 't' WHERE relname = 'lost'", aged("pg_temp_9999.lost", 1e6, 0))
		page = scrape()
		check(page, 3, 1)
		if v := page.value(t, age); v < 1e6 {
			t.Errorf("the age is %v, want that of the orphan", v)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The session drops its tables when it ends.
		anew(t, watchIn(t, srv, 0, []string{db}, collector.TableXidTemporary), number, has(number, 1, "datname", db))
	})
}
