package collector_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// bound ends any statement of a test that should have come back.
const bound = 2 * time.Minute

// session connects until the end of the test and runs statements.
func session(t *testing.T, srv *pgtest.Server, user, database string, sql ...string) *pgx.Conn {
	t.Helper()
	conn := srv.Conn(t, user, database)
	run(t, conn, sql...)
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for _, text := range sql {
		if _, err := conn.Exec(ctx, text); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
}

// linger runs a statement that lasts, and does not wait for it: the end of the
// test cancels it. An error before that is a failure.
func linger(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := conn.Exec(ctx, sql); err != nil && ctx.Err() == nil {
			t.Errorf("%v: %s", err, sql)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done // before the connection is closed, which is not for two goroutines
	})
}

// walsender connects as a standby or a subscriber does, with the value of the
// parameter replication.
func walsender(t *testing.T, srv *pgtest.Server, user, replication string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(srv.DSN(user, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = replication
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		conn.Close(ctx) // the server ends the walsender either way
	})
	return conn
}

// stream has a walsender send WAL for as long as it is connected.
func stream(t *testing.T, srv *pgtest.Server, conn *pgconn.PgConn) {
	t.Helper()
	from := srv.Query(t, "postgres", "SELECT pg_current_wal_flush_lsn()")
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION PHYSICAL " + from})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for {
		answer, err := conn.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch answer := answer.(type) {
		case *pgproto3.CopyBothResponse:
			return
		case *pgproto3.ErrorResponse:
			t.Fatal(answer.Message)
		}
	}
}

// adds tells whether the samples of a metric with these labels add up to this.
func adds(metric string, want float64, labels ...string) func(snapshot) bool {
	return func(s snapshot) bool { return s.sum(metric, labels...) == want }
}

// has tells whether exactly one sample of a metric has these labels, and this value.
func has(metric string, want float64, labels ...string) func(snapshot) bool {
	return func(s snapshot) bool { return slices.Equal(s.values(metric, labels...), []float64{want}) }
}

// all tells whether a page has everything.
func all(conditions ...func(snapshot) bool) func(snapshot) bool {
	return func(s snapshot) bool {
		for _, holds := range conditions {
			if !holds(s) {
				return false
			}
		}
		return true
	}
}

// checkNumbers compares metrics that have one sample each.
func checkNumbers(t *testing.T, page snapshot, want map[string]float64) {
	t.Helper()
	for metric, want := range want {
		if got := page.value(t, metric); got != want {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
}

// absent fails for a metric that has samples with these labels.
func (s snapshot) absent(t *testing.T, metric string, labels ...string) {
	t.Helper()
	if found := s.values(metric, labels...); len(found) > 0 {
		t.Errorf("%s%v has %d samples, want none:\n%s", metric, labels, len(found), s.text(metric))
	}
}

// age returns a sample that can only be the age of something begun since then.
func (s snapshot) age(t *testing.T, since time.Time, metric string, labels ...string) float64 {
	t.Helper()
	v := s.value(t, metric, labels...)
	if v < 0 || v > time.Since(since).Seconds() {
		t.Errorf("%s%v is %v, and nothing is older than %s", metric, labels, v, time.Since(since))
	}
	return v
}

// succeeded fails for each of the collectors that did not run well.
func (s snapshot) succeeded(t *testing.T, collectors ...string) {
	t.Helper()
	for _, name := range collectors {
		if s.value(t, "pgvigil_collector_success", "collector", name) != 1 {
			t.Errorf("%s did not succeed", name)
		}
	}
}

// TestStatActivityWithoutDatabase shows the sessions that belong to none, and
// that a walsender, always active, is no long query.
func TestStatActivityWithoutDatabase(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		stream(t, srv, walsender(t, srv, pgtest.Superuser, "true"))
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_activity"), "pg_stat_activity_count", func(s snapshot) bool {
			return s.sum("pg_stat_activity_count", "backend_type", "walsender", "datname", "", "state", "active") >= 1
		})
		for _, kind := range []string{"checkpointer", "background writer", "walwriter", "autovacuum launcher"} {
			if n := page.value(t, "pg_stat_activity_count", "backend_type", kind, "datname", "", "usename", "", "state", ""); n != 1 {
				t.Errorf("there are %v of %s, want 1", n, kind)
			}
		}
		if len(page.values("pg_stat_activity_max_state_duration_seconds", "backend_type", "walsender", "datname", "")) != 1 {
			t.Errorf("walsenders have no age:\n%s", page.text("pg_stat_activity_max_state_duration_seconds"))
		}
		page.absent(t, "pg_stat_activity_max_query_duration_seconds", "backend_type", "walsender")
		page.absent(t, "pg_stat_activity_max_query_duration_seconds", "datname", "")
	})
}

