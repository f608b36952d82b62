package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// spill has a cursor of a sort keep rows in temporary files until the end of the test.
func spill(t *testing.T, srv *pgtest.Server, database, tablespace string) {
	t.Helper()
	session(t, srv, pgtest.Superuser, database, "SET temp_tablespaces = '"+tablespace+"'", "SET work_mem = '64kB'",
		"BEGIN", "DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 100000) g ORDER BY -g", "FETCH 1 FROM c")
}

// storageScene has a sort on disk and large objects that a vacuum has counted.
func storageScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	spill(t, srv, "postgres", "pg_default")
	srv.Exec(t, "SELECT lo_from_bytea(0, '\\x00') FROM generate_series(1, 100)", "VACUUM pg_largeobject_metadata")
}

// TestTempFiles has a sort spill to one tablespace, and looks at another whose
// directory is missing.
func TestTempFiles(t *testing.T) {
	eachAlone(t, func(t *testing.T, srv *pgtest.Server) {
		tablespace(t, srv, "scratch")
		tablespace(t, srv, "gone")
		removeDirectory(t, srv, "gone")
		spill(t, srv, "postgres", "scratch")

		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "temp_files"))
		page.succeeded(t, "temp_files")
		if files, size := page.value(t, "pg_temp_files_files", "spcname", "scratch"), page.value(t, "pg_temp_files_size_bytes", "spcname", "scratch"); files < 1 || size < 100_000 {
			t.Errorf("a sort of 100 000 rows has %v files of %v bytes", files, size)
		}
		for _, name := range []string{"pg_default", "gone"} {
			if v := page.value(t, "pg_temp_files_files", "spcname", name) + page.value(t, "pg_temp_files_size_bytes", "spcname", name); v != 0 {
				t.Errorf("in %s are files:\n%s", name, page.text("pg_temp_files_files"))
			}
		}
		page.absent(t, "pg_temp_files_files", "spcname", "pg_global")

		spill(t, srv, "postgres", "pg_default")
		page = anew(t, func() *scrape.Engine { return watch(t, srv, pgtest.Monitor, "temp_files") }, "pg_temp_files_files",
			func(s snapshot) bool { return s.sum("pg_temp_files_files", "spcname", "pg_default") >= 1 })
		page.absent(t, "pg_temp_files_files", "spcname", "pg_global")
	})
}
