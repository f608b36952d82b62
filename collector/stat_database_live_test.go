package collector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// viewRow is a row of one of PostgreSQL's own views, by column, as JSON has it.
type viewRow map[string]any

// viewRows reads a query whose only value is an object of rows.
func viewRows(t *testing.T, srv *pgtest.Server, database, sql string) map[string]viewRow {
	t.Helper()
	rows := map[string]viewRow{}
	if text := srv.Query(t, database, sql); text != "" {
		if err := json.Unmarshal([]byte(text), &rows); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// number returns what a metric should be by the view, and absent where the view
// has NULL or no such column.
func (r viewRow) number(alias string) float64 {
	if column, ok := strings.CutSuffix(alias, "_timestamp_seconds"); ok {
		text, _ := r[column].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return spec.Absent()
		}
		return float64(at.UnixMicro()) / 1e6
	}
	column, unit := strings.TrimSuffix(alias, "_total"), 1.0
	if time, ok := strings.CutSuffix(column, "_seconds"); ok {
		column, unit = time, 1000
		if !strings.HasSuffix(time, "_time") {
			column = "total_" + time + "_time"
		}
	}
	v, ok := r[column].(float64)
	if !ok {
		return spec.Absent()
	}
	return v / unit
}

// differences tells where the samples with these labels are not as in the view.
func (r viewRow) differences(page snapshot, c spec.Collector, labels ...string) string {
	var b strings.Builder
	for _, m := range c.Metrics {
		if m.Name == "partitions" {
			continue // not of the view
		}
		want, got := r.number(m.Name), spec.Absent()
		if found := page.values(c.FullName(m.Name), labels...); len(found) == 1 {
			got = found[0]
		}
		if want == 0 && absentUntilMoved(c, m.Name) {
			want = spec.Absent()
		}
		if spec.IsAbsent(got) != spec.IsAbsent(want) || math.Abs(got-want) > 1e-6*max(1, math.Abs(want)/1e9) {
			fmt.Fprintf(&b, "%s%v is %v, and in the view %v\n", m.Name, labels, got, want)
		}
	}
	return b.String()
}

// absentUntilMoved reports whether the collector makes nothing of a column that is 0.
func absentUntilMoved(c spec.Collector, column string) bool {
	for _, q := range c.Queries {
		for line := range strings.Lines(q.SQL) {
			_, alias, _ := strings.Cut(line, " AS ")
			if name := strings.Fields(alias); len(name) > 0 && name[0] == column && strings.Contains(line, "nullif(") {
				return true
			}
		}
	}
	return false
}

// TestStatDatabase has work of every kind done in a database, and compares all
// its samples with the view.
func TestStatDatabase(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "stat_database")
		before := scrapePage(t, e)
		workIn(t, srv, db)
		var differ string
		defer func() {
			if t.Failed() {
				t.Log(differ)
			}
		}()
		page := eventually(t, e, "pg_stat_database_tup_deleted_total", func(s snapshot) bool {
			row := viewRows(t, srv, "postgres", "SELECT jsonb_object_agg(datname, to_jsonb(d)) FROM pg_stat_database d WHERE datname = '"+db+"'")[db]
			differ = row.differences(s, collector.StatDatabase, "datname", db)
			return differ == "" && s.sum("pg_stat_database_tup_deleted_total", "datname", db) >= 100
		})
		page.succeeded(t, "stat_database")
		for name, least := range map[string]float64{
			"xact_commit": 3, "xact_rollback": 1, "blks_hit": 1, "tup_returned": 1000, "tup_fetched": 1,
			"tup_inserted": 1000, "tup_updated": 200, "tup_deleted": 100, "temp_files": 1, "temp_bytes": 1 << 16, "deadlocks": 1,
		} {
			metric := "pg_stat_database_" + name + "_total"
			if rise := page.value(t, metric, "datname", db) - before.sum(metric, "datname", db); rise < least {
				t.Errorf("%s rose by %v, want %v at least", metric, rise, least)
			}
		}
		if srv.Major >= 14 {
			if v := page.value(t, "pg_stat_database_sessions_total", "datname", db); v < 3 {
				t.Errorf("there were %v sessions, want 3 at least", v)
			}
		}

		// What all databases share has a row without a database.
		for _, metric := range []string{"pg_stat_database_numbackends", "pg_stat_database_blks_hit_total", "pg_stat_database_xact_commit_total"} {
			page.value(t, metric, "datname", "")
		}
		for _, name := range []string{db, "", "template0"} {
			if srv.Query(t, "postgres", "SHOW data_checksums") == "on" {
				if v := page.value(t, "pg_stat_database_checksum_failures_total", "datname", name); v != 0 {
					t.Errorf("%v checksums of %q failed", v, name)
				}
			} else {
				page.absent(t, "pg_stat_database_checksum_failures_total", "datname", name)
			}
			page.absent(t, "pg_stat_database_checksum_last_failure_timestamp_seconds", "datname", name)
		}
		for name := range page {
			if strings.HasPrefix(name, "pg_stat_database_conflicts_confl") {
				t.Errorf("a primary shows %s", name)
			}
		}
		if v := page.value(t, "pgvigil_collector_skipped", "collector", "stat_database_conflicts", "reason", "role"); v != 1 {
			t.Errorf("stat_database_conflicts is skipped on a primary: %v", v)
		}
	})
}

