package readiness

import (
	"slices"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// availability are the checks of what is left when this server is lost.
func availability() []Check {
	return []Check{
		{
			Name: "standbys", Factor: Availability, Question: "Is there a standby?", On: spec.Primary,
			Why:    "Without one a lost machine is an outage for as long as a restore takes.",
			Remedy: "make a standby with pg_basebackup -R and a replication slot",
			Source: "pg_stat_replication", From: []string{"stat_replication_sync"},
			Judge: func(f *Facts, l Limits) Finding {
				n, ok := f.Value("pg_stat_replication_standbys")
				switch {
				case !ok:
					return unknown("%s", hiddenStandbys)
				case n == 0:
					return fail("no standby is connected")
				case n < l["standbys"]:
					return warn("%.0f standbys are connected, %.0f are wanted", n, l["standbys"])
				}
				return pass("%.0f standbys are connected", n)
			},
		},
		{
			Name: "standbys_streaming", Factor: Availability, Question: "Do all standbys stream?", On: spec.Primary,
			Why:    "One that catches up or stands still cannot take over without loss.",
			Remedy: "SELECT * FROM pg_stat_replication; and the log of the standby",
			Source: "pg_stat_replication", From: []string{"stat_replication_state", "stat_replication_sync"},
			Judge: func(f *Facts, _ Limits) Finding {
				late, all := 0.0, 0.0
				for _, s := range f.All("pg_stat_replication_senders", "state!=", "backup", "state!=", "startup") {
					all += s.Value
					if s.Labels["state"] != "streaming" {
						late += s.Value
					}
				}
				switch _, shown := f.Value("pg_stat_replication_standbys"); {
				case !shown:
					return unknown("%s", hiddenStandbys)
				case all == 0:
					return unknown("nothing is connected that could stream")
				case late > 0:
					return fail("%.0f of %.0f senders do not stream", late, all)
				}
				return pass("%.0f of %.0f senders stream", all, all)
			},
		},
		{
			Name: "sync_standbys", Factor: Availability, Question: "Are there as many synchronous standbys as commits wait for?", On: spec.Primary,
			Why:    "With fewer than synchronous_standby_names demands, commits hang.",
			Remedy: "bring the standby back, or name one more in synchronous_standby_names with ANY 1 (a, b)",
			Source: "pg_stat_replication, setting synchronous_standby_names", From: []string{"stat_replication_sync"},
			Judge: func(f *Facts, _ Limits) Finding {
				have, shown := f.Value("pg_stat_replication_sync_standbys")
				want, ok := f.Value("pg_stat_replication_sync_standbys_wanted")
				switch {
				case !ok:
					return unknown("synchronous_standby_names is not shown")
				case want == 0:
					return pass("commits wait for no standby; the last of them may be lost with the primary")
				case !shown:
					return unknown("%s", hiddenStandbys)
				case have < want:
					return fail("%.0f of %.0f synchronous standbys are there", have, want)
				}
				return pass("%.0f of %.0f synchronous standbys are there", have, want)
			},
		},
		{
			Name: "standby_lag", Factor: Availability, Question: "Are standbys close behind?", On: spec.Primary,
			Why:    "What a standby has not received is lost with the primary.",
			Remedy: "look for a slow network or disk, long queries on the standby, or a burst of writes",
			Source: "pg_stat_replication", From: []string{"stat_replication", "stat_replication_sync"},
			Judge: func(f *Facts, l Limits) Finding {
				lag, ok := f.Max("pg_stat_replication_flush_lag_bytes", "slot_type", "physical")
				switch _, shown := f.Value("pg_stat_replication_standbys"); {
				case !shown:
					return unknown("%s", hiddenStandbys)
				case !ok:
					return unknown("nothing is connected whose lag could be measured")
				case lag > l["lag_mib"]*(1<<20):
					return warn("the last of them has yet to store %.0f MiB", lag/(1<<20))
				}
				return pass("the last of them has yet to store %.1f MiB", lag/(1<<20))
			},
		},
		{
			Name: "lag", Factor: Availability, Question: "Is the standby close behind?", On: spec.Standby,
			Why:    "Who reads here reads old data, and a failover has to replay first.",
			Remedy: "look for a slow network or disk, long queries here, or a pause: SELECT pg_wal_replay_resume()",
			Source: "pg_stat_wal_receiver, pg_last_wal_replay_lsn", From: []string{"standby_lag"},
			Judge: func(f *Facts, l Limits) Finding {
				lag, ok := f.Max("pg_standby_lag_seconds")
				switch {
				case !ok:
					return unknown("the lag cannot be proven: no message came from upstream yet")
				case lag > l["lag_seconds"]:
					return warn("it is %.0f s behind", lag)
				}
				return pass("it is %.1f s behind", lag)
			},
		},
		{
			Name: "receiving", Factor: Availability, Question: "Does the standby stream?", On: spec.Standby,
			Why:    "Without a receiver it lives on the archive at best, and is as old as that.",
			Remedy: "look into its log; check primary_conninfo and the slot on the upstream server",
			Source: "pg_stat_wal_receiver", From: []string{"standby"},
			Judge: func(f *Facts, _ Limits) Finding {
				connected, ok := f.Value("pg_standby_receiver_connected")
				configured, known := f.Value("pg_standby_streaming_configured")
				switch {
				case !ok:
					return unknown("the receiver is hidden: %s", monitorGrant)
				case connected == 1:
					return pass("it streams")
				case !known:
					return unknown("there is no receiver, and whether there should be is hidden: %s", monitorGrant)
				case configured == 0:
					return warn("it is fed by the archive alone")
				}
				return fail("it is to stream and does not")
			},
		},
		{
			Name: "standby_elsewhere", Factor: Availability, Question: "Is a standby in another location?", On: spec.Primary,
			Why:    "A fire or a lost network takes all servers of one place.",
			Remedy: "make a standby elsewhere; readiness.remote_standby is a regular expression of its application_name or address",
			Source: "pg_stat_replication, and the configuration", From: []string{"stat_replication_state", "stat_replication_sync"},
			Judge: func(f *Facts, _ Limits) Finding {
				if f.Remote == nil {
					return unknown("readiness.remote_standby does not say by what application_name or address to know it")
				}
				if _, shown := f.Value("pg_stat_replication_standbys"); !shown {
					return unknown("%s", hiddenStandbys)
				}
				for _, s := range f.All("pg_stat_replication_senders", "state", "streaming") {
					if f.Remote.MatchString(s.Labels["application_name"]) || f.Remote.MatchString(s.Labels["client_addr"]) {
						return pass("%s streams", s.Labels["application_name"])
					}
				}
				return fail("none of the standbys that stream is elsewhere")
			},
		},
		{
			Name: "failover_manager", Factor: Availability, Question: "Does something promote a standby when the primary is lost?", On: spec.Primary,
			Why:    "By hand it takes as long as it takes to wake somebody.",
			Remedy: "Patroni, or another failover manager; with the key patroni of the target: patronictl list, and patronictl resume; accept it where a person decides",
			Source: "pg_stat_activity.application_name; Patroni's REST API where the key patroni names it",
			Judge:  judgeFailoverManager,
		},
		{
			Name: "archiving_on", Factor: Availability, Question: "Is WAL archived?", On: spec.Primary,
			Why:    "Without an archive a restore ends at the last backup, and a mistake cannot be undone to the minute before.",
			Remedy: "ALTER SYSTEM SET archive_mode = on; with an archive_command of a backup tool, and restart",
			Source: "settings archive_mode, archive_command, archive_library", From: []string{"stat_archiver"},
			Judge: func(f *Facts, _ Limits) Finding {
				configured, ok := f.Value("pg_stat_archiver_configured")
				switch {
				case !ok:
					return unknown("the archiver is not shown")
				case configured == 1:
					return pass("it is archived")
				}
				return fail("archive_mode is off, or there is no command")
			},
		},
		{
			Name: "archiving_works", Factor: Availability, Question: "Does archiving work?", On: spec.Primary,
			Why:    "While it fails nothing new can be restored, and pg_wal grows until the disk is full.",
			Remedy: "SELECT * FROM pg_stat_archiver; and the server's log has what the command said",
			Source: "pg_stat_archiver", From: []string{"stat_archiver"},
			Judge: func(f *Facts, l Limits) Finding {
				failing, ok := f.Value("pg_stat_archiver_failing")
				configured, _ := f.Value("pg_stat_archiver_configured")
				_, succeeded := f.Value("pg_stat_archiver_last_archived_timestamp_seconds")
				oldest, waits := f.Min("pg_stat_archiver_oldest_ready_timestamp_seconds")
				switch waited := f.since(oldest); {
				case !ok || configured == 0:
					return unknown("this server does not archive")
				case failing == 1:
					return fail("the last attempt failed")
				case waits && waited > minutes(l["archive_minutes"]):
					return fail("a file has waited for %.0f minutes", waited.Minutes())
				case !succeeded:
					return unknown("nothing has been archived yet")
				}
				if why := f.lacks("stat_archiver_backlog"); why != "" {
					return unknown("the last attempt succeeded, and whether files wait is not known: %s", why)
				}
				return pass("the last attempt succeeded")
			},
		},
		{
			Name: "backup_present", Factor: Availability, Question: "Is there a good backup?",
			Why:    "A standby repeats each mistake within the second; only a backup does not.",
			Remedy: "pgBackRest, Barman, WAL-G or a job that tells of itself; name it under backups: in the configuration",
			Source: "backup tools", From: nil,
			Judge: func(f *Facts, _ Limits) Finding {
				good, failing := f.Backups("pg_backup_repository_last_good_timestamp_seconds")
				switch known := f.All("pg_backup_look_success"); {
				case len(good) > 0:
					return pass("%d repositories have one", len(good))
				case len(known) == 0:
					return unknown("%s", f.noBackups())
				case len(failing) > 0 || !slices.ContainsFunc(known, func(s Sample) bool { return s.Value == 1 }):
					return unknown("%s", failedLook)
				}
				return fail("none of the backups that are known is good")
			},
		},
		{
			Name: "backup_fresh", Factor: Availability, Question: "Is the last good backup fresh?",
			Why:    "The older it is, the more WAL a restore must replay.",
			Remedy: "run the backup by hand, and look why its job did not",
			Source: "backup tools", From: nil,
			Judge: func(f *Facts, l Limits) Finding {
				good, failing := f.Backups("pg_backup_repository_last_good_timestamp_seconds")
				latest, ok := most(good)
				switch age := f.since(latest); {
				case !ok && len(failing) > 0:
					return unknown("%s", failedLook)
				case !ok && len(f.All("pg_backup_look_success")) == 0:
					return unknown("%s", f.noBackups())
				case !ok:
					return unknown("no good backup is known")
				case age > 2*hours(l["backup_age_hours"]):
					return fail("it ended %.0f hours ago", age.Hours())
				case age > hours(l["backup_age_hours"]):
					return warn("it ended %.0f hours ago", age.Hours())
				default:
					return pass("it ended %.1f hours ago", age.Hours())
				}
			},
		},
		{
			Name: "recovery_window", Factor: Availability, Question: "Can the server be restored to any moment of long enough?",
			Why:    "Mistakes are noticed after days, and then the moment before them must still be there.",
			Remedy: "keep more backups and their WAL: repo1-retention-full, RETENTION_POLICY and their like",
			Source: "backup tools", From: nil,
			Judge: func(f *Facts, l Limits) Finding {
				windows, failing := f.Backups("pg_backup_repository_recovery_window_seconds")
				window, ok := most(windows)
				have := window / day.Seconds()
				switch {
				case !ok && len(failing) > 0:
					return unknown("%s", failedLook)
				case !ok && len(f.All("pg_backup_look_success")) == 0:
					return unknown("%s", f.noBackups())
				case !ok:
					return unknown("no recovery window is proven")
				case have < l["recovery_days_least"]:
					return fail("%.1f days, less than %.0f", have, l["recovery_days_least"])
				case have < l["recovery_days"]:
					return warn("%.1f days, less than %.0f", have, l["recovery_days"])
				}
				return pass("%.1f days", have)
			},
		},
		{
			Name: "restore_proven", Factor: Availability, Question: "Has a restore been tested?",
			Why:    "A backup that was never restored is a hope.",
			Remedy: "restore into a scratch server by a job that writes a proof: docs/backups.md has a script",
			Source: "file of a restore test", From: nil,
			Judge: func(f *Facts, l Limits) Finding {
				latest, ok := f.Max("pg_backup_restore_proven_timestamp_seconds")
				switch age := f.since(latest); {
				case !ok && len(f.All("pg_backup_look_success")) == 0:
					return unknown("%s", f.noBackups())
				case !ok:
					return warn("no source of backups tells of a restore that was tested")
				case age > days(l["restore_days"]):
					return warn("the last was %.0f days ago", age.Hours()/24)
				default:
					return pass("the last was %.0f days ago", age.Hours()/24)
				}
			},
		},
		{
			Name: "checksums", Factor: Availability, Question: "Do data pages carry checksums?",
			Why:    "Without them damage by storage is read as data, and copied to standbys and backups.",
			Remedy: "pg_checksums --enable on the stopped server, standbys first",
			Source: "setting data_checksums", From: []string{"server"},
			Judge: func(f *Facts, _ Limits) Finding {
				on, ok := f.Value("pg_server_data_checksums")
				switch {
				case !ok:
					return unknown("it is being changed, or not shown")
				case on == 1:
					return pass("they do")
				}
				return fail("they do not")
			},
		},
		{
			Name: "checksum_failures", Factor: Availability, Question: "Have all pages that were read been sound?",
			Why:    "A wrong checksum is damaged data, on this server and perhaps in backups.",
			Remedy: "find the table (the log names the file), restore it; then SELECT pg_stat_reset() in that database",
			Source: "pg_stat_database", From: []string{"stat_database"},
			Judge: func(f *Facts, _ Limits) Finding {
				n, ok := f.Sum("pg_stat_database_checksum_failures_total")
				switch {
				case !ok:
					return unknown("failures are counted with checksums only")
				case n > 0:
					return fail("%.0f reads found a wrong checksum", n)
				}
				return pass("no read found a wrong checksum")
			},
		},
		{
			Name: "slots_bounded", Factor: Availability, Question: "Is the WAL bounded that slots may keep?", On: spec.Primary,
			Why:    "A consumer that does not come back makes a slot keep WAL until the disk is full.",
			Remedy: "ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf()",
			Source: "setting max_slot_wal_keep_size, pg_replication_slots", From: []string{"settings", "replication_slots"},
			Judge: func(f *Facts, _ Limits) Finding {
				bound, ok := f.Value("pg_settings_max_slot_wal_keep_size_bytes")
				slots := len(f.All("pg_replication_slots_active"))
				switch {
				case !ok:
					return unknown("max_slot_wal_keep_size is not shown")
				case bound >= 0:
					return pass("to %.0f MiB", bound/(1<<20))
				case slots > 0:
					return fail("%d slots may keep WAL without bound", slots)
				}
				return warn("it is not, and there is no slot yet")
			},
		},
		{
			Name: "slots_used", Factor: Availability, Question: "Is every slot in use?", On: spec.Primary,
			Why:    "A slot that nobody reads keeps WAL, and dead rows; a lost one has a consumer that must be built anew.",
			Remedy: "SELECT slot_name, active, wal_status FROM pg_replication_slots; then SELECT pg_drop_replication_slot('name') for those that are left over",
			Source: "pg_replication_slots", From: []string{"replication_slots", "replication_slots_status"},
			Judge: func(f *Facts, _ Limits) Finding {
				idle, slots := 0, f.All("pg_replication_slots_active")
				for _, s := range slots {
					if s.Value == 0 {
						idle++
					}
				}
				lost := len(f.All("pg_replication_slots_wal_status", "wal_status", "lost"))
				switch {
				case lost > 0:
					return fail("%d slots are lost", lost)
				case idle > 0:
					return warn("%d slots are not in use", idle)
				case len(slots) == 0:
					return pass("there is no slot")
				}
				return pass("every slot is in use")
			},
		},
		{
			Name: "wal_safe", Factor: Availability, Question: "Does a commit survive a crash?",
			Why:    "With fsync or full_page_writes off a crash of the machine destroys the cluster, with synchronous_commit off it loses the last commits.",
			Remedy: "ALTER SYSTEM RESET fsync; ALTER SYSTEM RESET full_page_writes; ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf()",
			Source: "settings fsync, full_page_writes, synchronous_commit", From: []string{"settings", "settings_info"},
			Judge: func(f *Facts, _ Limits) Finding {
				for _, name := range []string{"fsync", "full_page_writes"} {
					switch on, ok := f.Value("pg_settings_" + name); {
					case !ok:
						return unknown("%s is not shown", name)
					case on == 0:
						return fail("the setting %s is off", name)
					}
				}
				switch word, ok := f.Word("synchronous_commit"); {
				case !ok:
					return unknown("synchronous_commit is not shown")
				case word == "off":
					return warn("synchronous_commit is off")
				}
				return pass("it does")
			},
		},
	}
}

// Why something is not known.
const (
	hiddenStandbys = "what standbys do is hidden: " + monitorGrant
	failedLook     = "the last look at a backup tool failed: the log of pgvigil says why"
)

// noBackups says why nothing is known of backups.
func (f *Facts) noBackups() string {
	if f.sight("backup_look").seen {
		return "the first look at the backups is not done yet"
	}
	return "no source of backups is configured for this page: backups in the configuration file"
}
