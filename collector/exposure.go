package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Exposure answers how far the server stands open, and what is kept of who came: facts
// that change with a deed of its owner, and that the readiness of a server is judged by.
// pgvigil's own sessions are those of its role that bear its name. Tools are known by
// their application_name: Patroni, repmgr and pg_auto_failover, those of backups, and
// psql, which is a person and no application.
var Exposure = spec.Collector{
	Name: "exposure", About: "How far the server stands open: addresses, powerful sessions, and what it logs.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{
		Member: "pg_read_all_stats",
		Grant:  "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 5 * time.Minute, MaxSeries: 8, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH client AS (
SELECT r.rolsuper                                                          AS rolsuper
     , a.application_name                                                  AS application_name
  FROM pg_catalog.pg_stat_activity AS a
  JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
 WHERE a.backend_type = 'client backend'
   AND NOT (a.usename = session_user AND a.application_name = 'pgvigil')
), own AS (
SELECT o.setrole                                                           AS roleid
     , o.setdatabase                                                       AS datid
     , pg_catalog.lower(c)                                                 AS setting
  FROM pg_catalog.pg_db_role_setting AS o
 CROSS JOIN LATERAL pg_catalog.unnest(o.setconfig) AS c
), login AS (
SELECT r.oid                                                               AS roleid
     , r.rolreplication                                                    AS rolreplication
  FROM pg_catalog.pg_roles AS r
 WHERE r.rolcanlogin
   AND NOT r.rolsuper
   AND r.rolname <> session_user
)
SELECT (pg_catalog.string_to_array(pg_catalog.replace(pg_catalog.current_setting('listen_addresses'), ' ', ''), ',')
        && ARRAY['*', '0.0.0.0', '::'])::int::double precision             AS listens_everywhere
     , (SELECT pg_catalog.count(*)
          FROM client AS c
         WHERE c.rolsuper
           AND NOT c.application_name ~* '^(patroni|repmgr|pg_auto_failover|pgautofailover|barman|pg_basebackup|pgbackrest|psql$)')::double precision
                                                                           AS superuser_sessions
     , (SELECT pg_catalog.count(*)
          FROM client AS c
         WHERE c.application_name ~* '^(patroni|repmgr|pg_auto_failover|pgautofailover)')::double precision
                                                                           AS failover_manager_sessions
     , (pg_catalog.lower(pg_catalog.current_setting('log_connections')) NOT IN ('', 'off', 'false', 'no', '0', 'none'))::int::double precision
                                                                           AS log_connections
     , (SELECT pg_catalog.count(*)
          FROM login AS l
         WHERE EXISTS (SELECT FROM pg_catalog.pg_roles AS g
                        WHERE g.rolname = 'pg_read_all_data' AND pg_catalog.pg_has_role(l.roleid, g.oid, 'MEMBER'))
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS g
                            WHERE g.rolname = 'pg_write_all_data' AND pg_catalog.pg_has_role(l.roleid, g.oid, 'MEMBER'))
            OR EXISTS (SELECT FROM own AS o
                        WHERE o.roleid = l.roleid
                          AND o.setting ~ '^default_transaction_read_only=(on|t|true|y|yes|1)$'))::double precision
                                                                           AS read_only_login
     , (SELECT pg_catalog.count(*)
          FROM login AS l
         WHERE NOT l.rolreplication
           AND NOT EXISTS (SELECT FROM own AS o
                            WHERE o.roleid = l.roleid
                              AND o.datid = 0
                              AND o.setting ~ '^statement_timeout='
                              AND o.setting !~ '=0+ *(us|ms|s|min|h|d)?$'))::double precision
                                                                           AS without_statement_timeout_login
     , (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user)::int::double precision
                                                                           AS exporter_superuser`}},
	Metrics: []spec.Metric{
		{Name: "listens_everywhere", Type: spec.Gauge, Help: "Whether listen_addresses has all addresses of the machine."},
		{Name: "superuser_sessions", Type: spec.Gauge, Help: "Sessions of superusers, without pgvigil's own, psql, and those of tools for failover and backups."},
		{Name: "failover_manager_sessions", Type: spec.Gauge, Help: "Sessions of Patroni, repmgr or pg_auto_failover, by application_name."},
		{Name: "log_connections", Type: spec.Gauge, Help: "Whether connections are logged (log_connections)."},
		{Name: "read_only_login", Type: spec.Gauge, Help: "Roles that can log in and are meant to read only: members of pg_read_all_data that may not write, or those whose transactions are read-only by default."},
		{Name: "without_statement_timeout_login", Type: spec.Gauge, Help: "Roles that can log in and have no statement_timeout of their own, without superusers, those that replicate, and pgvigil's own."},
		{Name: "exporter_superuser", Type: spec.Gauge, Help: "Whether pgvigil's own role is a superuser, which it need not be."},
	},
}

// ExposureDatabase answers who may make objects where everybody looks for them, and
// whether sessions come as the owner of what they use, whom no missing grant stops: as
// that role, or as a member that inherits from it. Schema public is open to all in
// databases that came from before PostgreSQL 15.
var ExposureDatabase = spec.Collector{
	Name: "exposure_database", Of: "exposure", About: "Databases whose schema public is open to all, and sessions of owners.",
	Scope: spec.PerDatabase,
	Needs: spec.Needs{
		Member: "pg_read_all_stats",
		Grant:  "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 5 * time.Second, Every: 15 * time.Minute, MaxSeries: 2, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH owner AS MATERIALIZED (
SELECT DISTINCT c.relowner                                                 AS roleid
  FROM pg_catalog.pg_class AS c
 WHERE c.relkind IN ('r', 'p')
   AND c.oid >= 16384
)
SELECT (EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
                          , pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS x
                 WHERE n.nspname = 'public' AND x.grantee = 0 AND x.privilege_type = 'CREATE'))::int::double precision
                                                                           AS public_create
     , (SELECT pg_catalog.count(*)
          FROM pg_catalog.pg_stat_activity AS a
          JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
         WHERE a.datname = pg_catalog.current_database()
           AND a.backend_type = 'client backend'
           AND NOT (a.usename = session_user AND a.application_name = 'pgvigil')
           AND NOT r.rolsuper
           AND EXISTS (SELECT FROM owner AS o WHERE pg_catalog.pg_has_role(a.usesysid, o.roleid, 'USAGE')))::double precision
                                                                           AS owner_sessions`}},
	Metrics: []spec.Metric{
		{Name: "public_create", Type: spec.Gauge, Help: "Whether everybody may create objects in schema public."},
		{Name: "owner_sessions", Type: spec.Gauge, Help: "Sessions in the database of roles, other than superusers, that own tables there or inherit from who does."},
	},
}

