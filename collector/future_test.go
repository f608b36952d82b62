package collector_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestFutureMajor: a server newer than any known gets the texts of the newest
// known, and no collector is skipped for its version that is not there.
func TestFutureMajor(t *testing.T) {
	for _, c := range serverCollectors() {
		facts := fullFacts(spec.NewestMajor, c)
		known, skip, err := scrape.NewTrial(c).SQL(facts, roleOf(c))
		if err != nil {
			t.Fatal(err)
		}
		for _, major := range []spec.Version{spec.NewestMajor + 1, spec.NewestMajor + 20} {
			facts.Major = major
			got, gotSkip, err := scrape.NewTrial(c).SQL(facts, roleOf(c))
			if err != nil || gotSkip != skip || got != known {
				t.Errorf("%s on PostgreSQL %s: skip %q, %v, and this text; on %s: skip %q, and this\n%s\n%s",
					c.Name, major, gotSkip, err, spec.NewestMajor, skip, got, known)
			}
		}
	}
}

// TestFutureServer has a server lack what every known one has, as the next major
// may: a view, and a column of another. Only what reads them is gone from the page,
// and it is told.
func TestFutureServer(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, int(spec.NewestMajor), pgtest.Options{})
	outcome := func(page snapshot, c spec.Collector) (success, skipped []float64) {
		return page.values("pgvigil_collector_success", "collector", c.Name), page.values("pgvigil_collector_skipped", "collector", c.Name)
	}
	before := scrapePage(t, watch(t, srv, pgtest.Monitor))
	srv.Exec(t, "SET allow_system_table_mods = on; ALTER VIEW pg_catalog.pg_stat_archiver RENAME TO pg_stat_archivers",
		"SET allow_system_table_mods = on; ALTER VIEW pg_catalog.pg_stat_wal RENAME COLUMN wal_fpi TO wal_full_page_images")
	e := watch(t, srv, pgtest.Monitor)
	for range 2 { // what cannot work is not tried again and again
		page := scrapePage(t, e)
		for _, c := range serverCollectors() {
			if strings.Contains(renderedFor(t, c, spec.NewestMajor), "pg_catalog.pg_stat_archiver ") {
				if got := page.values("pgvigil_collector_failures_total", "collector", c.Name); !slices.Equal(got, []float64{1}) ||
					page.sum("pgvigil_collector_failures_total", "collector", c.Name, "reason", "undefined") != 1 {
					t.Errorf("%s reads a view that is gone, and failed so often: %v", c.Name, got)
				}
				continue
			}
			success, skipped := outcome(page, c)
			wantSuccess, wantSkipped := outcome(before, c)
			if !slices.Equal(success, wantSuccess) || !slices.Equal(skipped, wantSkipped) {
				t.Errorf("%s: success %v, skipped %v; before they were %v, %v", c.Name, success, skipped, wantSuccess, wantSkipped)
			}
		}
		page.absent(t, "pg_stat_archiver_archived_total")
		page.absent(t, "pg_stat_wal_full_page_images_total")
		page.value(t, "pg_stat_wal_records_total")
		page.value(t, "pg_stat_wal_stats_reset_timestamp_seconds")
		if got := page.value(t, "pgvigil_collector_columns_missing", "collector", "stat_wal"); got != 1 {
			t.Errorf("%v columns of stat_wal are missing, want 1", got)
		}
	}
}

// renderedFor is a collector's text for a major, "" where there is none.
func renderedFor(t testing.TB, c spec.Collector, major spec.Version) string {
	t.Helper()
	q, ok := c.Query(environment(c, major))
	if !ok {
		return ""
	}
	text, err := spec.Render(q.SQL, environment(c, major))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
