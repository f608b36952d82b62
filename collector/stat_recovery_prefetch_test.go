package collector_test

import (
	"strconv"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestStatRecoveryPrefetch has a standby replay changes of new blocks and of those
// first changed after a checkpoint.
func TestStatRecoveryPrefetch(t *testing.T) {
	for _, major := range []int{15, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary := pgtest.New(t, major, pgtest.Options{})
			standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
			e := watch(t, standby, pgtest.Monitor, "stat_recovery_prefetch")
			const metric = "pg_stat_recovery_prefetch_"
			old := scrapePage(t, e)
			primary.Exec(t, "CREATE TABLE t AS SELECT g AS id, 0 AS n FROM generate_series(1, 10000) g", "CHECKPOINT", "UPDATE t SET n = 1")
			rises := func(name string, least float64) func(snapshot) bool {
				return func(s snapshot) bool { return s.sum(metric+name) >= old.sum(metric+name)+least }
			}
			eventually(t, e, metric+"skip_rep_total", all(rises("skip_rep_total", 1000), rises("skip_fpw_total", 10), rises("skip_init_total", 10)))

			const view = "SELECT jsonb_object_agg('', to_jsonb(p)) FROM pg_stat_recovery_prefetch p"
			before := viewRows(t, standby, "postgres", view)[""]
			page := scrapePage(t, e)
			after := viewRows(t, standby, "postgres", view)[""]
			page.succeeded(t, "stat_recovery_prefetch")
			for _, m := range collector.StatRecoveryPrefetch.Metrics {
				switch name := metric + m.Name; m.Name {
				case "wal_distance_bytes", "block_distance", "io_depth": // which go up and down
					page.value(t, name)
				default:
					between(t, page, name, before.number(m.Name), after.number(m.Name))
				}
			}

			page = scrapePage(t, watch(t, primary, pgtest.Monitor, "stat_recovery_prefetch"))
			page.value(t, "pgvigil_collector_skipped", "collector", "stat_recovery_prefetch", "reason", "role")
			page.absent(t, metric+"hit_total")
		})
	}
}
