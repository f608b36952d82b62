package collector_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const (
	replayLag = "pg_stat_replication_replay_lag_bytes"
	standbys  = "pg_stat_replication_standbys"
)

// send has a walsender begin what nobody reads to the end.
func send(t *testing.T, conn *pgconn.PgConn, command string) {
	t.Helper()
	conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
}

// request has a walsender do something short.
func request(t *testing.T, conn *pgconn.PgConn, command string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), command).ReadAll(); err != nil {
		t.Fatalf("%v: %s", err, command)
	}
}

// makeTwin has a standby use the name twin and no slot, like another.
func makeTwin(t *testing.T, standby *pgtest.Server, name string) {
	t.Helper()
	conninfo := standby.Query(t, "postgres", "SHOW primary_conninfo")
	standby.Exec(t, "ALTER SYSTEM SET primary_slot_name = ''")
	set(t, standby, "primary_conninfo", "'"+strings.Replace(conninfo, "application_name="+name, "application_name=twin", 1)+"'")
}

// TestStatReplication has two standbys of one name, and then all that is no
// standby.
func TestStatReplication(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		// Nobody is to wait for the synchronous standbys of this test.
		primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"synchronous_commit": "local", "autovacuum": "off"}})
		one := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
		two := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
		e := watch(t, primary, pgtest.Monitor, "stat_replication")

		page := eventually(t, e, standbys, adds(standbys, 2))
		page.succeeded(t, "stat_replication", "stat_replication_state", "stat_replication_sync")
		for _, name := range []string{"standby1", "standby2"} {
			for _, metric := range []string{
				"pending_bytes", "write_lag_bytes", "flush_lag_bytes", "replay_lag_bytes",
				"last_reply_timestamp_seconds", "connected_timestamp_seconds",
			} {
				page.value(t, "pg_stat_replication_"+metric,
					"application_name", name, "slot_name", name, "slot_type", "physical", "client_addr", "127.0.0.1")
			}
		}

		makeTwin(t, one, "standby1")
		makeTwin(t, two, "standby2")
		page = eventually(t, e, standbys, all(
			adds("pg_stat_replication_senders", 2, "application_name", "twin", "state", "streaming"), adds(standbys, 2),
			func(s snapshot) bool {
				return len(s.values(replayLag)) == 1 && len(s.values(replayLag, "application_name", "twin", "slot_name", "")) == 1
			}))
		page.succeeded(t, "stat_replication", "stat_replication_state", "stat_replication_sync")

		replicationLag(t, primary, one, e)
		replicationSync(t, primary, e)
		replicationOthers(t, primary, e)
		replicationAsNobody(t, primary)
	})
}

// replicationLag: of twins the row tells the worse.
func replicationLag(t *testing.T, primary, standby *pgtest.Server, e *scrape.Engine) {
	standby.Exec(t, "SELECT pg_wal_replay_pause()")
	primary.Exec(t, "CREATE TABLE t AS SELECT 1 AS i")
	replays := has(replayLag, 0, "application_name", "twin")
	page := eventually(t, e, replayLag, func(s snapshot) bool {
		// Both have it, and one does not replay it.
		return s.sum(replayLag, "application_name", "twin") > 0 && s.sum("pg_stat_replication_flush_lag_bytes") == 0
	})
	if got := page.value(t, "pg_stat_replication_pending_bytes"); got != 0 {
		t.Errorf("pending_bytes is %v, and all was sent and written", got)
	}
	standby.Exec(t, "SELECT pg_wal_replay_resume()")
	eventually(t, e, replayLag, replays)
}

// replicationSync goes through the forms of synchronous_standby_names.
func replicationSync(t *testing.T, primary *pgtest.Server, e *scrape.Engine) {
	for _, test := range []struct {
		names         string
		wanted, there float64
	}{
		{"*", 1, 1},
		{"twin", 1, 1},
		{"a, b", 1, 0},
		{"2 (a, b)", 2, 0},
		{"1(twin)", 1, 1},
		{"FIRST 2 (a, twin)", 2, 2},
		{"first 3 (*)", 3, 2},
		{"ANY 1 (*)", 1, 2}, // a commit waits for one, and may count on either
		{" Any  12 (a, b)", 12, 0},
		{`"ANY 5 (a)", twin`, 1, 1}, // which is a name
		{"", 0, 0},
	} {
		t.Logf("synchronous_standby_names is %q", test.names) // for the one that fails
		set(t, primary, "synchronous_standby_names", "'"+test.names+"'")
		eventually(t, e, "pg_stat_replication_sync_standbys_wanted", all(
			adds("pg_stat_replication_sync_standbys_wanted", test.wanted),
			adds("pg_stat_replication_sync_standbys", test.there),
		))
	}
}

