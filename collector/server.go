package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Server reports which side of replication the server is on, since when it runs,
// and when its side last changed as far as this exporter has seen.
//
// When a process dies by a signal the postmaster ends all others and recovers, and
// its own start time stays. The checkpointer is started anew then and at no other
// time, a promotion included. Its start is hidden without pg_monitor.
var Server = spec.Collector{
	Name: "server", About: "Role, start time and state of the server.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 5, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.pg_is_in_recovery()::int::double precision               AS pg_replication_is_replica
     , extract(epoch FROM pg_catalog.pg_postmaster_start_time())::double precision
                                                                           AS pg_postmaster_start_time_seconds
     , CASE pg_catalog.current_setting('data_checksums')
            WHEN 'on' THEN 1
            WHEN 'off' THEN 0 END::double precision                        AS data_checksums
     , (SELECT extract(epoch FROM max(a.backend_start))::double precision
          FROM pg_catalog.pg_stat_get_activity(NULL::integer) AS a
         WHERE a.backend_type = 'checkpointer')                            AS checkpointer_start_timestamp_seconds`}},
	Metrics: []spec.Metric{
		{Name: "pg_replication_is_replica", Type: spec.Gauge, Help: "Whether the server is in recovery: 1 on a standby, 0 on a primary."},
		{Name: "pg_postmaster_start_time_seconds", Type: spec.Gauge, Help: "Unix time at which the server was started."},
		{Name: "data_checksums", Type: spec.Gauge, Help: "Whether data pages carry checksums."},
		{Name: "checkpointer_start_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which the checkpointer was started: with the server, or with its last recovery from the death of a process."},
		{Name: "role_changed_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which this exporter first saw the server on its present side of replication, absent until a change was seen."},
	},
	Emit: func() spec.Emitter { return &roleWatch{replica: spec.Absent()} },
}

// roleWatch notices that a server has changed sides.
type roleWatch struct {
	replica float64 // in the last run
	changed time.Time
}

// Emit passes the row on and adds when the role changed.
func (w *roleWatch) Emit(run spec.Run, in *spec.Rows, out *spec.Sink) error {
	for row := range in.Len() {
		replica := in.Value(row, "pg_replication_is_replica")
		if !spec.IsAbsent(replica) {
			if !spec.IsAbsent(w.replica) && replica != w.replica {
				w.changed = run.Now
			}
			w.replica = replica
		}
		out.Row()
		for _, name := range []string{"pg_replication_is_replica", "pg_postmaster_start_time_seconds", "data_checksums", "checkpointer_start_timestamp_seconds"} {
			out.Set(name, in.Value(row, name))
		}
		if !w.changed.IsZero() {
			out.Set("role_changed_timestamp_seconds", float64(w.changed.UnixMilli())/1000)
		}
	}
	return nil
}

// ServerTimeline reports the timeline the server writes or follows. A primary is
// asked for the name of its current WAL file, because its control file knows a
// promotion only after the next checkpoint. On a standby the receiver knows first;
// where it is hidden from our role there is no sample, and where there is none the
// control file answers, as of the last restartpoint.
var ServerTimeline = spec.Collector{
	Name: "server_timeline", Of: "server", About: "Timeline of the write-ahead log.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Execute: []string{"pg_catalog.pg_control_checkpoint()", "pg_catalog.pg_control_recovery()"},
		Grant:   "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_checkpoint(), pg_catalog.pg_control_recovery() TO pgvigil",
	},
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN (SELECT CASE WHEN w.pid IS NULL OR w.received_tli IS NOT NULL
                              THEN greatest(w.received_tli, r.min_recovery_end_timeline, c.timeline_id) END
                    FROM pg_catalog.pg_control_checkpoint() c
                   CROSS JOIN pg_catalog.pg_control_recovery() r
                    LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON true)
            ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
       END::double precision AS timeline`}},
	Metrics: []spec.Metric{
		{Name: "timeline", Type: spec.Gauge, Help: "Timeline the server writes, or on a standby follows; each promotion begins a new one."},
	},
}

// ServerInfo identifies the server. Servers of one replication cluster share the
// system identifier, and so does a clone restored from its backup.
var ServerInfo = spec.Collector{
	Name: "server_info", Of: "server", About: "Version and identity of the server.",
	Scope: spec.PerServer,
	Needs: spec.Needs{
		Execute: []string{"pg_catalog.pg_control_system()"},
		Grant:   "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO pgvigil",
	},
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.version()                                                AS version
     , (v.num / 10000) || '.' || (v.num % 10000)                           AS short_version
     , c.system_identifier::text                                           AS system_identifier
     , pg_catalog.current_setting('cluster_name')                          AS cluster_name
     , 1::double precision                                                 AS info
  FROM pg_catalog.pg_control_system() c
     , (SELECT pg_catalog.current_setting('server_version_num')::int AS num) v`}},
	Labels: []string{"version", "short_version", "system_identifier", "cluster_name"},
	Metrics: []spec.Metric{
		{Name: "info", Type: spec.Gauge, Help: "Version and identity of the server; the value is 1."},
	},
}
