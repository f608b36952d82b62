package collector_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

const (
	retained  = "pg_replication_slots_retained_bytes"
	walStatus = "pg_replication_slots_wal_status"
)

// TestReplicationSlotsFresh has a slot that was never used and so keeps nothing,
// and slots of sessions, whose names come and go.
func TestReplicationSlotsFresh(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		slot := "fresh_" + srv.Database(t)
		srv.Exec(t, "SELECT pg_create_physical_replication_slot('"+slot+"')")
		defer srv.Exec(t, "SELECT pg_drop_replication_slot('"+slot+"')")
		for range 2 {
			temporary := session(t, srv, pgtest.Superuser, "postgres")
			run(t, temporary, "SELECT pg_create_physical_replication_slot('temporary_' || pg_backend_pid(), true, true)")
		}
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "replication_slots"))
		page.succeeded(t, "replication_slots", "replication_slots_status")
		page.absent(t, retained, "slot_name", slot)
		for metric, want := range map[string]float64{"active": 0, "temporary": 0} {
			if got := page.value(t, "pg_replication_slots_"+metric, "slot_name", slot); got != want {
				t.Errorf("%s is %v, want %v", metric, got, want)
			}
		}
		page.value(t, walStatus, "slot_name", slot, "slot_type", "physical", "wal_status", "", "invalidation_reason", "")

		folded := []string{"slot_name", "", "slot_type", "physical", "datname", ""}
		page.value(t, retained, folded...)
		for _, metric := range []string{"active", "temporary"} {
			if got := page.value(t, "pg_replication_slots_"+metric, folded...); got != 1 {
				t.Errorf("%s of temporary slots is %v", metric, got)
			}
		}
		page.absent(t, walStatus, "slot_name", "")
		for name := range page.named("pg_replication_slots_active", "slot_name") {
			if strings.HasPrefix(name, "temporary_") {
				t.Errorf("a temporary slot is named %s", name)
			}
		}
	})
}

// TestReplicationSlots has slots that nobody reads keep WAL, until they are lost.
func TestReplicationSlots(t *testing.T) {
	// 17 tells since when, and why.
	for _, major := range []int{13, 16, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			srv := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
			srv.Exec(t, "CREATE TABLE t (i int)",
				"SELECT pg_create_physical_replication_slot('idle', true)",
				"SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')")
			e := watch(t, srv, pgtest.Monitor, "replication_slots")
			slotsGrow(t, srv, e)
			slotIsRead(t, srv, e)
			slotsAreLost(t, srv, e)
		})
	}
}

func slotsGrow(t *testing.T, srv *pgtest.Server, e *scrape.Engine) {
	before := scrapePage(t, e)
	before.succeeded(t, "replication_slots", "replication_slots_status")
	srv.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
	page := scrapePage(t, e)
	for _, slot := range []string{"idle", "decoding"} {
		if grown := page.value(t, retained, "slot_name", slot) - before.value(t, retained, "slot_name", slot); grown < 1000 {
			t.Errorf("%s keeps %v bytes more for 1000 rows", slot, grown)
		}
		if got := page.value(t, "pg_replication_slots_active", "slot_name", slot); got != 0 {
			t.Errorf("active of %s is %v", slot, got)
		}
		page.absent(t, "pg_replication_slots_safe_wal_size_bytes", "slot_name", slot)
		page.value(t, walStatus, "slot_name", slot, "wal_status", "reserved", "invalidation_reason", "")
		if srv.Major >= 17 {
			page.value(t, "pg_replication_slots_inactive_since_timestamp_seconds", "slot_name", slot)
		}
	}
	logical := []string{"slot_name", "decoding", "slot_type", "logical", "datname", "postgres"}
	page.value(t, "pg_replication_slots_catalog_xmin_age", logical...)
	if got := page.value(t, "pg_replication_slots_confirmed_flush_lag_bytes", logical...); got < 1000 {
		t.Errorf("%v bytes are not confirmed of 1000 rows", got)
	}
	page.absent(t, "pg_replication_slots_confirmed_flush_lag_bytes", "slot_name", "idle")
}