// replicationOthers: what else reads WAL or the whole database is no standby.
func replicationOthers(t *testing.T, primary *pgtest.Server, e *scrape.Engine) {
	// As pg_receivewal does, if it never told how far it is.
	stream(t, primary, walsender(t, primary, pgtest.Superuser, "true"))
	page := eventually(t, e, "pg_stat_replication_senders", all(
		adds("pg_stat_replication_senders", 1, "application_name", "", "state", "streaming"),
		func(s snapshot) bool {
			return len(s.values("pg_stat_replication_pending_bytes", "application_name", "", "slot_type", "physical")) == 1
		},
	))
	page.absent(t, replayLag, "application_name", "")

	// As a subscriber does.
	decoder := walsender(t, primary, pgtest.Superuser, "database")
	request(t, decoder, "CREATE_REPLICATION_SLOT decoding TEMPORARY LOGICAL test_decoding")
	send(t, decoder, "START_REPLICATION SLOT decoding LOGICAL 0/0")
	// It counts from the moment it holds the slot, and has a place in the WAL once it streams.
	eventually(t, e, "pg_stat_replication_pending_bytes", all(
		adds("pg_stat_replication_logical_receivers", 1),
		func(s snapshot) bool {
			return len(s.values("pg_stat_replication_pending_bytes", "application_name", "", "slot_type", "logical", "slot_name", "")) == 1
		},
	))

	// As pg_basebackup does, over two connections.
	follower := walsender(t, primary, pgtest.Superuser, "true")
	request(t, follower, "CREATE_REPLICATION_SLOT pg_basebackup_1 TEMPORARY PHYSICAL RESERVE_WAL")
	stream(t, primary, follower)
	fast := "BASE_BACKUP (CHECKPOINT 'fast')"
	if primary.Major < 15 {
		fast = "BASE_BACKUP FAST"
	}
	send(t, walsender(t, primary, pgtest.Superuser, "true"), fast)
	page = eventually(t, e, "pg_stat_replication_backups", all(
		adds("pg_stat_replication_backups", 1),
		adds("pg_stat_replication_senders", 1, "state", "backup"),
		adds("pg_stat_replication_senders", 3, "application_name", "", "state", "streaming"),
	))
	page.succeeded(t, "stat_replication", "stat_replication_state", "stat_replication_sync")
	if rows := len(page.values("pg_stat_replication_pending_bytes")); rows != 3 {
		t.Errorf("there are %d receivers, want the twins, the archiver and the subscriber:\n%s",
			rows, page.text("pg_stat_replication_pending_bytes"))
	}
	if got := page.value(t, standbys); got != 2 {
		t.Errorf("there are %v standbys, want 2", got)
	}
}

// replicationAsNobody: a role that may not look at the senders is told no number
// of them rather than 0.
func replicationAsNobody(t *testing.T, primary *pgtest.Server) {
	page := scrapePage(t, watch(t, primary, pgtest.Nobody, "stat_replication"))
	page.succeeded(t, "stat_replication", "stat_replication_state", "stat_replication_sync")
	for _, metric := range []string{"standbys", "logical_receivers", "backups", "sync_standbys", "senders", "pending_bytes"} {
		page.absent(t, "pg_stat_replication_"+metric)
	}
	page.value(t, "pg_stat_replication_sync_standbys_wanted")
}

// TestStatReplicationNone: where there are none, their number is 0.
func TestStatReplicationNone(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{})
	page := scrapePage(t, watch(t, srv, pgtest.Monitor, "stat_replication"))
	for _, metric := range []string{"standbys", "logical_receivers", "backups", "sync_standbys", "sync_standbys_wanted"} {
		if got := page.value(t, "pg_stat_replication_"+metric); got != 0 {
			t.Errorf("%s is %v", metric, got)
		}
	}
	page.absent(t, "pg_stat_replication_senders")
}

