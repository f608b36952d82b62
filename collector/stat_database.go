package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatDatabase reports what is done in each database. The objects that all
// databases share have a row of their own, with an empty datname.
var StatDatabase = spec.Collector{
	Name: "stat_database", About: "Transactions, tuples, blocks, sessions and errors of each database.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: 2 * time.Second, MaxSeries: 40000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(d.datname::text, '')                                       AS datname
     , d.numbackends::double precision                                     AS numbackends
     , d.xact_commit::double precision                                     AS xact_commit_total
     , d.xact_rollback::double precision                                   AS xact_rollback_total
     , d.blks_read::double precision                                       AS blks_read_total
     , d.blks_hit::double precision                                        AS blks_hit_total
     , d.tup_returned::double precision                                    AS tup_returned_total
     , d.tup_fetched::double precision                                     AS tup_fetched_total
     , d.tup_inserted::double precision                                    AS tup_inserted_total
     , d.tup_updated::double precision                                     AS tup_updated_total
     , d.tup_deleted::double precision                                     AS tup_deleted_total
     , d.conflicts::double precision                                       AS conflicts_total
     , d.temp_files::double precision                                      AS temp_files_total
     , d.temp_bytes::double precision                                      AS temp_bytes_total
     , d.deadlocks::double precision                                       AS deadlocks_total
     , d.checksum_failures::double precision                               AS checksum_failures_total
     , extract(epoch FROM d.checksum_last_failure)::double precision       AS checksum_last_failure_timestamp_seconds
     , d.blk_read_time / 1000                                              AS blk_read_time_seconds_total
     , d.blk_write_time / 1000                                             AS blk_write_time_seconds_total
     , d.session_time / 1000                                               AS session_time_seconds_total             -- since 14
     , d.active_time / 1000                                                AS active_time_seconds_total              -- since 14
     , d.idle_in_transaction_time / 1000                                   AS idle_in_transaction_time_seconds_total -- since 14
     , d.sessions::double precision                                        AS sessions_total                         -- since 14
     , d.sessions_abandoned::double precision                              AS sessions_abandoned_total               -- since 14
     , d.sessions_fatal::double precision                                  AS sessions_fatal_total                   -- since 14
     , d.sessions_killed::double precision                                 AS sessions_killed_total                  -- since 14
     , d.parallel_workers_to_launch::double precision                      AS parallel_workers_to_launch_total       -- since 18
     , d.parallel_workers_launched::double precision                       AS parallel_workers_launched_total        -- since 18
     , extract(epoch FROM d.stats_reset)::double precision                 AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_database d`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "numbackends", Type: spec.Gauge, Help: "Backends connected to the database."},
		{Name: "xact_commit_total", Type: spec.Counter, Help: "Transactions committed."},
		{Name: "xact_rollback_total", Type: spec.Counter, Help: "Transactions rolled back."},
		{Name: "blks_read_total", Type: spec.Counter, Help: "Blocks read that were not in shared buffers."},
		{Name: "blks_hit_total", Type: spec.Counter, Help: "Blocks found in shared buffers."},
		{Name: "tup_returned_total", Type: spec.Counter, Help: "Live rows read by sequential scans and index entries returned by index scans."},
		{Name: "tup_fetched_total", Type: spec.Counter, Help: "Live rows fetched by index scans."},
		{Name: "tup_inserted_total", Type: spec.Counter, Help: "Rows inserted."},
		{Name: "tup_updated_total", Type: spec.Counter, Help: "Rows updated."},
		{Name: "tup_deleted_total", Type: spec.Counter, Help: "Rows deleted."},
		{Name: "conflicts_total", Type: spec.Counter, Help: "Queries cancelled by a conflict with recovery, which happens on standbys only."},
		{Name: "temp_files_total", Type: spec.Counter, Help: "Temporary files made by queries."},
		{Name: "temp_bytes_total", Type: spec.Counter, Help: "Bytes written to temporary files by queries."},
		{Name: "deadlocks_total", Type: spec.Counter, Help: "Deadlocks detected."},
		{Name: "checksum_failures_total", Type: spec.Counter, Help: "Data pages whose checksum was wrong, absent where checksums are off."},
		{Name: "checksum_last_failure_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last wrong checksum."},
		{Name: "blk_read_time_seconds_total", Type: spec.Counter, Help: "Time backends spent reading data files, 0 unless track_io_timing is on."},
		{Name: "blk_write_time_seconds_total", Type: spec.Counter, Help: "Time backends spent writing data files, 0 unless track_io_timing is on."},
		{Name: "session_time_seconds_total", Type: spec.Counter, Help: "Time spent by sessions, counted when their state changes."},
		{Name: "active_time_seconds_total", Type: spec.Counter, Help: "Time spent executing statements."},
		{Name: "idle_in_transaction_time_seconds_total", Type: spec.Counter, Help: "Time spent idle in a transaction."},
		{Name: "sessions_total", Type: spec.Counter, Help: "Sessions established."},
		{Name: "sessions_abandoned_total", Type: spec.Counter, Help: "Sessions that ended because the client was lost."},
		{Name: "sessions_fatal_total", Type: spec.Counter, Help: "Sessions that ended by a fatal error."},
		{Name: "sessions_killed_total", Type: spec.Counter, Help: "Sessions terminated by an operator."},
		{Name: "parallel_workers_to_launch_total", Type: spec.Counter, Help: "Parallel workers that queries planned to launch."},
		{Name: "parallel_workers_launched_total", Type: spec.Counter, Help: "Parallel workers that queries launched."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}

// StatDatabaseConflicts reports why a standby cancelled queries. The counts stay
// on the server that made them and do not come with a replica.
var StatDatabaseConflicts = spec.Collector{
	Name: "stat_database_conflicts", Of: "stat_database", About: "Queries cancelled on a standby, by the kind of conflict with recovery.",
	Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Standby},
	Cost:  spec.Cost{Timeout: 2 * time.Second, MaxSeries: 10000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT c.datname::text                                                     AS datname
     , c.confl_tablespace::double precision                                AS conflicts_confl_tablespace_total
     , c.confl_lock::double precision                                      AS conflicts_confl_lock_total
     , c.confl_snapshot::double precision                                  AS conflicts_confl_snapshot_total
     , c.confl_bufferpin::double precision                                 AS conflicts_confl_bufferpin_total
     , c.confl_deadlock::double precision                                  AS conflicts_confl_deadlock_total
     , c.confl_active_logicalslot::double precision                        AS conflicts_confl_active_logicalslot_total -- since 16
  FROM pg_catalog.pg_stat_database_conflicts c`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "conflicts_confl_tablespace_total", Type: spec.Counter, Help: "Queries cancelled because a tablespace was dropped."},
		{Name: "conflicts_confl_lock_total", Type: spec.Counter, Help: "Queries cancelled because they waited for a lock too long."},
		{Name: "conflicts_confl_snapshot_total", Type: spec.Counter, Help: "Queries cancelled because rows they might have seen were removed."},
		{Name: "conflicts_confl_bufferpin_total", Type: spec.Counter, Help: "Queries cancelled because they pinned a buffer that recovery wanted to clean."},
		{Name: "conflicts_confl_deadlock_total", Type: spec.Counter, Help: "Queries cancelled because they were in a deadlock with recovery."},
		{Name: "conflicts_confl_active_logicalslot_total", Type: spec.Counter, Help: "Uses of logical slots cancelled because rows or the WAL level they needed are gone."},
	},
}
