package collector_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// eachAlone runs a parallel subtest for each major, on a server of its own.
func eachAlone(t *testing.T, body func(t *testing.T, srv *pgtest.Server)) {
	for _, major := range pgtest.Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			body(t, pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}}))
		})
	}
}

// tablespace makes a tablespace inside the data directory.
func tablespace(t *testing.T, srv *pgtest.Server, name string) {
	t.Helper()
	session(t, srv, pgtest.Superuser, "postgres", "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE "+name+" LOCATION ''")
}

// removeDirectory removes a tablespace's directory, as a disk that is not mounted does.
func removeDirectory(t *testing.T, srv *pgtest.Server, tablespace string) {
	t.Helper()
	data := srv.Query(t, "postgres", "SHOW data_directory")
	oid := srv.Query(t, "postgres", "SELECT oid FROM pg_tablespace WHERE spcname = '"+tablespace+"'")
	if err := os.RemoveAll(filepath.Join(data, "pg_tblspc", oid)); err != nil {
		t.Fatal(err)
	}
}

// TestTablespaces measures tablespaces of which one is granted to a role that has
// nothing else, one is not, and one has no directory any more.
func TestTablespaces(t *testing.T) {
	eachAlone(t, func(t *testing.T, srv *pgtest.Server) {
		for _, name := range []string{"secret", "open", "gone"} {
			tablespace(t, srv, name)
		}
		srv.Exec(t,
			"CREATE TABLE t TABLESPACE secret AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)",
			"GRANT CREATE ON TABLESPACE open TO "+pgtest.Nobody, "CHECKPOINT")
		removeDirectory(t, srv, "gone")

		const metric = "pg_tablespaces_size_bytes"
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "tablespaces"))
		page.succeeded(t, "tablespaces")
		for _, name := range []string{"secret", "open", "pg_global"} {
			if size := srv.Query(t, "postgres", "SELECT pg_tablespace_size('"+name+"')"); strconv.FormatFloat(page.value(t, metric, "spcname", name), 'f', -1, 64) != size {
				t.Errorf("%s is of size %v, want %s", name, page.value(t, metric, "spcname", name), size)
			}
		}
		if v := page.value(t, metric, "spcname", "secret"); v < 2_000_000 {
			t.Errorf("a tablespace with a table of 2 MB is of size %v", v)
		}
		if v := page.value(t, metric, "spcname", "pg_default"); v < 5<<20 {
			t.Errorf("pg_default is of size %v", v)
		}
		page.absent(t, metric, "spcname", "gone")

		page = scrapePage(t, watch(t, srv, pgtest.Nobody, "tablespaces", "temp_files"))
		page.succeeded(t, "tablespaces")
		page.value(t, metric, "spcname", "open")
		page.value(t, metric, "spcname", "pg_default") // of the database we are in
		page.absent(t, metric, "spcname", "secret")
		page.absent(t, metric, "spcname", "pg_global")
		page.value(t, "pgvigil_collector_skipped", "collector", "temp_files", "reason", "privilege")
		checkPrivileges(t, srv)
	})
}
