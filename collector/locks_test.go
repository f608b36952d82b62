package collector_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// TestLocksGranted holds locks that are held and locks that are waited for
// apart, by mode and database.
func TestLocksGranted(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		db := srv.Database(t)
		srv.ExecIn(t, db, "CREATE TABLE a (id int)", "CREATE TABLE b (id int)")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
		session(t, srv, pgtest.Superuser, db, "BEGIN", "LOCK TABLE b IN EXCLUSIVE MODE")
		e := watch(t, srv, pgtest.Monitor, "locks")
		for range 2 {
			linger(t, session(t, srv, pgtest.Superuser, db, "BEGIN"), "LOCK TABLE a IN SHARE ROW EXCLUSIVE MODE")
		}
		locks := func(mode, granted string, want float64) func(snapshot) bool {
			return adds("pg_locks_count", want, "datname", db, "mode", mode, "granted", granted)
		}
		eventually(t, e, "pg_locks_count", all(
			locks("accessexclusivelock", "true", 1), locks("exclusivelock", "true", 1),
			locks("sharerowexclusivelock", "false", 2), locks("sharerowexclusivelock", "true", 0)))
	})
}

// forceParallel has the session run its queries in a parallel worker. The setting
// has the first name until 15 and the second since 16.
const forceParallel = `SELECT set_config(name, 'on', false) FROM pg_settings
 WHERE name IN ('force_parallel_mode', 'debug_parallel_query')`

// A step of a situation is a statement of the session called so.
type step struct {
	session, sql string
	waits        bool // for a lock, until the end of the test
	holds        int  // ACCESS SHARE locks while it lasts, which is until then too
}

