package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatCheckpointer reports how often checkpoints run, why, and what they write,
// under one set of names: 17 moved the counters out of pg_stat_bgwriter. Before
// 17 a standby's restartpoints count as checkpoints. A checkpoint counts as timed
// or requested even where it is skipped because nothing was written; done, since
// 18, leaves those out.
var StatCheckpointer = spec.Collector{
	Name: "stat_checkpointer", About: "Checkpoints and restartpoints, what they wrote and how long they took.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 11, Locks: "none"},
	Queries: []spec.Query{{Until: 17, SQL: `
SELECT checkpoints_timed::double precision                  AS num_timed_total
     , checkpoints_req::double precision                    AS num_requested_total
     , checkpoint_write_time / 1000                         AS write_seconds_total
     , checkpoint_sync_time / 1000                          AS sync_seconds_total
     , buffers_checkpoint::double precision                 AS buffers_written_total
     , extract(epoch FROM stats_reset)::double precision    AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_bgwriter`}, {Since: 17, SQL: `
SELECT num_timed::double precision                          AS num_timed_total
     , num_requested::double precision                      AS num_requested_total
     , num_done::double precision                           AS num_done_total                 -- since 18
     , restartpoints_timed::double precision                AS restartpoints_timed_total
     , restartpoints_req::double precision                  AS restartpoints_req_total
     , restartpoints_done::double precision                 AS restartpoints_done_total
     , write_time / 1000                                    AS write_seconds_total
     , sync_time / 1000                                     AS sync_seconds_total
     , buffers_written::double precision                    AS buffers_written_total
     , slru_written::double precision                       AS slru_written_total             -- since 18
     , extract(epoch FROM stats_reset)::double precision    AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_checkpointer`}},
	Metrics: []spec.Metric{
		{Name: "num_timed_total", Type: spec.Counter, Help: "Checkpoints begun because checkpoint_timeout had passed."},
		{Name: "num_requested_total", Type: spec.Counter, Help: "Checkpoints begun because of max_wal_size or on request."},
		{Name: "num_done_total", Type: spec.Counter, Help: "Checkpoints that were performed, since 18."},
		{Name: "restartpoints_timed_total", Type: spec.Counter, Help: "Restartpoints begun because checkpoint_timeout had passed, since 17."},
		{Name: "restartpoints_req_total", Type: spec.Counter, Help: "Restartpoints begun because of max_wal_size or on request, since 17."},
		{Name: "restartpoints_done_total", Type: spec.Counter, Help: "Restartpoints that were performed, since 17."},
		{Name: "write_seconds_total", Type: spec.Counter, Help: "Time checkpoints and restartpoints spent writing, which they spread out on purpose."},
		{Name: "sync_seconds_total", Type: spec.Counter, Help: "Time checkpoints and restartpoints spent syncing files to disk."},
		{Name: "buffers_written_total", Type: spec.Counter, Help: "Buffers written by checkpoints and restartpoints."},
		{Name: "slru_written_total", Type: spec.Counter, Help: "SLRU buffers written by checkpoints and restartpoints, since 18."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