// TestStatActivityOwnSessions leaves out what is named pgvigil, and of the role
// pgvigil only that.
func TestStatActivityOwnSessions(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		session(t, srv, pgtest.Monitor, db, "SET application_name = pgvigil", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
		e := watch(t, srv, pgtest.Monitor, "stat_activity", "stat_activity_application", "connections")
		page := scrapePage(t, e)
		page.absent(t, "pg_stat_activity_count", "datname", db, "usename", pgtest.Monitor)
		page.absent(t, "pg_stat_activity_max_tx_duration_seconds", "datname", db, "backend_type", "client backend")
		page.absent(t, "pg_stat_activity_xmin_sessions", "datname", db, "backend_type", "client backend")
		page.absent(t, "pg_stat_activity_application_sessions", "application_name", "pgvigil")

		session(t, srv, pgtest.Monitor, db, "SET application_name = psql")
		page = eventually(t, e, "pg_stat_activity_count", adds("pg_stat_activity_count", 1, "datname", db, "usename", pgtest.Monitor))
		if n := page.value(t, "pg_stat_activity_count", "datname", db, "usename", pgtest.Monitor); n != 1 {
			t.Errorf("the role pgvigil has %v sessions, want 1", n)
		}
	})
}

// TestStatActivityStates makes one session of each state and looks at the ages
// of each as it comes.
func TestStatActivityStates(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "stat_activity")
		began := time.Now()
		client := []string{"datname", db, "backend_type", "client backend"}
		counts := func(state string, want float64) func(snapshot) bool {
			return adds("pg_stat_activity_count", want, append(client, "state", state, "usename", pgtest.Superuser)...)
		}

		session(t, srv, pgtest.Superuser, db, "SELECT 1")
		page := eventually(t, e, "pg_stat_activity_count", counts("idle", 1))
		page.age(t, began, "pg_stat_activity_max_state_duration_seconds", client...)
		page.absent(t, "pg_stat_activity_max_tx_duration_seconds", client...)
		page.absent(t, "pg_stat_activity_max_query_duration_seconds", client...)
		page.absent(t, "pg_stat_activity_max_idle_in_transaction_seconds", client...)

		session(t, srv, pgtest.Superuser, db, "BEGIN")
		failed := session(t, srv, pgtest.Superuser, db, "BEGIN")
		if _, err := failed.Exec(t.Context(), "SELECT 1 / 0"); err == nil {
			t.Fatal("a division by zero succeeds")
		}
		page = eventually(t, e, "pg_stat_activity_count", all(
			counts("idle in transaction", 1), counts("idle in transaction (aborted)", 1)))
		page.age(t, began, "pg_stat_activity_max_tx_duration_seconds", client...)
		page.age(t, began, "pg_stat_activity_max_idle_in_transaction_seconds", client...)
		page.absent(t, "pg_stat_activity_max_idle_in_transaction_with_xid_seconds", client...)
		page.absent(t, "pg_stat_activity_max_query_duration_seconds", client...)

		session(t, srv, pgtest.Superuser, db, "BEGIN", "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
		sleeper := session(t, srv, pgtest.Superuser, db)
		linger(t, sleeper, "SELECT pg_sleep(180)")
		page = eventually(t, e, "pg_stat_activity_count", all(
			counts("idle", 1), counts("active", 1), counts("idle in transaction", 2), counts("idle in transaction (aborted)", 1)))
		page.age(t, began, "pg_stat_activity_max_query_duration_seconds", client...)
		without := page.age(t, began, "pg_stat_activity_max_idle_in_transaction_seconds", client...)
		with := page.age(t, began, "pg_stat_activity_max_idle_in_transaction_with_xid_seconds", client...)
		if with >= without {
			t.Errorf("the transaction with an xid is %v s idle, and the one begun before it %v s", with, without)
		}
	})
}