func slotIsRead(t *testing.T, srv *pgtest.Server, e *scrape.Engine) {
	srv.Exec(t, "SELECT pg_logical_slot_get_changes('decoding', NULL, NULL)")
	page := scrapePage(t, e)
	if got := page.value(t, "pg_replication_slots_confirmed_flush_lag_bytes", "slot_name", "decoding"); got > 1000 {
		t.Errorf("%v bytes are not confirmed, and all was read", got)
	}
	const decoded = "pg_replication_slots_transactions_total"
	if srv.Major < 14 {
		page.value(t, "pgvigil_collector_skipped", "collector", "stat_replication_slots", "reason", "version")
		return
	}
	eventually(t, e, decoded, func(s snapshot) bool { return s.sum(decoded, "slot_name", "decoding") >= 1 })
}

func slotsAreLost(t *testing.T, srv *pgtest.Server, e *scrape.Engine) {
	set(t, srv, "max_slot_wal_keep_size", "'1MB'")
	eventually(t, e, "pg_replication_slots_safe_wal_size_bytes", func(s snapshot) bool {
		return len(s.values("pg_replication_slots_safe_wal_size_bytes", "slot_name", "idle")) == 1
	})
	// Until a checkpoint removes the WAL, a slot that is past the limit may still be read.
	full := eventually(t, e, walStatus, func(s snapshot) bool {
		fillSegment(t, srv)
		return s.sum(walStatus, "wal_status", "unreserved") == 2
	})
	for _, slot := range []string{"idle", "decoding"} {
		full.value(t, walStatus, "slot_name", slot, "wal_status", "unreserved", "invalidation_reason", "")
		if safe := full.value(t, "pg_replication_slots_safe_wal_size_bytes", "slot_name", slot); safe > 0 {
			t.Errorf("%s is past the limit, and %v bytes are safe to write", slot, safe)
		}
		if kept := full.value(t, retained, "slot_name", slot); kept < 1<<20 {
			t.Errorf("%s is past the limit of 1 MB and keeps %v bytes", slot, kept)
		}
	}
	page := eventually(t, e, walStatus, func(s snapshot) bool {
		fillSegment(t, srv)
		srv.Exec(t, "CHECKPOINT")
		return s.sum(walStatus, "wal_status", "lost") == 2
	})
	page.succeeded(t, "replication_slots", "replication_slots_status")
	reason := ""
	if srv.Major >= 17 {
		reason = "wal_removed"
	}
	for _, slot := range []string{"idle", "decoding"} {
		page.value(t, walStatus, "slot_name", slot, "wal_status", "lost", "invalidation_reason", reason)
		for _, metric := range []string{"retained_bytes", "confirmed_flush_lag_bytes", "safe_wal_size_bytes", "catalog_xmin_age"} {
			page.absent(t, "pg_replication_slots_"+metric, "slot_name", slot)
		}
	}
}

// slotsOnStandby is a step of TestStandby: a standby's slots are measured by what
// it has itself, and keep WAL as it comes.
func slotsOnStandby(t *testing.T, c cascade) {
	c.standby.Exec(t, "SELECT pg_create_physical_replication_slot('idle', true)")
	page := eventually(t, c.onStandby, "pg_replication_slots_active", has("pg_replication_slots_active", 1, "slot_name", "standby1"))
	page.succeeded(t, "replication_slots", "replication_slots_status")
	before := page.value(t, retained, "slot_name", "idle")
	c.primary.Exec(t, "INSERT INTO t SELECT generate_series(1, 1000)")
	eventually(t, c.onStandby, retained, func(s snapshot) bool {
		return s.sum(retained, "slot_name", "idle") >= before+1000
	})
	c.standby.Exec(t, "SELECT pg_drop_replication_slot('idle')")
}

