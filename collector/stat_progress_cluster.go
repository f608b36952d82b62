package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressCluster reports how far each CLUSTER and VACUUM FULL has come, in
// the manner of StatProgressVacuum.
var StatProgressCluster = spec.Collector{
	Name: "stat_progress_cluster", About: "How far running CLUSTER and VACUUM FULL have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')                            AS datname
     , coalesce(n.nspname::text, '')                            AS schemaname
     , coalesce(c.relname::text, '')                            AS relname
     , pg_catalog.sum(p.heap_tuples_scanned)::double precision  AS heap_tuples_scanned
     , pg_catalog.sum(p.heap_tuples_written)::double precision  AS heap_tuples_written
     , pg_catalog.sum(p.heap_blks_total)::double precision      AS heap_blks
     , pg_catalog.sum(p.heap_blks_scanned)::double precision    AS heap_blks_scanned
     , pg_catalog.sum(p.index_rebuild_count)::double precision  AS index_rebuilds
  FROM pg_catalog.pg_stat_progress_cluster p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname`}},
	Labels: []string{"datname", "schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "heap_tuples_scanned", Type: spec.Gauge, Help: "Rows of the table read."},
		{Name: "heap_tuples_written", Type: spec.Gauge, Help: "Rows of the table written anew."},
		{Name: "heap_blks", Type: spec.Gauge, Help: "Blocks of the table, while it is read in their order."},
		{Name: "heap_blks_scanned", Type: spec.Gauge, Help: "Blocks of the table read, while it is read in their order."},
		{Name: "index_rebuilds", Type: spec.Gauge, Help: "Indexes built anew."},
	},
}

// StatProgressClusterPhase reports in which phase running CLUSTER and VACUUM FULL are.
var StatProgressClusterPhase = spec.Collector{
	Name: "stat_progress_cluster_phase", Of: "stat_progress_cluster", About: "Phases of running CLUSTER and VACUUM FULL.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')          AS datname
     , coalesce(n.nspname::text, '')          AS schemaname
     , coalesce(c.relname::text, '')          AS relname
     , coalesce(p.command, '')                AS command
     , coalesce(p.phase, '')                  AS phase
     , pg_catalog.count(*)::double precision  AS pg_stat_progress_cluster_phase
  FROM pg_catalog.pg_stat_progress_cluster p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname, p.command, p.phase`}},
	Labels: []string{"datname", "schemaname", "relname", "command", "phase"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_progress_cluster_phase", Type: spec.Gauge, Help: "CLUSTER and VACUUM FULL that are in the phase."},
	},
}
