package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Roles answers how many can log in, how powerful they are, and whose password
// ends. It counts and names nobody: where passwords are made on demand, roles come
// and go by the hour. VALID UNTIL 'infinity' is none. Only passwords end by it: who
// comes by peer, certificate or trust is let in all the same.
var Roles = spec.Collector{
	Name: "roles", About: "Roles that can log in, by what they may do, and the end of their passwords.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, Every: 5 * time.Minute, MaxSeries: 8, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.count(*)::double precision                               AS login
     , pg_catalog.count(*) FILTER (WHERE r.rolsuper)::double precision     AS superuser_login
     , pg_catalog.count(*) FILTER (WHERE r.rolcreaterole)::double precision
                                                                           AS createrole_login
     , pg_catalog.count(*) FILTER (WHERE r.rolreplication)::double precision
                                                                           AS replication_login
     , pg_catalog.count(*) FILTER (WHERE r.rolbypassrls)::double precision AS bypassrls_login
     , pg_catalog.count(*) FILTER (WHERE r.rolvaliduntil <= pg_catalog.now())::double precision
                                                                           AS expired_login
     , pg_catalog.count(*) FILTER (WHERE coalesce(r.rolvaliduntil, 'infinity') = 'infinity')::double precision
                                                                           AS without_valid_until_login
     , extract(epoch FROM pg_catalog.min(r.rolvaliduntil)
                          FILTER (WHERE r.rolvaliduntil > pg_catalog.now()
                                    AND r.rolvaliduntil < 'infinity'))::double precision
                                                                           AS next_valid_until_timestamp_seconds
  FROM pg_catalog.pg_roles AS r
 WHERE r.rolcanlogin`}},
	Metrics: []spec.Metric{
		{Name: "login", Type: spec.Gauge, Help: "Roles that can log in."},
		{Name: "superuser_login", Type: spec.Gauge, Help: "Superusers that can log in."},
		{Name: "createrole_login", Type: spec.Gauge, Help: "Roles that can log in and make roles."},
		{Name: "replication_login", Type: spec.Gauge, Help: "Roles that can log in to replicate, which reads everything."},
		{Name: "bypassrls_login", Type: spec.Gauge, Help: "Roles that can log in and are bound by no row security policy."},
		{Name: "expired_login", Type: spec.Gauge, Help: "Roles that could log in but for the end of their password's validity."},
		{Name: "without_valid_until_login", Type: spec.Gauge, Help: "Roles that can log in and whose password is valid for ever."},
		{Name: "next_valid_until_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which the next password's validity ends, absent if none does."},
	},
}

// RolesPasswords answers whose password is kept as MD5, which a stolen hash is
// enough to log in with and PostgreSQL 18 warns of, and who has none. The grant
// shows pgvigil the hashes; it counts for the database pgvigil connects to alone,
// as each has privileges of its own on shared catalogues.
var RolesPasswords = spec.Collector{
	Name: "roles_passwords", Of: "roles", About: "Roles that can log in, by how their password is kept.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Select: []string{"pg_catalog.pg_authid"},
		Grant:  "GRANT SELECT ON pg_catalog.pg_authid TO pgvigil",
	},
	Cost: spec.Cost{Timeout: time.Second, Every: 5 * time.Minute, MaxSeries: 4, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT k.password_encryption                                               AS password_encryption
     , pg_catalog.count(a.oid)::double precision                           AS passwords
  FROM (VALUES ('md5'), ('none'), ('other'), ('scram-sha-256')) AS k (password_encryption)
  LEFT JOIN pg_catalog.pg_authid AS a
    ON a.rolcanlogin
   AND k.password_encryption = CASE WHEN a.rolpassword IS NULL THEN 'none'
                                    WHEN pg_catalog.starts_with(a.rolpassword, 'SCRAM-SHA-256$') THEN 'scram-sha-256'
                                    WHEN pg_catalog.starts_with(a.rolpassword, 'md5') THEN 'md5'
                                    ELSE 'other' END
 GROUP BY k.password_encryption`}},
	Labels: []string{"password_encryption"},
	Metrics: []spec.Metric{
		{Name: "passwords", Type: spec.Gauge, Help: "Roles that can log in and whose password is kept so, none if they have no password."},
	},
}