// TestStatReplicationCut looks from the primary at a standby that is idle, falls
// silent, comes back, is sent away, and becomes a primary.
func TestStatReplicationCut(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{
			"autovacuum": "off", "wal_sender_timeout": receiverTimeout.String(),
		}})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: map[string]string{
			"wal_receiver_timeout": receiverTimeout.String(), "wal_receiver_status_interval": "1s",
		}})
		e := watch(t, primary, pgtest.Monitor, "stat_replication")
		primary.Exec(t, "CREATE TABLE t (i int)")
		standbyInStep(t, e)
		senderOfFrozen(t, primary, standby, e)
		standbyInStep(t, e)
		gone := func(s snapshot) bool {
			return s.sum(standbys) == 0 && len(s.values(replayLag)) == 0
		}

		set(t, standby, "primary_slot_name", "'nope'")
		eventually(t, e, standbys, func(s snapshot) bool {
			if gone(s) {
				return true
			}
			// The standby may have come back before it knew of the setting.
			primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
			return false
		})
		primary.Exec(t, "INSERT INTO t VALUES (1)")
		eventually(t, e, standbys, gone)
		set(t, standby, "primary_slot_name", "DEFAULT")
		standbyInStep(t, e)

		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, e, standbys, gone)
	})
}

// standbyInStep waits for what a primary shows of an idle standby, which is no lag:
// none in bytes, and in seconds none that would be of the past.
func standbyInStep(t *testing.T, e *scrape.Engine) {
	t.Helper()
	const prefix = "pg_stat_replication_"
	inStep := func(s snapshot) bool {
		for _, metric := range []string{"pending_bytes", "write_lag_bytes", "flush_lag_bytes", "replay_lag_bytes"} {
			if !has(prefix+metric, 0, "application_name", "standby1")(s) {
				return false
			}
		}
		for _, metric := range []string{"write_lag_seconds", "flush_lag_seconds", "replay_lag_seconds"} {
			if len(s.values(prefix+metric)) > 0 {
				return false
			}
		}
		return s.sum(standbys) == 1
	}
	page := eventually(t, e, standbys, inStep)
	replied := page.value(t, prefix+"last_reply_timestamp_seconds")
	eventually(t, e, prefix+"last_reply_timestamp_seconds", func(s snapshot) bool {
		return inStep(s) && s.sum(prefix+"last_reply_timestamp_seconds") > replied
	})
}

// senderOfFrozen: a standby that is silent lags by what is written meanwhile, its
// last reply gets old, and once wal_sender_timeout is over it is no standby.
func senderOfFrozen(t *testing.T, primary, standby *pgtest.Server, e *scrape.Engine) {
	t.Helper()
	if err := standby.Freeze(); err != nil {
		t.Fatal(err)
	}
	thaw := func() {
		if err := standby.Thaw(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(thaw)
	lag := 0.0
	for range 3 {
		primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 100)")
		last := lag
		page := eventually(t, e, replayLag, func(s snapshot) bool {
			lag = s.sum(replayLag)
			return lag >= last+1000
		})
		if flush := page.value(t, "pg_stat_replication_flush_lag_bytes"); flush != lag {
			t.Errorf("a standby that does nothing has %v to replay and %v to flush", lag, flush)
		}
	}
	eventually(t, e, standbys, func(s snapshot) bool {
		return s.sum(standbys) == 0 && len(s.values(replayLag)) == 0 && len(s.values("pg_stat_replication_senders")) == 0
	})
	thaw()
}

// sendersOnStandby is a step of TestStandby: the standby feeds another.
func sendersOnStandby(t *testing.T, c cascade) {
	page := eventually(t, c.onStandby, replayLag, has(replayLag, 0, "application_name", "standby1", "slot_name", "standby1"))
	page.succeeded(t, "stat_replication", "stat_replication_state", "stat_replication_sync")
	if got := page.value(t, standbys); got != 1 {
		t.Errorf("there are %v standbys, want 1", got)
	}
	page.absent(t, "pg_stat_replication_sync_standbys")
	page.absent(t, "pg_stat_replication_sync_standbys_wanted")
}
