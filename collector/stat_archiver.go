package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatArchiver answers whether WAL reaches the archive. The view keeps its counts
// and times when a primary is demoted, and its last failure when a retry succeeds;
// so failing is 1 only where the last attempt failed, and is absent where this
// server does not archive in its present role. PostgreSQL counts no failure where
// archive_mode is on and nothing tells it how: WAL then piles up in silence, which
// shows as archiving 1 and configured 0.
var StatArchiver = spec.Collector{
	Name: "stat_archiver", About: "Success and failure of the WAL archiver.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 8, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT a.archived_count::double precision                           AS archived_total
     , a.failed_count::double precision                             AS failed_total
     , extract(epoch FROM a.last_archived_time)::double precision   AS last_archived_timestamp_seconds
     , extract(epoch FROM a.last_failed_time)::double precision     AS last_failed_timestamp_seconds
     , s.archiving::int::double precision                           AS archiving
     , s.configured::int::double precision                          AS configured
     , CASE WHEN s.archiving
            THEN coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false)::int
       END::double precision                                        AS failing
     , extract(epoch FROM a.stats_reset)::double precision          AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_archiver AS a
 CROSS JOIN (
       SELECT mode = 'always' OR mode = 'on' AND NOT pg_catalog.pg_is_in_recovery() AS archiving
            , mode <> 'off' AND command || library <> ''                            AS configured
         FROM (SELECT pg_catalog.current_setting('archive_mode')                        AS mode
                    , pg_catalog.current_setting('archive_command')                     AS command
                    , coalesce(pg_catalog.current_setting('archive_library', true), '') AS library) AS setting
       ) AS s`}},
	Metrics: []spec.Metric{
		{Name: "archived_total", Type: spec.Counter, Help: "WAL files archived."},
		{Name: "failed_total", Type: spec.Counter, Help: "Failed attempts to archive a WAL file, each retry counted."},
		{Name: "last_archived_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last success."},
		{Name: "last_failed_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last failure, which later successes do not clear."},
		{Name: "archiving", Type: spec.Gauge, Help: "Whether archive_mode makes this server archive in its present role."},
		{Name: "configured", Type: spec.Gauge, Help: "Whether archive_mode is not off, and archive_command or archive_library is set."},
		{Name: "failing", Type: spec.Gauge, Help: "Whether the last attempt failed, absent where this server does not archive."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}

// StatArchiverBacklog reports the WAL files that wait to be archived, which
// PostgreSQL keeps until they are.
var StatArchiverBacklog = spec.Collector{
	Name: "stat_archiver_backlog", Of: "stat_archiver", About: "WAL files that wait to be archived.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Execute: []string{"pg_catalog.pg_ls_archive_statusdir()"}, Setting: "archive_mode",
		Grant: "GRANT pg_monitor TO pgvigil",
	},
	Cost: spec.Cost{Timeout: 5 * time.Second, Every: time.Minute, MaxSeries: 2, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.count(*)::double precision                                         AS ready_files
     , extract(epoch FROM pg_catalog.min(modification))::double precision            AS oldest_ready_timestamp_seconds
  FROM pg_catalog.pg_ls_archive_statusdir()
 WHERE name LIKE '%.ready'`}},
	Metrics: []spec.Metric{
		{Name: "ready_files", Type: spec.Gauge, Help: "WAL files that are ready to be archived and wait."},
		{Name: "oldest_ready_timestamp_seconds", Type: spec.Gauge, Help: "Unix time since when the oldest of them has waited, absent where none does."},
	},
}
