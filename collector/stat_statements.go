package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatStatements reports what statements cost, by database, user and query.
//
// It reads pg_stat_statements(false), which leaves the file of texts alone, whole:
// a top list made by the server would be another each time, and what it leaves out
// would be lost. What is not shown adds up under queryid="other". Statements run at
// top level and within functions (two entries since 1.9) are one series.
//
// Columns go by the version of the extension, which pg_upgrade leaves behind. An
// entry was evicted and taken up again, or reset, where its calls fall or, since
// 1.11, stats_since differs. The block times of 1.11 and later are of shared and
// local blocks, as they were before. Deforming (1.11) is part of generation.
var StatStatements = spec.Collector{
	Name: "stat_statements", About: "What statements cost, by database, user and query.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{
		Extension: "pg_stat_statements", Setting: "pg_stat_statements.max",
		Member: "pg_read_all_stats", Grant: "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 10 * time.Second, Every: 15 * time.Second, MaxSeries: 20000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(d.datname, '')::text                                            AS datname
     , coalesce(r.rolname, '')::text                                            AS usename
     , s.queryid::text                                                          AS queryid
     , CASE WHEN s.toplevel THEN s.dbid::bigint << 32 | s.userid::bigint ELSE ~(s.dbid::bigint << 32 | s.userid::bigint) END::text AS entry  -- since 1.9
     , (s.dbid::bigint << 32 | s.userid::bigint)::text                          AS entry  -- until 1.9
     , pg_catalog.date_part('epoch', s.stats_since)                               AS stats_since  -- since 1.11
     , s.calls::double precision                                                AS calls_total
     , s.rows::double precision                                                 AS rows_total
     , s.total_exec_time / 1000                                                 AS seconds_total  -- since 1.8
     , s.total_time / 1000                                                      AS seconds_total  -- until 1.8
     , nullif(s.plans, 0)::double precision                                     AS plans_total  -- since 1.8
     , nullif(s.total_plan_time, 0) / 1000                                      AS plan_seconds_total  -- since 1.8
     , s.shared_blks_hit::double precision                                      AS shared_blks_hit_total
     , s.shared_blks_read::double precision                                     AS shared_blks_read_total
     , nullif(s.shared_blks_dirtied, 0)::double precision                       AS shared_blks_dirtied_total
     , nullif(s.shared_blks_written, 0)::double precision                       AS shared_blks_written_total
     , nullif(s.local_blks_hit, 0)::double precision                            AS local_blks_hit_total
     , nullif(s.local_blks_read, 0)::double precision                           AS local_blks_read_total
     , nullif(s.local_blks_dirtied, 0)::double precision                        AS local_blks_dirtied_total
     , nullif(s.local_blks_written, 0)::double precision                        AS local_blks_written_total
     , nullif(s.temp_blks_read, 0)::double precision                            AS temp_blks_read_total
     , nullif(s.temp_blks_written, 0)::double precision                         AS temp_blks_written_total
     , nullif(s.shared_blk_read_time + s.local_blk_read_time, 0) / 1000         AS block_read_seconds_total  -- since 1.11
     , nullif(s.shared_blk_write_time + s.local_blk_write_time, 0) / 1000       AS block_write_seconds_total  -- since 1.11
     , nullif(s.blk_read_time, 0) / 1000                                        AS block_read_seconds_total  -- until 1.11
     , nullif(s.blk_write_time, 0) / 1000                                       AS block_write_seconds_total  -- until 1.11
     , nullif(s.temp_blk_read_time, 0) / 1000                                   AS temp_block_read_seconds_total  -- since 1.10
     , nullif(s.temp_blk_write_time, 0) / 1000                                  AS temp_block_write_seconds_total  -- since 1.10
     , nullif(s.wal_records, 0)::double precision                               AS wal_records_total  -- since 1.8
     , nullif(s.wal_fpi, 0)::double precision                                   AS wal_fpi_total  -- since 1.8
     , nullif(s.wal_bytes, 0)::bigint::double precision                         AS wal_bytes_total  -- since 1.8
     , nullif(s.wal_buffers_full, 0)::double precision                          AS wal_buffers_full_total  -- since 1.12
     , nullif(s.jit_functions, 0)::double precision                             AS jit_functions_total  -- since 1.10
     , nullif(s.jit_generation_time + s.jit_inlining_time + s.jit_optimization_time + s.jit_emission_time, 0) / 1000 AS jit_seconds_total  -- since 1.10
     , nullif(s.parallel_workers_to_launch, 0)::double precision                AS parallel_workers_to_launch_total  -- since 1.12
     , nullif(s.parallel_workers_launched, 0)::double precision                 AS parallel_workers_launched_total  -- since 1.12
  FROM @extschema@.pg_stat_statements(false) AS s
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
 WHERE s.queryid IS NOT NULL`}},
	Labels: []string{"datname", "usename", "queryid"},
	Metrics: []spec.Metric{
		{Name: "calls_total", Type: spec.Counter, Help: "Times the statement was executed."},
		{Name: "rows_total", Type: spec.Counter, Help: "Rows retrieved or affected."},
		{Name: "seconds_total", Type: spec.Counter, Help: "Time spent executing the statement."},
		{Name: "plans_total", Type: spec.Counter, Help: "Times the statement was planned, counted where pg_stat_statements.track_planning is on."},
		{Name: "plan_seconds_total", Type: spec.Counter, Help: "Time spent planning the statement, counted where pg_stat_statements.track_planning is on."},
		{Name: "shared_blks_hit_total", Type: spec.Counter, Help: "Shared blocks found in the buffer cache."},
		{Name: "shared_blks_read_total", Type: spec.Counter, Help: "Shared blocks read."},
		{Name: "shared_blks_dirtied_total", Type: spec.Counter, Help: "Shared blocks dirtied."},
		{Name: "shared_blks_written_total", Type: spec.Counter, Help: "Shared blocks written by the statement itself."},
		{Name: "local_blks_hit_total", Type: spec.Counter, Help: "Blocks of temporary tables found in the session's cache."},
		{Name: "local_blks_read_total", Type: spec.Counter, Help: "Blocks of temporary tables read."},
		{Name: "local_blks_dirtied_total", Type: spec.Counter, Help: "Blocks of temporary tables dirtied."},
		{Name: "local_blks_written_total", Type: spec.Counter, Help: "Blocks of temporary tables written."},
		{Name: "temp_blks_read_total", Type: spec.Counter, Help: "Blocks of temporary files read, as sorts and hashes spill them."},
		{Name: "temp_blks_written_total", Type: spec.Counter, Help: "Blocks of temporary files written, as sorts and hashes spill them."},
		{Name: "block_read_seconds_total", Type: spec.Counter, Help: "Time spent reading blocks of tables and indexes, counted where track_io_timing is on."},
		{Name: "block_write_seconds_total", Type: spec.Counter, Help: "Time spent writing blocks of tables and indexes, counted where track_io_timing is on."},
		{Name: "temp_block_read_seconds_total", Type: spec.Counter, Help: "Time spent reading temporary files, counted where track_io_timing is on."},
		{Name: "temp_block_write_seconds_total", Type: spec.Counter, Help: "Time spent writing temporary files, counted where track_io_timing is on."},
		{Name: "wal_records_total", Type: spec.Counter, Help: "WAL records generated."},
		{Name: "wal_fpi_total", Type: spec.Counter, Help: "Full page images generated."},
		{Name: "wal_bytes_total", Type: spec.Counter, Help: "WAL generated."},
		{Name: "wal_buffers_full_total", Type: spec.Counter, Help: "Times WAL was written because its buffers were full."},
		{Name: "jit_functions_total", Type: spec.Counter, Help: "Functions compiled just in time."},
		{Name: "jit_seconds_total", Type: spec.Counter, Help: "Time spent on compiling just in time."},
		{Name: "parallel_workers_to_launch_total", Type: spec.Counter, Help: "Parallel workers planned."},
		{Name: "parallel_workers_launched_total", Type: spec.Counter, Help: "Parallel workers launched."},
	},
	Fold: &spec.Fold{
		Key: "entry", Within: []string{"queryid"}, Rank: []string{"seconds_total", "calls_total"}, Limit: 50,
		Keep: []string{"datname"}, Began: []string{"calls_total", "stats_since"}, Evicts: true,
	},
}

// StatStatementsInfo reports how full the view is and what it forgets. Where
// entries are evicted, statements that run rarely are counted in part.
var StatStatementsInfo = spec.Collector{
	Name: "stat_statements_info", Of: "stat_statements", About: "How full pg_stat_statements is, and what it evicts.",
	Scope: spec.PerServer,
	Needs: spec.Needs{Extension: "pg_stat_statements", Setting: "pg_stat_statements.max"},
	Cost:  spec.Cost{Timeout: 10 * time.Second, Every: time.Minute, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.count(*)::double precision                                                              AS entries
     , pg_catalog.current_setting('pg_stat_statements.max')::double precision                             AS entries_limit
     , (SELECT i.dealloc FROM @extschema@.pg_stat_statements_info AS i)::double precision                 AS deallocations_total  -- since 1.9
     , pg_catalog.date_part('epoch', (SELECT i.stats_reset FROM @extschema@.pg_stat_statements_info AS i)) AS stats_reset_timestamp_seconds  -- since 1.9
  FROM @extschema@.pg_stat_statements(false) AS s`}},
	Metrics: []spec.Metric{
		{Name: "entries", Type: spec.Gauge, Help: "Entries in pg_stat_statements."},
		{Name: "entries_limit", Type: spec.Gauge, Help: "Entries there may be (pg_stat_statements.max)."},
		{Name: "deallocations_total", Type: spec.Counter, Help: "Times the least used entries, one in twenty, were evicted for want of room."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of all entries."},
	},
}
