package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// XminHorizon answers what keeps vacuum from removing dead rows: of each kind of
// holder, the oldest transaction it still has to see. Who holds nothing has no
// sample.
//
// A session holds by its snapshot (backend_xmin) or, having written, by its own
// transaction (backend_xid), whichever is older. Lazy VACUUM has a snapshot and
// holds nothing; a parallel worker holds no more than its leader. A physical
// walsender holds what its standby asks for by hot_standby_feedback, unless it
// streams from a slot: then the slot holds it. A walsender with a database holds
// by a snapshot of its own, as while a subscription copies a table. A lost slot
// holds nothing, and catalog_xmin keeps rows of catalogues only. On a standby the
// holders are those its feedback passes on to the primary.
//
// Since when a slot or a standby holds is not known to PostgreSQL; it is longer
// than a day where the age exceeds increase(pg_xid_transaction_ids_total[1d]).
var XminHorizon = spec.Collector{
	Name: "xmin_horizon", About: "What keeps vacuum from removing dead rows, and how old it is.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 18, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH held AS (
SELECT CASE WHEN a.backend_type IS NULL THEN ''
            WHEN a.backend_type = 'client backend' THEN 'client'
            WHEN a.backend_type = 'autovacuum worker' THEN 'autovacuum'
            WHEN a.backend_type = 'walsender' AND a.datid IS NULL THEN 'standby_feedback'
            WHEN a.backend_type = 'walsender' THEN 'walsender'
            ELSE 'background' END                                                 AS holder
     , greatest(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin), 0) AS age
     , a.xact_start                                                               AS since
  FROM pg_catalog.pg_stat_get_activity(NULL::integer) AS a
 WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
   AND coalesce(a.application_name, '') <> 'pgvigil'
   AND coalesce(a.backend_type, '') <> 'parallel worker'
   AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM') AS v)
 UNION ALL
SELECT 'prepared_xact', greatest(pg_catalog.age(p.transaction), 0), p.prepared
  FROM pg_catalog.pg_prepared_xact() AS p
 UNION ALL
SELECT k.holder, greatest(pg_catalog.age(k.xmin), 0), NULL
  FROM pg_catalog.pg_get_replication_slots() AS s
 CROSS JOIN LATERAL (VALUES ('replication_slot', s.xmin), ('replication_slot_catalog', s.catalog_xmin)) AS k (holder, xmin)
 WHERE k.xmin IS NOT NULL
   AND s.wal_status IS DISTINCT FROM 'lost'
), oldest AS (
SELECT holder
     , pg_catalog.max(age) AS age
  FROM held
 GROUP BY holder
)
SELECT o.holder                                                                   AS holder
     , o.age::double precision                                                    AS age
     , extract(epoch FROM pg_catalog.max(greatest(pg_catalog.clock_timestamp(), h.since) - h.since))::double precision
                                                                                  AS transaction_seconds
  FROM oldest AS o
  JOIN held AS h ON h.holder = o.holder AND h.age = o.age
 GROUP BY o.holder, o.age`}},
	Labels: []string{"holder"},
	Metrics: []spec.Metric{
		{Name: "age", Type: spec.Gauge, Help: "Transactions begun since the oldest that the holder still has to see."},
		{Name: "transaction_seconds", Type: spec.Gauge, Help: "Time since that holder's transaction began or was prepared, absent for slots and standbys."},
	},
}

// XminHorizonHolder names the worst holder of each kind. A session is named once
// its transaction has lasted five seconds: before, the names would be those of
// whoever came by. Temporary slots bear the process's number in their names and
// are not named. Names of slots stand without the session that uses them.
var XminHorizonHolder = spec.Collector{
	Name: "xmin_horizon_holder", Of: "xmin_horizon", About: "Who of each kind keeps vacuum most from removing dead rows.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 9, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT DISTINCT ON (h.holder)
       h.holder                                                                   AS holder
     , coalesce(d.datname, '')::text                                              AS datname
     , coalesce(r.rolname, '')::text                                              AS usename
     , coalesce(h.application_name, '')                                           AS application_name
     , coalesce(h.slot_name, '')                                                  AS slot_name
     , 1::double precision                                                        AS holder_info
  FROM (
SELECT CASE WHEN a.backend_type IS NULL THEN ''
            WHEN a.backend_type = 'client backend' THEN 'client'
            WHEN a.backend_type = 'autovacuum worker' THEN 'autovacuum'
            WHEN a.backend_type = 'walsender' AND a.datid IS NULL THEN 'standby_feedback'
            WHEN a.backend_type = 'walsender' THEN 'walsender'
            ELSE 'background' END                                                 AS holder
     , greatest(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin), 0) AS age
     , a.xact_start                                                               AS since
     , a.datid                                                                    AS datid
     , a.usesysid                                                                 AS roleid
     , a.application_name                                                         AS application_name
     , NULL                                                                       AS slot_name
  FROM pg_catalog.pg_stat_get_activity(NULL::integer) AS a
 WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
   AND coalesce(a.application_name, '') <> 'pgvigil'
   AND coalesce(a.backend_type, '') <> 'parallel worker'
   AND a.pid NOT IN (SELECT v.pid FROM pg_catalog.pg_stat_get_progress_info('VACUUM') AS v)
 UNION ALL
SELECT 'prepared_xact', greatest(pg_catalog.age(p.transaction), 0), p.prepared, p.dbid, p.ownerid, NULL, NULL
  FROM pg_catalog.pg_prepared_xact() AS p
 UNION ALL
SELECT k.holder, greatest(pg_catalog.age(k.xmin), 0), NULL, s.datoid, NULL, NULL, CASE WHEN NOT s.temporary THEN s.slot_name END
  FROM pg_catalog.pg_get_replication_slots() AS s
 CROSS JOIN LATERAL (VALUES ('replication_slot', s.xmin), ('replication_slot_catalog', s.catalog_xmin)) AS k (holder, xmin)
 WHERE k.xmin IS NOT NULL
   AND s.wal_status IS DISTINCT FROM 'lost'
       ) AS h
  LEFT JOIN pg_catalog.pg_database AS d ON d.oid = h.datid
  LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = h.roleid
 WHERE h.since IS NULL
    OR h.since < pg_catalog.clock_timestamp() - interval '5 seconds'
 ORDER BY h.holder, h.age DESC, h.since, 2, 3, 4, 5`}},
	Labels: []string{"holder", "datname", "usename", "application_name", "slot_name"},
	Metrics: []spec.Metric{
		{Name: "holder_info", Type: spec.Gauge, Help: "Always 1; the labels name the worst holder of its kind."},
	},
}
