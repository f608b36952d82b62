package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressCreateIndex reports how far each CREATE INDEX and REINDEX has come,
// in the manner of StatProgressVacuum. An index that is being built mostly cannot
// be looked up by others yet, so there is the table only.
var StatProgressCreateIndex = spec.Collector{
	Name: "stat_progress_create_index", About: "How far running builds of indexes have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')                         AS datname
     , coalesce(n.nspname::text, '')                         AS schemaname
     , coalesce(c.relname::text, '')                         AS relname
     , pg_catalog.sum(p.lockers_total)::double precision     AS lockers
     , pg_catalog.sum(p.lockers_done)::double precision      AS lockers_done
     , pg_catalog.sum(p.blocks_total)::double precision      AS blocks
     , pg_catalog.sum(p.blocks_done)::double precision       AS blocks_done
     , pg_catalog.sum(p.tuples_total)::double precision      AS tuples
     , pg_catalog.sum(p.tuples_done)::double precision       AS tuples_done
     , pg_catalog.sum(p.partitions_total)::double precision  AS partitions
     , pg_catalog.sum(p.partitions_done)::double precision   AS partitions_done
  FROM pg_catalog.pg_stat_progress_create_index p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname`}},
	Labels: []string{"datname", "schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "lockers", Type: spec.Gauge, Help: "Sessions the build has to wait for in this phase."},
		{Name: "lockers_done", Type: spec.Gauge, Help: "Sessions the build has waited for in this phase."},
		{Name: "blocks", Type: spec.Gauge, Help: "Blocks to process in this phase."},
		{Name: "blocks_done", Type: spec.Gauge, Help: "Blocks processed in this phase."},
		{Name: "tuples", Type: spec.Gauge, Help: "Rows to process in this phase."},
		{Name: "tuples_done", Type: spec.Gauge, Help: "Rows processed in this phase."},
		{Name: "partitions", Type: spec.Gauge, Help: "Partitions on which the index is to be built."},
		{Name: "partitions_done", Type: spec.Gauge, Help: "Partitions on which the index has been built."},
	},
}

// StatProgressCreateIndexPhase reports in which phase running builds of indexes
// are, and by which command.
var StatProgressCreateIndexPhase = spec.Collector{
	Name: "stat_progress_create_index_phase", Of: "stat_progress_create_index", About: "Phases of running builds of indexes.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')          AS datname
     , coalesce(n.nspname::text, '')          AS schemaname
     , coalesce(c.relname::text, '')          AS relname
     , coalesce(p.command, '')                AS command
     , coalesce(p.phase, '')                  AS phase
     , pg_catalog.count(*)::double precision  AS pg_stat_progress_create_index_phase
  FROM pg_catalog.pg_stat_progress_create_index p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname, p.command, p.phase`}},
	Labels: []string{"datname", "schemaname", "relname", "command", "phase"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_progress_create_index_phase", Type: spec.Gauge, Help: "Builds of indexes that are in the phase."},
	},
}
