package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatActivityApplications answers whose sessions they are, by the name that
// clients give themselves. The 50 names with the most sessions are shown, those
// connected longest first among equals, since names made up for each connection
// would otherwise take turns; the rest is other.
var StatActivityApplications = spec.Collector{
	Name: "stat_activity_application", About: "Client sessions by application_name.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH session AS (
SELECT coalesce(application_name, '')                                                       AS application_name
     , coalesce(state, '')                                                                  AS state
     , pg_catalog.count(*)                                                                  AS sessions
     , pg_catalog.max(greatest(pg_catalog.clock_timestamp(), xact_start) - xact_start)      AS of_transaction
     , pg_catalog.sum(pg_catalog.count(*)) OVER of_application                              AS of_application
     , pg_catalog.min(pg_catalog.min(backend_start)) OVER of_application                    AS since
  FROM pg_catalog.pg_stat_activity
 WHERE coalesce(application_name, '') <> 'pgvigil'
   AND (backend_type = 'client backend'
    OR (backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL AND leader_pid IS NULL))
 GROUP BY 1, 2
WINDOW of_application AS (PARTITION BY coalesce(application_name, ''))
), ranked AS (
SELECT application_name
     , state
     , sessions
     , of_transaction
     , pg_catalog.dense_rank() OVER (ORDER BY of_application DESC, since, application_name) AS application_rank
  FROM session
)
SELECT CASE WHEN application_rank <= 50 THEN application_name::text
            ELSE 'other' END                                                                AS application_name
     , state::text                                                                          AS state
     , pg_catalog.sum(sessions)::double precision                                           AS sessions
     , extract(epoch FROM pg_catalog.max(of_transaction))::double precision                 AS max_tx_duration_seconds
  FROM ranked
 GROUP BY 1, 2`}},
	Labels: []string{"application_name", "state"},
	Metrics: []spec.Metric{
		{Name: "sessions", Type: spec.Gauge, Help: "Client sessions, without pgvigil's own."},
		{Name: "max_tx_duration_seconds", Type: spec.Gauge, Help: "Age of the oldest open transaction."},
	},
}
