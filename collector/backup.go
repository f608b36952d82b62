package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// Backup reports the last completed backup of each type in each repository. A
// backup that ran into damage, such as page checksums that do not fit, completes
// all the same; backup_repository has the last good one.
var Backup = spec.Collector{
	Name: "backup", About: "Last backups of pgBackRest, Barman, WAL-G and files, by type.", Source: spec.Backup,
	Default: true,
	Cost:    spec.Cost{MaxSeries: 2000},
	Labels:  []string{"tool", "stanza", "repo", "type"},
	Metrics: []spec.Metric{
		{Name: "last_start_timestamp_seconds", Type: spec.Gauge, Help: "When the last completed backup began."},
		{Name: "last_stop_timestamp_seconds", Type: spec.Gauge, Help: "When the last completed backup ended, damaged or not."},
		{Name: "last_duration_seconds", Type: spec.Gauge, Help: "How long the last completed backup took."},
		{Name: "last_database_bytes", Type: spec.Gauge, Help: "Size of the database in the last completed backup."},
		{Name: "last_delta_bytes", Type: spec.Gauge, Help: "Part of the database that the last completed backup copied."},
		{Name: "last_repository_bytes", Type: spec.Gauge, Help: "Size in the repository of all that a restore of the last completed backup needs, without WAL."},
		{Name: "last_repository_delta_bytes", Type: spec.Gauge, Help: "Size in the repository of what the last completed backup added."},
		{Name: "last_damaged", Type: spec.Gauge, Help: "Whether the last completed backup has damage, such as page checksums that do not fit."},
		{Name: "last_attempt_failed", Type: spec.Gauge, Help: "Whether the newest attempt failed; absent where the tool forgets such, as pgBackRest and WAL-G do."},
		{Name: "completed", Type: spec.Gauge, Help: "Completed backups that the repository holds."},
	},
}

// BackupCheck reports what a tool finds wrong with itself.
var BackupCheck = spec.Collector{
	Name: "backup_check", Of: "backup", About: "Checks of backup tools on themselves, such as barman check.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 500},
	Labels: []string{"tool", "stanza", "check"},
	Metrics: []spec.Metric{
		{Name: "success", Type: spec.Gauge, Help: "Whether the check found nothing wrong."},
	},
}