// workIn commits, rolls back, reads, writes, sorts on disk and meets a deadlock.
func workIn(t *testing.T, srv *pgtest.Server, database string) {
	t.Helper()
	srv.ExecIn(t, database,
		"CREATE TABLE stock (id int PRIMARY KEY, n int)",
		"INSERT INTO stock SELECT g, 0 FROM generate_series(1, 1000) g",
		"UPDATE stock SET n = 1 WHERE id <= 200",
		"DELETE FROM stock WHERE id > 900",
		"SELECT sum(n) FROM stock",
		"SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT n FROM stock WHERE id = 7",
		"BEGIN; INSERT INTO stock VALUES (2000, 0); ROLLBACK",
		"SET work_mem = '64kB'; SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g ORDER BY -g OFFSET 0) sorted",
	)
	deadlock(t, srv, database)
}

// deadlock has each of two sessions wait for a row of the other.
func deadlock(t *testing.T, srv *pgtest.Server, database string) {
	t.Helper()
	// Each looks for a deadlock once. Only who waits second can find it.
	set := "SET deadlock_timeout = '1ms'"
	one := session(t, srv, pgtest.Superuser, database, set, "BEGIN", "UPDATE stock SET n = 2 WHERE id = 1")
	two := session(t, srv, pgtest.Superuser, database, set, "BEGIN", "UPDATE stock SET n = 2 WHERE id = 2")
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	second := make(chan error, 1)
	go func() {
		_, err := two.Exec(ctx, "UPDATE stock SET n = 3 WHERE id = 1")
		second <- err
	}()
	_, err := one.Exec(ctx, "UPDATE stock SET n = 3 WHERE id = 2")
	if other := <-second; (err == nil) == (other == nil) {
		t.Fatalf("of two in a deadlock one should fail: %v, %v", err, other)
	}
	// What a session has done is counted for good when it ends.
	if err := errors.Join(one.Close(ctx), two.Close(ctx)); err != nil {
		t.Fatal(err)
	}
}

// TestStatDatabaseConflicts cancels a query on a standby, which holds what the
// primary drops.
func TestStatDatabaseConflicts(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"synchronous_standby_names": "*", "synchronous_commit": "local",
		}})
		standby := pgtest.New(t, major, pgtest.Options{
			StandbyOf: primary, Settings: map[string]string{"max_standby_streaming_delay": "0"},
		})
		session(t, primary, pgtest.Superuser, "postgres", "SET synchronous_commit = remote_apply", "CREATE TABLE stock (id int)")
		e := watch(t, standby, pgtest.Monitor, "stat_database")
		before := scrapePage(t, e)
		before.succeeded(t, "stat_database", "stat_database_conflicts")

		session(t, standby, pgtest.Superuser, "postgres", "BEGIN", "SELECT * FROM stock")
		primary.Exec(t, "DROP TABLE stock")
		page := eventually(t, e, "pg_stat_database_conflicts_confl_lock_total", all(
			adds("pg_stat_database_conflicts_confl_lock_total", 1, "datname", "postgres"),
			adds("pg_stat_database_conflicts_total", 1, "datname", "postgres")))
		for _, kind := range []string{"tablespace", "snapshot", "bufferpin", "deadlock"} {
			if v := page.value(t, "pg_stat_database_conflicts_confl_"+kind+"_total", "datname", "postgres"); v != 0 {
				t.Errorf("%v conflicts of the kind %s, want none", v, kind)
			}
		}
		if slots := page.values("pg_stat_database_conflicts_confl_active_logicalslot_total", "datname", "postgres"); (len(slots) == 1) != (major >= 16) {
			t.Errorf("conflicts of logical slots are %v", slots)
		}
	})
}
