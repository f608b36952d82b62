package collector_test

import (
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// rolesScene makes a role whose password ends.
func rolesScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	srv.Exec(t, "CREATE ROLE leaver LOGIN VALID UNTIL '2090-01-01 00:00:00+00'")
}

// TestRoles counts roles as they are made. What cannot log in does not count, and
// a password valid until infinity is valid for ever.
func TestRoles(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		before := scrapePage(t, watch(t, srv, pgtest.Monitor, "roles"))
		before.succeeded(t, "roles")
		before.absent(t, "pg_roles_next_valid_until_timestamp_seconds")
		srv.Exec(t,
			"CREATE ROLE boss LOGIN SUPERUSER",
			"CREATE ROLE asleep NOLOGIN SUPERUSER CREATEROLE REPLICATION BYPASSRLS VALID UNTIL '2080-01-01'",
			"CREATE ROLE maker LOGIN CREATEROLE",
			"CREATE ROLE copier LOGIN REPLICATION",
			"CREATE ROLE seer LOGIN BYPASSRLS",
			"CREATE ROLE ended LOGIN VALID UNTIL '2020-01-01'",
			"CREATE ROLE never LOGIN VALID UNTIL '-infinity'",
			"CREATE ROLE ever LOGIN VALID UNTIL 'infinity'",
			"CREATE ROLE later LOGIN VALID UNTIL '2095-01-01 00:00:00+00'",
			"CREATE ROLE sooner LOGIN VALID UNTIL '2090-01-01 00:00:00+00'")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "roles"))
		for name, more := range map[string]float64{
			"login": 9, "superuser_login": 1, "createrole_login": 1, "replication_login": 1, "bypassrls_login": 1,
			"expired_login": 2, "without_valid_until_login": 5,
		} {
			if got := page.value(t, "pg_roles_"+name) - before.value(t, "pg_roles_"+name); got != more {
				t.Errorf("%s has grown by %v, want %v", name, got, more)
			}
		}
		checkNumbers(t, page, map[string]float64{"pg_roles_next_valid_until_timestamp_seconds": 3786912000})
	})
}

// TestRolesPasswords counts passwords by how they are kept, once the grant allows
// it, and is skipped before.
func TestRolesPasswords(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "roles"))
		page.value(t, "pgvigil_collector_skipped", "collector", "roles_passwords", "reason", "privilege")
		page.absent(t, "pg_roles_passwords")

		srv.Exec(t, collector.RolesPasswords.Needs.Grant)
		none := scrapePage(t, watch(t, srv, pgtest.Monitor, "roles")).value(t, "pg_roles_passwords", "password_encryption", "none")
		srv.Exec(t,
			"SET password_encryption = 'md5'; CREATE ROLE old1 LOGIN PASSWORD 'secret'; CREATE ROLE old2 LOGIN PASSWORD 'secret'",
			"SET password_encryption = 'md5'; CREATE ROLE asleep NOLOGIN PASSWORD 'secret'",
			"SET password_encryption = 'scram-sha-256'; CREATE ROLE md5_by_name LOGIN PASSWORD 'md5 and more'",
			"CREATE ROLE without LOGIN")
		page = scrapePage(t, watch(t, srv, pgtest.Monitor, "roles"))
		page.succeeded(t, "roles", "roles_passwords")
		for kind, want := range map[string]float64{"md5": 2, "scram-sha-256": 1, "none": none + 1, "other": 0} {
			if got := page.value(t, "pg_roles_passwords", "password_encryption", kind); got != want {
				t.Errorf("%v passwords are kept as %s, want %v", got, kind, want)
			}
		}
	})
}
