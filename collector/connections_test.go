package collector_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// refused tells whether the server has no room for another such session, and
// fails where it refuses for another reason.
func refused(t *testing.T, srv *pgtest.Server, user, database string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	conn, err := pgx.Connect(ctx, srv.DSN(user, database))
	if err == nil {
		conn.Close(ctx)
		return false
	}
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != "53300" { // too_many_connections
		t.Fatal(err)
	}
	return true
}

// TestConnectionsFull fills a server: that ordinary users are refused is said
// exactly when they are, and that there is room when there is. Walsenders take
// none of it.
func TestConnectionsFull(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		settings := map[string]string{"max_connections": "12", "superuser_reserved_connections": "3", "max_wal_senders": "3"}
		ordinary := 9.0
		if major >= 16 {
			settings["reserved_connections"] = "2"
			ordinary = 7
		}
		srv := pgtest.New(t, major, pgtest.Options{Settings: settings})
		srv.Exec(t, "CREATE ROLE client LOGIN")
		stream(t, srv, walsender(t, srv, pgtest.Superuser, "true"))
		walsender(t, srv, pgtest.Superuser, "database")
		e := watch(t, srv, pgtest.Monitor, "connections")
		page := eventually(t, e, "pg_connections_used", adds("pg_connections_used", 1)) // the one that asks
		checkNumbers(t, page, map[string]float64{
			"pg_connections_max": 12, "pg_connections_superuser_reserved": 3,
			"pg_connections_max_ordinary": ordinary, "pg_connections_available": ordinary - 1,
		})
		if major < 16 {
			page.absent(t, "pg_connections_reserved")
		} else {
			checkNumbers(t, page, map[string]float64{"pg_connections_reserved": 2})
		}

		for range int(ordinary) - 2 {
			session(t, srv, "client", "postgres")
		}
		eventually(t, e, "pg_connections_available", adds("pg_connections_available", 1))
		session(t, srv, "client", "postgres")
		if !refused(t, srv, "client", "postgres") {
			t.Error("the server has room for one more")
		}
		eventually(t, e, "pg_connections_used", all(adds("pg_connections_available", 0), adds("pg_connections_used", ordinary)))

		session(t, srv, pgtest.Superuser, "postgres") // of the reserved
		eventually(t, e, "pg_connections_used", all(adds("pg_connections_available", 0), adds("pg_connections_used", ordinary+1)))
	})
}

// TestConnectionsReserved fills the connections that are reserved for a role
// that is no superuser.
func TestConnectionsReserved(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 16, pgtest.Options{Settings: map[string]string{
		"max_connections": "6", "superuser_reserved_connections": "2", "reserved_connections": "1",
	}})
	srv.Exec(t, "CREATE ROLE client LOGIN", "CREATE ROLE member LOGIN IN ROLE pg_use_reserved_connections")
	e := watch(t, srv, pgtest.Monitor, "connections")
	eventually(t, e, "pg_connections_used", adds("pg_connections_used", 1))
	session(t, srv, "client", "postgres")
	session(t, srv, "client", "postgres")
	eventually(t, e, "pg_connections_used", all(adds("pg_connections_available", 0), adds("pg_connections_used", 3)))
	session(t, srv, "member", "postgres")
	eventually(t, e, "pg_connections_used", all(adds("pg_connections_available", 0), adds("pg_connections_used", 4)))
	if !refused(t, srv, "member", "postgres") {
		t.Error("a member has room for one more")
	}
}