// TestStatActivityXmin holds a snapshot, which counts as an xid does of a session
// that is idle. It grows old with the transactions of others. A session of the
// same snapshot counts with it, and one of a younger does not.
func TestStatActivityXmin(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "stat_activity")
		client := []string{"datname", db, "backend_type", "client backend"}
		began := time.Now()
		scrapePage(t, e).absent(t, "pg_stat_activity_xmin_age", client...)

		holder := session(t, srv, pgtest.Superuser, db, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
		page := eventually(t, e, "pg_stat_activity_xmin_sessions", adds("pg_stat_activity_xmin_sessions", 1, client...))
		page.age(t, began, "pg_stat_activity_max_idle_in_transaction_with_xid_seconds", client...)
		before := page.value(t, "pg_stat_activity_xmin_age", client...)

		writer := session(t, srv, pgtest.Superuser, db)
		for range 10 {
			run(t, writer, "SELECT txid_current()")
		}
		run(t, writer, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
		page = eventually(t, e, "pg_stat_activity_count", adds("pg_stat_activity_count", 2, append(client, "state", "idle in transaction")...))
		if after := page.value(t, "pg_stat_activity_xmin_age", client...); after < before+10 {
			t.Errorf("the snapshot was of age %v, and after ten transactions is of %v", before, after)
		}
		if n := page.value(t, "pg_stat_activity_xmin_sessions", client...); n != 1 {
			t.Errorf("%v sessions hold the oldest snapshot, want 1", n)
		}

		// A snapshot taken over is as old as the one it was taken from.
		var id string
		if err := holder.QueryRow(t.Context(), "SELECT pg_export_snapshot()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		session(t, srv, pgtest.Superuser, db, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT '"+id+"'")
		eventually(t, e, "pg_stat_activity_xmin_sessions", adds("pg_stat_activity_xmin_sessions", 2, client...))
	})
}

// TestStatActivityVacuum runs a VACUUM with parallel workers slowly: all of them
// have an xmin, and none holds anything back.
func TestStatActivityVacuum(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		// Three pages of table, over which VACUUM is soon, and of each index about forty.
		srv.ExecIn(t, db,
			"CREATE TABLE t (id int) WITH (autovacuum_enabled = off)",
			"INSERT INTO t SELECT generate_series(1, 600)",
			"CREATE INDEX ON t (repeat(md5(id::text), 15))",
			"CREATE INDEX ON t (repeat(md5((id + 1)::text), 15))",
			"CREATE INDEX ON t (repeat(md5((id + 2)::text), 15))",
			"DELETE FROM t WHERE id % 2 = 0")
		vacuum := session(t, srv, pgtest.Superuser, db,
			"SET vacuum_cost_delay = 50", "SET vacuum_cost_limit = 1", "SET min_parallel_index_scan_size = 0")
		linger(t, vacuum, "VACUUM (PARALLEL 2) t")
		e := watch(t, srv, pgtest.Monitor, "stat_activity")
		page := eventually(t, e, "pg_stat_activity_count", all(
			adds("pg_stat_activity_count", 1, "datname", db, "backend_type", "client backend", "state", "active"),
			adds("pg_stat_activity_count", 2, "datname", db, "backend_type", "parallel worker", "state", "active")))
		held := srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND datname = '"+db+"'")
		if held != "3" {
			t.Errorf("%s sessions of VACUUM have an xmin; without one in each of the three this test proves nothing", held)
		}
		page.absent(t, "pg_stat_activity_xmin_age", "datname", db)
		page.absent(t, "pg_stat_activity_xmin_sessions", "datname", db)
	})
}

// TestStatActivityParallelQuery holds parallel workers apart from their leader.
func TestStatActivityParallelQuery(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		leader := session(t, srv, pgtest.Superuser, db, forceParallel)
		linger(t, leader, "SELECT pg_sleep(180)")
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_activity"), "pg_stat_activity_count", all(
			adds("pg_stat_activity_count", 1, "datname", db, "backend_type", "client backend", "state", "active"),
			adds("pg_stat_activity_count", 1, "datname", db, "backend_type", "parallel worker", "state", "active")))
		for _, kind := range []string{"client backend", "parallel worker"} {
			page.value(t, "pg_stat_activity_max_query_duration_seconds", "datname", db, "backend_type", kind)
			if n := page.value(t, "pg_stat_activity_xmin_sessions", "datname", db, "backend_type", kind); n != 1 {
				t.Errorf("%v of %s hold the oldest snapshot, want 1", n, kind)
			}
		}
	})
}

