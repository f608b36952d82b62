package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatUserIndexes reports how indexes are used. The indexes that partitions have
// from a partitioned table's index count for that index; one that a partition has
// of its own keeps the partition's name. An index no scan has used yet is there
// with 0 scans, and nothing else.
//
// It asks the functions behind pg_stat_user_indexes in one pass over pg_index.
// None of them opens an index, so no lock makes it wait or leave an index out.
var StatUserIndexes = spec.Collector{
	Name: "stat_user_indexes", About: "Scans of indexes, what they found, and when the last was.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 15 * time.Second, Every: time.Minute, MaxSeries: 1500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                                        AS schemaname
     , t.relname::text                                                                        AS relname
     , coalesce(r.relname, c.relname)::text                                                   AS indexrelname
     , c.oid::text                                                                            AS indexrelid
     , c.relpages * pg_catalog.current_setting('block_size')::double precision                AS relpages_bytes
     , pg_catalog.pg_stat_get_numscans(c.oid)::double precision                               AS idx_scan_total
     , nullif(pg_catalog.pg_stat_get_tuples_returned(c.oid), 0)::double precision             AS idx_tup_read_total
     , nullif(pg_catalog.pg_stat_get_tuples_fetched(c.oid), 0)::double precision              AS idx_tup_fetch_total
     , extract(epoch FROM pg_catalog.pg_stat_get_lastscan(c.oid))::double precision           AS last_idx_scan_timestamp_seconds -- since 16
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
		{Name: "idx_scan_total", Type: spec.Counter, Help: "Scans of the index."},
		{Name: "idx_tup_read_total", Type: spec.Counter, Help: "Index entries returned by scans of the index."},
		{Name: "idx_tup_fetch_total", Type: spec.Counter, Help: "Live rows fetched by plain index scans, which bitmap and index-only scans are not."},
		{Name: "last_idx_scan_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last scan of the index, absent if there was none."},
	},
	Fold: &spec.Fold{
		Key: "indexrelid", Rank: []string{"relpages_bytes", "idx_scan_total", "idx_tup_read_total"},
		Limit: 300,
	},
}
