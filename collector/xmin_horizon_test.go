package collector_test

import (
	"context"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const (
	horizonAge     = "pg_xmin_horizon_age"
	horizonSeconds = "pg_xmin_horizon_transaction_seconds"
	horizonHolder  = "pg_xmin_horizon_holder_info"
)

// burn uses up transaction ids.
func burn(t *testing.T, srv *pgtest.Server, n int) {
	t.Helper()
	conn := session(t, srv, pgtest.Superuser, "postgres")
	for range n {
		run(t, conn, "SELECT txid_current()")
	}
}

// holds tells whether a page has such a holder.
func holds(holder string) func(snapshot) bool {
	return func(s snapshot) bool { return len(s.values(horizonAge, "holder", holder)) == 1 }
}

// holdsNothing tells whether a page has no such holder.
func holdsNothing(holder string) func(snapshot) bool {
	return func(s snapshot) bool { return len(s.values(horizonAge, "holder", holder)) == 0 }
}

// ages fails unless the holder is there and grows old with the transactions of
// others, no other with it.
func ages(t *testing.T, srv *pgtest.Server, e *scrape.Engine, holder string) {
	t.Helper()
	before := eventually(t, e, horizonAge, holds(holder)).value(t, horizonAge, "holder", holder)
	const ids = 20
	burn(t, srv, ids)
	page := scrapePage(t, e)
	if after := page.value(t, horizonAge, "holder", holder); after < before+ids {
		t.Errorf("%s is of age %v, and after %d transactions of %v", holder, before, ids, after)
	}
	if n := len(page.values(horizonAge)); n != 1 {
		t.Errorf("besides %s others hold back vacuum:\n%s", holder, page.text(horizonAge))
	}
}

// TestXminHorizon has each kind of holder in turn, and nobody else.
func TestXminHorizon(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		e := watch(t, srv, pgtest.Monitor, "xmin_horizon")
		page := eventually(t, e, horizonAge, func(s snapshot) bool { return len(s.values(horizonAge)) == 0 })
		page.succeeded(t, "xmin_horizon", "xmin_horizon_holder")
		page.absent(t, horizonHolder)

		t.Run("snapshot", func(t *testing.T) {
			began := time.Now()
			session(t, srv, pgtest.Superuser, "postgres", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
			ages(t, srv, e, "client")
			scrapePage(t, e).age(t, began, horizonSeconds, "holder", "client")

			page := scrapePage(t, watch(t, srv, pgtest.Nobody, "xmin_horizon"))
			page.value(t, horizonAge, "holder", "") // it may see that somebody holds, not what that is
			page.absent(t, horizonAge, "holder", "client")
		})
		t.Run("transaction", func(t *testing.T) {
			eventually(t, e, horizonAge, holdsNothing("client"))
			session(t, srv, pgtest.Superuser, "postgres", "BEGIN", "SELECT txid_current()")
			if held := srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND backend_xmin IS NULL"); held != "1" {
				t.Errorf("%s sessions have written and have no snapshot; without one this test proves nothing", held)
			}
			ages(t, srv, e, "client")
		})
		t.Run("prepared_xact", func(t *testing.T) {
			eventually(t, e, horizonAge, holdsNothing("client"))
			began := time.Now()
			preparedScene(t, srv)
			ages(t, srv, e, "prepared_xact")
			scrapePage(t, e).age(t, began, horizonSeconds, "holder", "prepared_xact")
			srv.Exec(t, "ROLLBACK PREPARED 'scene'")
			eventually(t, e, horizonAge, holdsNothing("prepared_xact"))
		})
		t.Run("walsender", func(t *testing.T) {
			conn := walsender(t, srv, pgtest.Superuser, "database")
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").ReadAll(); err != nil {
				t.Fatal(err)
			}
			ages(t, srv, e, "walsender")
		})
		t.Run("replication_slot_catalog", func(t *testing.T) {
			eventually(t, e, horizonAge, holdsNothing("walsender"))
			srv.Exec(t, "SELECT pg_create_logical_replication_slot('left_behind', 'test_decoding')")
			ages(t, srv, e, "replication_slot_catalog")
			page := scrapePage(t, e)
			page.absent(t, horizonSeconds)
			page.value(t, horizonHolder, "holder", "replication_slot_catalog", "slot_name", "left_behind", "datname", "postgres", "usename", "", "application_name", "")

			set(t, srv, "max_slot_wal_keep_size", "'1MB'")
			eventually(t, e, horizonAge, func(s snapshot) bool {
				fillSegment(t, srv)
				srv.Exec(t, "CHECKPOINT")
				return holdsNothing("replication_slot_catalog")(s)
			})
			if status := srv.Query(t, "postgres", "SELECT wal_status FROM pg_replication_slots"); status != "lost" {
				t.Errorf("the slot that holds nothing is %s, want lost", status)
			}
			scrapePage(t, e).absent(t, horizonHolder)
		})
	})
}

// TestXminHorizonHolder names the older of two sessions, and neither at once, and
// no slot that ends with its session.
func TestXminHorizonHolder(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		db := srv.Database(t)
		e := watch(t, srv, pgtest.Monitor, "xmin_horizon")
		srv.Exec(t, "CREATE ROLE clerk LOGIN")
		session(t, srv, pgtest.Superuser, "postgres", "SELECT pg_create_logical_replication_slot('temporary_' || pg_backend_pid(), 'test_decoding', true)")
		began := time.Now()
		session(t, srv, "clerk", db, "SET application_name = 'ledger'", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
		burn(t, srv, 1)
		session(t, srv, pgtest.Superuser, "postgres", "SET application_name = 'second'", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
		page := scrapePage(t, e)
		page.value(t, horizonAge, "holder", "client")
		if time.Since(began) < 5*time.Second {
			page.absent(t, horizonHolder, "holder", "client")
		}
		page.value(t, horizonHolder, "holder", "replication_slot_catalog", "slot_name", "")
		eventually(t, e, horizonHolder, all(
			has(horizonHolder, 1, "holder", "client", "datname", db, "usename", "clerk", "application_name", "ledger", "slot_name", ""),
			adds(horizonHolder, 1, "holder", "client")))
	})
}

