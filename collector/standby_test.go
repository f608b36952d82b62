package collector_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// receiverTimeout is how long a standby believes in a silent link: longer than a
// busy machine leaves a live one silent, and no longer than a test can wait.
const receiverTimeout = 4 * time.Second

// late is by how much more a busy machine may make a standby believe in it.
const late = time.Second

const standbyLag = "pg_standby_lag_seconds"

// cascade is a primary, its standby and that one's standby, the latter two with
// an engine each that lasts from one step of a test to the next.
type cascade struct {
	primary, standby, leaf *pgtest.Server
	onStandby, onLeaf      *scrape.Engine
}

func newCascade(t *testing.T, major int) cascade {
	t.Helper()
	var c cascade
	follower := map[string]string{"wal_receiver_timeout": receiverTimeout.String()}
	// Autovacuum would write on a link that is to be idle.
	c.primary = pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"autovacuum": "off"}})
	c.standby = pgtest.New(t, major, pgtest.Options{StandbyOf: c.primary, Settings: follower})
	c.leaf = pgtest.New(t, major, pgtest.Options{StandbyOf: c.standby, Settings: follower})
	c.onStandby = watch(t, c.standby, pgtest.Monitor, "server", "standby", "wal", "stat_archiver", "stat_replication", "replication_slots")
	c.onLeaf = watch(t, c.leaf, pgtest.Monitor, "standby")
	c.primary.Exec(t, "CREATE TABLE t (i int)")
	return c
}

// set changes a setting that a reload is enough for; DEFAULT takes the change
// back.
func set(t *testing.T, srv *pgtest.Server, setting, value string) {
	t.Helper()
	srv.Exec(t, "ALTER SYSTEM SET "+setting+" = "+value, "SELECT pg_reload_conf()")
}

// stands tells whether a page has the one lag of a standby in this situation.
func stands(situation string) func(snapshot) bool {
	return func(s snapshot) bool {
		return len(s.values(standbyLag)) == 1 && len(s.values(standbyLag, "situation", situation)) == 1
	}
}

// caughtUp tells whether a page has the lag of a standby that has everything.
func caughtUp(s snapshot) bool { return stands("caught_up")(s) && s.sum(standbyLag) == 0 }

// lagsBy tells whether a page has a lag above so many seconds in this situation.
func lagsBy(situation string, seconds float64) func(snapshot) bool {
	return func(s snapshot) bool { return stands(situation)(s) && s.sum(standbyLag) > seconds }
}

// grows scrapes for a second, in which the situation may not change, nor the lag
// do anything but grow: from the lag of the page given, never back to 0.
func grows(t *testing.T, e *scrape.Engine, situation string, page snapshot) {
	t.Helper()
	last := page.value(t, standbyLag, "situation", situation)
	enough := last + 1
	eventually(t, e, standbyLag, func(s snapshot) bool {
		if !lagsBy(situation, last)(s) {
			t.Fatalf("the lag was %v, %s, and is now:\n%s", last, situation, s.text(standbyLag))
		}
		last = s.sum(standbyLag)
		return last > enough
	})
}

// lagsSinceCommit fails where the lag is not the age of the last commit replayed,
// which is all that an engine knows that has not seen better times.
func lagsSinceCommit(t *testing.T, srv *pgtest.Server, situation string) {
	t.Helper()
	before := float64(time.Now().UnixMicro()) / 1e6
	page := scrapePage(t, watch(t, srv, pgtest.Monitor, "standby"))
	after := float64(time.Now().UnixMicro()) / 1e6
	committed := page.value(t, "pg_standby_last_replayed_commit_timestamp_seconds")
	if lag := page.value(t, standbyLag, "situation", situation); lag < before-committed-0.01 || lag > after-committed+0.01 {
		t.Errorf("the lag is %v, and the last commit replayed is %v to %v s old", lag, before-committed, after-committed)
	}
}

// TestStandby leads a standby, with a standby of its own behind it, from one
// situation to the next, and to its promotion.
func TestStandby(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) { leadStandby(t, newCascade(t, major)) })
}

func leadStandby(t *testing.T, c cascade) {
	for _, step := range []struct {
		name string
		take func(*testing.T, cascade)
	}{
		{"idle", standbyIdle},
		{"facts", standbyTells},
		{"wal", walOnStandby},
		{"archiver", archiverOnStandby},
		{"senders", sendersOnStandby},
		{"slots", slotsOnStandby},
		{"nobody", standbyAsNobody},
		{"paused", standbyPaused},
		{"delayed", standbyDelayed},
		{"frozen", standbyFrozen},
		{"severed", standbySevered},
		{"severed and paused", standbySeveredPaused},
		{"severed and restarted", standbySeveredRestarted},
		{"upstream restarted", standbyUpstreamRestarted},
		{"promoted", standbyPromoted},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.take(t, c) }) {
			return
		}
	}
}

