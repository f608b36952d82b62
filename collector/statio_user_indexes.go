package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatioUserIndexes reports how many blocks of indexes were found in shared
// buffers and how many were not. Names, partitions and locks are as in
// StatUserIndexes. It is off by default: statio_user_tables has the sum for each
// table.
var StatioUserIndexes = spec.Collector{
	Name: "statio_user_indexes", About: "Blocks of indexes read and found in shared buffers.",
	Scope: spec.PerDatabase,
	Cost:  spec.Cost{Timeout: 15 * time.Second, Every: time.Minute, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                                        AS schemaname
     , t.relname::text                                                                        AS relname
     , coalesce(r.relname, c.relname)::text                                                   AS indexrelname
     , c.oid::text                                                                            AS indexrelid
     , c.relpages * pg_catalog.current_setting('block_size')::double precision                AS relpages_bytes
     , pg_catalog.pg_stat_get_blocks_fetched(c.oid)::double precision                         AS activity_total
     , (pg_catalog.pg_stat_get_blocks_fetched(c.oid) - pg_catalog.pg_stat_get_blocks_hit(c.oid))::double precision AS idx_blks_read_total
     , pg_catalog.pg_stat_get_blocks_hit(c.oid)::double precision                             AS idx_blks_hit_total
  FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
  LEFT JOIN (pg_catalog.pg_class r JOIN pg_catalog.pg_index p ON p.indexrelid = r.oid AND r.relkind = 'I')
    ON r.oid = CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) END
  JOIN pg_catalog.pg_class t ON t.oid = coalesce(p.indrelid, x.indrelid)
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 WHERE c.relkind = 'i'
   AND t.relkind IN ('r', 'm', 'p')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')`}},
	Labels: []string{"schemaname", "relname", "indexrelname"},
	Metrics: []spec.Metric{
		{Name: "idx_blks_read_total", Type: spec.Counter, Help: "Blocks of the index that were not in shared buffers."},
		{Name: "idx_blks_hit_total", Type: spec.Counter, Help: "Blocks of the index found in shared buffers."},
	},
	Fold: &spec.Fold{
		Key: "indexrelid", Rank: []string{"relpages_bytes", "activity_total"},
		Limit: 300,
	},
}
