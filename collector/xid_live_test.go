package collector_test

import (
	"strconv"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// TestXidLimits holds every database, also those without connections, to be far
// from limits that are in the order in which they are met.
func TestXidLimits(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "xid"))
		page.succeeded(t, "xid", "xid_limits")
		for age, prefix := range map[string]string{"pg_xid_datfrozenxid_age": "pg_xid_", "pg_xid_datminmxid_age": "pg_xid_multixact_"} {
			limits := []string{prefix + "freeze_max_age", prefix + "warn_age", prefix + "stop_age"}
			if srv.Major >= 14 {
				limits = []string{limits[0], prefix + "failsafe_age", limits[1], limits[2]}
			} else {
				page.absent(t, prefix+"failsafe_age")
			}
			for i := range limits[1:] {
				if lower, upper := page.value(t, limits[i]), page.value(t, limits[i+1]); lower >= upper {
					t.Errorf("%s is %v, and %s %v", limits[i], lower, limits[i+1], upper)
				}
			}
			for _, name := range []string{db, "postgres", "template0", "template1"} {
				if v := page.value(t, age, "datname", name); v < 0 || v >= page.value(t, limits[0]) {
					t.Errorf("%s of %s is %v", age, name, v)
				}
			}
		}
	})
}

// TestXidUse burns ids of both kinds: the totals are the server's own, to the id,
// and nothing is added by those who look, with all collectors.
func TestXidUse(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		srv.Exec(t, "CREATE TABLE stock (id int)", "INSERT INTO stock VALUES (1), (2)")
		open := func() *scrape.Engine { return watch(t, srv, pgtest.Monitor, "xid") }
		before := scrapePage(t, open())

		const burnt = 1000
		srv.Exec(t, "DO $$ BEGIN FOR i IN 1.."+strconv.Itoa(burnt)+" LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
		page := scrapePage(t, open())
		if rise := page.value(t, "pg_xid_transaction_ids_total") - before.value(t, "pg_xid_transaction_ids_total"); rise != burnt {
			t.Errorf("transaction_ids_total rose by %v, want %v", rise, burnt)
		}
		for _, db := range []string{"template0", "postgres"} {
			if rise := page.value(t, "pg_xid_datfrozenxid_age", "datname", db) - before.value(t, "pg_xid_datfrozenxid_age", "datname", db); rise != burnt {
				t.Errorf("the age of %s rose by %v, want %v", db, rise, burnt)
			}
		}
		if rise := page.value(t, "pg_xid_multixact_ids_total") - before.value(t, "pg_xid_multixact_ids_total"); rise != 0 {
			t.Errorf("multixact_ids_total rose by %v, want 0", rise)
		}

		for range 2 { // a row locked by two is a multixact
			session(t, srv, pgtest.Superuser, "postgres", "BEGIN", "SELECT * FROM stock FOR SHARE")
		}
		srv.Exec(t, "CHECKPOINT")
		page = scrapePage(t, open())
		control := srv.Query(t, "postgres", "SELECT next_multixact_id FROM pg_control_checkpoint()")
		if got := page.value(t, "pg_xid_multixact_ids_total"); strconv.FormatFloat(got, 'f', -1, 64) != control {
			t.Errorf("multixact_ids_total is %v, and the next %s", got, control)
		}
		if rise := page.value(t, "pg_xid_multixact_ids_total") - before.value(t, "pg_xid_multixact_ids_total"); rise < 1 {
			t.Errorf("multixact_ids_total rose by %v, want 1 at least", rise)
		}

		next := func() string {
			return srv.Query(t, "postgres", "SELECT pg_snapshot_xmax(pg_current_snapshot())")
		}
		at := next()
		everything := watch(t, srv, pgtest.Monitor)
		for range 3 {
			scrapePage(t, everything)
		}
		if now := next(); now != at {
			t.Errorf("scraping took transaction ids: the next was %s and is %s", at, now)
		}
	})
}
