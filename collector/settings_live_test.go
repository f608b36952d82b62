package collector_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/scrape"
)

// settingsSQL lets PostgreSQL itself convert its settings: it writes them with a
// unit for people, which its own functions read. What tcp_ settings show is of
// the connection that asks.
const settingsSQL = `
SELECT jsonb_object_agg('pg_settings_' || regexp_replace(lower(name), '[^a-z0-9]', '_', 'g') || CASE
           WHEN unit IN ('us', 'ms', 's', 'min', 'h', 'd') THEN '_seconds'
           WHEN unit IS NOT NULL THEN '_bytes' ELSE '' END, CASE
           WHEN vartype = 'bool' THEN setting::bool::int
           WHEN unit IS NULL OR setting = '-1' THEN setting::float8
           WHEN unit IN ('us', 'ms', 's', 'min', 'h', 'd') THEN extract(epoch FROM current_setting(name)::interval)
           ELSE pg_size_bytes(current_setting(name)) END)
  FROM pg_settings
 WHERE vartype IN ('bool', 'integer', 'real') AND name !~ '^(tcp_|transaction_)'`

// TestSettingsAreTheServers compares every number with what PostgreSQL makes of
// it, above all of those our own session sets.
func TestSettingsAreTheServers(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		page := scrapePage(t, watch(t, srv, pgtest.Monitor, "settings"))
		page.succeeded(t, "settings", "settings_state", "settings_info")
		var want map[string]float64
		if err := json.Unmarshal([]byte(srv.Query(t, "postgres", settingsSQL)), &want); err != nil {
			t.Fatal(err)
		}
		if len(want) < 200 {
			t.Errorf("PostgreSQL has %d such settings only", len(want))
		}
		checkNumbers(t, page, want)

		spots := map[string]float64{
			"pg_settings_statement_timeout_seconds":                   0, // of the server, not of our session
			"pg_settings_lock_timeout_seconds":                        0,
			"pg_settings_idle_in_transaction_session_timeout_seconds": 0,
			"pg_settings_default_transaction_read_only":               0,
			"pg_settings_jit":                                         1,
			"pg_settings_max_parallel_workers_per_gather":             2,
			"pg_settings_shared_buffers_bytes":                        16 << 20, // of 8kB
			"pg_settings_wal_segment_size_bytes":                      16 << 20, // of B
			"pg_settings_max_wal_size_bytes":                          1 << 30,  // of MB
			"pg_settings_work_mem_bytes":                              4 << 20,  // of kB
			"pg_settings_checkpoint_timeout_seconds":                  300,      // of s
			"pg_settings_bgwriter_delay_seconds":                      0.2,      // of ms
			"pg_settings_log_rotation_age_seconds":                    86400,    // of min
			"pg_settings_autovacuum_vacuum_cost_delay_seconds":        0.002,    // real, of ms
			"pg_settings_seq_page_cost":                               1,        // real
			"pg_settings_temp_file_limit_bytes":                       -1,       // no limit
			"pg_settings_log_min_duration_statement_seconds":          -1,       // off
			"pg_settings_pg_stat_statements_max":                      5000,     // of an extension
			"pg_settings_not_shown":                                   0,
			"pg_settings_pending_restart":                             0,
		}
		if srv.Major >= 14 {
			spots["pg_settings_idle_session_timeout_seconds"] = 0
		}
		checkNumbers(t, page, spots)
		if page["pg_stat_statements_max"] != nil {
			t.Error("a setting passes for a metric of pg_stat_statements")
		}
		if v := page.value(t, "pg_settings_info", "name", "wal_level", "setting", "logical"); v != 1 {
			t.Errorf("pg_settings_info is %v, want 1", v)
		}
		for _, of := range []string{"transaction_read_only", "transaction_deferrable"} {
			page.absent(t, "pg_settings_"+of)
		}
	})
}

// TestSettingsOfOurLogin has settings for our own login, which hide those of the
// server and are left out, and some with odd names.
func TestSettingsOfOurLogin(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		login := "login_" + srv.Database(t) // it stays, as the server does not
		srv.Exec(t, "CREATE ROLE "+login+" LOGIN IN ROLE pg_monitor")
		for _, set := range []string{
			`work_mem = '1MB'`, `statement_timeout = '3s'`, `random_page_cost = 9`, `"odd.größe$1" = 1`, `"Odd.Größe$1" = off`,
		} {
			srv.Exec(t, "ALTER ROLE "+login+" SET "+set)
		}
		page := scrapePage(t, watch(t, srv, login, "settings"))
		page.succeeded(t, "settings", "settings_state", "settings_info")
		for _, hidden := range []string{"work_mem_bytes", "statement_timeout_seconds", "random_page_cost"} {
			page.absent(t, "pg_settings_"+hidden)
		}
		for name := range page {
			if strings.Contains(name, "odd") {
				t.Errorf("the login's own setting is on the page: %s", name)
			}
		}
		checkNumbers(t, page, map[string]float64{"pg_settings_lock_timeout_seconds": 0, "pg_settings_shared_buffers_bytes": 16 << 20})

		theirs := scrapePage(t, watch(t, srv, pgtest.Monitor, "settings"))
		if got, want := page.value(t, "pg_settings_fingerprint"), theirs.value(t, "pg_settings_fingerprint"); got != want {
			t.Errorf("settings of our login change the fingerprint from %v to %v", want, got)
		}
	})
}

// TestSettingsChange changes the configuration: at once, and at the next restart.
func TestSettingsChange(t *testing.T) {
	eachEnd(t, func(t *testing.T, major int) {
		srv := pgtest.New(t, major, pgtest.Options{})
		open := func() *scrape.Engine { return watch(t, srv, pgtest.Monitor, "settings") }
		reload := func(sql string) { srv.Exec(t, sql, "SELECT pg_reload_conf()") }
		page := scrapePage(t, open())
		fingerprint := page.value(t, "pg_settings_fingerprint")
		same := adds("pg_settings_fingerprint", fingerprint)

		reload("ALTER SYSTEM SET work_mem = '7MB'")
		page = anew(t, open, "pg_settings_fingerprint", func(s snapshot) bool { return !same(s) })
		checkNumbers(t, page, map[string]float64{"pg_settings_work_mem_bytes": 7 << 20, "pg_settings_pending_restart": 0})

		reload("ALTER SYSTEM RESET work_mem")
		page = anew(t, open, "pg_settings_fingerprint", same)
		checkNumbers(t, page, map[string]float64{"pg_settings_work_mem_bytes": 4 << 20})

		nobody := func() *scrape.Engine { return watch(t, srv, pgtest.Nobody, "settings") }
		scrapePage(t, nobody()).absent(t, "pg_settings_pending_restart") // what waits may be hidden
		limit := page.value(t, "pg_settings_max_connections")
		reload("ALTER SYSTEM SET max_connections = 77")
		page = anew(t, open, "pg_settings_pending_restart", adds("pg_settings_pending_restart", 1))
		checkNumbers(t, page, map[string]float64{"pg_settings_max_connections": limit, "pg_settings_fingerprint": fingerprint})
		checkNumbers(t, scrapePage(t, nobody()), map[string]float64{"pg_settings_pending_restart": 1})

		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		page = scrapePage(t, open())
		checkNumbers(t, page, map[string]float64{"pg_settings_max_connections": 77, "pg_settings_pending_restart": 0})
		if same(page) {
			t.Error("another limit of connections has the same fingerprint")
		}
	})
}
