package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// BackupRepository reports what can be restored. A window is proven: it begins
// with a backup that is undamaged, has all that it rests on, and from which WAL
// goes on without a known gap to the end of the archive. Where there is none, there
// is no sample.
var BackupRepository = spec.Collector{
	Name: "backup_repository", Of: "backup", About: "Moments that repositories of backups can restore.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 1000},
	Labels: []string{"tool", "stanza", "repo"},
	Metrics: []spec.Metric{
		{Name: "running", Type: spec.Gauge, Help: "Whether a backup runs now; pgBackRest tells it of the stanza and of the host it is asked on, so it shows in each repository."},
		{Name: "running_since_timestamp_seconds", Type: spec.Gauge, Help: "When the running backup began, or where the tool does not tell, when it was first seen."},
		{Name: "last_good_timestamp_seconds", Type: spec.Gauge, Help: "When the newest backup ended that is undamaged, with all that it rests on and the WAL that makes it consistent."},
		{Name: "oldest_recoverable_timestamp_seconds", Type: spec.Gauge, Help: "Oldest moment from which on every moment can be restored, as far as the tool tells."},
		{Name: "newest_recoverable_timestamp_seconds", Type: spec.Gauge, Help: "Newest moment that can be restored: the archiver's last success that the tool has, where its server is on this page, else the end of the newest good backup."},
		{Name: "recovery_window_seconds", Type: spec.Gauge, Help: "Time between the oldest and the newest moment that can be restored."},
		{Name: "last_look_timestamp_seconds", Type: spec.Gauge, Help: "When the last look began that could read the repository."},
		{Name: "last_wal_list_timestamp_seconds", Type: spec.Gauge, Help: "When the archive was last listed to find gaps, for tools that need that."},
	},
}

// BackupStatus reports a tool's own judgement of its repositories.
var BackupStatus = spec.Collector{
	Name: "backup_status", Of: "backup", About: "Status of repositories of backups.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 1000},
	Labels: []string{"tool", "stanza", "repo", "status"},
	Metrics: []spec.Metric{
		{Name: "pg_backup_repository_status", Type: spec.Gauge, Help: "1 for the status that the repository has, 0 for the others."},
	},
}

// BackupWAL reports what is archived of each timeline, newest 32. Its bytes are
// positions in WAL, comparable with pg_wal_position_bytes_total.
var BackupWAL = spec.Collector{
	Name: "backup_wal", Of: "backup", About: "WAL archives of backup tools, by timeline.", Source: spec.Backup,
	Cost:   spec.Cost{MaxSeries: 2000},
	Labels: []string{"tool", "stanza", "repo", "timeline"},
	Metrics: []spec.Metric{
		{Name: "start_bytes", Type: spec.Gauge, Help: "Position in WAL where the oldest archived segment begins."},
		{Name: "end_bytes", Type: spec.Gauge, Help: "Position in WAL where the newest archived segment ends."},
		{Name: "gaps", Type: spec.Gauge, Help: "Gaps between archived segments; absent where nobody has looked for such."},
		{Name: "missing_segments", Type: spec.Gauge, Help: "Segments that the gaps have."},
	},
}
