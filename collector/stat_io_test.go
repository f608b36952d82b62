package collector_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// ioValue returns what a metric of StatIO should be by a row of the view.
func ioValue(row viewRow, alias string) float64 {
	column, unit := strings.TrimSuffix(alias, "_total"), 1.0
	if time, ok := strings.CutSuffix(column, "_seconds"); ok {
		column, unit = time+"_time", 1.0/1000
	}
	if of, ok := strings.CutSuffix(column, "_bytes"); ok && row["op_bytes"] != nil { // until 18
		column, unit = of+"s", row["op_bytes"].(float64)
	}
	if v, ok := row[column].(float64); ok {
		return v * unit
	}
	return spec.Absent()
}

// idle tells whether a row of the view has no operation.
func idle(row viewRow) bool {
	for _, column := range []string{"reads", "writes", "writebacks", "extends", "hits", "evictions", "reuses", "fsyncs"} {
		if v, _ := row[column].(float64); v > 0 {
			return false
		}
	}
	return true
}

// between compares the samples with these labels with what counters were just
// before and just after.
func between(t *testing.T, page snapshot, metric string, before, after float64, labels ...string) {
	t.Helper()
	const rounding = 1e-9
	found := page.values(metric, labels...)
	switch {
	case spec.IsAbsent(after):
		if len(found) > 0 {
			t.Errorf("%s%v is %v, and the view has NULL", metric, labels, found)
		}
	case len(found) != 1 || found[0] < before*(1-rounding) || found[0] > after*(1+rounding):
		t.Errorf("%s%v is %v, and the view had %v and then %v", metric, labels, found, before, after)
	}
}

// TestStatIO has a table written and read that is larger than the rings for it,
// and a temporary one, and compares each row with the view.
func TestStatIO(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		e := watch(t, srv, pgtest.Monitor, "stat_io")
		old := scrapePage(t, e)
		if srv.Major < 16 {
			old.value(t, "pgvigil_collector_skipped", "collector", "stat_io", "reason", "version")
			return
		}
		const table = 10 << 20
		srv.ExecIn(t, srv.Database(t),
			"CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 10500)",
			"SET max_parallel_workers_per_gather = 0; SELECT count(*) FROM t",
			"SET temp_buffers = '800kB'; CREATE TEMP TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)")

		type rise struct {
			metric, object, context string
			least                   float64
		}
		rises := []rise{
			{"extend_bytes_total", "relation", "bulkwrite", table},
			{"extends_total", "relation", "bulkwrite", 1},
			{"extend_seconds_total", "relation", "bulkwrite", 1e-6},
			{"writes_total", "relation", "bulkwrite", 1},
			{"read_bytes_total", "relation", "bulkread", table / 2},
			{"read_seconds_total", "relation", "bulkread", 1e-6},
			{"reuses_total", "relation", "bulkread", 1},
			{"hits_total", "relation", "normal", 1},
			{"write_bytes_total", "temp relation", "normal", 1 << 20},
		}
		if srv.Major >= 18 {
			rises = append(rises, rise{"write_bytes_total", "wal", "normal", 1 << 13})
		}
		for _, r := range rises {
			metric, labels := "pg_stat_io_"+r.metric, []string{"backend_type", "client backend", "object", r.object, "context", r.context}
			eventually(t, e, metric, func(s snapshot) bool { return s.sum(metric, labels...) >= old.sum(metric, labels...)+r.least })
		}

		const view = "SELECT jsonb_object_agg(concat_ws('/', backend_type, object, context), to_jsonb(i)) FROM pg_stat_io i"
		before := viewRows(t, srv, "postgres", view)
		page := scrapePage(t, e)
		after := viewRows(t, srv, "postgres", view)
		page.succeeded(t, "stat_io", "stat_io_reset")
		leftOut := 0
		for key, row := range after {
			at := strings.Split(key, "/")
			labels := []string{"backend_type", at[0], "object", at[1], "context", at[2]}
			for _, m := range collector.StatIO.Metrics {
				switch metric := collector.StatIO.FullName(m.Name); {
				case idle(row):
					leftOut++
					page.absent(t, metric, labels...)
				case !idle(before[key]): // else it may be there or not yet
					between(t, page, metric, ioValue(before[key], m.Name), ioValue(row, m.Name), labels...)
				}
			}
		}
		if leftOut == 0 {
			t.Error("no row is idle, so nothing shows that they are left out")
		}
		reset := srv.Query(t, "postgres", "SELECT (page = max(extract(epoch FROM stats_reset)))::text FROM pg_stat_io, (VALUES ("+
			strconv.FormatFloat(page.value(t, "pg_stat_io_stats_reset_timestamp_seconds"), 'f', -1, 64)+")) AS v (page) GROUP BY page")
		if reset != "true" {
			t.Errorf("the reset is not as in the view:\n%s", page.text("pg_stat_io_stats_reset_timestamp_seconds"))
		}
	})
}

// TestStatSLRU fills pages of notifications, and compares all caches with the
// view. Their names are those of 17 on every major.
func TestStatSLRU(t *testing.T) {
	names := map[string]string{
		"CommitTs": "commit_timestamp", "MultiXactMember": "multixact_member", "MultiXactOffset": "multixact_offset", "Notify": "notify",
		"Serial": "serializable", "Subtrans": "subtransaction", "Xact": "transaction", "other": "other",
	}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		const zeroed = "pg_stat_slru_blks_zeroed_total"
		e := watch(t, srv, pgtest.Monitor, "stat_slru")
		old := scrapePage(t, e).value(t, zeroed, "name", "notify")
		srv.Exec(t, "SELECT pg_notify('tick', repeat('x', 7000) || g) FROM generate_series(1, 20) AS g")
		eventually(t, e, zeroed, func(s snapshot) bool { return s.sum(zeroed, "name", "notify") >= old+19 })

		const view = "SELECT jsonb_object_agg(name, to_jsonb(s)) FROM pg_stat_slru s"
		before := viewRows(t, srv, "postgres", view)
		page := scrapePage(t, e)
		after := viewRows(t, srv, "postgres", view)
		page.succeeded(t, "stat_slru")
		var shown []string
		for theirs, row := range after {
			name := theirs
			if srv.Major < 17 {
				name = names[theirs]
			}
			shown = append(shown, name)
			for _, m := range collector.StatSLRU.Metrics {
				between(t, page, collector.StatSLRU.FullName(m.Name), before[theirs].number(m.Name), row.number(m.Name), "name", name)
			}
		}
		slices.Sort(shown)
		if want := []string{
			"commit_timestamp", "multixact_member", "multixact_offset", "notify", "other", "serializable", "subtransaction", "transaction",
		}; !slices.Equal(shown, want) || len(page.values(zeroed)) != len(want) {
			t.Errorf("the caches are %v, want %v:\n%s", shown, want, page.text(zeroed))
		}
	})
}
