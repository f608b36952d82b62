package readiness

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// observability are the checks of maintenance, and of whether anybody would notice.
func observability() []Check {
	return []Check{
		{
			Name: "autovacuum", Factor: Observability, Question: "Is autovacuum on?",
			Why:    "Without it tables grow, plans rest on old statistics, and in the end the server refuses to write.",
			Remedy: "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()",
			Source: "settings autovacuum, track_counts", From: []string{"autovacuum"},
			Judge: on("pg_autovacuum_enabled", fail, "autovacuum or track_counts is off"),
		},
		{
			Name: "autovacuum_tables", Factor: Observability, Question: "Does autovacuum look after each table?",
			Why:    "A table that was left out for a load stays so.",
			Remedy: "ALTER TABLE name RESET (autovacuum_enabled)",
			Source: "pg_class.reloptions", From: []string{"autovacuum_tables"},
			Judge: zero("pg_autovacuum_disabled_tables", warn, "it leaves %.0f tables out", "it leaves no table out"),
		},
		{
			Name: "autovacuum_keeps_up", Factor: Observability, Question: "Does autovacuum keep up?", On: spec.Primary,
			Why:    "What is due for long is bloat, and old statistics.",
			Remedy: "more autovacuum_max_workers, a larger autovacuum_vacuum_cost_limit; look for what holds back xmin",
			Source: "pg_stat_user_tables, pg_class", From: []string{"autovacuum_tables", "autovacuum"},
			Judge: func(f *Facts, _ Limits) Finding {
				due := 0.0
				for _, metric := range []string{"pg_autovacuum_vacuum_due_tables", "pg_autovacuum_freeze_due_tables"} {
					n, _ := f.Sum(metric)
					due += n
				}
				workers, ok := f.Value("pg_autovacuum_max_workers")
				switch {
				case !ok:
					return unknown("workers are not counted")
				case due > 10*workers:
					return warn("%.0f tables are due for %.0f workers", due, workers)
				}
				return pass("%.0f tables are due for %.0f workers", due, workers)
			},
		},
		{
			Name: "transaction_ids", Factor: Observability, Question: "Is there a long way to wraparound?",
			Why:    "At the end the server refuses all writing until a vacuum is done, which takes hours.",
			Remedy: "VACUUM (FREEZE) the oldest tables; end what holds back xmin first",
			Source: "pg_database.datfrozenxid, datminmxid", From: []string{"xid", "xid_limits"},
			Judge: func(f *Facts, l Limits) Finding {
				most := 0.0
				for _, kind := range []struct{ age, stop string }{
					{"pg_xid_datfrozenxid_age", "pg_xid_stop_age"}, {"pg_xid_datminmxid_age", "pg_xid_multixact_stop_age"},
				} {
					age, _ := f.Max(kind.age)
					stop, ok := f.Value(kind.stop)
					if !ok || stop == 0 {
						return unknown("the ages are not shown")
					}
					most = max(most, age/stop)
				}
				switch {
				case most > l["xid_ratio_fail"]:
					return fail("%.0f %% of the way is behind", 100*most)
				case most > l["xid_ratio"]:
					return warn("%.0f %% of the way is behind", 100*most)
				}
				return pass("%.0f %% of the way is behind", 100*most)
			},
		},
		{
			Name: "xmin_horizon", Factor: Observability, Question: "Does nothing old keep vacuum from its work?",
			Why:    "A forgotten transaction, slot or standby keeps all rows that died since, in all tables.",
			Remedy: "SELECT pid, xact_start, state FROM pg_stat_activity ORDER BY xact_start; then pg_terminate_backend(pid), ROLLBACK PREPARED or pg_drop_replication_slot",
			Source: "pg_stat_activity, pg_prepared_xacts, pg_replication_slots", From: []string{"xmin_horizon"},
			Judge: func(f *Facts, l Limits) Finding {
				age, _ := f.Max("pg_xmin_horizon_transaction_seconds")
				prepared, _ := f.Max("pg_prepared_xacts_max_age_seconds")
				switch {
				case prepared > 3600:
					return fail("a transaction was prepared %.0f hours ago and not ended", prepared/3600)
				case age > hours(l["xmin_hours"]).Seconds():
					return warn("something has held back vacuum for %.0f hours", age/3600)
				}
				return pass("the oldest holder is %.0f s old", age)
			},
		},
		{
			Name: "bloat", Factor: Observability, Question: "Are tables and indexes free of much bloat?", On: spec.Primary,
			Why:    "Space that is wasted is read by each scan and kept in the cache.",
			Remedy: "VACUUM FULL in a maintenance window or pg_repack for tables, REINDEX CONCURRENTLY for indexes",
			Source: "pg_stats, pgstattuple", From: []string{"bloat"},
			Judge: func(f *Facts, l Limits) Finding {
				n := 0
				relation := []string{"datname", "schemaname", "relname", "indexrelname", "method"}
				for _, kind := range []string{"table", "index"} {
					size := f.By("pg_bloat_"+kind+"_size_bytes", relation...)
					for _, s := range f.All("pg_bloat_"+kind+"_wasted_bytes", "relname!=", "other") {
						if s.Value > l["bloat_mib"]*mib && s.Value > 0.6*size[s.key(relation)] {
							n++
						}
					}
				}
				hidden, _ := f.Sum("pg_bloat_table_hidden")
				switch {
				case n > 0:
					return warn("%d of them are mostly empty space", n)
				case hidden > 0:
					return unknown("statistics of %.0f tables are hidden: GRANT pg_read_all_data TO the role", hidden)
				}
				return pass("none is mostly empty space")
			},
		},
		{
			Name: "invalid_indexes", Factor: Observability, Question: "Is each index valid?", On: spec.Primary,
			Why:    "An invalid one costs each write, serves no query, and enforces nothing it should.",
			Remedy: "REINDEX INDEX CONCURRENTLY name; or DROP INDEX CONCURRENTLY name",
			Source: "pg_index", From: []string{"index_health"},
			Judge: func(f *Facts, _ Limits) Finding {
				switch n, ok := f.Sum("pg_index_health_indexes", "kind", "invalid"); {
				case !ok:
					return unknown("indexes are not looked at")
				case n > 0:
					return fail("%.0f indexes are invalid", n)
				}
				return pass("each is valid")
			},
		},
		{
			Name: "sequences", Factor: Observability, Question: "Do sequences have numbers left?", On: spec.Primary,
			Why:    "At the end each insert that takes a number fails.",
			Remedy: "ALTER TABLE name ALTER COLUMN id TYPE bigint; and ALTER SEQUENCE name AS bigint",
			Source: "pg_sequences, pg_attribute", From: []string{"sequences"},
			Judge: func(f *Facts, l Limits) Finding {
				used, ok := f.Max("pg_sequences_used_ratio")
				hidden, _ := f.Sum("pg_sequences_hidden")
				switch {
				case used > 0.95:
					return fail("one has used %.0f %% of its numbers", 100*used)
				case used > l["sequence_ratio"]:
					return warn("one has used %.0f %% of its numbers", 100*used)
				case hidden > 0:
					return unknown("%.0f are hidden: GRANT pg_read_all_data TO the role", hidden)
				case !ok:
					return pass("none is in use")
				}
				return pass("the fullest has used %.0f %% of its numbers", 100*used)
			},
		},
		{
			Name: "primary_keys", Factor: Observability, Question: "Has each table a primary key?",
			Why:    "Without one rows cannot be told apart, and logical replication cannot update them.",
			Remedy: "ALTER TABLE name ADD PRIMARY KEY (…)",
			Source: "pg_index", From: []string{"index_health_tables"},
			Judge: zero("pg_index_health_tables_without_primary_key", warn, "%.0f tables have none", "each has one"),
		},
		{
			Name: "slow_statements_logged", Factor: Observability, Question: "Are slow statements logged?",
			Why:    "The log has the values that made a statement slow, which statistics do not.",
			Remedy: "ALTER SYSTEM SET log_min_duration_statement = '1s'; SELECT pg_reload_conf()",
			Source: "setting log_min_duration_statement", From: []string{"settings"},
			Judge: notNegative("pg_settings_log_min_duration_statement_seconds", "no statement is", "those that take %.1f s are"),
		},
		{
			Name: "lock_waits_logged", Factor: Observability, Question: "Are long waits for locks logged?",
			Why:    "Who waited for whom is known at that moment only.",
			Remedy: "ALTER SYSTEM SET log_lock_waits = on; SELECT pg_reload_conf()",
			Source: "setting log_lock_waits", From: []string{"settings"},
			Judge: on("pg_settings_log_lock_waits", warn, "log_lock_waits is off"),
		},
		{
			Name: "autovacuum_logged", Factor: Observability, Question: "Is the work of autovacuum logged?",
			Why:    "The log says what it could not remove, and why.",
			Remedy: "ALTER SYSTEM SET log_autovacuum_min_duration = '10min'; SELECT pg_reload_conf()",
			Source: "setting log_autovacuum_min_duration", From: []string{"settings"},
			Judge: notNegative("pg_settings_log_autovacuum_min_duration_seconds", "no run is", "runs of %.0f s are"),
		},
		{
			Name: "statement_timeout", Factor: Observability, Question: "Do statements end by themselves?",
			Why:    "One that has gone astray runs until somebody looks, and holds back vacuum.",
			Remedy: "ALTER ROLE app SET statement_timeout = '30s'; or for all by ALTER SYSTEM, with other roles set free",
			Source: "setting statement_timeout", From: []string{"settings"},
			Judge: positive("pg_settings_statement_timeout_seconds", "no timeout is set for the server; roles may have their own", "after %.0f s"),
		},
		{
			Name: "idle_timeout", Factor: Observability, Question: "Do idle transactions end by themselves?",
			Why:    "One that was forgotten holds its locks, and all rows that die meanwhile.",
			Remedy: "ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min'; SELECT pg_reload_conf()",
			Source: "setting idle_in_transaction_session_timeout", From: []string{"settings"},
			Judge: positive("pg_settings_idle_in_transaction_session_timeout_seconds", "no timeout is set", "after %.0f s"),
		},
		{
			Name: "extensions", Factor: Observability, Question: "Are extensions as new as their files?",
			Why:    "After an upgrade of packages the old SQL of an extension runs with the new library.",
			Remedy: "ALTER EXTENSION name UPDATE",
			Source: "pg_extension, pg_available_extensions", From: []string{"extensions_update"},
			Judge: zero("pg_extensions_update_available", warn, "%.0f wait for ALTER EXTENSION UPDATE", "each is"),
		},
		{
			Name: "major", Factor: Observability, Question: "Does the major version still get fixes?",
			Why:    "After its last release holes are published and not closed.",
			Remedy: "plan the upgrade: pg_upgrade, or logical replication to a new server",
			Source: "pg_settings server_version_num; the PostgreSQL project's versioning policy", From: []string{"settings"},
			Judge: func(f *Facts, l Limits) Finding {
				num, ok := f.Value("pg_settings_server_version_num")
				major := spec.Version(int(num) / 10000)
				end, known := lastRelease[major]
				switch {
				case !ok || !known:
					return unknown("the last release of this major is not known here")
				case f.Now.After(end):
					return fail("fixes for %d ended on %s", major, end.Format(time.DateOnly))
				case end.Sub(f.Now) < days(l["support_days"]):
					return warn("fixes for %d end on %s", major, end.Format(time.DateOnly))
				}
				return pass("fixes for %d end on %s", major, end.Format(time.DateOnly))
			},
		},
		{
			Name: "pending_restart", Factor: Observability, Question: "Are all settings in force?",
			Why:    "The next restart, whenever it comes, brings them, and their mistakes.",
			Remedy: "SELECT name FROM pg_settings WHERE pending_restart; and restart in a window that you choose",
			Source: "pg_settings.pending_restart", From: []string{"settings_state"},
			Judge: zero("pg_settings_pending_restart", warn, "%.0f wait for a restart", "they are"),
		},
		{
			Name: "exporter_rights", Factor: Observability, Question: "May the exporter see what it is to watch?",
			Why:    "What is hidden from it cannot raise an alarm.",
			Remedy: "pgvigil doctor names the GRANT for each",
			Source: "pgvigil", From: nil,
			Judge: func(f *Facts, _ Limits) Finding {
				var missing []string
				for _, s := range f.All("pgvigil_collector_skipped", "reason", "privilege") {
					if s.Value == 1 {
						missing = append(missing, s.Labels["collector"])
					}
				}
				if len(missing) > 0 {
					return warn("%d collectors lack a grant: %s", len(missing), some(missing))
				}
				return pass("no collector lacks a grant")
			},
		},
		{
			Name: "exporter_works", Factor: Observability, Question: "Do all collectors of the exporter work?",
			Why:    "Alerts on what a collector does not show cannot fire.",
			Remedy: "pgvigil doctor has the last error of each",
			Source: "pgvigil", From: nil,
			Judge: func(f *Facts, _ Limits) Finding {
				var failing []string
				for _, s := range f.All("pgvigil_collector_success") {
					if s.Value == 0 {
						failing = append(failing, s.Labels["collector"])
					}
				}
				switch {
				case len(f.All("pgvigil_collector_success")) == 0:
					return unknown("no collector has run")
				case len(failing) > 0:
					return fail("%d fail: %s", len(failing), some(failing))
				}
				return pass("they do")
			},
		},
	}
}