// TestXminHorizonVacuum runs a VACUUM with parallel workers slowly: all of them
// have a snapshot, and none holds anything back.
func TestXminHorizonVacuum(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
		srv.Exec(t,
			"CREATE TABLE t (id int)",
			"INSERT INTO t SELECT generate_series(1, 600)",
			"CREATE INDEX ON t (repeat(md5(id::text), 15))",
			"CREATE INDEX ON t (repeat(md5((id + 1)::text), 15))",
			"CREATE INDEX ON t (repeat(md5((id + 2)::text), 15))",
			"DELETE FROM t WHERE id % 2 = 0")
		linger(t, session(t, srv, pgtest.Superuser, "postgres",
			"SET vacuum_cost_delay = 50", "SET vacuum_cost_limit = 1", "SET min_parallel_index_scan_size = 0"), "VACUUM (PARALLEL 2) t")
		const vacuums = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND (query LIKE 'VACUUM%' OR backend_type = 'parallel worker')"
		eventually(t, watch(t, srv, pgtest.Monitor, "xmin_horizon"), horizonAge, func(s snapshot) bool {
			return srv.Query(t, "postgres", vacuums) == "3" && len(s.values(horizonAge)) == 0
		})
		scrapePage(t, watch(t, srv, pgtest.Monitor, "xmin_horizon")).absent(t, horizonAge)
		if held := srv.Query(t, "postgres", vacuums); held != "3" {
			t.Errorf("%s sessions of VACUUM have a snapshot; without one in each of the three this test proves nothing", held)
		}
	})
}

// TestXminHorizonAutovacuum has autovacuum work slowly: its ANALYZE holds back
// vacuum, and is no client.
func TestXminHorizonAutovacuum(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"autovacuum_naptime": "1s", "autovacuum_vacuum_threshold": "1000000000", "autovacuum_vacuum_insert_threshold": "-1",
			"autovacuum_analyze_threshold": "0", "autovacuum_analyze_scale_factor": "0",
			"autovacuum_vacuum_cost_delay": "100ms", "autovacuum_vacuum_cost_limit": "1",
		}})
		srv.Exec(t, "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 100000)")
		page := eventually(t, watch(t, srv, pgtest.Monitor, "xmin_horizon"), horizonAge, func(s snapshot) bool {
			return holds("autovacuum")(s) &&
				srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_progress_analyze WHERE relid = 't'::regclass") == "1"
		})
		page.absent(t, horizonAge, "holder", "client")
		page.absent(t, horizonAge, "holder", "background")
	})
}

// TestXminHorizonStandby has a query on a standby hold back its primary: by the
// walsender, and by the slot where the standby streams from one.
func TestXminHorizonStandby(t *testing.T) {
	for _, c := range []struct{ slot, holder, application, shown string }{
		{"", "standby_feedback", "standby1", ""},
		{"standby1", "replication_slot", "", "standby1"},
	} {
		t.Run(c.holder, func(t *testing.T) {
			eachEnd(t, func(t *testing.T, major int) {
				primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
				standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: map[string]string{
					"primary_slot_name": c.slot, "wal_receiver_status_interval": "1s",
				}})
				onPrimary := watch(t, primary, pgtest.Monitor, "xmin_horizon")
				onStandby := watch(t, standby, pgtest.Monitor, "xmin_horizon")
				eventually(t, onPrimary, horizonAge, holds(c.holder))

				query := session(t, standby, pgtest.Superuser, "postgres", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
				const ids = 50
				burn(t, primary, ids)
				older := func(s snapshot) bool { return s.sum(horizonAge, "holder", c.holder) >= ids }
				page := eventually(t, onPrimary, horizonAge, older)
				page.absent(t, horizonAge, "holder", "client")
				page.absent(t, horizonAge, "holder", "walsender")
				page.absent(t, horizonSeconds)
				user := pgtest.Superuser
				if c.slot != "" {
					user = ""
				}
				page.value(t, horizonHolder, "holder", c.holder, "slot_name", c.shown, "application_name", c.application, "usename", user, "datname", "")
				eventually(t, onStandby, horizonAge, func(s snapshot) bool { return s.sum(horizonAge, "holder", "client") >= ids })

				run(t, query, "COMMIT")
				eventually(t, onPrimary, horizonAge, func(s snapshot) bool { return holds(c.holder)(s) && !older(s) })
				eventually(t, onStandby, horizonAge, holdsNothing("client"))
			})
		})
	}
}

// TestXminHorizonApply has the worker of a subscription wait in a transaction: a
// background process and no client.
func TestXminHorizonApply(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		p := newPubSub(t, major)
		p.subscribe(t, ", copy_data = false")
		locker := session(t, p.srv, pgtest.Superuser, "sub", "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
		p.srv.ExecIn(t, "pub", "INSERT INTO t VALUES (10)")
		e := watch(t, p.srv, pgtest.Monitor, "xmin_horizon")
		eventually(t, e, horizonAge, func(s snapshot) bool {
			return p.srv.Query(t, "postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") == "1" && holds("background")(s)
		})
		run(t, locker, "COMMIT")
		eventually(t, e, horizonAge, all(holdsNothing("background"), holdsNothing("client")))
	})
}
