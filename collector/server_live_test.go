package collector_test

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// anew is eventually with an engine for each page: what has a rhythm of minutes
// an engine reads once in the time of a test.
func anew(t *testing.T, open func() *scrape.Engine, metric string, ok func(snapshot) bool) snapshot {
	t.Helper()
	var s snapshot
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		e := open()
		s = scrapePage(t, e)
		e.Close()
		if ok(s) {
			return s
		}
	}
	t.Fatalf("no page came to show it:\n%s", s.text(metric))
	return nil
}

// TestServerPromotion promotes a standby and restarts it under one engine for
// each of two roles. The scrape right after shows it, though the control file
// still has the old timeline.
func TestServerPromotion(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		standby := laggingStandby(t, major)
		monitor, nobody := watch(t, standby, pgtest.Monitor, "server"), watch(t, standby, pgtest.Nobody, "server")
		fingerprint := func() float64 {
			return scrapePage(t, watch(t, standby, pgtest.Monitor, "settings")).value(t, "pg_settings_fingerprint")
		}
		settings := fingerprint()
		for user, e := range map[string]*scrape.Engine{pgtest.Monitor: monitor, pgtest.Nobody: nobody} {
			page := scrapePage(t, e)
			checkServer(t, page, standby, map[string]float64{"pg_up": 1, "pg_replication_is_replica": 1})
			page.absent(t, "pg_server_role_changed_timestamp_seconds")
			if timelines := page.values("pg_server_timeline"); user == pgtest.Monitor && !slices.Equal(timelines, []float64{1}) {
				t.Errorf("the standby's timeline is %v, want 1", timelines)
			} else if user == pgtest.Nobody {
				// The receiver's timeline is hidden, and the control file's may be old.
				page.absent(t, "pg_server_timeline")
			}
		}

		const checkpointer = "pg_server_checkpointer_start_timestamp_seconds"
		began := scrapePage(t, monitor).value(t, checkpointer)
		before := time.Now()
		if err := standby.Promote(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := scrapePage(t, monitor).value(t, checkpointer); got != began {
			t.Errorf("%s is %f after the promotion, %f before", checkpointer, got, began)
		}
		changed := map[*scrape.Engine]float64{}
		for _, e := range []*scrape.Engine{monitor, nobody} {
			page := scrapePage(t, e)
			checkServer(t, page, standby, map[string]float64{"pg_up": 1, "pg_replication_is_replica": 0, "pg_server_timeline": 2})
			changed[e] = page.value(t, "pg_server_role_changed_timestamp_seconds")
			checkBetween(t, "the role changed", changed[e], before, time.Now())
		}
		if v := standby.Query(t, "postgres", "SELECT timeline_id FROM pg_control_checkpoint()"); v != "1" {
			t.Errorf("the control file has timeline %s already: the test proves nothing", v)
		}
		if now := fingerprint(); now != settings {
			t.Errorf("the promotion changed the fingerprint of the settings from %v to %v", settings, now)
		}

		restarted := time.Now()
		if err := standby.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := scrapePage(t, monitor)
		checkServer(t, page, standby, map[string]float64{
			"pg_up": 1, "pg_replication_is_replica": 0, "pg_server_timeline": 2,
			"pg_server_role_changed_timestamp_seconds": changed[monitor],
		})
		checkBetween(t, "the server started", page.value(t, "pg_postmaster_start_time_seconds"), restarted, time.Now())
	})
}

// laggingStandby returns a standby whose checkpoint after a promotion takes
// longer than any test: it has many pages to write and a day to do it.
func laggingStandby(t *testing.T, major int) *pgtest.Server {
	t.Helper()
	settings := map[string]string{
		"cluster_name": "shop", "checkpoint_timeout": "1d", "checkpoint_completion_target": "0.9",
		"bgwriter_lru_maxpages": "0", "synchronous_standby_names": "*", "synchronous_commit": "local",
	}
	primary := pgtest.New(t, major, pgtest.Options{Settings: settings})
	standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: settings})
	session(t, primary, pgtest.Superuser, "postgres", "SET synchronous_commit = remote_apply",
		"CREATE TABLE pages AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
	return standby
}

// TestServerCrash kills a session: all processes are new, under the same postmaster.
// Resets of statistics do not look like it.
func TestServerCrash(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		e := watch(t, srv, pgtest.Monitor, "server")
		const checkpointer, postmaster = "pg_server_checkpointer_start_timestamp_seconds", "pg_postmaster_start_time_seconds"
		before := scrapePage(t, e)
		began := srv.Query(t, "postgres", "SELECT extract(epoch FROM backend_start)::float8 FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
		if got := before.value(t, checkpointer); strconv.FormatFloat(got, 'f', -1, 64) != began {
			t.Errorf("%s is %f, want %s", checkpointer, got, began)
		}
		scrapePage(t, watch(t, srv, pgtest.Nobody, "server")).absent(t, checkpointer)

		srv.Exec(t, "SELECT pg_stat_reset()", "SELECT pg_stat_reset_shared('bgwriter')", "SELECT pg_stat_reset_slru(NULL)")
		if got := scrapePage(t, e).value(t, checkpointer); got != before.value(t, checkpointer) {
			t.Errorf("%s is %f after a reset, %f before", checkpointer, got, before.value(t, checkpointer))
		}
		pid := srv.Conn(t, pgtest.Superuser, "postgres").PgConn().PID()
		if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		after := eventually(t, e, checkpointer, func(s snapshot) bool {
			return s.sum(checkpointer) > before.sum(checkpointer)
		})
		if got := after.value(t, postmaster); got != before.value(t, postmaster) {
			t.Errorf("%s is %f after a crash, %f before", postmaster, got, before.value(t, postmaster))
		}
	})
}