// ExposureNetwork answers where sessions come from, by the /24 or /64 of their address:
// the hundred fullest, and the rest as other. Those from the server's own machine are
// left out, and pgvigil's own from where it is now.
var ExposureNetwork = spec.Collector{
	Name: "exposure_network", Of: "exposure", About: "Sessions by the network of their address.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Member: "pg_read_all_stats",
		Grant:  "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 5 * time.Minute, MaxSeries: 101, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH origin AS (
SELECT pg_catalog.network(pg_catalog.set_masklen(a.client_addr, CASE pg_catalog.family(a.client_addr) WHEN 4 THEN 24 ELSE 64 END))::text
                                                                           AS network
     , pg_catalog.count(*)                                                 AS sessions
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.client_addr IS NOT NULL
   AND NOT a.client_addr <<= '127.0.0.0/8'
   AND a.client_addr <> '::1'
   AND NOT (coalesce(a.usename = session_user, false) AND a.application_name = 'pgvigil' AND a.client_addr IS NOT DISTINCT FROM pg_catalog.inet_client_addr())
 GROUP BY 1
), ranked AS (
SELECT o.network
     , o.sessions
     , pg_catalog.row_number() OVER (ORDER BY o.sessions DESC, o.network)  AS place
  FROM origin AS o
)
SELECT CASE WHEN r.place <= 100 THEN r.network ELSE 'other' END            AS network
     , sum(r.sessions)::double precision                                   AS network_sessions
  FROM ranked AS r
 GROUP BY 1`}},
	Labels: []string{"network"},
	Metrics: []spec.Metric{
		{Name: "network_sessions", Type: spec.Gauge, Help: "Sessions that come from the network, a /24 of IPv4 or a /64 of IPv6, without those of the server's own machine."},
	},
}
