package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// LocksWaits answers whether sessions wait for locks, for how long, and how many
// sessions are at the root of it: they block others and wait for no lock. Its
// edges are those of a held mode that conflicts with one waited for, without
// pg_blocking_pids, which stops the lock manager once for each waiter. Who merely
// queues behind another waiter has the same blockers. Objects are told apart, which
// costs most, only where a part of their name is that of one waited for. Parallel
// workers are of their leader's session, where the role may see that. A chain is as
// deep as it has objects: a waits for b's, b for c's, is 2. Before 14 PostgreSQL does
// not tell since when a session waits, and the start of its query proves nothing.
var LocksWaits = spec.Collector{
	Name: "locks_waits", Of: "locks",
	About: "Sessions waiting for locks, and those that make them wait.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH RECURSIVE conflict (wanted, held) AS (
VALUES ('AccessShareLock', '{AccessExclusiveLock}'::text[])
     , ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}')
     , ('RowExclusiveLock', '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
     , ('ShareUpdateExclusiveLock', '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
     , ('ShareLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
     , ('ShareRowExclusiveLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
     , ('ExclusiveLock', '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
     , ('AccessExclusiveLock', '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
), entry AS (
SELECT locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid, virtualtransaction, pid, mode, granted
     , waitstart                                                                AS waitstart  -- since 14
     , coalesce(relation::bigint, objid::bigint, transactionid::text::bigint, 0) AS part
  FROM pg_catalog.pg_locks
 WHERE NOT fastpath
), lock AS (
SELECT l.granted                                                                AS granted
     , l.mode                                                                   AS mode
     , coalesce(w.leader_pid::text, l.pid::text, l.virtualtransaction)          AS session
     , l.waitstart                                                              AS waitstart  -- since 14
     , pg_catalog.dense_rank() OVER (ORDER BY l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid::text, l.classid, l.objid, l.objsubid) AS object
  FROM entry AS l
  LEFT JOIN pg_catalog.pg_stat_get_activity(NULL::integer) AS w ON w.pid = l.pid AND w.backend_type = 'parallel worker'
 WHERE l.part IN (SELECT part FROM entry WHERE NOT granted)
), waiter AS (
SELECT session                                                                  AS session
     , object                                                                   AS object
     , mode                                                                     AS mode
     , waitstart                                                                AS waitstart  -- since 14
  FROM lock
 WHERE NOT granted
), edge AS (
SELECT DISTINCT h.session                                                       AS blocker
     , w.object                                                                 AS object
  FROM (SELECT DISTINCT object, mode FROM waiter) AS w
  JOIN conflict AS c ON c.wanted = w.mode
  JOIN lock AS h ON h.granted AND h.object = w.object AND h.mode = ANY (c.held)
 WHERE (h.session, h.object) NOT IN (SELECT session, object FROM waiter)
), step AS (
SELECT DISTINCT e.object                                                        AS object
     , w.object                                                                 AS root
  FROM waiter AS w
  JOIN edge AS e ON e.blocker = w.session
), chain (object, depth) AS (
SELECT object, 1
  FROM edge WHERE blocker NOT IN (SELECT session FROM waiter)
 UNION
SELECT s.object, c.depth + 1
  FROM chain AS c
  JOIN step AS s ON s.root = c.object AND c.depth < 20
)
SELECT pg_catalog.count(DISTINCT session)::double precision                     AS waiting_sessions
     , coalesce(extract(epoch FROM pg_catalog.max(greatest(pg_catalog.clock_timestamp(), waitstart) - waitstart)), 0)::double precision AS max_wait_seconds  -- since 14
     , (SELECT pg_catalog.count(DISTINCT blocker) FROM edge WHERE blocker NOT IN (SELECT session FROM waiter))::double precision AS root_blockers
     , (SELECT coalesce(pg_catalog.max(depth), 0) FROM chain)::double precision AS chain_depth
  FROM waiter`}},
	Metrics: []spec.Metric{
		{Name: "waiting_sessions", Type: spec.Gauge, Help: "Sessions that wait for a lock."},
		{Name: "max_wait_seconds", Type: spec.Gauge, Help: "Longest time a session has been waiting for a lock."},
		{Name: "root_blockers", Type: spec.Gauge, Help: "Sessions and prepared transactions that make others wait and wait for no lock themselves."},
		{Name: "chain_depth", Type: spec.Gauge, Help: "Most locks between a waiting session and a root blocker, counted to 20."},
	},
}
