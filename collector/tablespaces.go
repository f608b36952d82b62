package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Tablespaces reports how large each tablespace is. One our role may not measure
// is left out, as is one whose directory is missing; the others are there.
//
// PostgreSQL lets everybody measure the tablespace of the database one is in.
// has_tablespace_privilege is NULL for a tablespace that was dropped meanwhile, of
// which pg_tablespace_size would complain.
var Tablespaces = spec.Collector{
	Name: "tablespaces", About: "Size of each tablespace.",
	Default: true, Scope: spec.PerServer,
	// pg_tablespace_size asks the file system for each file of the tablespace.
	Cost: spec.Cost{Timeout: 30 * time.Second, Every: 5 * time.Minute, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT t.spcname::text                                                          AS spcname
     , CASE WHEN pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') IS NOT NULL
             AND (pg_catalog.has_tablespace_privilege(t.oid, 'CREATE')
                  OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                  OR t.oid = d.dattablespace)
            THEN pg_catalog.pg_tablespace_size(t.oid) END::double precision     AS size_bytes
  FROM pg_catalog.pg_tablespace t
  JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()`}},
	Labels: []string{"spcname"},
	Metrics: []spec.Metric{
		{Name: "size_bytes", Type: spec.Gauge, Help: "Disk space used in the tablespace, by all databases and by temporary files."},
	},
}
