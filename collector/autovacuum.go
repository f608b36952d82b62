package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Autovacuum reports whether autovacuum is on and how busy its workers are. What
// a worker does is in the text of its activity, so without track_activities
// nobody knows whether it prevents wraparound.
var Autovacuum = spec.Collector{
	Name: "autovacuum", About: "Autovacuum's workers, and the tables that are due for vacuum and analyze.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Primary, Member: "pg_read_all_stats", Grant: "GRANT pg_monitor TO pgvigil"},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 5, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT (pg_catalog.current_setting('autovacuum')::boolean
        AND pg_catalog.current_setting('track_counts')::boolean)::integer::double precision  AS enabled
     , pg_catalog.count(*)::double precision                                                 AS workers
     , CASE WHEN pg_catalog.current_setting('track_activities')::boolean
         THEN pg_catalog.count(*) FILTER (WHERE a.query LIKE '%(to prevent wraparound)') END::double precision AS wraparound_workers
     , pg_catalog.current_setting('autovacuum_max_workers')::double precision                AS max_workers
     , pg_catalog.current_setting('autovacuum_worker_slots')::double precision               AS worker_slots -- since 18
  FROM pg_catalog.pg_stat_get_activity(NULL::integer) a
 WHERE a.backend_type = 'autovacuum worker'`}},
	Metrics: []spec.Metric{
		{Name: "enabled", Type: spec.Gauge, Help: "1 if autovacuum works, for which the settings autovacuum and track_counts must be on; where it is 0 it still prevents wraparound."},
		{Name: "workers", Type: spec.Gauge, Help: "Autovacuum workers that run."},
		{Name: "wraparound_workers", Type: spec.Gauge, Help: "Autovacuum workers whose vacuum is to prevent wraparound, which does not give way to a lock."},
		{Name: "max_workers", Type: spec.Gauge, Help: "Most autovacuum workers that run at once (autovacuum_max_workers)."},
		{Name: "worker_slots", Type: spec.Gauge, Help: "Room for autovacuum workers (autovacuum_worker_slots); where it is less than max_workers it is what counts."},
	},
}
