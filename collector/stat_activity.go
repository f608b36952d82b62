package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatActivity answers what the sessions are doing. Sessions without a database
// (walsenders, the launchers) have an empty datname. The 50 databases and the 20
// users with the most sessions are named, the rest is other, so sums hold. To a
// role without pg_monitor the type and state of other users' sessions are empty.
var StatActivity = spec.Collector{
	Name: "stat_activity", About: "Sessions by what they are and do.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 2000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH session AS (
SELECT datname
     , state
     , backend_type
     , usename
     , wait_event_type
     , pg_catalog.count(*)                                                                AS sessions
     , pg_catalog.sum(pg_catalog.count(*)) OVER (PARTITION BY datname)                    AS of_database
     , pg_catalog.sum(pg_catalog.count(*)) OVER (PARTITION BY usename)                    AS of_user
  FROM pg_catalog.pg_stat_activity
 WHERE coalesce(application_name, '') <> 'pgvigil'
 GROUP BY datname, state, backend_type, usename, wait_event_type
), ranked AS (
SELECT datname
     , state
     , backend_type
     , usename
     , wait_event_type
     , sessions
     , pg_catalog.dense_rank() OVER (ORDER BY datname IS NULL, of_database DESC, datname) AS database_rank
     , pg_catalog.dense_rank() OVER (ORDER BY usename IS NULL, of_user DESC, usename)     AS user_rank
  FROM session
)
SELECT CASE WHEN datname IS NULL THEN ''
            WHEN database_rank <= 50 THEN datname::text
            ELSE 'other' END                                                              AS datname
     , coalesce(state, '')::text                                                          AS state
     , coalesce(backend_type, '')::text                                                   AS backend_type
     , CASE WHEN usename IS NULL THEN ''
            WHEN user_rank <= 20 THEN usename::text
            ELSE 'other' END                                                              AS usename
     , coalesce(wait_event_type, '')::text                                                AS wait_event_type
     , pg_catalog.sum(sessions)::double precision                                         AS count
  FROM ranked
 GROUP BY 1, 2, 3, 4, 5`}},
	Labels: []string{"datname", "state", "backend_type", "usename", "wait_event_type"},
	Metrics: []spec.Metric{
		{Name: "count", Type: spec.Gauge, Help: "Sessions, without pgvigil's own."},
	},
}

// StatActivityAges answers how long the longest transaction, query and idle
// transaction have lasted. Autovacuum workers and walsenders stand apart by
// backend_type, and a walsender, which is always active, has no query at all.
// What nobody does has no sample.
var StatActivityAges = spec.Collector{
	Name: "stat_activity_ages", Of: "stat_activity",
	About: "Ages of the oldest transaction, query and state.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 2000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH session AS (
SELECT datname
     , backend_type
     , state LIKE 'idle in transaction%'                                                  AS idle
     , state IN ('active', 'fastpath function call')
       AND backend_type <> 'walsender'                                                    AS active
     , backend_xid IS NOT NULL OR backend_xmin IS NOT NULL                                AS holds_xid
     , greatest(pg_catalog.clock_timestamp(), xact_start) - xact_start                    AS of_transaction
     , greatest(pg_catalog.clock_timestamp(), query_start) - query_start                  AS of_query
     , greatest(pg_catalog.clock_timestamp(), state_change) - state_change                AS of_state
     , pg_catalog.count(*) OVER (PARTITION BY datname)                                    AS of_database
  FROM pg_catalog.pg_stat_activity
 WHERE coalesce(application_name, '') <> 'pgvigil'
), ranked AS (
SELECT backend_type
     , datname
     , idle
     , active
     , holds_xid
     , extract(epoch FROM of_transaction)::double precision                               AS of_transaction
     , extract(epoch FROM of_query)::double precision                                     AS of_query
     , extract(epoch FROM of_state)::double precision                                     AS of_state
     , pg_catalog.dense_rank() OVER (ORDER BY datname IS NULL, of_database DESC, datname) AS database_rank
  FROM session
)
SELECT coalesce(backend_type, '')::text                                                   AS backend_type
     , CASE WHEN datname IS NULL THEN ''
            WHEN database_rank <= 50 THEN datname::text
            ELSE 'other' END                                                              AS datname
     , pg_catalog.max(of_transaction)                                                     AS max_tx_duration_seconds
     , pg_catalog.max(of_query) FILTER (WHERE active)                                     AS max_query_duration_seconds
     , pg_catalog.max(of_state) FILTER (WHERE idle)                                       AS max_idle_in_transaction_seconds
     , pg_catalog.max(of_state) FILTER (WHERE idle AND holds_xid)                         AS max_idle_in_transaction_with_xid_seconds
     , pg_catalog.max(of_state)                                                           AS max_state_duration_seconds
  FROM ranked
 GROUP BY 1, 2`}},
	Labels: []string{"backend_type", "datname"},
	Metrics: []spec.Metric{
		{Name: "max_tx_duration_seconds", Type: spec.Gauge, Help: "Age of the oldest open transaction."},
		{Name: "max_query_duration_seconds", Type: spec.Gauge, Help: "Longest time a query has been running."},
		{Name: "max_idle_in_transaction_seconds", Type: spec.Gauge, Help: "Longest time a session has been idle in an open transaction."},
		{Name: "max_idle_in_transaction_with_xid_seconds", Type: spec.Gauge, Help: "Longest time a session has been idle in a transaction that holds a transaction id or a snapshot, which holds back vacuum."},
		{Name: "max_state_duration_seconds", Type: spec.Gauge, Help: "Longest time a session has been in its present state, whatever that is."},
	},
}

// StatActivityXmin answers which sessions hold back vacuum by their snapshot:
// of those of a kind, the oldest. A running VACUUM has an xmin too and holds
// nothing back, so it is left out with its parallel workers.
var StatActivityXmin = spec.Collector{
	Name: "stat_activity_xmin", Of: "stat_activity",
	About: "Sessions that hold the oldest snapshots.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 200, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH holder AS (
SELECT coalesce(backend_type, '')::text          AS backend_type
     , coalesce(datname, '')::text               AS datname
     , greatest(pg_catalog.age(backend_xmin), 0) AS xmin_age
     , pg_catalog.max(greatest(pg_catalog.age(backend_xmin), 0))
       OVER (PARTITION BY backend_type, datname) AS oldest
  FROM pg_catalog.pg_stat_activity
 WHERE backend_xmin IS NOT NULL
   AND coalesce(application_name, '') <> 'pgvigil'
   AND coalesce(leader_pid, pid) NOT IN (
       SELECT pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM'))
)
SELECT backend_type                              AS backend_type
     , datname                                   AS datname
     , oldest::double precision                  AS xmin_age
     , pg_catalog.count(*)::double precision     AS xmin_sessions
  FROM holder
 WHERE xmin_age = oldest
 GROUP BY backend_type, datname, oldest
 ORDER BY oldest DESC, backend_type, datname
 LIMIT 100`}},
	Labels: []string{"backend_type", "datname"},
	Metrics: []spec.Metric{
		{Name: "xmin_age", Type: spec.Gauge, Help: "Age of the oldest snapshot held by a session."},
		{Name: "xmin_sessions", Type: spec.Gauge, Help: "Sessions that hold that oldest snapshot."},
	},
}