// situations are those of waiting sessions. In each the sessions are of one
// database with a table of rows 1 to 3.
var situations = []struct {
	name                  string
	steps                 []step
	end                   []string // what ends it, if the end of its sessions does not
	waiting, roots, depth float64
	nowhere               float64 // waits for what belongs to no database
}{
	{
		name: "row locks, a behind b behind c",
		steps: []step{
			{session: "c", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 3"},
			{session: "b", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 2"},
			{session: "b", sql: "UPDATE t SET v = 1 WHERE id = 3", waits: true},
			{session: "a", sql: "UPDATE t SET v = 1 WHERE id = 2", waits: true},
		},
		waiting: 2, roots: 1, depth: 2, nowhere: 2,
	},
	{
		// The first to wait for a row holds it against the next, as a tuple.
		name: "row locks, three behind one for the same row",
		steps: []step{
			{session: "d", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 1"},
			{session: "a", sql: "UPDATE t SET v = 1 WHERE id = 1", waits: true},
			{session: "b", sql: "UPDATE t SET v = 1 WHERE id = 1", waits: true},
			{session: "c", sql: "UPDATE t SET v = 1 WHERE id = 1", waits: true},
		},
		waiting: 3, roots: 1, depth: 2, nowhere: 1,
	},
	{
		name: "two roots of two chains",
		steps: []step{
			{session: "a", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 1"},
			{session: "b", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 2"},
			{session: "c", sql: "UPDATE t SET v = 1 WHERE id = 1", waits: true},
			{session: "d", sql: "UPDATE t SET v = 1 WHERE id = 2", waits: true},
		},
		waiting: 2, roots: 2, depth: 1, nowhere: 2,
	},
	{
		name: "one who waits for many",
		steps: []step{
			{session: "a", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "b", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "c", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "d", sql: "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE", waits: true},
		},
		waiting: 1, roots: 3, depth: 1,
	},
	{
		name: "prepared transactions, one of them of a session that waits",
		steps: []step{
			{session: "a", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 1"},
			{session: "a", sql: "PREPARE TRANSACTION 'first'"},
			{session: "b", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 2"},
			{session: "b", sql: "PREPARE TRANSACTION 'second'"},
			{session: "b", sql: "UPDATE t SET v = 1 WHERE id = 1", waits: true},
			{session: "c", sql: "UPDATE t SET v = 1 WHERE id = 2", waits: true},
		},
		end:     []string{"ROLLBACK PREPARED 'first'", "ROLLBACK PREPARED 'second'"},
		waiting: 2, roots: 2, depth: 1, nowhere: 2,
	},
	{
		name: "of six holders only one conflicts",
		steps: []step{
			{session: "a", sql: "BEGIN; LOCK TABLE t IN SHARE MODE"},
			{session: "b", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "c", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "d", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "e", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "f", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "g", sql: "BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE", waits: true},
		},
		waiting: 1, roots: 1, depth: 1,
	},
	{
		name: "queued behind a waiter, with nobody's lock in the way",
		steps: []step{
			{session: "a", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "b", sql: "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE", waits: true},
			{session: "c", sql: "SELECT FROM t", waits: true},
			{session: "d", sql: "SELECT FROM t", waits: true},
		},
		waiting: 3, roots: 1, depth: 1,
	},
	{
		name: "who has a share and waits for more",
		steps: []step{
			{session: "a", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "b", sql: "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE"},
			{session: "b", sql: "LOCK TABLE t IN ACCESS EXCLUSIVE MODE", waits: true},
		},
		waiting: 1, roots: 1, depth: 1,
	},
	{
		name: "an index built concurrently waits for a transaction by its virtual id",
		steps: []step{
			{session: "a", sql: "BEGIN; UPDATE t SET v = 1 WHERE id = 1"},
			{session: "b", sql: "CREATE INDEX CONCURRENTLY ON t (v)", waits: true},
		},
		waiting: 1, roots: 1, depth: 1, nowhere: 1,
	},
	{
		// Both the leader and its worker hold a lock on the table and one on its index.
		name: "a parallel query",
		steps: []step{
			{session: "a", sql: forceParallel},
			{session: "a", sql: "SELECT pg_sleep(30) FROM t", holds: 4},
			{session: "b", sql: "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE", waits: true},
		},
		waiting: 1, roots: 1, depth: 1,
	},
	{
		name: "advisory locks, of which one is shared by two",
		steps: []step{
			{session: "a", sql: "SELECT pg_advisory_lock_shared(7)"},
			{session: "b", sql: "SELECT pg_advisory_lock_shared(7)"},
			{session: "c", sql: "SELECT pg_advisory_lock(8)"},
			{session: "c", sql: "SELECT pg_advisory_lock(7)", waits: true},
			{session: "d", sql: "SELECT pg_advisory_lock(8)", waits: true},
		},
		waiting: 2, roots: 2, depth: 2,
	},
}

// TestLocksWaits makes each situation on a server where nobody else waits.
func TestLocksWaits(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		srv.Exec(t, "CREATE TABLE t (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = off)",
			"INSERT INTO t SELECT g, 0 FROM generate_series(1, 3) g")
		e := watch(t, srv, pgtest.Monitor, "locks", "connections")
		for _, situation := range situations {
			t.Run(situation.name, func(t *testing.T) {
				// The sessions of the situation before go in their own time.
				page := eventually(t, e, "pg_connections_used", adds("pg_connections_used", 1))
				checkNumbers(t, page, map[string]float64{
					"pg_locks_waiting_sessions": 0, "pg_locks_root_blockers": 0, "pg_locks_chain_depth": 0,
				})
				checkLongestWait(t, page, major, 0, 0)

				began := time.Now()
				play(t, srv, e, situation.steps)
				page = scrapePage(t, e)
				checkNumbers(t, page, map[string]float64{
					"pg_locks_waiting_sessions": situation.waiting,
					"pg_locks_root_blockers":    situation.roots,
					"pg_locks_chain_depth":      situation.depth,
				})
				if got := page.sum("pg_locks_count", "granted", "false"); got != situation.waiting {
					t.Errorf("%v locks are not granted, want %v:\n%s", got, situation.waiting, page.text("pg_locks_count"))
				}
				if got := page.sum("pg_locks_count", "granted", "false", "datname", ""); got != situation.nowhere {
					t.Errorf("%v locks of no database are not granted, want %v:\n%s", got, situation.nowhere, page.text("pg_locks_count"))
				}
				checkLongestWait(t, page, major, 1e-6, time.Since(began).Seconds())
				srv.Exec(t, situation.end...)
			})
		}
	})
}

// play goes through the steps. Who comes to wait is seen to before the next
// does anything, since in a queue the order counts.
func play(t *testing.T, srv *pgtest.Server, e *scrape.Engine, steps []step) {
	t.Helper()
	sessions := map[string]*pgx.Conn{}
	waiting := 0.0
	for _, s := range steps {
		if sessions[s.session] == nil {
			sessions[s.session] = session(t, srv, pgtest.Superuser, "postgres")
		}
		if !s.waits && s.holds == 0 {
			run(t, sessions[s.session], s.sql)
			continue
		}
		linger(t, sessions[s.session], s.sql)
		if s.holds > 0 {
			eventually(t, e, "pg_locks_count", adds("pg_locks_count", float64(s.holds), "datname", "postgres", "mode", "accesssharelock"))
			continue
		}
		waiting++
		eventually(t, e, "pg_locks_waiting_sessions", adds("pg_locks_waiting_sessions", waiting))
	}
}

// checkLongestWait demands a longest wait between these, and before 14 none.
func checkLongestWait(t *testing.T, page snapshot, major int, least, most float64) {
	t.Helper()
	if major < 14 {
		page.absent(t, "pg_locks_max_wait_seconds")
		return
	}
	if got := page.value(t, "pg_locks_max_wait_seconds"); got < least || got > most {
		t.Errorf("the longest wait is of %v s, want %v to %v", got, least, most)
	}
}

// TestLocksSlots fills the shared lock table of a server: what the server says
// is full is shown as full.
func TestLocksSlots(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"autovacuum": "off", "max_connections": "30",
			// Their defaults, and what pgtest makes of them, have equals among them.
			"max_prepared_transactions": "7", "max_wal_senders": "5", "max_worker_processes": "9", "autovacuum_max_workers": "4",
		}})
		srv.Exec(t, "CREATE TABLE t (id int)")
		e := watch(t, srv, pgtest.Monitor, "locks", "connections")
		page := eventually(t, e, "pg_connections_used", adds("pg_connections_used", 1))
		slots, holders := page.value(t, "pg_locks_slots_used"), page.value(t, "pg_locks_holder_slots_used")
		// On the fast path a lock takes no slot.
		session(t, srv, pgtest.Superuser, "postgres", "BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
		page = eventually(t, e, "pg_locks_count", adds("pg_locks_count", 1, "datname", "postgres", "mode", "accesssharelock"))
		checkNumbers(t, page, map[string]float64{
			"pg_locks_slots_used": slots, "pg_locks_holder_slots_used": holders, "pg_locks_slots_limit": lockTable(t, srv),
		})
		const many = 500
		for i := range 2 { // holders of the same locks
			session(t, srv, pgtest.Superuser, "postgres", fmt.Sprintf("SELECT pg_advisory_lock_shared(g) FROM generate_series(1, %d) g", many))
			eventually(t, e, "pg_locks_slots_used", all(
				adds("pg_locks_slots_used", slots+many), adds("pg_locks_holder_slots_used", holders+many*float64(i+1))))
		}
		conn := session(t, srv, pgtest.Superuser, "postgres")
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		_, err := conn.Exec(ctx, "SELECT pg_advisory_lock(g) FROM generate_series(100000, 1000000) g")
		var full *pgconn.PgError
		if !errors.As(err, &full) || full.Code != "53200" { // out_of_memory, here of the shared kind
			t.Fatalf("the lock table does not fill: %v", err)
		}
		// To look up anything, pgvigil needs a few slots itself.
		const room = 50
		run(t, conn, fmt.Sprintf("SELECT pg_advisory_unlock(g) FROM generate_series(100001, 100000 + %d) g", room))
		page = scrapePage(t, e)
		page.succeeded(t, "locks", "locks_slots", "locks_waits")
		used, limit := page.value(t, "pg_locks_slots_used")+room, page.value(t, "pg_locks_slots_limit")
		if used < limit || used > 3*limit { // memory that nothing else took is for locks too
			t.Errorf("the lock table is full with %v of %v slots", used, limit)
		}
	})
}

// TestLocksSlotsLimit compares the limits with what the server has made room for.
func TestLocksSlotsLimit(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		want := lockTable(t, srv)
		checkNumbers(t, scrapePage(t, watch(t, srv, pgtest.Monitor, "locks")), map[string]float64{
			"pg_locks_slots_limit": want, "pg_locks_holder_slots_limit": 2 * want,
		})
	})
}

// lockTable returns the number of objects that the lock table of a server is
// made for, with MaxBackends as seen in what the server has allocated for it:
// BTreeShmemSize of nbtutils.c, a head of 12 bytes and 12 for each.
func lockTable(t *testing.T, srv *pgtest.Server) float64 {
	t.Helper()
	text := srv.Query(t, "postgres", `
		SELECT ((size - 12) / 12 + current_setting('max_prepared_transactions')::int) * current_setting('max_locks_per_transaction')::int
		  FROM pg_shmem_allocations WHERE name = 'BTree Vacuum State'`)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