// TestStatActivityAutovacuum has autovacuum work slowly on a server of its own:
// it is no client and has no xmin that holds anything back.
func TestStatActivityAutovacuum(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum_naptime": "1s"}})
		db := srv.Database(t)
		srv.ExecIn(t, db,
			`CREATE TABLE t (id int) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
			 autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`,
			"INSERT INTO t SELECT generate_series(1, 100000)",
			"DELETE FROM t")
		worker := []string{"datname", db, "backend_type", "autovacuum worker"}
		page := eventually(t, watch(t, srv, pgtest.Monitor, "stat_activity"), "pg_stat_activity_count", func(s snapshot) bool {
			// A worker that has only begun to vacuum is not yet known by its progress.
			return s.sum("pg_stat_activity_count", append(worker, "state", "active")...) == 1 &&
				srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_progress_vacuum") == "1"
		})
		page.value(t, "pg_stat_activity_max_tx_duration_seconds", worker...)
		page.absent(t, "pg_stat_activity_count", "datname", db, "backend_type", "client backend")
		page.absent(t, "pg_stat_activity_max_tx_duration_seconds", "datname", db, "backend_type", "client backend")
		page.absent(t, "pg_stat_activity_max_query_duration_seconds", "datname", db, "backend_type", "client backend")
		scrapePage(t, watch(t, srv, pgtest.Monitor, "stat_activity")).absent(t, "pg_stat_activity_xmin_age", worker...)
	})
}

// eachEnd runs a parallel subtest for the oldest major and one for the newest:
// where a test needs servers of its own and what it looks at did not change
// between.
func eachEnd(t *testing.T, body func(t *testing.T, major int)) {
	for _, major := range []int{13, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			body(t, major)
		})
	}
}

// TestManyOfEach has 62 sessions of 25 users in 52 databases under 61 names, all
// of which are more than are named.
func TestManyOfEach(t *testing.T) {
	t.Parallel()
	const users, databases, names, sessions = 25, 52, 61, 62
	srv := pgtest.New(t, 18, pgtest.Options{})
	for i := range users {
		srv.Exec(t, fmt.Sprintf("CREATE ROLE r%02d LOGIN SUPERUSER", i))
	}
	maker := session(t, srv, pgtest.Superuser, "postgres")
	for i := range databases {
		run(t, maker, fmt.Sprintf("CREATE DATABASE d%02d STRATEGY file_copy", i)) // the faster of the two
	}
	run(t, maker, "SET application_name = pgvigil") // to be counted no more
	for i := range sessions {
		session(t, srv, fmt.Sprintf("r%02d", i%users), fmt.Sprintf("d%02d", i%databases),
			fmt.Sprintf("SET application_name = 'n%02d'", min(i, names-1)), // the last name twice
			"BEGIN", fmt.Sprintf("SELECT pg_advisory_lock(%d)", i))
	}
	e := watch(t, srv, pgtest.Monitor, "stat_activity", "stat_activity_application", "locks")
	page := eventually(t, e, "pg_stat_activity_count", adds("pg_stat_activity_count", sessions, "state", "idle in transaction"))
	page.succeeded(t, "stat_activity", "stat_activity_ages", "stat_activity_xmin", "stat_activity_application", "locks")

	client := []string{"backend_type", "client backend"}
	for _, c := range []struct {
		metric, label string
		named         int
		other         float64
		labels        []string
	}{
		// Those with two or three sessions are named, and of the others the first by name.
		{"pg_stat_activity_count", "usename", 20, 5 * 2, client},
		{"pg_stat_activity_count", "datname", 50, 2, client},
		{"pg_stat_activity_application_sessions", "application_name", 50, 11, nil},
		{"pg_locks_count", "datname", 50, 2, []string{"mode", "exclusivelock", "granted", "true"}},
	} {
		if got := page.sum(c.metric, append(c.labels, c.label, "other")...); got != c.other {
			t.Errorf("%s of %s other is %v, want %v:\n%s", c.metric, c.label, got, c.other, page.text(c.metric))
		}
		if got := len(page.named(c.metric, c.label, c.labels...)); got != c.named {
			t.Errorf("%s names %d of %s, want %d:\n%s", c.metric, got, c.label, c.named, page.text(c.metric))
		}
	}
	for metric, labels := range map[string][]string{
		"pg_stat_activity_count": client, "pg_stat_activity_application_sessions": nil,
	} {
		if got := page.sum(metric, labels...); got != sessions {
			t.Errorf("%s adds up to %v, want %v:\n%s", metric, got, sessions, page.text(metric))
		}
	}
	// Of the names the busiest is there, though youngest, and then the oldest.
	for name, want := range map[string]float64{"n60": 2, "n00": 1, "n48": 1} {
		if got := page.sum("pg_stat_activity_application_sessions", "application_name", name); got != want {
			t.Errorf("%v sessions are of %s, want %v", got, name, want)
		}
	}
	page.absent(t, "pg_stat_activity_application_sessions", "application_name", "n49")
	if got := len(page.named("pg_stat_activity_max_tx_duration_seconds", "datname", client...)); got != 50 {
		t.Errorf("%d databases have ages, want 50", got)
	}
	page.value(t, "pg_stat_activity_max_tx_duration_seconds", "datname", "other", "backend_type", "client backend")
}

