package scrape_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// run is what a report says of a collector's run on a database.
func run(t *testing.T, r scrape.Report, collector, database string) scrape.RunReport {
	t.Helper()
	for _, c := range r.Collectors {
		for _, run := range c.Runs {
			if c.Collector.Name == collector && run.Database == database {
				return run
			}
		}
	}
	t.Fatalf("the report has no run of %s on %q: %+v", collector, database, r.Collectors)
	return scrape.RunReport{}
}

// TestReport follows collectors through what may become of them.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} {
		srv := pgtest.New(t, major, pgtest.Options{})
		srv.Exec(t, "CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC", "CREATE DATABASE other", `CREATE ROLE "odd role" LOGIN`,
			"CREATE TABLE fails (fails int)", "INSERT INTO fails VALUES (0)", `GRANT SELECT ON fails TO "odd role"`)
		denied := gauge("denied", `SELECT count(*)::double precision AS v
  FROM pg_catalog.pg_hba_file_rules()`)
		denied.Needs = spec.Needs{Execute: []string{"pg_catalog.pg_hba_file_rules()"}, Grant: "GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO pgvigil"}
		standby := every(one(), time.Minute)
		standby.Name, standby.Needs.Role = "standby", spec.Standby
		three := gauge("three", `SELECT g::text AS n
     , g::double precision AS v
  FROM pg_catalog.generate_series(1, 3) AS g`)
		three.Labels = []string{"n"}
		e := engine(t, srv.DSN("odd role", "postgres"), []spec.Collector{
			three, denied, standby, gauge("fails", `SELECT 1 / fails::double precision AS v
  FROM public.fails`), perDatabase(gauge("tables", `SELECT 1::double precision AS v`), time.Hour),
		})

		before := e.Report()
		if before.Tried || before.Up || before.Facts.Version != "" || run(t, before, "three", "").Outcome != scrape.Waits {
			t.Errorf("%d: before a scrape: %+v", major, before)
		}
		e.text(t, deadline)
		r := e.Report()
		if !r.Tried || !r.Up || r.Reason != "" || r.Fault != "" || r.Facts.User != "odd role" || r.Facts.Superuser || r.State.Role != spec.Primary || r.Stats.Open == 0 {
			t.Errorf("%d: the server: %+v", major, r)
		}
		if got := run(t, r, "three", ""); got.Outcome != scrape.Works || got.Rows != 3 || got.Series != 3 || got.Server <= 0 || got.Here <= 0 || got.Last.IsZero() || got.Fault != "" {
			t.Errorf("%d: three: %+v", major, got)
		}
		if got := run(t, r, "denied", ""); got.Outcome != scrape.Skipped || got.Skip != scrape.SkipPrivilege || got.CureIn != "postgres" ||
			got.Cure != `GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO "odd role"` {
			t.Errorf("%d: denied: %+v", major, got)
		}
		if got := run(t, r, "standby", ""); got.Outcome != scrape.Skipped || got.Skip != scrape.SkipRole || got.Cure != "" {
			t.Errorf("%d: standby: %+v", major, got)
		}
		if got := run(t, r, "fails", ""); got.Outcome != scrape.Fails || got.Reason != "other" || !strings.Contains(got.Fault, "division by zero") || got.Failed.IsZero() || got.Series != 0 {
			t.Errorf("%d: fails: %+v", major, got)
		}
		for _, database := range []string{"postgres", "other"} {
			if got := run(t, r, "tables", database); got.Outcome != scrape.Works || got.Series != 1 {
				t.Errorf("%d: tables in %s: %+v", major, database, got)
			}
		}
		for _, c := range r.Collectors {
			if c.Collector.Name == "tables" && (c.Rhythm < time.Hour || len(c.Runs) != 2 || len(c.Families) != 1 || c.Families[0].Samples() != 2 || c.MaxSeries != 100) {
				t.Errorf("%d: tables: %+v", major, c)
			}
		}
		for _, db := range r.Databases {
			if !db.Watched || db.Connect != (db.Name != "closed") || (db.Extensions == nil) != (db.Name == "closed") {
				t.Errorf("%d: the database %+v", major, db)
			}
		}

		// What is cured keeps its last fault, and what was granted works in a new session.
		srv.Exec(t, "UPDATE fails SET fails = 2")
		e.text(t, deadline)
		r = e.Report()
		if got := run(t, r, "fails", ""); got.Outcome != scrape.Works || got.Reason != "" || !strings.Contains(got.Fault, "division by zero") || got.Series != 1 {
			t.Errorf("%d: what failed works: %+v", major, got)
		}
		if r.Interval <= 0 {
			t.Errorf("%d: the interval of two scrapes is %s", major, r.Interval)
		}

		stop(t, srv)
		e.text(t, deadline)
		if r = e.Report(); r.Up || r.Reason != "refused" || !strings.Contains(r.Fault, "refused") || strings.Contains(r.Fault, "odd role") || r.Facts.User != "odd role" {
			t.Errorf("%d: without a server: %+v", major, r)
		}
		if got := run(t, r, "tables", "other"); got.Outcome != scrape.Works || got.Series != 1 {
			t.Errorf("%d: tables without a server: %+v", major, got)
		}
	}
}

// TestReportLimit: what gives more than it may is left out, and the report says by how much.
func TestReportLimit(t *testing.T) {
	t.Parallel()
	many := gauge("many", `SELECT g::text AS n
     , g::double precision AS v
  FROM pg_catalog.generate_series(1, 300) AS g`)
	many.Labels = []string{"n"}
	e := engine(t, servers.On(t, 18).DSN(pgtest.Monitor, "postgres"), []spec.Collector{many})
	e.text(t, deadline)
	if got := run(t, e.Report(), "many", ""); got.Outcome != scrape.Fails || got.Reason != "limit" || got.Series != 0 || got.Rows != 300 || !strings.Contains(got.Fault, "300 series and may have 100") {
		t.Errorf("%+v", got)
	}
}
