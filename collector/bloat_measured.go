package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// BloatMeasured measures what the worst suspects of bloat waste, by the same
// definition, where the extension pgstattuple is installed in their database. That
// wants no right to read the tables, and so finds suspects for pg_monitor alone.
//
// A run reads at most 8192 pages, 64 MB, of a database, the worst suspects first:
// pgstattuple_approx passes over pages that are all visible, and for the maps a
// fiftieth of all pages is counted. A table that is larger than all of that is
// passed over. What was measured holds for a day. After mass deletes the number is
// up to three points low, for line pointers that are dead.
var BloatMeasured = spec.Collector{
	Name: "bloat_measured", Of: "bloat", About: "Space that tables waste, measured.",
	Scope: spec.PerDatabase,
	Needs: spec.Needs{Extension: "pgstattuple", Member: "pg_stat_scan_tables", Grant: "GRANT pg_monitor TO pgvigil"},
	Cost: spec.Cost{
		Timeout: 30 * time.Second, Every: time.Hour, MaxSeries: 200,
		Locks: "ACCESS SHARE on each table that is measured; none that are under ACCESS EXCLUSIVE",
	},
	Queries: []spec.Query{{SQL: `
WITH suspect AS (
SELECT s.oid, s.nspname, s.relname, s.fillfactor, s.block
  FROM (SELECT c.oid, n.nspname, c.relname, x.rank, b.block
             , coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'fillfactor')::double precision, 100) AS fillfactor
             , sum(p.pages) OVER (ORDER BY x.rank)                                  AS spent
          FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS x (relid, rank)
          JOIN pg_catalog.pg_class AS c ON c.oid = x.relid::oid AND c.relkind IN ('r', 'm') AND c.relam = 2 AND c.relpersistence <> 't'
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::double precision AS block) AS b
          LEFT JOIN (SELECT DISTINCT l.relation
                       FROM pg_catalog.pg_locks AS l
                       JOIN pg_catalog.pg_database AS d ON d.oid = l.database
                      WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND d.datname = pg_catalog.current_database()) AS k ON k.relation = c.oid
         CROSS JOIN LATERAL (SELECT CASE WHEN k.relation IS NULL THEN pg_catalog.pg_relation_size(c.oid) END / b.block AS all_pages) AS z
         CROSS JOIN LATERAL (SELECT greatest(0, z.all_pages - c.relallvisible) + z.all_pages / 50 AS pages) AS p
         WHERE p.pages <= 8192) AS s
 WHERE s.spent <= 8192
)
SELECT s.nspname::text                                                              AS schemaname
     , s.relname::text                                                              AS relname
     , 'measured'                                                                   AS method
     , s.oid::text                                                                  AS relid
     , greatest(0, m.table_len - s.block * ceil(m.approx_tuple_count / greatest(1, CASE WHEN f.fit < 8 THEN floor(f.fit) ELSE f.fit END)))::double precision AS table_wasted_bytes
     , m.table_len::double precision                                                AS table_size_bytes
     , extract(epoch FROM pg_catalog.clock_timestamp())::double precision           AS table_measured_timestamp_seconds
  FROM suspect AS s
 CROSS JOIN LATERAL @extschema@.pgstattuple_approx(s.oid) AS m
 CROSS JOIN LATERAL (SELECT (s.block - 24 - floor(s.block * (100 - s.fillfactor) / 100)) * greatest(1, m.approx_tuple_count + m.dead_tuple_count)
                            / greatest(1, m.table_len - m.approx_free_space - 24 * m.table_len / s.block) AS fit) AS f`}},
	Labels: []string{"schemaname", "relname", "method"},
	Metrics: []spec.Metric{
		{Name: "table_wasted_bytes", Type: spec.Gauge, Help: "What writing the table anew at its fillfactor would give back, absent where it cannot be known."},
		{Name: "table_size_bytes", Type: spec.Gauge, Help: "Size of the table without toast and indexes, of tables whose waste is known."},
		{Name: "table_measured_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the measurement."},
	},
	Follow: &spec.Follow{Of: "bloat", Column: "relid", For: 24 * time.Hour},
}

