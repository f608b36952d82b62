package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Connections answers how many more can connect. Only client backends take of
// max_connections: walsenders, autovacuum and background workers have places of
// their own (InitProcess in proc.c). pgvigil's own sessions count, as they take
// places too. To a role without pg_monitor the types of others' sessions are
// hidden; then each with a user and a database counts, so background workers
// that have both are too many.
var Connections = spec.Collector{
	Name: "connections", About: "Connections used, and how many more there may be.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH setting AS (
SELECT pg_catalog.current_setting('max_connections')::double precision                AS max
     , pg_catalog.current_setting('superuser_reserved_connections')::double precision AS superuser_reserved
     , pg_catalog.current_setting('reserved_connections', true)::double precision     AS reserved
), client AS (
SELECT pg_catalog.count(*)::double precision                                          AS used
  FROM pg_catalog.pg_stat_get_activity(NULL::integer)
 WHERE backend_type = 'client backend'
    OR (backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL AND leader_pid IS NULL)
), ordinary AS (
SELECT max - superuser_reserved - coalesce(reserved, 0)                               AS max
  FROM setting
)
SELECT setting.max                                                                    AS max
     , setting.superuser_reserved                                                     AS superuser_reserved
     , setting.reserved                                                               AS reserved -- since 16
     , ordinary.max                                                                   AS max_ordinary
     , client.used                                                                    AS used
     , greatest(ordinary.max - client.used, 0)                                        AS available
  FROM setting
 CROSS JOIN client
 CROSS JOIN ordinary`}},
	Metrics: []spec.Metric{
		{Name: "max", Type: spec.Gauge, Help: "Client connections the server has room for."},
		{Name: "superuser_reserved", Type: spec.Gauge, Help: "Connections only superusers may take."},
		{Name: "reserved", Type: spec.Gauge, Help: "Connections only superusers and members of pg_use_reserved_connections may take."},
		{Name: "max_ordinary", Type: spec.Gauge, Help: "Connections at which ordinary users are refused, which is the room less both reservations."},
		{Name: "used", Type: spec.Gauge, Help: "Client connections in use, pgvigil's own among them."},
		{Name: "available", Type: spec.Gauge, Help: "Connections that ordinary users can still open."},
	},
}

// ConnectionsDatabase answers how near databases are to a limit of their own.
// Only databases that have one are shown, the 100 fullest at most.
var ConnectionsDatabase = spec.Collector{
	Name: "connections_database", Of: "connections",
	About: "Connections and limit of databases that have a limit.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 200, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH client AS (
SELECT datid                                 AS datid
     , pg_catalog.count(*)                   AS used
  FROM pg_catalog.pg_stat_get_activity(NULL::integer)
 WHERE backend_type = 'client backend'
    OR (backend_type IS NULL AND usesysid IS NOT NULL AND leader_pid IS NULL)
 GROUP BY datid
)
SELECT d.datname::text                       AS datname
     , coalesce(c.used, 0)::double precision AS database_used
     , d.datconnlimit::double precision      AS database_limit
  FROM pg_catalog.pg_database AS d
  LEFT JOIN client AS c ON c.datid = d.oid
 WHERE d.datconnlimit >= 0
 ORDER BY coalesce(c.used, 0)::double precision / greatest(d.datconnlimit, 1) DESC, d.datname
 LIMIT 100`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "database_used", Type: spec.Gauge, Help: "Client connections to a database that has a connection limit."},
		{Name: "database_limit", Type: spec.Gauge, Help: "Connection limit of the database."},
	},
}

// ConnectionsRole answers how near users are to a limit of their own. Only roles
// that can log in and are bound by a limit are shown, the 100 fullest at most: a
// superuser's limit is not enforced, and sessions count for the user who logged
// in, never for a group.
var ConnectionsRole = spec.Collector{
	Name: "connections_role", Of: "connections",
	About: "Connections and limit of users that have a limit.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 200, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH client AS (
SELECT usesysid                              AS usesysid
     , pg_catalog.count(*)                   AS used
  FROM pg_catalog.pg_stat_get_activity(NULL::integer)
 WHERE backend_type = 'client backend'
    OR (backend_type IS NULL AND datid IS NOT NULL AND leader_pid IS NULL)
 GROUP BY usesysid
)
SELECT r.rolname::text                       AS rolname
     , coalesce(c.used, 0)::double precision AS role_used
     , r.rolconnlimit::double precision      AS role_limit
  FROM pg_catalog.pg_roles AS r
  LEFT JOIN client AS c ON c.usesysid = r.oid
 WHERE r.rolconnlimit >= 0
   AND r.rolcanlogin
   AND NOT r.rolsuper
 ORDER BY coalesce(c.used, 0)::double precision / greatest(r.rolconnlimit, 1) DESC, r.rolname
 LIMIT 100`}},
	Labels: []string{"rolname"},
	Metrics: []spec.Metric{
		{Name: "role_used", Type: spec.Gauge, Help: "Client connections of a user that has a connection limit."},
		{Name: "role_limit", Type: spec.Gauge, Help: "Connection limit of the user."},
	},
}
