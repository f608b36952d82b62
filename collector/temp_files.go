package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// TempFiles reports the files that sorts and hashes have on disk at this moment.
// Those that parallel workers share are in directories, into which
// pg_ls_tmpdir does not look. What a crash has left is among them until a restart.
//
// PostgreSQL takes pg_global for pg_default here, so that is left out.
// has_tablespace_privilege is NULL for a tablespace that was dropped meanwhile, of
// which pg_ls_tmpdir would complain.
var TempFiles = spec.Collector{
	Name: "temp_files", About: "Temporary files on disk at this moment, by tablespace.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Execute: []string{"pg_catalog.pg_ls_tmpdir(oid)"}, Grant: "GRANT pg_monitor TO pgvigil"},
	Cost:  spec.Cost{Timeout: 5 * time.Second, Every: time.Minute, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT t.spcname::text                                            AS spcname
     , pg_catalog.count(f.size)::double precision                 AS files
     , coalesce(pg_catalog.sum(f.size), 0)::double precision      AS size_bytes
  FROM pg_catalog.pg_tablespace t
  LEFT JOIN LATERAL pg_catalog.pg_ls_tmpdir(
            CASE WHEN pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') IS NOT NULL THEN t.oid END) f ON true
 WHERE t.spcname <> 'pg_global'
 GROUP BY t.spcname`}},
	Labels: []string{"spcname"},
	Metrics: []spec.Metric{
		{Name: "files", Type: spec.Gauge, Help: "Temporary files on disk, without those shared by parallel workers."},
		{Name: "size_bytes", Type: spec.Gauge, Help: "Size of the temporary files on disk, without those shared by parallel workers."},
	},
}