// BloatIndexesMeasured measures what the worst suspects among btree indexes waste.
// pgstatindex reads the whole index; what is dead and not yet vacuumed counts as
// used there.
var BloatIndexesMeasured = spec.Collector{
	Name: "bloat_indexes_measured", Of: "bloat", About: "Space that btree indexes waste, measured.",
	Scope: spec.PerDatabase,
	Needs: spec.Needs{Extension: "pgstattuple", Member: "pg_stat_scan_tables", Grant: "GRANT pg_monitor TO pgvigil"},
	Cost: spec.Cost{
		Timeout: 30 * time.Second, Every: time.Hour, MaxSeries: 200,
		Locks: "ACCESS SHARE on each index that is measured; none that are, or whose table is, under ACCESS EXCLUSIVE",
	},
	Queries: []spec.Query{{SQL: `
WITH suspect AS (
SELECT s.oid, s.nspname, s.relname, s.indexrelname, s.fillfactor, s.block
  FROM (SELECT i.oid, n.nspname, c.relname, i.relname AS indexrelname, x.rank, b.block
             , coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(i.reloptions) AS o WHERE o.option_name = 'fillfactor')::double precision, 90) AS fillfactor
             , sum(p.pages) OVER (ORDER BY x.rank)                                  AS spent
          FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS x (relid, rank)
          JOIN pg_catalog.pg_class AS i ON i.oid = x.relid::oid AND i.relkind = 'i' AND i.relam = 403 AND i.relpersistence <> 't'
          JOIN pg_catalog.pg_index AS d ON d.indexrelid = i.oid AND d.indisvalid
          JOIN pg_catalog.pg_class AS c ON c.oid = d.indrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::double precision AS block) AS b
          LEFT JOIN (SELECT DISTINCT l.relation
                       FROM pg_catalog.pg_locks AS l
                       JOIN pg_catalog.pg_database AS e ON e.oid = l.database
                      WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND e.datname = pg_catalog.current_database()) AS k ON k.relation IN (i.oid, c.oid)
         CROSS JOIN LATERAL (SELECT CASE WHEN k.relation IS NULL THEN pg_catalog.pg_relation_size(i.oid) END / b.block AS pages) AS p
         WHERE p.pages <= 8192) AS s
 WHERE s.spent <= 8192
)
SELECT s.nspname::text                                                              AS schemaname
     , s.relname::text                                                              AS relname
     , s.indexrelname::text                                                         AS indexrelname
     , 'measured'                                                                   AS method
     , s.oid::text                                                                  AS relid
     , ((m.index_size - s.block) * (1 - least(1, coalesce(nullif(m.avg_leaf_density, 'NaN'), 0) / s.fillfactor
          * m.leaf_pages / greatest(1, m.leaf_pages + m.empty_pages + m.deleted_pages))))::double precision AS index_wasted_bytes
     , m.index_size::double precision                                               AS index_size_bytes
     , extract(epoch FROM pg_catalog.clock_timestamp())::double precision           AS index_measured_timestamp_seconds
  FROM suspect AS s
 CROSS JOIN LATERAL @extschema@.pgstatindex(s.oid) AS m`}},
	Labels: []string{"schemaname", "relname", "indexrelname", "method"},
	Metrics: []spec.Metric{
		{Name: "index_wasted_bytes", Type: spec.Gauge, Help: "What REINDEX at the index's fillfactor would give back, absent where it cannot be known."},
		{Name: "index_size_bytes", Type: spec.Gauge, Help: "Size of the index, of btree indexes whose waste is known."},
		{Name: "index_measured_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the measurement."},
	},
	Follow: &spec.Follow{Of: "bloat_indexes", Column: "relid", For: 24 * time.Hour},
}
