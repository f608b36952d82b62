package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Database reports how large each database is and whom it lets in, templates
// included. A database our role may not measure has no size; the others have.
var Database = spec.Collector{
	Name: "database", About: "Size and connection limit of each database.",
	Default: true, Scope: spec.PerServer,
	// pg_database_size asks the file system for each file of each database.
	Cost: spec.Cost{Timeout: 30 * time.Second, Every: 5 * time.Minute, MaxSeries: 30000, Locks: "none"},
	// has_database_privilege is NULL for a database that was dropped meanwhile,
	// of which pg_database_size would complain.
	Queries: []spec.Query{{SQL: `
SELECT d.datname::text                                                     AS datname
     , CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') IS NOT NULL
             AND (pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                  OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'))
            THEN pg_catalog.pg_database_size(d.oid) END::double precision  AS size_bytes
     , d.datconnlimit::double precision                                    AS connection_limit
     , d.datallowconn::int::double precision                               AS allow_connections
  FROM pg_catalog.pg_database d`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "size_bytes", Type: spec.Gauge, Help: "Disk space used by the database."},
		{Name: "connection_limit", Type: spec.Gauge, Help: "Connections the database allows, -1 for no limit, -2 for a database left invalid by an interrupted DROP DATABASE."},
		{Name: "allow_connections", Type: spec.Gauge, Help: "Whether the database allows connections at all."},
	},
}
