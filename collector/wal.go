package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// WAL reports how far the server's write-ahead log has come: written on a
// primary, received or replayed on a standby, whichever is further. It goes back
// only where a server is rewound onto another timeline; for the rate at which
// WAL is generated, pg_stat_wal_bytes_total is the better source since 14.
var WAL = spec.Collector{
	Name: "wal", About: "Position in the write-ahead log, and the size of its directory.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT (CASE WHEN pg_catalog.pg_is_in_recovery()
             THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
             ELSE pg_catalog.pg_current_wal_lsn()
        END - '0/0'::pg_catalog.pg_lsn)::double precision AS position_bytes_total`}},
	Metrics: []spec.Metric{
		{Name: "position_bytes_total", Type: spec.Counter, Help: "Position in the WAL, in bytes from its beginning: written on a primary, received or replayed on a standby."},
	},
}

// WALDirectory reports how much room pg_wal takes. Segments that were recycled
// for later use are among them.
var WALDirectory = spec.Collector{
	Name: "wal_directory", Of: "wal", About: "Number of WAL segments and size of the directory they are in.",
	Scope: spec.PerServer,
	Needs: spec.Needs{Execute: []string{"pg_catalog.pg_ls_waldir()"}, Grant: "GRANT pg_monitor TO pgvigil"},
	Cost:  spec.Cost{Timeout: 5 * time.Second, Every: time.Minute, MaxSeries: 2, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT (pg_catalog.count(*) FILTER (WHERE name ~ '^[0-9A-F]{24}$'))::double precision  AS segments
     , coalesce(pg_catalog.sum(size), 0)::double precision                             AS size_bytes
  FROM pg_catalog.pg_ls_waldir()`}},
	Metrics: []spec.Metric{
		{Name: "segments", Type: spec.Gauge, Help: "WAL segments on disk, recycled ones included; partial, history and backup files are not counted."},
		{Name: "size_bytes", Type: spec.Gauge, Help: "Size of all files in pg_wal."},
	},
}
