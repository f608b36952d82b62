package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// BackupLook reports whether what is shown of backups is fresh. Tools are asked at
// their own interval, and what they told last is shown until they tell anew.
var BackupLook = spec.Collector{
	Name: "backup_look", Of: "backup", About: "Looks at backup tools.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 200},
	Labels: []string{"tool", "stanza"},
	Metrics: []spec.Metric{
		{Name: "pg_backup_last_look_timestamp_seconds", Type: spec.Gauge, Help: "When the last successful look at the tool began: what is shown of backups is from then."},
		{Name: "success", Type: spec.Gauge, Help: "Whether the last look succeeded."},
		{Name: "duration_seconds", Type: spec.Gauge, Help: "How long the last look took."},
		{Name: "pg_backup_restore_proven_timestamp_seconds", Type: spec.Gauge, Help: "When a restore was last tested and found good, as the source tells."},
	},
}

// BackupLookFailures reports why looks failed.
var BackupLookFailures = spec.Collector{
	Name: "backup_look_failures", Of: "backup", About: "Looks at backup tools that failed, by reason.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 500},
	Labels: []string{"tool", "stanza", "reason"},
	Metrics: []spec.Metric{
		{Name: "pg_backup_look_failures_total", Type: spec.Counter, Help: "Looks, and lists of the archive, that failed since pgvigil watches the tool."},
	},
}