// standbyIdle: nothing is written for longer than a dead link would be believed
// in, and neither standby ever lags.
func standbyIdle(t *testing.T, c cascade) {
	eventually(t, c.onStandby, standbyLag, caughtUp)
	eventually(t, c.onLeaf, standbyLag, caughtUp)
	for began := time.Now(); time.Since(began) < receiverTimeout+500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		for _, e := range []*scrape.Engine{c.onStandby, c.onLeaf} {
			if page := scrapePage(t, e); !caughtUp(page) {
				t.Fatalf("an idle standby has:\n%s", page.text(standbyLag))
			}
		}
	}
}

func standbyTells(t *testing.T, c cascade) {
	began := time.Now()
	c.primary.Exec(t, "INSERT INTO t VALUES (1)")
	end := position(t, c.primary, "pg_current_wal_flush_lsn()")
	eventually(t, c.onStandby, "pg_standby_replayed_position_bytes_total", func(s snapshot) bool {
		return s.sum("pg_standby_replayed_position_bytes_total") >= end
	})
	// Each collector looks at a moment of its own.
	page := eventually(t, c.onStandby, standbyLag, all(caughtUp, has("pg_standby_pending_bytes", 0)))
	page.succeeded(t, "standby", "standby_lag", "standby_upstream")
	checkNumbers(t, page, map[string]float64{
		"pg_replication_is_replica": 1, "pg_standby_receiver_connected": 1, "pg_standby_replay_paused": 0,
		"pg_standby_streaming_configured": 1, "pg_standby_archive_configured": 0,
	})
	for _, metric := range []string{"pg_standby_received_position_bytes_total", "pg_standby_upstream_position_bytes_total"} {
		if got := page.value(t, metric); got < end {
			t.Errorf("%s is %v, and the primary was at %v", metric, got, end)
		}
	}
	since := float64(began.UnixMilli()) / 1000
	for _, metric := range []string{"pg_standby_last_message_timestamp_seconds", "pg_standby_last_replayed_commit_timestamp_seconds"} {
		if got := page.value(t, metric); got < since {
			t.Errorf("%s is %v, and the commit was after %v", metric, got, since)
		}
	}
	for _, link := range []struct {
		e  *scrape.Engine
		up *pgtest.Server
	}{{c.onStandby, c.primary}, {c.onLeaf, c.standby}} {
		// Each is the first standby of its upstream server, which names the slot.
		scrapePage(t, link.e).value(t, "pg_standby_upstream_info",
			"sender_host", link.up.Host(), "sender_port", strconv.Itoa(link.up.Port()), "slot_name", "standby1")
	}
	page.absent(t, "pg_server_role_changed_timestamp_seconds")
}

// standbyAsNobody: a role that may not look at the receiver cannot know that the
// link lives, so it is told no lag rather than 0.
func standbyAsNobody(t *testing.T, c cascade) {
	page := scrapePage(t, watch(t, c.standby, pgtest.Nobody, "standby"))
	page.succeeded(t, "standby", "standby_lag", "standby_upstream")
	for _, metric := range []string{
		standbyLag, "pg_standby_receiver_connected", "pg_standby_last_message_timestamp_seconds",
		"pg_standby_upstream_position_bytes_total", "pg_standby_streaming_configured", "pg_standby_upstream_info",
	} {
		page.absent(t, metric)
	}
	for _, metric := range []string{"pg_standby_pending_bytes", "pg_standby_replay_paused"} {
		if got := page.value(t, metric); got != 0 {
			t.Errorf("%s is %v, want 0", metric, got)
		}
	}
}

func standbyPaused(t *testing.T, c cascade) {
	c.standby.Exec(t, "SELECT pg_wal_replay_pause()")
	// Nothing is pending.
	eventually(t, c.onStandby, standbyLag, all(has(standbyLag, 0, "situation", "paused"), adds("pg_standby_replay_paused", 1)))
	c.primary.Exec(t, "INSERT INTO t VALUES (2)")
	page := eventually(t, c.onStandby, standbyLag, lagsBy("paused", 0))
	if got := page.value(t, "pg_standby_receiver_connected"); got != 1 {
		t.Errorf("receiver_connected is %v, and only replay is paused", got)
	}
	grows(t, c.onStandby, "paused", page)
	if got := scrapePage(t, c.onStandby).value(t, "pg_standby_pending_bytes"); got == 0 {
		t.Error("pending_bytes is 0, and an INSERT is pending")
	}
	lagsSinceCommit(t, c.standby, "paused")
	c.standby.Exec(t, "SELECT pg_wal_replay_resume()")
	eventually(t, c.onStandby, standbyLag, all(caughtUp, adds("pg_standby_replay_paused", 0)))
}

