package collector_test

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// TestDatabaseDenied closes a database to all: who may not measure it loses its
// size, and neither its limit nor the sizes of others.
func TestDatabaseDenied(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		closed, open := srv.Database(t), srv.Database(t)
		srv.Exec(t, "REVOKE CONNECT ON DATABASE "+closed+" FROM PUBLIC", "ALTER DATABASE "+closed+" CONNECTION LIMIT 7")
		others := []string{open, "postgres", "template0", "template1"}

		page := scrapePage(t, watch(t, srv, pgtest.Nobody, "database"))
		page.succeeded(t, "database")
		page.absent(t, "pg_database_size_bytes", "datname", closed)
		checkDatabases(t, page, closed, others)

		page = anew(t, func() *scrape.Engine { return watch(t, srv, pgtest.Monitor, "database") }, "pg_database_size_bytes", func(s snapshot) bool {
			size, err := strconv.ParseFloat(srv.Query(t, "postgres", "SELECT pg_database_size('"+closed+"')"), 64)
			return err == nil && s.value(t, "pg_database_size_bytes", "datname", closed) == size
		})
		page.succeeded(t, "database")
		checkDatabases(t, page, closed, others)
	})
}

// checkDatabases wants a limit and the right to connect of each database, and of
// the others a size.
func checkDatabases(t *testing.T, page snapshot, limited string, others []string) {
	t.Helper()
	if v := page.value(t, "pg_database_connection_limit", "datname", limited); v != 7 {
		t.Errorf("the limit is %v, want 7", v)
	}
	for _, db := range others {
		if v := page.value(t, "pg_database_size_bytes", "datname", db); v < 1<<20 {
			t.Errorf("%s has %v bytes", db, v)
		}
		if v := page.value(t, "pg_database_connection_limit", "datname", db); v != -1 {
			t.Errorf("the limit of %s is %v, want none", db, v)
		}
		allowed := 1.0
		if db == "template0" {
			allowed = 0
		}
		if v := page.value(t, "pg_database_allow_connections", "datname", db); v != allowed {
			t.Errorf("%s allows connections: %v, want %v", db, v, allowed)
		}
	}
}

// TestDatabaseOdd has a database with a name as odd as can be, and one that an
// interrupted DROP DATABASE has left: both are there, but nobody connects to the
// second, nor asks how old it is.
func TestDatabaseOdd(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		half := srv.Database(t)
		odd := "Odd \"'\\\n{}" + half
		srv.Exec(t, "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '"+half+"'",
			"CREATE DATABASE "+pgx.Identifier{odd}.Sanitize())
		e := watch(t, srv, pgtest.Monitor, "database", "stat_database", "xid", "stat_user_tables")
		page := scrapePage(t, e)
		e.Close()
		// The server's own cleaning up knows no such names.
		srv.Exec(t, "DROP DATABASE "+pgx.Identifier{odd}.Sanitize()+" WITH (FORCE)")

		page.succeeded(t, "database", "stat_database", "xid")
		if v := page.value(t, "pgvigil_collector_success", "collector", "stat_user_tables", "datname", odd); v != 1 {
			t.Errorf("stat_user_tables of %q: success %v", odd, v)
		}
		page.absent(t, "pgvigil_collector_success", "collector", "stat_user_tables", "datname", half)
		if v := page.value(t, "pg_database_connection_limit", "datname", half); v != -2 {
			t.Errorf("the limit of a half-dropped database is %v, want -2", v)
		}
		for _, metric := range []string{"pg_database_size_bytes", "pg_stat_database_numbackends"} {
			page.value(t, metric, "datname", odd)
			page.value(t, metric, "datname", half)
		}
		page.value(t, "pg_xid_datfrozenxid_age", "datname", odd)
		page.absent(t, "pg_xid_datfrozenxid_age", "datname", half) // it holds nothing back
	})
}
