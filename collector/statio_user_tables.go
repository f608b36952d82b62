package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatioUserTables reports how many blocks of tables, of their indexes and of
// their TOAST data were found in shared buffers and how many were not. Partitions
// count for the table at the root of their tree.
//
// It asks the functions behind pg_statio_user_tables, in one pass over pg_class
// and one over pg_index. None of them opens a table, so no lock makes it wait.
// Temporary tables are left out: they are not in shared buffers.
var StatioUserTables = spec.Collector{
	Name: "statio_user_tables", About: "Blocks of tables, their indexes and TOAST data read and found in shared buffers.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 15 * time.Second, Every: time.Minute, MaxSeries: 2000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                                        AS schemaname
     , coalesce(r.relname, c.relname)::text                                                   AS relname
     , c.oid::text                                                                            AS relid
     , c.relpages * pg_catalog.current_setting('block_size')::double precision                AS relpages_bytes
     , (pg_catalog.pg_stat_get_blocks_fetched(c.oid) + coalesce(i.fetched, 0)
        + coalesce(pg_catalog.pg_stat_get_blocks_fetched(t.oid), 0) + coalesce(i.toast_fetched, 0))::double precision AS activity_total
     , (pg_catalog.pg_stat_get_blocks_fetched(c.oid) - pg_catalog.pg_stat_get_blocks_hit(c.oid))::double precision AS heap_blocks_read_total
     , pg_catalog.pg_stat_get_blocks_hit(c.oid)::double precision                             AS heap_blocks_hit_total
     , (i.fetched - i.hit)::double precision                                                  AS idx_blocks_read_total
     , i.hit::double precision                                                                AS idx_blocks_hit_total
     , nullif(pg_catalog.pg_stat_get_blocks_fetched(t.oid) - pg_catalog.pg_stat_get_blocks_hit(t.oid), 0)::double precision AS toast_blocks_read_total
     , nullif(pg_catalog.pg_stat_get_blocks_hit(t.oid), 0)::double precision                  AS toast_blocks_hit_total
     , nullif(i.toast_fetched - i.toast_hit, 0)::double precision                             AS tidx_blocks_read_total
     , nullif(i.toast_hit, 0)::double precision                                               AS tidx_blocks_hit_total
  FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
  LEFT JOIN (SELECT coalesce(o.oid, x.indrelid)                                                            AS relid
                  , sum(pg_catalog.pg_stat_get_blocks_fetched(x.indexrelid)) FILTER (WHERE o.oid IS NULL)     AS fetched
                  , sum(pg_catalog.pg_stat_get_blocks_hit(x.indexrelid)) FILTER (WHERE o.oid IS NULL)         AS hit
                  , sum(pg_catalog.pg_stat_get_blocks_fetched(x.indexrelid)) FILTER (WHERE o.oid IS NOT NULL) AS toast_fetched
                  , sum(pg_catalog.pg_stat_get_blocks_hit(x.indexrelid)) FILTER (WHERE o.oid IS NOT NULL)     AS toast_hit
               FROM pg_catalog.pg_index x
               LEFT JOIN pg_catalog.pg_class o ON o.reltoastrelid = x.indrelid
              WHERE x.indrelid >= 16384
              GROUP BY coalesce(o.oid, x.indrelid)) i ON i.relid = c.oid
  LEFT JOIN pg_catalog.pg_class r ON r.relkind = 'p'
   AND r.oid = CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) END
  JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(r.relnamespace, c.relnamespace)
 WHERE c.relkind IN ('r', 'm')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')`}},
	Labels: []string{"schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "heap_blocks_read_total", Type: spec.Counter, Help: "Blocks of the table that were not in shared buffers."},
		{Name: "heap_blocks_hit_total", Type: spec.Counter, Help: "Blocks of the table found in shared buffers."},
		{Name: "idx_blocks_read_total", Type: spec.Counter, Help: "Blocks of the table's indexes that were not in shared buffers, absent for a table without."},
		{Name: "idx_blocks_hit_total", Type: spec.Counter, Help: "Blocks of the table's indexes found in shared buffers, absent for a table without."},
		{Name: "toast_blocks_read_total", Type: spec.Counter, Help: "Blocks of the table's TOAST table that were not in shared buffers, absent until there is one."},
		{Name: "toast_blocks_hit_total", Type: spec.Counter, Help: "Blocks of the table's TOAST table found in shared buffers, absent until there is one."},
		{Name: "tidx_blocks_read_total", Type: spec.Counter, Help: "Blocks of the TOAST table's index that were not in shared buffers, absent until there is one."},
		{Name: "tidx_blocks_hit_total", Type: spec.Counter, Help: "Blocks of the TOAST table's index found in shared buffers, absent until there is one."},
	},
	Fold: &spec.Fold{
		Key: "relid", Rank: []string{"relpages_bytes", "activity_total"},
		Limit: 200,
	},
}
