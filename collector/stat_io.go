package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatIO reports what each kind of process reads and writes, by what it is done
// to and why. Of the combinations PostgreSQL knows, few ever occur: those without
// any operation are left out, and what cannot happen in a combination is absent.
// Since 18 the object wal is among them.
//
// Until 18 all operations are of one size, op_bytes; since then a read or extend
// may be of several blocks.
var StatIO = spec.Collector{
	Name: "stat_io", About: "Reads, writes, hits and syncs by kind of process, object and context.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1500, Locks: "none"},
	Queries: []spec.Query{{Since: 16, SQL: `
SELECT b.backend_type                                  AS backend_type
     , b.object                                        AS object
     , b.context                                       AS context
     , b.reads::double precision                       AS reads_total
     , (b.reads * b.op_bytes)::double precision        AS read_bytes_total        -- until 18
     , b.read_bytes::double precision                  AS read_bytes_total        -- since 18
     , b.read_time / 1000                              AS read_seconds_total
     , b.writes::double precision                      AS writes_total
     , (b.writes * b.op_bytes)::double precision       AS write_bytes_total       -- until 18
     , b.write_bytes::double precision                 AS write_bytes_total       -- since 18
     , b.write_time / 1000                             AS write_seconds_total
     , b.writebacks::double precision                  AS writebacks_total
     , b.writeback_time / 1000                         AS writeback_seconds_total
     , b.extends::double precision                     AS extends_total
     , (b.extends * b.op_bytes)::double precision      AS extend_bytes_total      -- until 18
     , b.extend_bytes::double precision                AS extend_bytes_total      -- since 18
     , b.extend_time / 1000                            AS extend_seconds_total
     , b.hits::double precision                        AS hits_total
     , b.evictions::double precision                   AS evictions_total
     , b.reuses::double precision                      AS reuses_total
     , b.fsyncs::double precision                      AS fsyncs_total
     , b.fsync_time / 1000                             AS fsync_seconds_total
  FROM pg_catalog.pg_stat_io b
 WHERE greatest(b.reads, b.writes, b.writebacks, b.extends, b.hits, b.evictions, b.reuses, b.fsyncs) > 0`}},
	Labels: []string{"backend_type", "object", "context"},
	Metrics: []spec.Metric{
		{Name: "reads_total", Type: spec.Counter, Help: "Reads."},
		{Name: "read_bytes_total", Type: spec.Counter, Help: "Bytes read."},
		{Name: "read_seconds_total", Type: spec.Counter, Help: "Time spent in reads or waiting for them, 0 unless track_io_timing is on, for wal track_wal_io_timing."},
		{Name: "writes_total", Type: spec.Counter, Help: "Writes."},
		{Name: "write_bytes_total", Type: spec.Counter, Help: "Bytes written."},
		{Name: "write_seconds_total", Type: spec.Counter, Help: "Time spent in writes, 0 unless track_io_timing is on, for wal track_wal_io_timing."},
		{Name: "writebacks_total", Type: spec.Counter, Help: "Blocks the kernel was asked to write to storage."},
		{Name: "writeback_seconds_total", Type: spec.Counter, Help: "Time spent asking the kernel to write blocks to storage, 0 unless track_io_timing is on."},
		{Name: "extends_total", Type: spec.Counter, Help: "Operations that made a relation longer."},
		{Name: "extend_bytes_total", Type: spec.Counter, Help: "Bytes by which relations were made longer."},
		{Name: "extend_seconds_total", Type: spec.Counter, Help: "Time spent making relations longer, 0 unless track_io_timing is on."},
		{Name: "hits_total", Type: spec.Counter, Help: "Blocks found in shared buffers, or in local buffers for a temp relation."},
		{Name: "evictions_total", Type: spec.Counter, Help: "Blocks evicted from a buffer to make room for another."},
		{Name: "reuses_total", Type: spec.Counter, Help: "Buffers of a ring used once more, in contexts that have a ring."},
		{Name: "fsyncs_total", Type: spec.Counter, Help: "Calls of fsync; those of relations are the checkpointer's unless it could not take them over."},
		{Name: "fsync_seconds_total", Type: spec.Counter, Help: "Time spent in fsync, 0 unless track_io_timing is on, for wal track_wal_io_timing."},
	},
}

// StatIOReset reports since when StatIO counts. All its rows are reset together.
var StatIOReset = spec.Collector{
	Name: "stat_io_reset", Of: "stat_io", About: "Time of the last reset of the statistics of input and output.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{Since: 16, SQL: `
SELECT extract(epoch FROM pg_catalog.max(b.stats_reset))::double precision  AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_io b`}},
	Metrics: []spec.Metric{
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