// named returns the values of a label among such samples, without "" and other.
func (s snapshot) named(metric, label string, labels ...string) map[string]bool {
	values := map[string]bool{}
	for _, m := range s[metric].GetMetric() {
		if !hasLabels(m, labels) {
			continue
		}
		for _, l := range m.GetLabel() {
			if v := l.GetValue(); l.GetName() == label && v != "" && v != "other" {
				values[v] = true
			}
		}
	}
	return values
}

// TestStatActivityApplicationIsAsked holds the collector to be off unless asked
// for: its label is what clients make up.
func TestStatActivityApplicationIsAsked(t *testing.T) {
	for _, c := range serverCollectors() {
		if strings.HasPrefix(c.Name, "stat_activity_application") && (c.Default || c.Of != "") {
			t.Errorf("%s is on by default", c.Name)
		}
	}
}

// TestActivityAsNobody has a role that was granted nothing run what is tested in
// this file, connections_test.go and locks_test.go. It sees less, and nothing
// fails, neither here nor in the server's log.
func TestActivityAsNobody(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		// As pgtest.Nobody, but of this test alone, for the log. It stays, as the server does not.
		nobody := "nobody_" + db
		srv.Exec(t, "CREATE ROLE "+nobody+" LOGIN", "ALTER DATABASE "+db+" CONNECTION LIMIT 50")
		session(t, srv, pgtest.Superuser, db, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "SELECT pg_advisory_lock(1)")
		linger(t, session(t, srv, pgtest.Superuser, db), "SELECT pg_advisory_lock(1)")
		session(t, srv, nobody, db, "BEGIN")

		e := watch(t, srv, nobody, "stat_activity", "stat_activity_application", "connections", "locks")
		page := eventually(t, e, "pg_locks_count", adds("pg_locks_count", 1, "datname", db, "mode", "exclusivelock", "granted", "false"))
		page.succeeded(t, "stat_activity", "stat_activity_ages", "stat_activity_xmin", "stat_activity_application",
			"connections", "connections_database", "connections_role", "connections_tls", "locks", "locks_slots", "locks_waits")

		others := []string{"datname", db, "usename", pgtest.Superuser}
		if got := page.value(t, "pg_stat_activity_count", append(others, "state", "", "backend_type", "")...); got != 2 {
			t.Errorf("%v sessions of others are seen, want 2", got)
		}
		if got := page.sum("pg_stat_activity_count", others...); got != 2 {
			t.Errorf("of others more is seen than should be:\n%s", page.text("pg_stat_activity_count"))
		}
		page.value(t, "pg_stat_activity_count", "datname", db, "usename", nobody, "state", "idle in transaction", "backend_type", "client backend")
		page.absent(t, "pg_stat_activity_max_tx_duration_seconds", "datname", db, "backend_type", "")
		page.value(t, "pg_stat_activity_xmin_age", "datname", db, "backend_type", "") // which is no secret
		if n := page.value(t, "pg_connections_database_used", "datname", db); n < 3 {
			t.Errorf("%v connections to the database, want 3 at least", n)
		}
		if page.sum("pg_connections_used") < 3 || page.sum("pg_connections_sessions", "address_class", "", "ssl", "") < 2 {
			t.Errorf("sessions of others are not counted:\n%s%s", page.text("pg_connections_used"), page.text("pg_connections_sessions"))
		}
		if page.value(t, "pg_locks_waiting_sessions") < 1 || page.value(t, "pg_locks_root_blockers") < 1 {
			t.Error("the wait for a lock is not seen")
		}
		pid := srv.Query(t, "postgres", "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgvigil' AND usename = '"+nobody+"'")
		for line := range strings.Lines(srv.Log()) {
			if strings.Contains(line, "["+pid+"]") && (strings.Contains(line, "ERROR") || strings.Contains(line, "FATAL")) {
				t.Errorf("the server's log: %s", line)
			}
		}
	})
}
