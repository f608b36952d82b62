package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Locks answers which locks are held and waited for. What belongs to no database
// (shared catalogues, and the transaction ids on which row locks wait) has an
// empty datname. The 50 databases with the most locks are named, the rest is
// other. Locks of prepared transactions count.
var Locks = spec.Collector{
	Name: "locks", About: "Locks held and waited for.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH lock AS (
SELECT database                                                    AS database
     , mode                                                        AS mode
     , granted                                                     AS granted
     , count(*)                                                    AS locks
     , sum(count(*)) OVER (PARTITION BY database)                  AS of_database
  FROM pg_catalog.pg_locks
 WHERE pid IS DISTINCT FROM pg_backend_pid()
 GROUP BY database, mode, granted
), ranked AS (
SELECT d.datname                                                   AS datname
     , l.mode                                                      AS mode
     , l.granted                                                   AS granted
     , l.locks                                                     AS locks
     , dense_rank() OVER (ORDER BY l.of_database DESC, d.datname)  AS database_rank
  FROM lock AS l
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = l.database
)
SELECT CASE WHEN datname IS NULL THEN ''
            WHEN database_rank <= 50 THEN datname::text
            ELSE 'other' END                                       AS datname
     , lower(mode)                                                 AS mode
     , granted::text                                               AS granted
     , sum(locks)::double precision                                AS count
  FROM ranked
 GROUP BY 1, 2, 3`}},
	Labels: []string{"datname", "mode", "granted"},
	Metrics: []spec.Metric{
		{Name: "count", Type: spec.Gauge, Help: "Locks, without those of the session that counts them."},
	},
}

// LocksSlots answers how full the shared lock table is. A lock slot is a locked
// object, a holder slot a session's hold of one (or wait for it); there are twice
// as many. Both bounds are soft, since the table may grow into spare shared
// memory; beyond that statements fail with "out of shared memory". The limit is
// NLOCKENTS of lock.c: MaxBackends and prepared transactions, of which each has
// max_locks_per_transaction. Locks on the fast path and predicate locks lie
// elsewhere.
var LocksSlots = spec.Collector{
	Name: "locks_slots", Of: "locks",
	About: "Slots of the shared lock table, used and in all.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH hold AS (
SELECT 1                                                                  AS one
     , count(*) OVER ()                                                   AS x
  FROM pg_catalog.pg_locks
)
SELECT 1.0::double precision AS slots_used`}},
	Metrics: []spec.Metric{
		{Name: "slots_used", Type: spec.Gauge, Help: "Locked objects in the shared lock table."},
	},
}
