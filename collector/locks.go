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
SELECT database                                                                                 AS database
     , mode                                                                                     AS mode
     , granted                                                                                  AS granted
     , pg_catalog.count(*)                                                                      AS locks
     , pg_catalog.sum(pg_catalog.count(*)) OVER (PARTITION BY database)                         AS of_database
  FROM pg_catalog.pg_locks
 WHERE pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
 GROUP BY database, mode, granted
), ranked AS (
SELECT d.datname                                                                                AS datname
     , l.mode                                                                                   AS mode
     , l.granted                                                                                AS granted
     , l.locks                                                                                  AS locks
     , pg_catalog.dense_rank() OVER (ORDER BY d.datname IS NULL, l.of_database DESC, d.datname) AS database_rank
  FROM lock AS l
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = l.database
)
SELECT CASE WHEN datname IS NULL THEN ''
            WHEN database_rank <= 50 THEN datname::text
            ELSE 'other' END                                                                    AS datname
     , pg_catalog.lower(mode)                                                                   AS mode
     , granted::text                                                                            AS granted
     , pg_catalog.sum(locks)::double precision                                                  AS count
  FROM ranked
 GROUP BY 1, 2, 3`}},
	Labels: []string{"datname", "mode", "granted"},
	Metrics: []spec.Metric{
		{Name: "count", Type: spec.Gauge, Help: "Locks, without those of the session that counts them."},
	},
}

// LocksSlots answers how full the shared lock table is. A slot is an object
// that is locked; a holder slot is one session's hold on it or wait for it, and
// there are twice as many. Either may run out first ("out of shared memory"), and
// both limits are soft: the table may grow into memory that nothing else took.
// Locks on the fast path and predicate locks lie elsewhere. The limit is
// NLOCKENTS of lock.c, with MaxBackends of each version.
var LocksSlots = spec.Collector{
	Name: "locks_slots", Of: "locks",
	About: "Slots of the shared lock table, used and in all.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH hold AS (
SELECT DISTINCT
       pg_catalog.concat_ws(' ', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid) AS object
     , virtualtransaction                                                        AS session
  FROM pg_catalog.pg_locks
 WHERE NOT fastpath
   AND mode <> 'SIReadLock'
), used AS (
SELECT pg_catalog.count(DISTINCT object)::double precision                       AS slots
     , pg_catalog.count(*)::double precision                                     AS holder_slots
  FROM hold
), place AS (
SELECT pg_catalog.current_setting('max_connections')::double precision
     + pg_catalog.current_setting('max_worker_processes')::double precision
     + pg_catalog.current_setting('max_wal_senders')::double precision
     + pg_catalog.current_setting('max_prepared_transactions')::double precision
     + coalesce(pg_catalog.current_setting('autovacuum_worker_slots', true)
              , pg_catalog.current_setting('autovacuum_max_workers'))::double precision
     + CASE WHEN pg_catalog.current_setting('server_version_num')::integer < 170000 THEN 1
            ELSE 2 END                                                           AS places
     , pg_catalog.current_setting('max_locks_per_transaction')::double precision AS of_each
)
SELECT used.slots                                                                AS slots_used
     , place.places * place.of_each                                              AS slots_limit
     , used.holder_slots                                                         AS holder_slots_used
     , place.places * place.of_each * 2                                          AS holder_slots_limit
  FROM used
 CROSS JOIN place`}},
	Metrics: []spec.Metric{
		{Name: "slots_used", Type: spec.Gauge, Help: "Objects in the shared lock table."},
		{Name: "slots_limit", Type: spec.Gauge, Help: "Objects the shared lock table is made for."},
		{Name: "holder_slots_used", Type: spec.Gauge, Help: "Holds on objects and waits for them in the shared lock table."},
		{Name: "holder_slots_limit", Type: spec.Gauge, Help: "Holds and waits the shared lock table is made for."},
	},
}