// TestConnectionLimits shows databases and roles that are bound by a limit of
// their own, 0 among them, and no others.
func TestConnectionLimits(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		limited, closed, free := srv.Database(t), srv.Database(t), srv.Database(t)
		role := func(kind, options string) string {
			name := kind + "_" + free
			srv.Exec(t, "CREATE ROLE "+name+" "+options)
			return name
		}
		two, none := role("two", "LOGIN REPLICATION CONNECTION LIMIT 2"), role("none", "LOGIN CONNECTION LIMIT 0")
		// Limits of these are not there, not enforced, or of nobody who can connect.
		unbound := []string{role("any", "LOGIN"), role("super", "LOGIN SUPERUSER CONNECTION LIMIT 1"), role("team", "CONNECTION LIMIT 1")}
		srv.Exec(t, "ALTER DATABASE "+limited+" CONNECTION LIMIT 20", "ALTER DATABASE "+closed+" CONNECTION LIMIT 0")
		session(t, srv, unbound[1], free)
		session(t, srv, unbound[1], free) // though its limit is 1
		session(t, srv, two, limited)
		walsender(t, srv, two, "true") // which no limit counts

		e := watch(t, srv, pgtest.Monitor, "connections")
		eventually(t, e, "pg_connections_role_used", adds("pg_connections_role_used", 1, "rolname", two))
		if refused(t, srv, two, free) {
			t.Error("the role has one connection of two and is refused another")
		}
		page := eventually(t, e, "pg_connections_role_used", adds("pg_connections_role_used", 1, "rolname", two))
		for name, limit := range map[string]float64{two: 2, none: 0} {
			if got := page.value(t, "pg_connections_role_limit", "rolname", name); got != limit {
				t.Errorf("the limit of %s is %v, want %v", name, got, limit)
			}
		}
		if got := page.value(t, "pg_connections_role_used", "rolname", none); got != 0 {
			t.Errorf("%v connections are used of none", got)
		}
		for _, name := range unbound {
			page.absent(t, "pg_connections_role_limit", "rolname", name)
			page.absent(t, "pg_connections_role_used", "rolname", name)
		}
		for name, limit := range map[string]float64{limited: 20, closed: 0} {
			if got := page.value(t, "pg_connections_database_limit", "datname", name); got != limit {
				t.Errorf("the limit of %s is %v, want %v", name, got, limit)
			}
		}
		page.absent(t, "pg_connections_database_limit", "datname", free)

		session(t, srv, two, limited)
		// Those of other tests that watch all databases come and go here.
		eventually(t, e, "pg_connections_database_used", all(
			adds("pg_connections_role_used", 2, "rolname", two),
			adds("pg_connections_database_used", 2, "datname", limited),
			adds("pg_connections_database_used", 0, "datname", closed)))
		if !refused(t, srv, two, free) {
			t.Error("the role has two connections of two and is not refused another")
		}
		if !refused(t, srv, pgtest.Monitor, closed) {
			t.Error("the database has a limit of 0 and refuses nobody")
		}
	})
}

// TestConnectionsTLS tells sessions with TLS from those without, a walsender's
// among them.
func TestConnectionsTLS(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{TLS: true})
		session(t, srv, pgtest.Superuser, "postgres")
		walsender(t, srv, pgtest.Superuser, "true")
		plain := strings.Replace(srv.DSN(pgtest.Superuser, "postgres"), "sslmode=verify-full", "sslmode=disable", 1)
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		conn, err := pgx.Connect(ctx, plain)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.WithoutCancel(ctx)) })
		sessions := func(class, ssl string, want float64) func(snapshot) bool {
			return adds("pg_connections_sessions", want, "address_class", class, "ssl", ssl)
		}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "connections"), "pg_connections_sessions",
			all(sessions("local", "true", 2), sessions("local", "false", 1)))
		if got := page.sum("pg_connections_sessions"); got != 3 {
			t.Errorf("there are %v sessions, want 3:\n%s", got, page.text("pg_connections_sessions"))
		}
	})
}

// TestAddressClasses asks servers for the class of addresses that no session of
// a test has: the collector's own statement, on rows that take the place of the
// sessions.
func TestAddressClasses(t *testing.T) {
	for major, srv := range map[int]*pgtest.Server{13: servers.On(t, 13), 18: servers.On(t, 18)} {
		q, ok := collector.ConnectionsTLS.Query(spec.Env{Major: spec.Version(major)})
		if !ok {
			t.Fatal("there is no query")
		}
		const from = "pg_catalog.pg_stat_get_activity(NULL::integer)"
		if strings.Count(q.SQL, from) != 1 {
			t.Fatalf("the sessions are not from %s", from)
		}
		conn := session(t, srv, pgtest.Monitor, "postgres")
		for address, want := range map[string]string{
			"NULL": "local", "'127.0.0.1'": "local", "'127.255.0.9'": "local", "'::1'": "local",
			"'10.1.2.3'": "private", "'172.16.0.1'": "private", "'172.31.255.255'": "private", "'192.168.1.1'": "private",
			"'169.254.1.1'": "private", "'100.64.0.1'": "private", "'100.127.255.255'": "private",
			"'fd12:3456::1'": "private", "'fe80::1'": "private",
			"'11.0.0.1'": "public", "'172.32.0.1'": "public", "'192.169.0.1'": "public", "'100.128.0.1'": "public",
			"'8.8.8.8'": "public", "'2001:db8::1'": "public", "'::2'": "public",
		} {
			rows := `(SELECT ` + address + `::inet AS client_addr, 5432 AS client_port, true AS ssl, 'psql' AS application_name,
				'client backend' AS backend_type, 1 AS datid, 1 AS usesysid, NULL::int AS leader_pid) AS session`
			var class, ssl string
			var n float64
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			err := conn.QueryRow(ctx, strings.Replace(q.SQL, from, rows, 1)).Scan(&class, &ssl, &n)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if class != want || ssl != "true" || n != 1 {
				t.Errorf("%s is %s with ssl %s on PostgreSQL %d, want %s", address, class, ssl, major, want)
			}
		}
	}
}
