package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestStatCheckpointer has the same names on every major, wherever the server
// keeps the numbers.
func TestStatCheckpointer(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := watch(t, srv, pgtest.Monitor, "stat_checkpointer", "stat_bgwriter")
		page := scrapePage(t, e)
		page.succeeded(t, "stat_checkpointer", "stat_bgwriter")
		for _, metric := range []string{
			"pg_stat_checkpointer_num_timed_total", "pg_stat_checkpointer_num_requested_total",
			"pg_stat_checkpointer_write_seconds_total", "pg_stat_checkpointer_sync_seconds_total",
			"pg_stat_checkpointer_buffers_written_total", "pg_stat_checkpointer_stats_reset_timestamp_seconds",
			"pg_stat_bgwriter_buffers_clean_total", "pg_stat_bgwriter_maxwritten_clean_total",
			"pg_stat_bgwriter_buffers_alloc_total", "pg_stat_bgwriter_stats_reset_timestamp_seconds",
		} {
			page.value(t, metric)
		}
		for metric, since := range map[string]int{
			"pg_stat_checkpointer_restartpoints_timed_total": 17, "pg_stat_checkpointer_restartpoints_req_total": 17,
			"pg_stat_checkpointer_restartpoints_done_total": 17,
			"pg_stat_checkpointer_num_done_total":           18, "pg_stat_checkpointer_slru_written_total": 18,
		} {
			if has := len(page.values(metric)) == 1; has != (srv.Major >= since) {
				t.Errorf("%s is there: %v", metric, has)
			}
		}
		for _, metric := range []string{"pg_stat_bgwriter_buffers_backend_total", "pg_stat_bgwriter_buffers_backend_fsync_total"} {
			if has := len(page.values(metric)) == 1; has != (srv.Major < 17) {
				t.Errorf("%s is there: %v", metric, has)
			}
		}
	})
}

// TestStatCheckpointerCounts has its own servers, since whatever drops a database
// requests a checkpoint.
func TestStatCheckpointerCounts(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		e := watch(t, srv, pgtest.Monitor, "stat_checkpointer")
		const requested = "pg_stat_checkpointer_num_requested_total"
		before := scrapePage(t, e)
		srv.Exec(t, "CREATE TABLE t AS SELECT 1 AS i", "CHECKPOINT")
		page := eventually(t, e, requested, adds(requested, before.value(t, requested)+1))
		for metric, want := range map[string]float64{"num_timed_total": 0, "buffers_written_total": 1} {
			metric = "pg_stat_checkpointer_" + metric
			if got := page.value(t, metric) - before.value(t, metric); got < want {
				t.Errorf("%s grew by %v, want at least %v", metric, got, want)
			}
		}
		if major >= 18 {
			if got := page.value(t, "pg_stat_checkpointer_num_done_total") - before.value(t, "pg_stat_checkpointer_num_done_total"); got != 1 {
				t.Errorf("num_done_total grew by %v, want 1", got)
			}
		}
	})
}
