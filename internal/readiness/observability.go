package readiness

import (
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// observability are the checks of maintenance, and of whether anybody would notice.
func observability() []Check {
	return []Check{
		{
			Name: "autovacuum", Factor: Observability, Question: "Is autovacuum on?", On: spec.Primary,
			Why:    "Without it tables grow, plans rest on old statistics, and in the end the server refuses to write.",
			Remedy: "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()",
			Source: "settings autovacuum, track_counts", From: []string{"autovacuum"},
			Judge: on("pg_autovacuum_enabled", fail, "autovacuum or track_counts is off"),
		},
		{
			Name: "autovacuum_tables", Factor: Observability, Question: "Does autovacuum look after each table?", On: spec.Primary,
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
					n, ok := f.Sum(metric)
					if !ok {
						return unknown("%s is not there", metric)
					}
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
					age, shown := f.Max(kind.age)
					stop, ok := f.Value(kind.stop)
					if !shown || !ok || stop == 0 {
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
				prepared, _ := f.Max("pg_xmin_horizon_transaction_seconds", "holder", "prepared_xact")
				seconds, _ := f.Max("pg_xmin_horizon_transaction_seconds")
				transactions, held := f.Max("pg_xmin_horizon_age")
				_, hidden := f.Value("pg_xmin_horizon_age", "holder", "")
				switch {
				case prepared > hours(l["prepared_hours"]).Seconds():
					return fail("a transaction was prepared %.1f hours ago and not ended", prepared/3600)
				case seconds > hours(l["xmin_hours"]).Seconds():
					return warn("a transaction has held back vacuum for %.1f hours", seconds/3600)
				case transactions > l["xmin_transactions"]:
					return warn("vacuum is held back for %.0f transactions", transactions)
				case hidden:
					return unknown("since when sessions hold back vacuum is hidden: %s", monitorGrant)
				case !held:
					return pass("nothing does")
				}
				return pass("it is held back for %.0f transactions and %.0f s", transactions, seconds)
			},
		},
		{
			Name: "bloat", Factor: Observability, Question: "Are tables and indexes free of much bloat?", On: spec.Primary,
			Why:    "Space that is wasted is read by each scan and kept in the cache.",
			Remedy: "VACUUM FULL in a maintenance window or pg_repack for tables, REINDEX CONCURRENTLY for indexes",
			Source: "pg_stats, pgstattuple", From: []string{"bloat", "bloat_indexes", "relation_size"},
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
				unjudged := f.unjudged(l["bloat_mib"] * mib)
				hidden, _ := f.Sum("pg_bloat_table_hidden")
				hiddenIndexes, _ := f.Sum("pg_bloat_index_hidden")
				switch {
				case n > 0:
					return warn("%d of them are mostly empty space", n)
				case len(unjudged) > 0 && hidden+hiddenIndexes > 0:
					return unknown("%d large ones cannot be judged (%s), and statistics are hidden: %s", len(unjudged), some(unjudged), readGrant)
				case len(unjudged) > 0:
					return unknown("%d large ones cannot be judged, for want of statistics or for a lock: %s; ANALYZE them", len(unjudged), some(unjudged))
				}
				return pass("no large one is mostly empty space")
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
				unread, _ := f.Sum("pg_sequences_unread")
				locked, _ := f.Sum("pg_sequences_locked")
				switch {
				case used > l["sequence_ratio_fail"]:
					return fail("one has used %.0f %% of its numbers", 100*used)
				case used > l["sequence_ratio"]:
					return warn("one has used %.0f %% of its numbers", 100*used)
				case hidden > 0:
					return unknown("%.0f are hidden: %s", hidden, readGrant)
				case unread+locked > 0:
					return unknown("%.0f were not read, for there are too many or they are locked; the fullest of the others has used %.0f %%", unread+locked, 100*used)
				case !ok:
					return pass("there is none")
				}
				return pass("the fullest has used %.0f %% of its numbers", 100*used)
			},
		},
		{
			Name: "primary_keys", Factor: Observability, Question: "Has each table a primary key?",
			Why:    "Without one rows cannot be told apart, and logical replication cannot update them.",
			Remedy: "ALTER TABLE name ADD PRIMARY KEY (…)",
			Source: "pg_index", From: []string{"index_health_keys"},
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
			Remedy: "ALTER ROLE app SET statement_timeout = '30s', for each that can log in; or for all by ALTER SYSTEM, with other roles set free",
			Source: "setting statement_timeout, pg_db_role_setting", From: []string{"settings", "exposure"},
			Judge: func(f *Facts, _ Limits) Finding {
				v, ok := f.Value("pg_settings_statement_timeout_seconds")
				without, known := f.Value("pg_exposure_without_statement_timeout_login")
				switch {
				case ok && v > 0:
					return pass("after %.0f s", v)
				case !ok || !known:
					return unknown("statement_timeout is not shown")
				case without > 0:
					return warn("%.0f roles that can log in have no timeout, nor has the server", without)
				}
				return pass("each role that can log in has a timeout of its own")
			},
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
			Name: "minor", Factor: Observability, Question: "Is the minor version the newest?",
			Why:    "Minor releases close holes and mend what destroys data; they change nothing else.",
			Remedy: "install the packages and restart: no dump, no pg_upgrade",
			Source: "pg_settings server_version_num; releases that were known when pgvigil was built", From: []string{"settings"},
			Judge: func(f *Facts, l Limits) Finding {
				num, ok := f.Value("pg_settings_server_version_num")
				major, minor := spec.Version(int(num)/10000), int(num)%10000
				newest, known := newestMinor[major]
				switch {
				case !ok || !known:
					return unknown("the releases of this major are not known here")
				case minor < newest.minor:
					return warn("%d.%d runs, and %d.%d came on %s", major, minor, major, newest.minor, newest.came.Format(time.DateOnly))
				case newest.last:
					return pass("%d.%d is the last of its major", major, minor)
				case f.Now.Sub(newest.came) > days(l["minor_days"]):
					return unknown("%d.%d is the newest that pgvigil knows, of %s, and newer ones have come since: see postgresql.org/support/versioning, and update pgvigil", major, newest.minor, newest.came.Format(time.DateOnly))
				}
				return pass("no newer one than %d.%d is known", major, newest.minor)
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
			Remedy: "GRANT pg_monitor TO pgvigil; pgvigil doctor names the others that are wanting",
			Source: "pgvigil", From: nil,
			Judge: func(f *Facts, _ Limits) Finding {
				var missing []string
				for _, s := range f.All("pgvigil_collector_skipped", "reason", "privilege") {
					if !slices.Contains(missing, s.Labels["collector"]) {
						missing = append(missing, s.Labels["collector"])
					}
				}
				hidden := 0.0
				for _, metric := range []string{"pg_bloat_table_hidden", "pg_bloat_index_hidden", "pg_sequences_hidden"} {
					n, _ := f.Sum(metric)
					hidden += n
				}
				super, _ := f.Value("pg_exposure_exporter_superuser")
				switch closed := f.closed(); {
				case len(f.All("pgvigil_collector_success")) == 0:
					return unknown("no collector has run")
				case super == 1:
					return warn("it may do more than it should: it connects as a superuser, and pg_monitor is enough")
				case len(missing) > 0:
					return warn("%d collectors lack a grant: %s", len(missing), some(missing))
				case len(closed) > 0:
					return warn("%d databases do not let it in: %s", len(closed), some(closed))
				case hidden > 0:
					return warn("%.0f tables, indexes and sequences are hidden: %s", hidden, readGrant)
				}
				return pass("no collector lacks a grant")
			},
		},
		{
			Name: "exporter_works", Factor: Observability, Question: "Do all collectors of the exporter work?",
			Why:    "Alerts on what a collector does not show cannot fire.",
			Remedy: "pgvigil doctor, or the page /collectors, has the last error of each",
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