func standbyDelayed(t *testing.T, c cascade) {
	set(t, c.standby, "recovery_min_apply_delay", "'3s'")
	eventually(t, c.onStandby, standbyLag, func(s snapshot) bool {
		// The first may come before the new setting.
		c.primary.Exec(t, "INSERT INTO t VALUES (3)")
		// More than the age of the last message on an idle link, which is how much a
		// standby seems to lag for the moment in which it replays the first news.
		return lagsBy("replaying", receiverTimeout.Seconds()/2+0.5)(s)
	})
	set(t, c.standby, "recovery_min_apply_delay", "DEFAULT")
	eventually(t, c.onStandby, standbyLag, caughtUp)
	eventually(t, c.onLeaf, standbyLag, caughtUp)
}

// standbyFrozen: the primary falls silent and no connection breaks. Nobody can
// tell before wal_receiver_timeout; from then on the lag is counted from the last
// message, and an engine that is new counts from the last commit.
func standbyFrozen(t *testing.T, c cascade) {
	if err := c.primary.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	thaw := func() {
		if err := c.primary.Thaw(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(thaw)
	asked := frozen
	page := eventually(t, c.onStandby, standbyLag, func(s snapshot) bool {
		if !caughtUp(s) && !stands("cut")(s) {
			t.Fatalf("with its primary frozen a standby has:\n%s", s.text(standbyLag))
		}
		if since := asked.Sub(frozen); caughtUp(s) && since > receiverTimeout+late {
			t.Fatalf("%s after its primary fell silent a standby has:\n%s", since, s.text(standbyLag))
		}
		asked = time.Now() // before the next
		return stands("cut")(s)
	})
	if lag := page.value(t, standbyLag); lag < receiverTimeout.Seconds() {
		t.Errorf("the link is cut after %v s", lag)
	}
	grows(t, c.onStandby, "cut", page)
	eventually(t, c.onStandby, "pg_standby_receiver_connected", has("pg_standby_receiver_connected", 0))
	lagsSinceCommit(t, c.standby, "cut")
	// Each vouches for its own link, and this one lives.
	eventually(t, c.onLeaf, standbyLag, caughtUp)
	thaw()
	eventually(t, c.onStandby, standbyLag, all(caughtUp, adds("pg_standby_receiver_connected", 1)))
}

// sever has the primary let the receiver in and each time send it away, and waits
// until the standby is seen in the situation that this makes.
func sever(t *testing.T, c cascade, situation string) snapshot {
	t.Helper()
	set(t, c.standby, "primary_slot_name", "'nope'")
	return eventually(t, c.onStandby, standbyLag, func(s snapshot) bool {
		if lagsBy(situation, 0)(s) && s.sum("pg_standby_receiver_connected") == 0 {
			return true
		}
		// The standby may have come back before it knew of the setting.
		c.primary.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
		return false
	})
}

func mend(t *testing.T, c cascade) {
	t.Helper()
	set(t, c.standby, "primary_slot_name", "DEFAULT")
	eventually(t, c.onStandby, standbyLag, caughtUp)
	eventually(t, c.onLeaf, standbyLag, caughtUp)
}

// standbySevered: no scrape may take a receiver on its way out for a link.
func standbySevered(t *testing.T, c cascade) {
	grows(t, c.onStandby, "cut", sever(t, c, "cut"))
	mend(t, c)
}

// standbySeveredPaused: nothing is pending that is known of, and nobody knows of
// what there may be.
func standbySeveredPaused(t *testing.T, c cascade) {
	c.standby.Exec(t, "SELECT pg_wal_replay_pause()")
	eventually(t, c.onStandby, standbyLag, stands("paused"))
	grows(t, c.onStandby, "paused", sever(t, c, "paused"))
	c.standby.Exec(t, "SELECT pg_wal_replay_resume()")
	eventually(t, c.onStandby, standbyLag, lagsBy("cut", 1))
	mend(t, c)
}

// standbySeveredRestarted: a standby that is started with its link dead knows
// neither a message nor a commit, and what was proven before still holds.
func standbySeveredRestarted(t *testing.T, c cascade) {
	before := sever(t, c, "cut").value(t, standbyLag)
	if err := c.standby.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := eventually(t, c.onStandby, standbyLag, lagsBy("cut", before))
	page.absent(t, "pg_standby_last_message_timestamp_seconds")
	grows(t, c.onStandby, "cut", page)
	mend(t, c)
}

// standbyUpstreamRestarted: a link that breaks comes back by itself.
func standbyUpstreamRestarted(t *testing.T, c cascade) {
	if err := c.primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.primary.Exec(t, "INSERT INTO t VALUES (5)")
	end := position(t, c.primary, "pg_current_wal_flush_lsn()")
	for _, e := range []*scrape.Engine{c.onStandby, c.onLeaf} {
		eventually(t, e, standbyLag, func(s snapshot) bool {
			return caughtUp(s) && s.sum("pg_standby_replayed_position_bytes_total") >= end
		})
	}
}

// standbyPromoted: the engine that saw a standby sees a primary at once.
func standbyPromoted(t *testing.T, c cascade) {
	began := time.Now()
	if err := c.standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := scrapePage(t, c.onStandby)
	for metric := range page {
		if strings.HasPrefix(metric, "pg_standby_") {
			t.Errorf("a primary has %s", metric)
		}
	}
	for _, name := range []string{"standby", "standby_lag", "standby_upstream"} {
		page.value(t, "pgvigil_collector_skipped", "collector", name, "reason", "role")
	}
	for metric, want := range map[string]float64{"pg_replication_is_replica": 0, "pg_stat_archiver_archiving": 1} {
		if got := page.value(t, metric); got != want {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
	changed := page.value(t, "pg_server_role_changed_timestamp_seconds")
	if since := float64(began.UnixMilli()) / 1000; changed < since || changed > since+10 {
		t.Errorf("the role changed at %v, and the promotion began at %v", changed, since)
	}
	c.standby.Exec(t, "INSERT INTO t VALUES (4)")
	eventually(t, c.onLeaf, standbyLag, caughtUp) // on the new timeline
}

// TestStandbyArchiveOnly takes the link away from a standby for good: its lag is
// the age of the last commit it got from the archive. So it is where there should be
// a link and is none.
func TestStandbyArchiveOnly(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int) {
		primary := pgtest.New(t, major, pgtest.Options{Settings: map[string]string{"archive_command": "cp %p ../%f"}})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
		primary.Exec(t, "CREATE TABLE t (i int)")
		archive := filepath.Dir(primary.Query(t, "postgres", "SHOW data_directory"))
		standby.Exec(t, "ALTER SYSTEM SET primary_conninfo = ''",
			fmt.Sprintf("ALTER SYSTEM SET restore_command = 'cp %s/%%f %%p'", archive))
		if err := standby.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := watch(t, standby, pgtest.Monitor, "standby")
		ship := func(situation string) (committed float64) {
			primary.Exec(t, "INSERT INTO t VALUES (1)")
			end := position(t, primary, "pg_switch_wal()")
			page := eventually(t, e, standbyLag, func(s snapshot) bool {
				return stands(situation)(s) && s.sum("pg_standby_replayed_position_bytes_total") >= end
			})
			return page.value(t, "pg_standby_last_replayed_commit_timestamp_seconds")
		}
		first := ship("archive_only")
		grows(t, e, "archive_only", scrapePage(t, e))
		lagsSinceCommit(t, standby, "archive_only")
		second := ship("archive_only")
		if second <= first {
			t.Errorf("the last commit replayed is of %v, and one before it of %v", second, first)
		}
		page := scrapePage(t, e)
		for metric, want := range map[string]float64{
			"pg_standby_receiver_connected": 0, "pg_standby_streaming_configured": 0, "pg_standby_archive_configured": 1,
		} {
			if got := page.value(t, metric); got != want {
				t.Errorf("%s is %v, want %v", metric, got, want)
			}
		}
		page.absent(t, "pg_standby_upstream_info")
		page.absent(t, "pg_standby_last_message_timestamp_seconds")

		standby.Exec(t, "ALTER SYSTEM RESET primary_conninfo")
		set(t, standby, "primary_slot_name", "'nope'")
		grows(t, e, "cut", eventually(t, e, standbyLag, lagsBy("cut", 0)))
		if third := ship("cut"); third <= second {
			t.Errorf("the last commit replayed is of %v, and one before it of %v", third, second)
		}
		grows(t, e, "cut", scrapePage(t, e))
		lagsSinceCommit(t, standby, "cut")
	})
}
