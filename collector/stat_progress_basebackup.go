package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatProgressBasebackup reports how far running base backups have come, all of
// them added up. The total is known only once each has estimated its own, which a
// client may ask not to be done.
var StatProgressBasebackup = spec.Collector{
	Name: "stat_progress_basebackup", About: "How far running base backups have come.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 4, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN pg_catalog.count(*) = pg_catalog.count(p.backup_total)
            THEN pg_catalog.sum(p.backup_total) END::double precision  AS backup_bytes
     , pg_catalog.sum(p.backup_streamed)::double precision             AS backup_streamed_bytes
     , pg_catalog.sum(p.tablespaces_total)::double precision           AS tablespaces
     , pg_catalog.sum(p.tablespaces_streamed)::double precision        AS tablespaces_streamed
  FROM pg_catalog.pg_stat_progress_basebackup p`}},
	Metrics: []spec.Metric{
		{Name: "backup_bytes", Type: spec.Gauge, Help: "Bytes that will be streamed, as estimated at the beginning; absent where they were not."},
		{Name: "backup_streamed_bytes", Type: spec.Gauge, Help: "Bytes streamed."},
		{Name: "tablespaces", Type: spec.Gauge, Help: "Tablespaces that will be streamed."},
		{Name: "tablespaces_streamed", Type: spec.Gauge, Help: "Tablespaces streamed."},
	},
}

// StatProgressBasebackupPhase reports in which phase running base backups are.
var StatProgressBasebackupPhase = spec.Collector{
	Name: "stat_progress_basebackup_phase", Of: "stat_progress_basebackup", About: "Phases of running base backups.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 20, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(p.phase, '')                  AS phase
     , pg_catalog.count(*)::double precision  AS pg_stat_progress_basebackup_phase
  FROM pg_catalog.pg_stat_progress_basebackup p
 GROUP BY p.phase`}},
	Labels: []string{"phase"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_progress_basebackup_phase", Type: spec.Gauge, Help: "Base backups that are in the phase."},
	},
}