// TestReplicationSlotsSynced has a standby keep a copy of its primary's slot.
func TestReplicationSlotsSynced(t *testing.T) {
	for _, major := range []int{17, 18} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary := pgtest.New(t, major, pgtest.Options{})
			standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
			conninfo := standby.Query(t, "postgres", "SHOW primary_conninfo")
			set(t, standby, "primary_conninfo", "'"+conninfo+" dbname=postgres'")
			primary.Exec(t, "SELECT pg_create_logical_replication_slot('failover', 'pgoutput', false, false, true)")
			set(t, standby, "sync_replication_slots", "on")

			e := watch(t, standby, pgtest.Monitor, "replication_slots")
			page := eventually(t, e, "pg_replication_slots_synced", func(s snapshot) bool {
				// The copy lasts only once the original has got past what the standby begins with.
				primary.Exec(t, "SELECT pg_log_standby_snapshot()", "SELECT pg_replication_slot_advance('failover', pg_current_wal_lsn())")
				return s.sum("pg_replication_slots_synced", "slot_name", "failover") == 1
			})
			page.succeeded(t, "replication_slots", "replication_slots_status", "stat_replication_slots")
			for metric, want := range map[string]float64{"failover": 1, "temporary": 0} {
				if got := page.value(t, "pg_replication_slots_"+metric, "slot_name", "failover"); got != want {
					t.Errorf("%s is %v, want %v", metric, got, want)
				}
			}
			page.value(t, retained, "slot_name", "failover", "datname", "postgres")
			// It is inactive by design, but for the moments in which it is synced.
			eventually(t, e, "pg_replication_slots_active", all(
				has("pg_replication_slots_active", 0, "slot_name", "failover"),
				has("pg_replication_slots_synced", 1, "slot_name", "failover")))
			original := scrapePage(t, watch(t, primary, pgtest.Monitor, "replication_slots"))
			for metric, want := range map[string]float64{"failover": 1, "synced": 0} {
				if got := original.value(t, "pg_replication_slots_"+metric, "slot_name", "failover"); got != want {
					t.Errorf("%s of the original is %v, want %v", metric, got, want)
				}
			}
		})
	}
}

// TestReplicationSlotsIdle has a slot invalidated that nobody has used for too long.
func TestReplicationSlotsIdle(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{Settings: map[string]string{"idle_replication_slot_timeout": "1s"}})
	srv.Exec(t, "SELECT pg_create_physical_replication_slot('idle', true)")
	e := watch(t, srv, pgtest.Monitor, "replication_slots")
	scrapePage(t, e).value(t, walStatus, "slot_name", "idle", "wal_status", "reserved", "invalidation_reason", "")
	eventually(t, e, walStatus, func(s snapshot) bool {
		srv.Exec(t, "CHECKPOINT")
		return s.sum(walStatus, "slot_name", "idle", "wal_status", "lost", "invalidation_reason", "idle_timeout") == 1
	})
	page := eventually(t, e, retained, func(s snapshot) bool { return len(s.values(retained, "slot_name", "idle")) == 0 })
	page.succeeded(t, "replication_slots", "replication_slots_status")
	page.value(t, "pg_replication_slots_inactive_since_timestamp_seconds", "slot_name", "idle")
}

// lost tells whether the slot named decoding has no sample of a metric.
func lost(metric string) func(snapshot) bool {
	return func(s snapshot) bool {
		return len(s.values("pg_replication_slots_"+metric, "slot_name", "decoding")) == 0
	}
}

// TestReplicationSlotsConflict has a standby replay that catalogue rows are gone
// which its own logical slot needs.
func TestReplicationSlotsConflict(t *testing.T) {
	for _, major := range []int{16, 17, 18} { // a standby decodes since 16
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
			standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: map[string]string{"hot_standby_feedback": "off"}})
			linger(t, session(t, standby, pgtest.Superuser, "postgres"), "SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')")
			e := watch(t, standby, pgtest.Monitor, "replication_slots")
			eventually(t, e, "pg_replication_slots_conflicting", func(s snapshot) bool {
				primary.Exec(t, "SELECT pg_log_standby_snapshot()") // what a new slot waits for
				return has("pg_replication_slots_conflicting", 0, "slot_name", "decoding")(s) &&
					has("pg_replication_slots_active", 0, "slot_name", "decoding")(s) &&
					len(s.values("pg_replication_slots_confirmed_flush_lag_bytes", "slot_name", "decoding")) == 1
			})
			primary.Exec(t, "CREATE TABLE t (i int)", "DROP TABLE t", "VACUUM pg_catalog.pg_class")
			reason := ""
			if major >= 17 {
				reason = "rows_removed"
			}
			page := eventually(t, e, walStatus, all(
				has("pg_replication_slots_conflicting", 1, "slot_name", "decoding"),
				has(walStatus, 1, "slot_name", "decoding", "wal_status", "lost", "invalidation_reason", reason),
				// One page has the answers of two statements, and the slot may be lost between them.
				lost("retained_bytes"), lost("confirmed_flush_lag_bytes"), lost("catalog_xmin_age")))
			page.succeeded(t, "replication_slots", "replication_slots_status")
		})
	}
}
