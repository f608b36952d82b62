package collector_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

const (
	indexView = `SELECT jsonb_object_agg(s.indexrelid, to_jsonb(s))
  FROM pg_stat_user_indexes s JOIN pg_class c ON c.oid = s.indexrelid WHERE c.relpersistence <> 't'`
	indexBlocksView = `SELECT jsonb_object_agg(s.indexrelid, to_jsonb(s))
  FROM pg_statio_user_indexes s JOIN pg_class c ON c.oid = s.indexrelid WHERE c.relpersistence <> 't'`
)

// TestStatUserIndexes compares every sample of both collectors with PostgreSQL's
// own views. An index nobody has used is there, and was never scanned: not in 1970.
func TestStatUserIndexes(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		odd := pgx.Identifier{oddName}.Sanitize()
		srv.ExecIn(t, db,
			"CREATE TABLE busy (id int PRIMARY KEY, n int) WITH (autovacuum_enabled = off)", "CREATE INDEX unused ON busy (n)",
			"CREATE TABLE "+odd+" (id int) WITH (autovacuum_enabled = off)", "CREATE INDEX "+pgx.Identifier{oddName + "x"}.Sanitize()+" ON "+odd+" (id)",
			"CREATE MATERIALIZED VIEW summary AS SELECT 1 AS id", "CREATE INDEX ON summary (id)",
			"INSERT INTO busy SELECT g, g FROM generate_series(1, 1000) g",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing (id int PRIMARY KEY)")
		began := time.Now().Add(-time.Second)
		srv.ExecIn(t, db, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; SELECT n FROM busy WHERE id <= 10; SELECT n FROM busy WHERE id = 7")
		var why string
		defer func() {
			if t.Failed() {
				t.Log(why)
			}
		}()
		page := anew(t, watchIn(t, srv, 0, []string{db}, collector.StatUserIndexes, collector.StatioUserIndexes), "pg_stat_user_indexes_idx_scan_total", func(s snapshot) bool {
			why = differ(t, srv, s, db, collector.StatUserIndexes, indexView) + differ(t, srv, s, db, collector.StatioUserIndexes, indexBlocksView)
			return why == "" && s.sum("pg_stat_user_indexes_idx_scan_total") == 2
		})
		used := []string{"datname", db, "schemaname", "public", "relname", "busy", "indexrelname", "busy_pkey"}
		for metric, want := range map[string]float64{"idx_scan_total": 2, "idx_tup_read_total": 11, "idx_tup_fetch_total": 11} {
			if v := page.value(t, "pg_stat_user_indexes_"+metric, used...); v != want {
				t.Errorf("%s is %v, want %v", metric, v, want)
			}
		}
		if v := page.value(t, "pg_stat_user_indexes_idx_scan_total", "indexrelname", "unused"); v != 0 {
			t.Errorf("an index nobody has used was scanned %v times", v)
		}
		page.absent(t, "pg_stat_user_indexes_idx_tup_read_total", "indexrelname", "unused")
		if v := page.value(t, "pg_statio_user_indexes_idx_blks_hit_total", used...); v < 1000 {
			t.Errorf("%v blocks were hit, want 1000 at least", v)
		}
		page.value(t, "pg_stat_user_indexes_idx_scan_total", "relname", oddName, "indexrelname", oddName+"x")
		page.value(t, "pg_stat_user_indexes_idx_scan_total", "relname", "summary")
		page.absent(t, "pg_stat_user_indexes_idx_scan_total", "relname", "passing")
		const last = "pg_stat_user_indexes_last_idx_scan_timestamp_seconds"
		page.absent(t, last, "indexrelname", "unused")
		if srv.Major >= 16 {
			checkBetween(t, last, page.value(t, last, used...), began, time.Now())
		} else {
			page.absent(t, last)
		}
	})
}

// TestStatUserIndexesPartitions rolls the indexes of partitions of partitions up
// into the root's, keeps a partition's own apart, and lets no counter fall.
func TestStatUserIndexesPartitions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		srv.ExecIn(t, db, "CREATE INDEX own ON late (what)", "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT what FROM events WHERE at < 1000")
		trial := newTableTrial(t, srv, db, collector.StatUserIndexes)
		const scans, read = "pg_stat_user_indexes_idx_scan_total", "pg_stat_user_indexes_idx_tup_read_total"
		last := trial.settle(t, all(has(scans, 3, "schemaname", "public", "relname", "events", "indexrelname", "events_at_idx"), has(read, 60, "relname", "events")))
		for _, step := range []struct {
			sql     string
			indexes []string
		}{
			{"SELECT", []string{"events/events_at_idx", "late/own"}},
			{"DROP TABLE parts.early_2", []string{"events/events_at_idx", "late/own"}},
			{"ALTER TABLE events DETACH PARTITION late", []string{"events/events_at_idx", "late/late_at_idx", "late/own"}},
			{"ALTER TABLE events ATTACH PARTITION late FOR VALUES FROM (100) TO (200)", []string{"events/events_at_idx", "late/own"}},
			{"ALTER INDEX events_at_idx RENAME TO by_time", []string{"events/by_time", "late/own"}},
			{"CREATE INDEX ON ONLY events (what)", []string{"events/by_time", "late/own"}},
			{"ALTER INDEX events_what_idx ATTACH PARTITION own", []string{"events/by_time", "events/events_what_idx"}},
			{"REINDEX TABLE late", []string{"events/by_time", "events/events_what_idx"}},
		} {
			srv.ExecIn(t, db, step.sql)
			page := trial.refresh(t)
			var got []string
			for _, m := range page[scans].GetMetric() {
				got = append(got, labelValue(m, "relname")+"/"+labelValue(m, "indexrelname"))
			}
			slices.Sort(got)
			if !slices.Equal(got, step.indexes) {
				t.Errorf("after %s the indexes are %q, want %q", step.sql, got, step.indexes)
			}
			checkNoneFell(t, step.sql, last, page)
			last = page
		}
	})
}
