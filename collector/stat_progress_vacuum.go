package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressVacuum reports how far each VACUUM has come, by autovacuum or by
// hand; VACUUM FULL is of StatProgressCluster. The numbers begin anew with each
// vacuum, and the series end with it.
//
// The phase is not a label here but of StatProgressVacuumPhase, so that a series
// lasts as long as its vacuum. Names can be looked up in our own database only:
// tables of another, and temporary ones, have none and are added up.
//
// Dead rows were counted in rows, of so many that fit, until 17 counted the bytes
// that their ids take.
var StatProgressVacuum = spec.Collector{
	Name: "stat_progress_vacuum", About: "How far running vacuums have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')                             AS datname
     , coalesce(n.nspname::text, '')                             AS schemaname
     , coalesce(c.relname::text, '')                             AS relname
     , pg_catalog.sum(p.heap_blks_total)::double precision       AS heap_blks
     , pg_catalog.sum(p.heap_blks_scanned)::double precision     AS heap_blks_scanned
     , pg_catalog.sum(p.heap_blks_vacuumed)::double precision    AS heap_blks_vacuumed
     , pg_catalog.sum(p.index_vacuum_count)::double precision    AS index_vacuums
     , pg_catalog.sum(p.max_dead_tuples)::double precision       AS max_dead_tuples      -- until 17
     , pg_catalog.sum(p.num_dead_tuples)::double precision       AS num_dead_tuples      -- until 17
     , pg_catalog.sum(p.max_dead_tuple_bytes)::double precision  AS max_dead_tuple_bytes -- since 17
     , pg_catalog.sum(p.dead_tuple_bytes)::double precision      AS dead_tuple_bytes     -- since 17
     , pg_catalog.sum(p.num_dead_item_ids)::double precision     AS num_dead_item_ids    -- since 17
     , pg_catalog.sum(p.indexes_total)::double precision         AS indexes              -- since 17
     , pg_catalog.sum(p.indexes_processed)::double precision     AS indexes_processed    -- since 17
     , pg_catalog.sum(p.delay_time) / 1000                       AS delay_seconds        -- since 18
  FROM pg_catalog.pg_stat_progress_vacuum p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname`}},
	Labels: []string{"datname", "schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "heap_blks", Type: spec.Gauge, Help: "Blocks of the table when the vacuum began."},
		{Name: "heap_blks_scanned", Type: spec.Gauge, Help: "Blocks of the table scanned, or passed over as they need no vacuum."},
		{Name: "heap_blks_vacuumed", Type: spec.Gauge, Help: "Blocks of the table vacuumed."},
		{Name: "index_vacuums", Type: spec.Gauge, Help: "Times all indexes were vacuumed; more than once means that memory was short."},
		{Name: "max_dead_tuples", Type: spec.Gauge, Help: "Dead rows that fit into memory before the indexes are vacuumed, up to 16."},
		{Name: "num_dead_tuples", Type: spec.Gauge, Help: "Dead rows collected since the indexes were last vacuumed, up to 16."},
		{Name: "max_dead_tuple_bytes", Type: spec.Gauge, Help: "Memory for ids of dead rows before the indexes are vacuumed, since 17."},
		{Name: "dead_tuple_bytes", Type: spec.Gauge, Help: "Memory taken by ids of dead rows since the indexes were last vacuumed, since 17."},
		{Name: "num_dead_item_ids", Type: spec.Gauge, Help: "Ids of dead rows collected since the indexes were last vacuumed, since 17."},
		{Name: "indexes", Type: spec.Gauge, Help: "Indexes to be vacuumed or cleaned up in this phase."},
		{Name: "indexes_processed", Type: spec.Gauge, Help: "Indexes vacuumed or cleaned up in this phase."},
		{Name: "delay_seconds", Type: spec.Gauge, Help: "Time spent asleep because of the cost delay, 0 unless track_cost_delay_timing is on."},
	},
}

// StatProgressVacuumPhase reports in which phase running vacuums are. It knows no
// phase where our role may not see it.
var StatProgressVacuumPhase = spec.Collector{
	Name: "stat_progress_vacuum_phase", Of: "stat_progress_vacuum", About: "Phases of running vacuums.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')          AS datname
     , coalesce(n.nspname::text, '')          AS schemaname
     , coalesce(c.relname::text, '')          AS relname
     , coalesce(p.phase, '')                  AS phase
     , pg_catalog.count(*)::double precision  AS pg_stat_progress_vacuum_phase
  FROM pg_catalog.pg_stat_progress_vacuum p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname, p.phase`}},
	Labels: []string{"datname", "schemaname", "relname", "phase"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_progress_vacuum_phase", Type: spec.Gauge, Help: "Vacuums that are in the phase."},
	},
}
