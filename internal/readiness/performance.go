package readiness

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

const mib = 1 << 20

// performance are the checks of whether the server carries its load, and would tell
// why not.
func performance() []Check {
	return []Check{
		{
			Name: "stat_statements", Factor: Performance, Question: "Are statements counted?",
			Why:    "Without pg_stat_statements nobody knows which query costs the most, or since when.",
			Remedy: "shared_preload_libraries = 'pg_stat_statements' and a restart; CREATE EXTENSION pg_stat_statements in one database",
			Source: "pg_stat_statements", From: nil,
			Judge: func(f *Facts, _ Limits) Finding {
				if n, ok := f.Value("pg_stat_statements_entries"); ok {
					return pass("%.0f of them are known", n)
				}
				s, closed := f.sight("stat_statements"), f.closed()
				switch {
				case s.skipped == "setting":
					return fail("the extension is there, and its library is not loaded")
				case s.skipped == "extension" && len(closed) > 0:
					return unknown("it is in no database that the role may enter, and may be in %s", some(closed))
				case s.skipped == "extension":
					return fail("pg_stat_statements is in no database that is watched")
				}
				return unknown("%s", cmp.Or(f.lacks("stat_statements"), f.lacks("stat_statements_info"), "its entries are not shown"))
			},
		},
		{
			Name: "stat_statements_size", Factor: Performance, Question: "Is there room for all statements?",
			Why:    "When it is full the rarest are evicted with what they have cost, again and again.",
			Remedy: "ALTER SYSTEM SET pg_stat_statements.max = 10000; and restart; look for statements that differ in a name only",
			Source: "pg_stat_statements, pg_stat_statements_info", From: []string{"stat_statements_info"},
			Judge: func(f *Facts, l Limits) Finding {
				n, ok := f.Value("pg_stat_statements_entries")
				most, _ := f.Value("pg_stat_statements_entries_limit")
				switch {
				case !ok || most <= 0:
					return unknown("pg_stat_statements is not there")
				case n > l["stat_statements_ratio"]*most:
					return warn("%.0f of %.0f entries are taken", n, most)
				}
				return pass("%.0f of %.0f entries are taken", n, most)
			},
		},
		{
			Name: "track_io_timing", Factor: Performance, Question: "Is the time of input and output measured?",
			Why:    "Without it a slow disk and a bad plan look the same.",
			Remedy: "ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf(); pg_test_timing says what it costs",
			Source: "setting track_io_timing", From: []string{"settings"},
			Judge: on("pg_settings_track_io_timing", warn, "track_io_timing is off"),
		},
		{
			Name: "plans", Factor: Performance, Question: "Can plans of slow statements be had afterwards?",
			Why:    "By the time somebody looks, the plan that was slow is often another.",
			Remedy: "session_preload_libraries = 'auto_explain', auto_explain.log_min_duration = '5s', auto_explain.log_nested_statements = on",
			Source: "settings auto_explain.*", From: []string{"settings"},
			Judge: func(f *Facts, _ Limits) Finding {
				least, ok := f.Value("pg_settings_auto_explain_log_min_duration_seconds")
				switch {
				case !ok:
					return warn("auto_explain is not loaded, in pgvigil's session at least")
				case least < 0:
					return warn("auto_explain is loaded and logs nothing")
				}
				return pass("auto_explain logs what takes %.1f s", least)
			},
		},
		{
			Name: "pooling", Factor: Performance, Question: "Are connections pooled?",
			Why:    "Each session is a process; hundreds that are idle cost memory and snapshots, and each login some milliseconds.",
			Remedy: "PgBouncer before the server, or a smaller pool in the applications",
			Source: "PgBouncer, pg_stat_activity, pg_stat_database", From: []string{"stat_activity", "stat_database"},
			Judge: func(f *Facts, l Limits) Finding {
				if up, ok := f.Max("pgbouncer_up"); ok && up == 1 {
					return pass("PgBouncer is on the page")
				}
				idle, _ := f.Sum("pg_stat_activity_count", "backend_type", "client backend", "state", "idle")
				all, _ := f.Sum("pg_stat_activity_count", "backend_type", "client backend")
				if hidden, _ := f.Sum("pg_stat_activity_count", "backend_type", ""); hidden > 0 {
					return unknown("what %.0f sessions do is hidden: %s", hidden, monitorGrant)
				}
				low, high, counted := f.rate("pg_stat_database_sessions_total", 10*time.Minute)
				switch {
				case all >= l["idle_sessions"] && idle > all/2:
					return warn("%.0f of %.0f sessions are idle, and no pooler is seen", idle, all)
				case low > l["logins_per_second"]:
					return warn("%.1f sessions a second are opened, and no pooler is seen", low)
				case !counted:
					return pass("%.0f sessions are idle; logins are not counted before PostgreSQL 14", idle)
				case high > l["logins_per_second"]:
					return unknown("%.0f sessions are idle; since when logins are counted is not known: SELECT pg_stat_reset()", idle)
				}
				return pass("%.0f sessions are idle, and no more than %.1f a second are opened", idle, high)
			},
		},
		{
			Name: "connection_headroom", Factor: Performance, Question: "Is there room for more connections?",
			Why:    "When all are taken new logins are refused.",
			Remedy: "find who holds them: SELECT usename, state, count(*) FROM pg_stat_activity GROUP BY 1, 2; a pooler rather than a larger max_connections",
			Source: "pg_stat_activity, settings max_connections and reserved", From: []string{"connections"},
			Judge: func(f *Facts, l Limits) Finding {
				used, ok := f.Value("pg_connections_used")
				most, known := f.Value("pg_connections_max_ordinary")
				switch {
				case !ok || !known || most == 0:
					return unknown("connections are not counted")
				case used > l["connections_ratio_fail"]*most:
					return fail("%.0f of %.0f are taken", used, most)
				case used > l["connections_ratio"]*most:
					return warn("%.0f of %.0f are taken", used, most)
				}
				return pass("%.0f of %.0f are taken", used, most)
			},
		},
		{
			Name: "shared_buffers", Factor: Performance, Question: "Does shared_buffers fit the data?",
			Why:    "The default of 128 MB is for a laptop: with more data each query reads the same blocks from the system again.",
			Remedy: "ALTER SYSTEM SET shared_buffers = '8GB' (a quarter of memory as a start); and restart",
			Source: "setting shared_buffers, pg_database_size", From: []string{"settings", "database"},
			Judge: func(f *Facts, l Limits) Finding {
				buffers, ok := f.Value("pg_settings_shared_buffers_bytes")
				size, known := f.Sum("pg_database_size_bytes")
				hidden := len(f.All("pg_database_connection_limit")) - len(f.All("pg_database_size_bytes"))
				switch {
				case !ok || !known:
					return unknown("sizes are not shown")
				case buffers <= 128*mib && size > l["small_data_mib"]*mib:
					return warn("%.0f MiB for %.0f MiB of data", buffers/mib, size/mib)
				case buffers <= 128*mib && hidden > 0:
					return unknown("the size of %d databases is hidden: %s", hidden, monitorGrant)
				}
				return pass("%.0f MiB for %.0f MiB of data", buffers/mib, size/mib)
			},
		},
		{
			Name: "work_mem", Factor: Performance, Question: "Would all sessions together leave memory?",
			Why:    "Each sort of each session may take work_mem; when all do, the kernel kills the server.",
			Remedy: "lower max_connections by a pooler, or work_mem, and set it higher for the roles that need it",
			Source: "settings work_mem, max_connections, shared_buffers, effective_cache_size", From: []string{"settings"},
			Judge: func(f *Facts, l Limits) Finding {
				work, ok := f.Value("pg_settings_work_mem_bytes")
				sessions, known := f.Value("pg_settings_max_connections")
				cache, seen := f.Value("pg_settings_effective_cache_size_bytes")
				if !ok || !known || !seen {
					return unknown("the settings are not shown")
				}
				if work*sessions > l["work_mem_ratio"]*cache {
					return warn("work_mem of %.0f MiB times max_connections %.0f is %.1f times effective_cache_size", work/mib, sessions, work*sessions/cache)
				}
				return pass("work_mem of %.0f MiB times max_connections %.0f is %.2f of effective_cache_size", work/mib, sessions, work*sessions/cache)
			},
		},
		{
			Name: "missing_indexes", Factor: Performance, Question: "Are large tables read by index?",
			Why:    "A large table that is read from end to end, often, is the most common reason of a slow server.",
			Remedy: "find the statements on the board of queries, pgvigil explain QUERYID, CREATE INDEX CONCURRENTLY",
			Source: "pg_stat_user_tables", From: []string{"stat_user_tables", "relation_size"},
			Judge: func(f *Facts, l Limits) Finding {
				table := []string{"datname", "schemaname", "relname"}
				scans, byIndex := f.By("pg_stat_user_tables_seq_scan_total", table...), f.By("pg_stat_user_tables_idx_scan_total", table...)
				var suspects []string
				for _, size := range f.All("pg_stat_user_tables_table_size_bytes", "relname!=", "other") {
					at := size.key(table)
					if size.Value >= l["large_table_mib"]*mib && scans[at] >= l["seq_scans"] && scans[at] > byIndex[at]/10 {
						suspects = append(suspects, at)
					}
				}
				if len(suspects) > 0 {
					return warn("%d large tables are read from end to end often: %s", len(suspects), some(suspects))
				}
				return pass("none is read from end to end often")
			},
		},
		{
			Name: "unused_indexes", Factor: Performance, Question: "Does each index serve a query?",
			Why:    "One that does not costs each write, and room in cache and on disk.",
			Remedy: "DROP INDEX CONCURRENTLY name; after a look at the standbys, where it may serve",
			Source: "pg_stat_user_indexes", From: []string{"index_health", "index_health_keys"},
			Judge: func(f *Facts, l Limits) Finding {
				bytes, ok := f.Sum("pg_index_health_bytes", "kind", "unused", "relname", "")
				n, _ := f.Sum("pg_index_health_indexes", "kind", "unused")
				reset, young := f.Max("pg_index_health_stats_reset_timestamp_seconds")
				switch counted := f.since(reset); {
				case !ok:
					return unknown("indexes are not looked at")
				case n == 0 || bytes <= l["unused_index_mib"]*mib:
					return pass("%.0f indexes of %.0f MiB have not been used", n, bytes/mib)
				case young && counted < days(l["unused_index_days"]):
					return unknown("%.0f indexes of %.0f MiB have not been used in %.0f hours, which is too short to judge", n, bytes/mib, counted.Hours())
				}
				return warn("%.0f indexes of %.0f MiB have not been used since statistics began", n, bytes/mib)
			},
		},
		{
			Name: "duplicate_indexes", Factor: Performance, Question: "Is each index there once?",
			Why:    "The second costs as much as the first and serves nothing.",
			Remedy: "DROP INDEX CONCURRENTLY the one that no constraint needs",
			Source: "pg_index", From: []string{"index_health"},
			Judge: func(f *Facts, _ Limits) Finding {
				n, ok := f.Sum("pg_index_health_indexes", "kind", "duplicate")
				switch {
				case !ok:
					return unknown("indexes are not looked at")
				case n > 0:
					return warn("%.0f indexes are there twice", n)
				}
				return pass("no index is there twice")
			},
		},
		{
			Name: "foreign_key_indexes", Factor: Performance, Question: "Do foreign keys have an index on the side that refers?",
			Why:    "Without it each DELETE of a row that is referred to reads the whole referring table.",
			Remedy: "CREATE INDEX CONCURRENTLY ON the referring columns",
			Source: "pg_constraint, pg_index", From: []string{"index_health_keys"},
			Judge: zero("pg_index_health_foreign_keys_without_index", warn, "%.0f foreign keys have none", "all have one"),
		},
		{
			Name: "cache_hit", Factor: Performance, Question: "Are most blocks found in shared buffers?",
			Why:    "What is not found there is read from the system, which is slower even if it has it.",
			Remedy: "a larger shared_buffers, or an index for what reads too much",
			Source: "pg_stat_database", From: []string{"stat_database"},
			Judge: func(f *Facts, l Limits) Finding {
				hit, _ := f.Sum("pg_stat_database_blks_hit_total")
				read, ok := f.Sum("pg_stat_database_blks_read_total")
				if !ok || hit+read < l["cache_blocks"] {
					return unknown("too few blocks were read to judge")
				}
				if ratio := hit / (hit + read); ratio < l["cache_ratio"] {
					return warn("%.1f %% of the blocks were", 100*ratio)
				}
				return pass("%.1f %% of the blocks were", 100*hit/(hit+read))
			},
		},
		{
			Name: "temp_files", Factor: Performance, Question: "Do sorts and hashes fit in memory?",
			Why:    "What spills to temporary files is many times slower and takes the disk from all others.",
			Remedy: "work_mem for the roles or statements that spill (log_temp_files = 0 names them), or fewer rows to sort",
			Source: "pg_stat_database", From: []string{"stat_database", "server"},
			Judge: func(f *Facts, l Limits) Finding {
				low, high, ok := f.rate("pg_stat_database_temp_bytes_total", day)
				low, high = low*day.Seconds()/mib, high*day.Seconds()/mib
				switch {
				case !ok:
					return unknown("temporary files are not counted")
				case low > l["temp_mib_a_day"]:
					return warn("%.0f MiB a day are written to temporary files", low)
				case high > l["temp_mib_a_day"]:
					return unknown("many were written, and since when is not known: SELECT pg_stat_reset()")
				}
				return pass("no more than %.0f MiB a day are written to temporary files", high)
			},
		},
		{
			Name: "checkpoints", Factor: Performance, Question: "Do checkpoints come by the clock?", On: spec.Primary,
			Why:    "Those that come for want of room come too often, and each makes whole pages be written to the WAL anew.",
			Remedy: "ALTER SYSTEM SET max_wal_size = '16GB'; SELECT pg_reload_conf()",
			Source: "pg_stat_checkpointer, pg_stat_bgwriter", From: []string{"stat_checkpointer"},
			Judge: func(f *Facts, l Limits) Finding {
				timed, _ := f.Value("pg_stat_checkpointer_num_timed_total")
				requested, ok := f.Value("pg_stat_checkpointer_num_requested_total")
				switch {
				case !ok:
					return unknown("checkpoints are not counted")
				case timed+requested < l["checkpoints"]:
					return unknown("%.0f are too few to judge", timed+requested)
				case requested > timed:
					return warn("%.0f of %.0f were requested", requested, timed+requested)
				}
				return pass("%.0f of %.0f were requested", requested, timed+requested)
			},
		},
	}
}

// on is a judge that wants a setting or flag to be on.
func on(metric string, bad func(string, ...any) Finding, otherwise string) func(*Facts, Limits) Finding {
	return func(f *Facts, _ Limits) Finding {
		switch v, ok := f.Value(metric); {
		case !ok:
			return unknown("%s is not there", metric)
		case v == 0:
			return bad("%s", otherwise)
		}
		return pass("it is on")
	}
}

// some names the first few of a list.
func some(names []string) string {
	slices.Sort(names)
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}
