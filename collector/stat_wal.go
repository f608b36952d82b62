package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatWAL reports how much write-ahead log the server generates. PostgreSQL 18
// moved the counts and times of writes and syncs to pg_stat_io.
var StatWAL = spec.Collector{
	Name: "stat_wal", About: "Write-ahead log generated since the last reset.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 20, Locks: "none"},
	Queries: []spec.Query{{Since: 14, SQL: `
SELECT wal_records::double precision                        AS records_total
     , wal_fpi::double precision                            AS full_page_images_total
     , wal_bytes::double precision                          AS bytes_total
     , wal_buffers_full::double precision                   AS buffers_full_total
     , wal_write::double precision                          AS writes_total              -- until 18
     , wal_sync::double precision                           AS syncs_total               -- until 18
     , wal_write_time / 1000                                AS write_seconds_total       -- until 18
     , wal_sync_time / 1000                                 AS sync_seconds_total        -- until 18
     , extract(epoch FROM stats_reset)::double precision    AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_wal`}},
	Metrics: []spec.Metric{
		{Name: "records_total", Type: spec.Counter, Help: "WAL records generated."},
		{Name: "full_page_images_total", Type: spec.Counter, Help: "Full page images written to WAL."},
		{Name: "bytes_total", Type: spec.Counter, Help: "Bytes of WAL generated."},
		{Name: "buffers_full_total", Type: spec.Counter, Help: "Times WAL went to disk because the WAL buffers were full."},
		{Name: "writes_total", Type: spec.Counter, Help: "Times WAL buffers were written to disk."},
		{Name: "syncs_total", Type: spec.Counter, Help: "Times WAL files were synced to disk."},
		{Name: "write_seconds_total", Type: spec.Counter, Help: "Time spent writing WAL buffers, 0 unless track_wal_io_timing is on."},
		{Name: "sync_seconds_total", Type: spec.Counter, Help: "Time spent syncing WAL files, 0 unless track_wal_io_timing is on."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