// lastRelease is when the PostgreSQL project ends a major version, by its versioning
// policy: five years after the first release, in November.
var lastRelease = map[spec.Version]time.Time{
	13: time.Date(2025, time.November, 13, 0, 0, 0, 0, time.UTC),
	14: time.Date(2026, time.November, 12, 0, 0, 0, 0, time.UTC),
	15: time.Date(2027, time.November, 11, 0, 0, 0, 0, time.UTC),
	16: time.Date(2028, time.November, 9, 0, 0, 0, 0, time.UTC),
	17: time.Date(2029, time.November, 8, 0, 0, 0, 0, time.UTC),
	18: time.Date(2030, time.November, 14, 0, 0, 0, 0, time.UTC),
}

// notNegative is a judge of a duration that is off at -1.
func notNegative(metric, off, on string) func(*Facts, Limits) Finding {
	return func(f *Facts, _ Limits) Finding {
		switch v, ok := f.Value(metric); {
		case !ok:
			return unknown("%s is not there", metric)
		case v < 0:
			return warn("%s", off)
		default:
			return pass(on, v)
		}
	}
}

// positive is a judge of a duration that is off at 0.
func positive(metric, off, on string) func(*Facts, Limits) Finding {
	return func(f *Facts, _ Limits) Finding {
		switch v, ok := f.Value(metric); {
		case !ok:
			return unknown("%s is not there", metric)
		case v <= 0:
			return warn("%s", off)
		default:
			return pass(on, v)
		}
	}
}
