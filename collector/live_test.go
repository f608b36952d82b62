package collector_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// scene starts a primary and its standby that have something to show for every
// collector: slots, a table with dead rows and partitions, limits, archiving.
func scene(t *testing.T, major int) (primary, standby *pgtest.Server) {
	t.Helper()
	primary = pgtest.New(t, major, pgtest.Options{TLS: true, HBA: trustHere, Settings: map[string]string{
		"cluster_name": "scene", "synchronous_standby_names": "FIRST 1 (standby1)", "synchronous_commit": "local",
	}})
	standby = pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
	primary.Exec(t,
		"CREATE EXTENSION pg_stat_statements",
		"CREATE EXTENSION pgstattuple",
		"SELECT pg_stat_statements_reset()",
		"CREATE TABLE accounts (id int PRIMARY KEY, balance int)",
		"INSERT INTO accounts SELECT g, 0 FROM generate_series(1, 1000) g",
		"DELETE FROM accounts WHERE id % 4 = 0",
		"VACUUM ANALYZE accounts",
		"CREATE TABLE events (at date, what text) PARTITION BY RANGE (at)",
		"CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
		"CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
		"INSERT INTO events SELECT '2026-01-15'::date + g, 'x' FROM generate_series(1, 30) g",
		"SELECT pg_create_physical_replication_slot('idle', true)",
		"SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')",
		"ALTER ROLE pgvigil CONNECTION LIMIT 20",
		"CREATE DATABASE limited CONNECTION LIMIT 7",
		"SELECT pg_stat_reset()",
		"VACUUM ANALYZE accounts",
		"SELECT count(*) FROM accounts",
		"SET enable_seqscan = off; SELECT count(*) FROM accounts WHERE id = 7",
		"SELECT pg_switch_wal()",
		"CHECKPOINT",
	)
	if major >= 14 {
		primary.Exec(t, "SELECT pg_stat_reset_replication_slot('decoding')")
	}
	statementsScene(t, primary)
	storageScene(t, primary)
	rolesScene(t, primary)
	subscriptionScene(t, primary)
	preparedScene(t, primary)
	autovacuumScene(t, primary)
	sequencesScene(t, primary)
	indexHealthScene(t, primary)
	bloatScene(t, primary)
	// From here on transactions are open, which a new logical slot would wait for.
	progressScene(t, primary)
	busy(t, primary)
	relationScene(t, primary)
	exposureScene(t, primary)
	settle(t, primary)
	return primary, standby
}

// settle waits until the statistics tell of what the scene did: before 15 they
// come by a collector process, when they come, and the archiver has its own time.
func settle(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	const settled = `
SELECT count(*)::text
  FROM pg_stat_user_tables, pg_stat_archiver
 WHERE relname = 'accounts' AND last_vacuum IS NOT NULL AND last_analyze IS NOT NULL AND last_archived_time IS NOT NULL`
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if srv.Query(t, "postgres", settled) == "1" {
			return
		}
	}
	t.Fatal("the statistics never told of the scene")
}

