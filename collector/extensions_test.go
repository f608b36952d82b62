package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestExtensions has one extension behind by a version that is greater as a text,
// one that is current, one whose files are gone and one newer than its files.
func TestExtensions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		old := map[int]string{13: "1.7", 14: "1.8"}[srv.Major]
		if old == "" {
			old = "1.9" // and the newer ones 1.10 and more
		}
		db := srv.Database(t)
		srv.ExecIn(t, db,
			"CREATE EXTENSION pg_stat_statements VERSION '"+old+"'",
			"CREATE EXTENSION pgstattuple",
			"CREATE EXTENSION hstore",
			"UPDATE pg_extension SET extname = 'gone' WHERE extname = 'hstore'",
			"UPDATE pg_extension SET extversion = '99.0' WHERE extname = 'plpgsql'")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "extensions"))
		for extension, version := range map[string]string{"pg_stat_statements": old, "pgstattuple": "1.5", "plpgsql": "99.0"} {
			if got := page.value(t, "pg_extensions_info", "datname", db, "extname", extension, "extversion", version); got != 1 {
				t.Errorf("%s %s is %v", extension, version, got)
			}
		}
		page.value(t, "pg_extensions_info", "datname", db, "extname", "gone")
		for extension, want := range map[string]float64{"pg_stat_statements": 1, "pgstattuple": 0, "plpgsql": 0} {
			if got := page.value(t, "pg_extensions_update_available", "datname", db, "extname", extension); got != want {
				t.Errorf("an update of %s is available: %v, want %v", extension, got, want)
			}
		}
		page.absent(t, "pg_extensions_update_available", "datname", db, "extname", "gone")

		srv.ExecIn(t, db, "ALTER EXTENSION pg_stat_statements UPDATE")
		page = scrapePage(t, watch(t, srv, pgtest.Monitor, "extensions"))
		if got := page.value(t, "pg_extensions_update_available", "datname", db, "extname", "pg_stat_statements"); got != 0 {
			t.Error("after the update another is available")
		}
	})
}
