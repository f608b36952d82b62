package collector_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// oddName is a name with everything in it that some syntax minds.
const oddName = `odd "name" \ 'of` + "\n" + `table' {x="y"}`

// relationScene makes what the collectors of relations have to show beside tables.
func relationScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	session(t, srv, pgtest.Superuser, "postgres", "CREATE TEMP TABLE passing AS SELECT 1 AS id")
	srv.Exec(t, "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * n; END'", "SELECT twice(21)",
		// A new row version that has no room on its page, and one that has; and rows that are kept apart, and read.
		"CREATE TABLE packed (id int, doc text) WITH (autovacuum_enabled = off)", "INSERT INTO packed SELECT g, repeat('x', 500) FROM generate_series(1, 100) g",
		"UPDATE packed SET doc = repeat('y', 1000) WHERE id = 1", "UPDATE packed SET doc = 'z' WHERE id = 100",
		"CREATE TABLE docs (id int PRIMARY KEY, doc text)", "ALTER TABLE docs ALTER doc SET STORAGE EXTERNAL",
		"INSERT INTO docs SELECT g, repeat('x', 10000) FROM generate_series(1, 50) g", "SELECT sum(length(doc)) FROM docs")
	const told = `
SELECT ((SELECT calls = 1 FROM pg_stat_user_functions WHERE funcname = 'twice')
   AND (SELECT n_tup_hot_upd > 0 FROM pg_stat_user_tables WHERE relname = 'packed')
   AND (SELECT toast_blks_hit > 0 AND tidx_blks_hit > 0 FROM pg_statio_user_tables WHERE relname = 'docs'))::text`
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if srv.Query(t, "postgres", told) == "true" {
			return
		}
	}
	t.Fatal("the statistics never told of a function's call, of an update in place and of rows kept apart")
}

// label names a column of PostgreSQL's view and the metric's for it where they
// differ: blks there, blocks here.
const blocksView = `SELECT jsonb_object_agg(s.schemaname || '.' || s.relname, jsonb_build_object('schemaname', s.schemaname, 'relname', s.relname
     , 'heap_blocks_read', s.heap_blks_read, 'heap_blocks_hit', s.heap_blks_hit, 'idx_blocks_read', s.idx_blks_read, 'idx_blocks_hit', s.idx_blks_hit
     , 'toast_blocks_read', s.toast_blks_read, 'toast_blocks_hit', s.toast_blks_hit, 'tidx_blocks_read', s.tidx_blks_read, 'tidx_blocks_hit', s.tidx_blks_hit))
  FROM pg_statio_user_tables s JOIN pg_class c ON c.oid = s.relid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'`

// differ tells where a page and rows of PostgreSQL's own view, which have the
// collector's labels as columns, are not alike.
func differ(t *testing.T, srv *pgtest.Server, s snapshot, db string, c spec.Collector, view string) string {
	t.Helper()
	rows := viewRows(t, srv, db, view)
	if len(rows) == 0 {
		return "the view has no rows"
	}
	var b strings.Builder
	for _, row := range rows {
		labels := []string{"datname", db}
		for _, l := range c.Labels {
			value, _ := row[l].(string)
			labels = append(labels, l, value)
		}
		b.WriteString(row.differences(s, c, labels...))
	}
	if got := len(s[c.FullName(c.Metrics[0].Name)].GetMetric()); got != len(rows) {
		fmt.Fprintf(&b, "the page has %d series of %s, and the view %d rows", got, c.Metrics[0].Name, len(rows))
	}
	return b.String()
}

// TestStatioUserTables compares every sample of tables of every kind with
// PostgreSQL's own view.
func TestStatioUserTables(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		quoted := pgx.Identifier{oddName}.Sanitize()
		const still = " WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)"
		srv.ExecIn(t, db,
			"CREATE TABLE busy (id int PRIMARY KEY, n int, doc text)"+still, "CREATE INDEX ON busy (n)", "ALTER TABLE busy ALTER doc SET STORAGE EXTERNAL",
			"CREATE TABLE bare (id int)"+still,
			"CREATE TABLE "+quoted+" (id int)"+still, "INSERT INTO "+quoted+" VALUES (1), (2)",
			"INSERT INTO busy SELECT g, g, repeat('x', 10000) FROM generate_series(1, 100) g",
			"CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM busy",
			"SET enable_seqscan = off; SELECT sum(length(doc)) FROM busy WHERE id < 50",
		)
		session(t, srv, pgtest.Superuser, db, "CREATE TEMP TABLE passing AS SELECT 1 AS id")
		var why string
		defer func() {
			if t.Failed() {
				t.Log(why)
			}
		}()
		page := anew(t, watchIn(t, srv, 0, []string{db}, collector.StatioUserTables), "pg_statio_user_tables_heap_blocks_hit_total", func(s snapshot) bool {
			why = differ(t, srv, s, db, collector.StatioUserTables, blocksView)
			return why == "" && s.sum("pg_statio_user_tables_tidx_blocks_hit_total", "relname", "busy") > 0
		})
		for _, part := range []string{"heap", "idx", "toast", "tidx"} {
			if v := page.value(t, "pg_statio_user_tables_"+part+"_blocks_hit_total", "relname", "busy"); v < 50 {
				t.Errorf("%v blocks of the %s were hit, want 50 at least", v, part)
			}
			if part != "heap" {
				page.absent(t, "pg_statio_user_tables_"+part+"_blocks_hit_total", "relname", "bare")
			}
		}
		if v := page.value(t, "pg_statio_user_tables_heap_blocks_hit_total", "relname", oddName); v < 1 {
			t.Errorf("%v blocks of the table of an odd name were hit", v)
		}
		page.absent(t, "pg_statio_user_tables_heap_blocks_hit_total", "relname", "passing")
	})
}

