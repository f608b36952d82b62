package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatRecoveryPrefetch reports how well replay reads ahead the blocks it is about
// to change. The counts begin anew when the server starts, and stand still while
// recovery_prefetch is off.
var StatRecoveryPrefetch = spec.Collector{
	Name: "stat_recovery_prefetch", About: "Blocks that replay of WAL reads ahead on a standby, or need not.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Standby},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{Since: 15, SQL: `
SELECT p.prefetch::double precision                             AS prefetch_total
     , p.hit::double precision                                  AS hit_total
     , p.skip_init::double precision                            AS skip_init_total
     , p.skip_new::double precision                             AS skip_new_total
     , p.skip_fpw::double precision                             AS skip_fpw_total
     , p.skip_rep::double precision                             AS skip_rep_total
     , p.wal_distance::double precision                         AS wal_distance_bytes
     , p.block_distance::double precision                       AS block_distance
     , p.io_depth::double precision                             AS io_depth
     , extract(epoch FROM p.stats_reset)::double precision      AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_recovery_prefetch p`}},
	Metrics: []spec.Metric{
		{Name: "prefetch_total", Type: spec.Counter, Help: "Blocks asked to be read ahead, as they were not in shared buffers."},
		{Name: "hit_total", Type: spec.Counter, Help: "Blocks not read ahead as they were in shared buffers."},
		{Name: "skip_init_total", Type: spec.Counter, Help: "Blocks not read ahead as they will be made empty."},
		{Name: "skip_new_total", Type: spec.Counter, Help: "Blocks not read ahead as they do not exist yet."},
		{Name: "skip_fpw_total", Type: spec.Counter, Help: "Blocks not read ahead as the WAL has an image of the full page."},
		{Name: "skip_rep_total", Type: spec.Counter, Help: "Blocks not read ahead as they were just before."},
		{Name: "wal_distance_bytes", Type: spec.Gauge, Help: "Bytes of WAL that reading ahead is in front of replay."},
		{Name: "block_distance", Type: spec.Gauge, Help: "Blocks that reading ahead is in front of replay."},
		{Name: "io_depth", Type: spec.Gauge, Help: "Reads asked for that are not known to have finished."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
