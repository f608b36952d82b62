package collector_test

import (
	"net/netip"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// trustHere lets sessions in from all addresses of this machine, not from the loopback
// alone.
const trustHere = "local all all trust\nhost all,replication all 127.0.0.1/32 trust\nhost all,replication all samehost trust"

// exposureScene has a session from elsewhere, where this machine can have one.
func exposureScene(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	if away, ok := pgtest.Away(); ok {
		srv.ConnFrom(t, away, pgtest.Nobody, "postgres")
	}
}

// TestExposure opens a server bit by bit: sessions and roles as they come, each of which
// counts once, and those that look alike and do not count.
func TestExposure(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		page.succeeded(t, "exposure", "exposure_database", "exposure_network")
		checkNumbers(t, page, map[string]float64{
			"pg_exposure_listens_everywhere": 0, "pg_exposure_superuser_sessions": 0, "pg_exposure_failover_manager_sessions": 0,
			"pg_exposure_log_connections": 0, "pg_exposure_read_only_login": 0, "pg_exposure_exporter_superuser": 0,
			"pg_exposure_without_statement_timeout_login": 1, // pgvigil_nothing
		})
		page.absent(t, "pg_exposure_network_sessions")

		// Below 14 nobody is a member of pg_read_all_data, and there are other ways.
		srv.Exec(t,
			"CREATE ROLE analyst LOGIN", "ALTER ROLE analyst SET default_transaction_read_only = true", "ALTER ROLE analyst SET statement_timeout = '10min'",
			"CREATE ROLE asleep NOLOGIN", "ALTER ROLE asleep SET default_transaction_read_only = on",
			"CREATE ROLE writes LOGIN", "ALTER ROLE writes SET default_transaction_read_only = off", "ALTER ROLE writes SET statement_timeout = '0s'",
			"CREATE ROLE here LOGIN", "ALTER ROLE here IN DATABASE postgres SET statement_timeout = '1s'",
			"CREATE ROLE copies LOGIN REPLICATION", "CREATE ROLE boss LOGIN SUPERUSER",
			"ALTER SYSTEM SET log_connections = on", "SELECT pg_reload_conf()")
		readers := 1.0
		if major >= 14 {
			srv.Exec(t, "GRANT pg_read_all_data TO here", "GRANT pg_read_all_data, pg_write_all_data TO writes")
			readers = 2
		}
		session(t, srv, "boss", "postgres", "SET application_name = 'psql'")
		session(t, srv, "boss", "postgres", "SET application_name = 'psqlodbc'")
		session(t, srv, "boss", "postgres", "SET application_name = 'Patroni heartbeat'")
		session(t, srv, pgtest.Superuser, "postgres", "SET application_name = 'pgvigil'") // it is not
		e := watch(t, srv, pgtest.Monitor, "exposure")
		page = eventually(t, e, "pg_exposure_log_connections", func(s snapshot) bool { return s.sum("pg_exposure_log_connections") == 1 })
		checkNumbers(t, page, map[string]float64{
			"pg_exposure_superuser_sessions": 2, "pg_exposure_failover_manager_sessions": 1,
			"pg_exposure_read_only_login": readers, "pg_exposure_without_statement_timeout_login": 3,
		})
		// As a superuser it does not take others of its role for itself.
		page = scrapePage(t, watch(t, srv, "boss", "exposure"))
		checkNumbers(t, page, map[string]float64{"pg_exposure_exporter_superuser": 1, "pg_exposure_superuser_sessions": 2})

		page = scrapePage(t, watch(t, srv, pgtest.Nobody, "exposure"))
		for _, c := range []string{"exposure", "exposure_network"} {
			page.value(t, "pgvigil_collector_skipped", "collector", c, "reason", "privilege")
		}
		page.absent(t, "pg_exposure_superuser_sessions")
	})
}

// TestExposureDatabase has sessions of an owner, of who inherits from one, and of others.
func TestExposureDatabase(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		open := map[bool]float64{true: 1}[major < 15]
		checkNumbers(t, page, map[string]float64{"pg_exposure_owner_sessions": 0, "pg_exposure_public_create": open})

		srv.Exec(t,
			"CREATE ROLE shop_owner NOLOGIN", "CREATE ROLE owner LOGIN", "CREATE ROLE heir LOGIN IN ROLE shop_owner",
			"CREATE ROLE other LOGIN NOINHERIT IN ROLE shop_owner", "CREATE ROLE app LOGIN",
			"CREATE TABLE a (v int)", "ALTER TABLE a OWNER TO owner", "CREATE TABLE b (v int)", "ALTER TABLE b OWNER TO shop_owner",
			"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
		for _, user := range []string{"owner", "heir", "other", "app", pgtest.Superuser} {
			session(t, srv, user, "postgres")
		}
		session(t, srv, "owner", "template1") // where it owns nothing
		page = scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		checkNumbers(t, page, map[string]float64{"pg_exposure_owner_sessions": 2, "pg_exposure_public_create": 0})
		srv.Exec(t, "GRANT CREATE ON SCHEMA public TO PUBLIC")
		page = scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		checkNumbers(t, page, map[string]float64{"pg_exposure_public_create": 1})
		srv.Exec(t, "DROP TABLE a, b", "DROP SCHEMA public")
		page = scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		checkNumbers(t, page, map[string]float64{"pg_exposure_owner_sessions": 0, "pg_exposure_public_create": 0})
	})
}

// TestExposureNetwork counts sessions from elsewhere by their network, and none of the
// machine's own or of pgvigil.
func TestExposureNetwork(t *testing.T) {
	away, ok := pgtest.Away()
	if !ok {
		t.Skip("this machine has no address but the loopback's")
	}
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{HBA: trustHere})
		session(t, srv, pgtest.Nobody, "postgres")
		srv.ConnFrom(t, away, pgtest.Nobody, "postgres")
		srv.ConnFrom(t, away, pgtest.Superuser, "postgres")
		// Who takes its name and role, and comes from another address.
		run(t, srv.ConnFrom(t, away, pgtest.Monitor, "postgres"), "SET application_name = 'pgvigil'")
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "exposure"))
		network := netip.PrefixFrom(away, 24).Masked().String()
		if n := page.value(t, "pg_exposure_network_sessions", "network", network); n != 3 || page.sum("pg_exposure_network_sessions") != 3 {
			t.Errorf("3 sessions come from %s:\n%s", network, page.text("pg_exposure_network_sessions"))
		}
	})
}