// checkServer compares some samples of the collector server, and those the
// server itself can tell.
func checkServer(t *testing.T, page snapshot, srv *pgtest.Server, want map[string]float64) {
	t.Helper()
	page.succeeded(t, "server", "server_timeline", "server_info")
	checkNumbers(t, page, want)
	facts := map[string]string{
		"version":           srv.Query(t, "postgres", "SELECT version()"),
		"short_version":     srv.Version,
		"system_identifier": srv.Query(t, "postgres", "SELECT system_identifier FROM pg_control_system()"),
		"cluster_name":      "shop",
	}
	var labels []string
	for name, value := range facts {
		labels = append(labels, name, value)
	}
	if v := page.value(t, "pg_server_info", labels...); v != 1 {
		t.Errorf("pg_server_info is %v, want 1", v)
	}
	started := srv.Query(t, "postgres", "SELECT extract(epoch FROM pg_postmaster_start_time())::float8")
	if got := page.value(t, "pg_postmaster_start_time_seconds"); strconv.FormatFloat(got, 'f', -1, 64) != started {
		t.Errorf("the server started at %f, want %s", got, started)
	}
	checksums := map[string]float64{"on": 1, "off": 0}[srv.Query(t, "postgres", "SHOW data_checksums")]
	if got := page.value(t, "pg_server_data_checksums"); got != checksums {
		t.Errorf("pg_server_data_checksums is %v, want %v", got, checksums)
	}
}

// checkBetween fails for a Unix time that is not between two others. Samples of
// it may have been cut to milliseconds.
func checkBetween(t *testing.T, what string, at float64, from, to time.Time) {
	t.Helper()
	if at < float64(from.UnixMilli())/1000 || at > float64(to.UnixMicro())/1e6 {
		t.Errorf("%s at %.3f, want between %s and %s", what, at, from, to)
	}
}

// inventory are the collectors tested in server_live_test.go, settings_live_test.go,
// database_live_test.go, stat_database_live_test.go, xid_live_test.go and
// stat_user_tables_live_test.go, by flag.
var inventory = map[string][]string{
	"server":           {"server", "server_timeline", "server_info"},
	"settings":         {"settings", "settings_state", "settings_info"},
	"database":         {"database"},
	"stat_database":    {"stat_database", "stat_database_conflicts"},
	"xid":              {"xid", "xid_limits"},
	"stat_user_tables": {"stat_user_tables"},
}

// TestInventoryAsNobody has a role that was granted nothing run them. Each
// succeeds or is skipped for a reason, and nothing fails in the server's log,
// also where a database is closed to it and functions are denied.
func TestInventoryAsNobody(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		settings := map[string]string{"log_line_prefix": "by %u "}
		primary := pgtest.New(t, major, pgtest.Options{Settings: settings})
		standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary, Settings: settings})
		closed := primary.Database(t)
		primary.Exec(t, "REVOKE CONNECT ON DATABASE "+closed+" FROM PUBLIC")
		primary.ExecIn(t, primary.Database(t), "CREATE TABLE stock (id int PRIMARY KEY)", "REVOKE ALL ON stock FROM PUBLIC")

		checkInventory(t, primary, map[string]string{"stat_database_conflicts": "role"})
		checkInventory(t, standby, nil)

		denied := []string{"pg_control_checkpoint()", "pg_control_recovery()"}
		for _, function := range denied {
			primary.Exec(t, "REVOKE EXECUTE ON FUNCTION "+function+" FROM PUBLIC")
		}
		checkInventory(t, primary, map[string]string{"stat_database_conflicts": "role", "server_timeline": "privilege"})

		for _, srv := range []*pgtest.Server{primary, standby} {
			for line := range strings.Lines(srv.Log()) {
				if strings.HasPrefix(line, "by "+pgtest.Nobody) && (strings.Contains(line, "ERROR:") || strings.Contains(line, "FATAL:")) {
					t.Errorf("server's log: %s", line)
				}
			}
		}

		// That of the system identifier is asked for by each session, and each is refused once in the log.
		primary.Exec(t, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
		checkInventory(t, primary, map[string]string{
			"stat_database_conflicts": "role", "server_timeline": "privilege", "server_info": "privilege",
		})
	})
}

// checkInventory scrapes as nobody, and wants of each collector success, or the
// reason it is skipped for.
func checkInventory(t *testing.T, srv *pgtest.Server, skips map[string]string) {
	t.Helper()
	var flags []string
	for flag := range inventory {
		flags = append(flags, flag)
	}
	e := watch(t, srv, pgtest.Nobody, flags...)
	defer e.Close()
	page := scrapePage(t, e)
	for _, names := range inventory {
		for _, name := range names {
			if reason, ok := skips[name]; ok {
				if len(page.values("pgvigil_collector_skipped", "collector", name, "reason", reason)) != 1 {
					t.Errorf("%s is not skipped for %s:\n%s", name, reason, page.text("pgvigil_collector_skipped"))
				}
				continue
			}
			success := page.values("pgvigil_collector_success", "collector", name)
			if len(success) == 0 || slices.Contains(success, 0) {
				t.Errorf("%s: success %v:\n%s", name, success, page.text("pgvigil_collector_failures_total"))
			}
		}
	}
	if page["pgvigil_collector_failures_total"] != nil {
		t.Error(page.text("pgvigil_collector_failures_total"))
	}
}
