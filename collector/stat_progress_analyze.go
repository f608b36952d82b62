package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressAnalyze reports how far each ANALYZE has come, in the manner of
// StatProgressVacuum.
var StatProgressAnalyze = spec.Collector{
	Name: "stat_progress_analyze", About: "How far running analyzes have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')                            AS datname
     , coalesce(n.nspname::text, '')                            AS schemaname
     , coalesce(c.relname::text, '')                            AS relname
     , pg_catalog.sum(p.sample_blks_total)::double precision    AS sample_blks
     , pg_catalog.sum(p.sample_blks_scanned)::double precision  AS sample_blks_scanned
     , pg_catalog.sum(p.ext_stats_total)::double precision      AS ext_stats
     , pg_catalog.sum(p.ext_stats_computed)::double precision   AS ext_stats_computed
     , pg_catalog.sum(p.child_tables_total)::double precision   AS child_tables
     , pg_catalog.sum(p.child_tables_done)::double precision    AS child_tables_done
     , pg_catalog.sum(p.delay_time) / 1000                      AS delay_seconds       -- since 18
  FROM pg_catalog.pg_stat_progress_analyze p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname`}},
	Labels: []string{"datname", "schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "sample_blks", Type: spec.Gauge, Help: "Blocks that will be sampled."},
		{Name: "sample_blks_scanned", Type: spec.Gauge, Help: "Blocks sampled."},
		{Name: "ext_stats", Type: spec.Gauge, Help: "Extended statistics to compute."},
		{Name: "ext_stats_computed", Type: spec.Gauge, Help: "Extended statistics computed."},
		{Name: "child_tables", Type: spec.Gauge, Help: "Children of the table to sample."},
		{Name: "child_tables_done", Type: spec.Gauge, Help: "Children of the table sampled."},
		{Name: "delay_seconds", Type: spec.Gauge, Help: "Time spent asleep because of the cost delay, 0 unless track_cost_delay_timing is on."},
	},
}

// StatProgressAnalyzePhase reports in which phase running analyzes are.
var StatProgressAnalyzePhase = spec.Collector{
	Name: "stat_progress_analyze_phase", Of: "stat_progress_analyze", About: "Phases of running analyzes.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.datname::text, '')          AS datname
     , coalesce(n.nspname::text, '')          AS schemaname
     , coalesce(c.relname::text, '')          AS relname
     , coalesce(p.phase, '')                  AS phase
     , pg_catalog.count(*)::double precision  AS pg_stat_progress_analyze_phase
  FROM pg_catalog.pg_stat_progress_analyze p
  LEFT JOIN pg_catalog.pg_class c ON c.oid = p.relid AND c.relpersistence <> 't' AND p.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY p.datname, n.nspname, c.relname, p.phase`}},
	Labels: []string{"datname", "schemaname", "relname", "phase"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_progress_analyze_phase", Type: spec.Gauge, Help: "Analyzes that are in the phase."},
	},
}