// TestStatioUserTablesPartitions rolls partitions up into their root, and lets no
// counter fall when they are dropped, detached or attached, or the root renamed.
func TestStatioUserTablesPartitions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		trial := newTableTrial(t, srv, db, collector.StatioUserTables)
		const hit = "pg_statio_user_tables_heap_blocks_hit_total"
		truth := func() string {
			return srv.Query(t, db, "SELECT sum(heap_blks_hit) FROM pg_statio_user_tables")
		}
		last := trial.settle(t, func(s snapshot) bool {
			return s.sum(hit) >= 60 && fmt.Sprint(s.sum(hit, "relname", "events")) == truth()
		})
		for _, step := range []struct {
			sql    string
			tables []string
		}{
			{"DROP TABLE parts.early_2", []string{"events"}},
			{"ALTER TABLE events DETACH PARTITION late", []string{"events", "late"}},
			{"ALTER TABLE events ATTACH PARTITION late FOR VALUES FROM (100) TO (200)", []string{"events"}},
			{"ALTER TABLE events RENAME TO history", []string{"history"}},
		} {
			srv.ExecIn(t, db, step.sql)
			page := trial.refresh(t)
			if got := page.shown(hit, "relname"); !slices.Equal(got, step.tables) {
				t.Errorf("after %s the tables are %q, want %q", step.sql, got, step.tables)
			}
			checkNoneFell(t, step.sql, last, page)
			last = page
		}
	})
}

// shown lists the values that a label of a metric has.
func (s snapshot) shown(metric, label string) []string {
	var found []string
	for _, m := range s[metric].GetMetric() {
		found = append(found, labelValue(m, label))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// countersOfRelations are the collectors that ask the statistics of relations,
// but for stat_user_tables.
var countersOfRelations = []spec.Collector{collector.StatioUserTables, collector.StatUserIndexes, collector.StatioUserIndexes}

// TestCountersLocked holds tables, indexes and a partition root under ACCESS
// EXCLUSIVE: the page comes at once and has them all.
func TestCountersLocked(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, partitioned...)
		srv.ExecIn(t, db, "CREATE TABLE plain (id int PRIMARY KEY)")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE events, plain IN ACCESS EXCLUSIVE MODE", "REINDEX TABLE plain", "ALTER TABLE plain ADD COLUMN n int")
		began := time.Now()
		page := scrapePage(t, watchIn(t, srv, 0, []string{db}, countersOfRelations...)())
		// It takes a tenth of a second, on a machine with nothing else to do.
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the page took %v", took)
		}
		for _, c := range countersOfRelations {
			page.succeeded(t, c.Name)
			if got, want := page.shown(c.FullName(c.Metrics[0].Name), "relname"), []string{"events", "plain"}; !slices.Equal(got, want) {
				t.Errorf("%s has the tables %q, want %q", c.Name, got, want)
			}
		}
	})
}

// TestCountersOther has more tables and indexes than may be shown: those left are
// added up for each database, and nothing is lost.
func TestCountersOther(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		const limit, many = 5, 8
		databases := []string{srv.Database(t), srv.Database(t)}
		for _, db := range databases {
			var script strings.Builder
			for i := range many {
				fmt.Fprintf(&script, "CREATE TABLE t%d (id int PRIMARY KEY) WITH (autovacuum_enabled = off); INSERT INTO t%d SELECT generate_series(1, %d);", i, i, 100+i)
			}
			srv.ExecIn(t, db, script.String(), "SET enable_seqscan = off; SELECT id FROM t3 WHERE id = 5")
		}
		// At the first sight of a database all that was counted is shown or in the rest.
		truths := map[string]string{
			"pg_statio_user_tables_heap_blocks_hit_total": "SELECT sum(heap_blks_hit) FROM pg_statio_user_tables",
			"pg_statio_user_indexes_idx_blks_hit_total":   "SELECT sum(idx_blks_hit) FROM pg_statio_user_indexes",
			"pg_stat_user_indexes_idx_tup_read_total":     "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes",
		}
		page := anew(t, watchIn(t, srv, limit, databases, countersOfRelations...), "pg_stat_user_indexes_idx_tup_read_total", func(s snapshot) bool {
			for _, db := range databases {
				for metric, view := range truths {
					if fmt.Sprint(s.sum(metric, "datname", db)) != srv.Query(t, db, view) {
						return false
					}
				}
			}
			return s.sum("pg_stat_user_indexes_idx_tup_read_total") == 2 && s.sum("pg_statio_user_tables_heap_blocks_hit_total") >= 2*many*100
		})
		for _, c := range countersOfRelations {
			shown := len(page.values(c.FullName(c.Metrics[0].Name)))
			folded := page.sum("pgvigil_collector_folded", "collector", c.Name)
			if rests := len(page.values(c.FullName(c.Metrics[0].Name), "relname", "other", "schemaname", "other")); shown-rests != limit || folded != 2*many-limit {
				t.Errorf("%s shows %d label sets and folds %v, want %d and %d", c.Name, shown-rests, folded, limit, 2*many-limit)
			}
		}
	})
}