// busy keeps two sessions: one idle in a transaction that has written, one in a
// query that goes on until the end of the test.
func busy(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	idle := srv.Conn(t, pgtest.Superuser, "postgres")
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "UPDATE accounts SET balance = 1 WHERE id = 1"} {
		if _, err := idle.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	active := srv.Conn(t, pgtest.Superuser, "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// It ends by being cancelled, which is an error.
		_, _ = active.Exec(ctx, "SELECT pg_sleep(180)")
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// TestLive scrapes a primary and its standby of each major with every collector:
// each runs or is skipped for a reason it declares, and what is on the page is
// what is declared, by name, type, help and labels.
func TestLive(t *testing.T) {
	for _, major := range pgtest.Majors() {
		t.Run(spec.Version(major).String(), func(t *testing.T) {
			t.Parallel()
			primary, standby := scene(t, major)
			var missing []string
			seen := map[string]bool{}
			// Before 15 the statistics come by a collector process, when they come.
			for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(500 * time.Millisecond) {
				for role, srv := range map[spec.Role]*pgtest.Server{spec.Primary: primary, spec.Standby: standby} {
					for _, user := range []string{pgtest.Monitor, pgtest.Superuser} {
						e := watch(t, srv, user)
						page := scrapePage(t, e)
						e.Close()
						for name := range page {
							seen[name] = true
						}
						checkOutcome(t, page, user, role, spec.Version(major))
						checkDeclared(t, page)
					}
				}
				if missing = unseen(t, seen, spec.Version(major)); len(missing) == 0 {
					break
				}
			}
			for _, name := range missing {
				t.Errorf("nobody shows %s on PostgreSQL %d", name, major)
			}
			checkGrants(t, primary, standby)
			for _, srv := range []*pgtest.Server{primary, standby} {
				checkPrivileges(t, srv)
			}
		})
	}
}

// checkPrivileges scrapes as a role without any grant: each collector succeeds or
// is skipped, and neither they nor the scrapes before, as pg_monitor and as a
// superuser, have made an error in the server's log.
func checkPrivileges(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	e := watch(t, srv, pgtest.Nobody)
	page := scrapePage(t, e)
	e.Close()
	for _, c := range serverCollectors() {
		skipped := page.values("pgvigil_collector_skipped", "collector", c.Name)
		success := page.values("pgvigil_collector_success", "collector", c.Name)
		if len(skipped)+len(success) == 0 || slices.Contains(success, 0) {
			t.Errorf("%s as a role without grants: success %v, skipped %v", c.Name, success, skipped)
		}
	}
	if log := srv.Log(); strings.Contains(log, "STATEMENT:  /* pgvigil ") {
		t.Errorf("a statement made an error in the server's log:\n%s", log)
	}
}

// checkOutcome demands success of every collector whose role and version fit,
// and a skip of the others. pg_monitor alone may lack what another grant gives.
func checkOutcome(t *testing.T, page snapshot, user string, role spec.Role, major spec.Version) {
	t.Helper()
	if page.value(t, "pg_up") != 1 {
		t.Fatal("pg_up is not 1")
	}
	for _, c := range serverCollectors() {
		_, exists := c.Query(environment(c, major))
		fits := exists && (c.Needs.Role == spec.AnyRole || c.Needs.Role == role)
		skipped := page.values("pgvigil_collector_skipped", "collector", c.Name)
		success := page.values("pgvigil_collector_success", "collector", c.Name)
		denied := len(page.values("pgvigil_collector_skipped", "collector", c.Name, "reason", string(scrape.SkipPrivilege))) > 0
		switch {
		case fits && denied && user == pgtest.Monitor && !strings.HasPrefix(c.Needs.Grant, "GRANT pg_monitor "):
			// What cures it is in Needs.
		case fits && c.Scope == spec.PerDatabase && c.Needs.Extension != "" && slices.Contains(success, 1) && !slices.Contains(success, 0):
			// The other databases do not have the extension.
		case fits && (len(skipped) > 0 || len(success) == 0 || slices.Contains(success, 0)):
			t.Errorf("%s as %s on a %s: success %v, skipped %v", c.Name, user, role, success, skipped)
		case !fits && (len(skipped) == 0 || len(success) > 0):
			t.Errorf("%s as %s on a %s of %s should be skipped: success %v, skipped %v", c.Name, user, role, major, success, skipped)
		}
	}
}

// checkDeclared compares what is on the page with what is declared.
func checkDeclared(t *testing.T, page snapshot) {
	t.Helper()
	declared := map[string]spec.Metric{}
	labels := map[string][]string{}
	var patterns []string
	for _, c := range serverCollectors() {
		for _, m := range c.Metrics {
			if m.Name == spec.Any {
				patterns = append(patterns, spec.Prefix+c.Flag()+"_")
				continue
			}
			name := c.FullName(m.Name)
			declared[name] = m
			labels[name] = c.Labels
			if c.Scope == spec.PerDatabase {
				labels[name] = append([]string{"datname"}, c.Labels...)
			}
		}
	}
	for name, f := range page {
		if !strings.HasPrefix(name, spec.Prefix) || name == "pg_up" {
			continue
		}
		m, ok := declared[name]
		if !ok {
			if !slices.ContainsFunc(patterns, func(p string) bool { return strings.HasPrefix(name, p) }) {
				t.Errorf("%s is on the page and not declared", name)
			}
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != m.Type.String() || f.GetHelp() != m.Help {
			t.Errorf("%s is a %s, %q; declared as %s, %q", name, got, f.GetHelp(), m.Type, m.Help)
		}
		want := slices.Sorted(slices.Values(labels[name]))
		if got := labelNames(f.GetMetric()[0]); !slices.Equal(got, want) {
			t.Errorf("%s has the labels %v; declared are %v", name, got, want)
		}
	}
}

func labelNames(m *dto.Metric) []string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return names
}

// unseen lists the metrics that this major has, a scene can show, and nobody has
// shown.
func unseen(t *testing.T, seen map[string]bool, major spec.Version) []string {
	t.Helper()
	var missing []string
	for _, c := range serverCollectors() {
		q, ok := c.Query(environment(c, major))
		if !ok {
			continue
		}
		text, err := spec.Render(q.SQL, environment(c, major))
		if err != nil {
			t.Fatal(err)
		}
		aliases := spec.Aliases(text)
		for _, m := range c.Metrics {
			name := c.FullName(m.Name)
			here := c.Emit != nil || slices.Contains(aliases, m.Name)
			if m.Name != spec.Any && here && !seen[name] && rare(int(major))[name] == "" {
				missing = append(missing, name)
			}
		}
	}
	return missing
}

// rare names the metrics that no ordinary scene shows, and why.
func rare(major int) map[string]string {
	names := map[string]string{
		"pg_bloat_table_measured_timestamp_seconds":                "measured when the suspects are known, after the next scrape",
		"pg_bloat_index_measured_timestamp_seconds":                "measured when the suspects are known, after the next scrape",
		"pg_bloat_table_locked":                                    "needs a table that is locked while it is read",
		"pg_bloat_index_locked":                                    "needs a table that is locked while it is read",
		"pg_server_role_changed_timestamp_seconds":                 "needs a promotion between two scrapes",
		"pg_relation_size_estimated_bytes":                         "needs more tables than are measured, or a lock",
		"pg_relation_size_locked_relations":                        "needs a lock",
		"pg_stat_archiver_last_failed_timestamp_seconds":           "needs an archive command that fails",
		"pg_stat_archiver_oldest_ready_timestamp_seconds":          "needs a backlog",
		"pg_stat_database_checksum_failures_total":                 "the scene has no data checksums before 18",
		"pg_stat_database_checksum_last_failure_timestamp_seconds": "needs a broken page",
		"pg_stat_statements_jit_functions_total":                   "the servers of the tests are built without LLVM",
		"pg_stat_statements_jit_seconds_total":                     "the servers of the tests are built without LLVM",
		"pg_stat_statements_wal_buffers_full_total":                "comes when it will",
		"pg_stat_statements_query_info":                            "asked for when the statements are known, in the scrape after",
		"pg_stat_user_tables_last_autovacuum_timestamp_seconds":    "needs autovacuum to come by",
		"pg_stat_user_tables_last_autoanalyze_timestamp_seconds":   "needs autovacuum to come by",
		"pg_stat_user_tables_autovacuum_count_total":               "needs autovacuum to come by",
		"pg_stat_user_tables_autoanalyze_count_total":              "needs autovacuum to come by",
		"pg_stat_user_tables_autovacuum_seconds_total":             "needs autovacuum to come by",
		"pg_stat_user_tables_autoanalyze_seconds_total":            "needs autovacuum to come by",
		"pg_statio_user_tables_toast_blocks_read_total":            "needs a block that is not in shared buffers",
		"pg_statio_user_tables_tidx_blocks_read_total":             "needs a block that is not in shared buffers",
		"pg_xid_transaction_ids_per_second":                        "needs two runs a minute apart",
		"pg_xid_multixact_ids_per_second":                          "needs two runs a minute apart",
		"pg_xid_until_forced_vacuum_seconds":                       "needs two runs a minute apart",
		"pg_xid_until_stop_seconds":                                "needs two runs a minute apart",
		"pg_xid_multixact_until_forced_vacuum_seconds":             "needs two runs a minute apart",
		"pg_xid_multixact_until_stop_seconds":                      "needs two runs a minute apart",
		"pg_stat_replication_write_lag_seconds":                    "NULL while nothing is written",
		"pg_stat_replication_flush_lag_seconds":                    "NULL while nothing is written",
		"pg_stat_replication_replay_lag_seconds":                   "NULL while nothing is written",
		"pg_replication_slots_safe_wal_size_bytes":                 "needs max_slot_wal_keep_size",
	}
	if major < 14 {
		names["pg_xid_failsafe_age"] = "since 14"
		names["pg_xid_multixact_failsafe_age"] = "since 14"
	}
	if major < 16 {
		names["pg_stat_subscription_stats_reset_timestamp_seconds"] = "needs an error before the reset"
	}
	if _, ok := pgtest.Away(); !ok {
		names["pg_exposure_network_sessions"] = "this machine has no address but the loopback's"
	}
	return names
}
