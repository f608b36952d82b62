package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatSLRU reports how the small caches of transaction status, multixacts,
// subtransactions and the like are used. PostgreSQL 17 gave them other names;
// these are shown on every major, so that a graph goes on over an upgrade.
var StatSLRU = spec.Collector{
	Name: "stat_slru", About: "Blocks of the caches of transaction status, multixacts and the like.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 100, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE s.name
            WHEN 'CommitTs' THEN 'commit_timestamp'
            WHEN 'MultiXactMember' THEN 'multixact_member'
            WHEN 'MultiXactOffset' THEN 'multixact_offset'
            WHEN 'Notify' THEN 'notify'
            WHEN 'Serial' THEN 'serializable'
            WHEN 'Subtrans' THEN 'subtransaction'
            WHEN 'Xact' THEN 'transaction'
            ELSE s.name END                                          AS name
     , s.blks_zeroed::double precision                               AS blks_zeroed_total
     , s.blks_hit::double precision                                  AS blks_hit_total
     , s.blks_read::double precision                                 AS blks_read_total
     , s.blks_written::double precision                              AS blks_written_total
     , s.blks_exists::double precision                               AS blks_exists_total
     , s.flushes::double precision                                   AS flushes_total
     , s.truncates::double precision                                 AS truncates_total
     , extract(epoch FROM s.stats_reset)::double precision           AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_slru s`}},
	Labels: []string{"name"},
	Metrics: []spec.Metric{
		{Name: "blks_zeroed_total", Type: spec.Counter, Help: "Blocks made empty to be filled."},
		{Name: "blks_hit_total", Type: spec.Counter, Help: "Blocks found in the cache."},
		{Name: "blks_read_total", Type: spec.Counter, Help: "Blocks read from disk."},
		{Name: "blks_written_total", Type: spec.Counter, Help: "Blocks written to disk."},
		{Name: "blks_exists_total", Type: spec.Counter, Help: "Blocks whose existence was checked."},
		{Name: "flushes_total", Type: spec.Counter, Help: "Flushes of the cache's dirty blocks."},
		{Name: "truncates_total", Type: spec.Counter, Help: "Removals of what is too old to be needed."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of the cache's statistics."},
	},
}
