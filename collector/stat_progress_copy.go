package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressCopy reports how far each COPY has come, and the initial copies of
// logical replication, whose type is CALLBACK. Names of tables are as in
// StatProgressVacuum; a COPY of a query has none. The total of bytes is known of
// files that the server reads itself.
var StatProgressCopy = spec.Collector{
	Name: "stat_progress_copy", About: "How far running COPY commands have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{Since: 14, SQL: `
SELECT coalesce(p.datname::text, '')                         AS datname
     , coalesce(n.nspname::text, '')                         AS schemaname
     , coalesce(c.relname::text, '')                         AS relname
     , coalesce(p.command, '')                               AS command
     , coalesce(p.type, '')                                  AS type
     , pg_catalog.count(*)::double precision                 AS running
     , pg_catalog.sum(p.bytes_processed)::double precision   AS processed_bytes
     , CASE WHEN pg_catalog.min(p.bytes_total) > 0 THEN pg_catalog.sum(p.bytes_total) END::double precision  AS size_bytes
     , pg_catalog.sum(p.tuples_processed)::double precision  AS tuples_processed
     , pg_catalog.sum(p.tuples_excluded)::double precision   AS tuples_excluded
     , pg_catalog.sum(p.tuples_skipped)::double precision    AS tuples_skipped   -- since 17
  FROM pg_catalog.pg_stat_progress_copy p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname, p.command, p.type`}},
	Labels: []string{"datname", "schemaname", "relname", "command", "type"},
	Metrics: []spec.Metric{
		{Name: "running", Type: spec.Gauge, Help: "COPY commands under way."},
		{Name: "processed_bytes", Type: spec.Gauge, Help: "Bytes read or written."},
		{Name: "size_bytes", Type: spec.Gauge, Help: "Size of the file that is read, absent where the source is no file."},
		{Name: "tuples_processed", Type: spec.Gauge, Help: "Rows read or written."},
		{Name: "tuples_excluded", Type: spec.Gauge, Help: "Rows left out by WHERE."},
		{Name: "tuples_skipped", Type: spec.Gauge, Help: "Rows passed over because of malformed data."},
	},
}
