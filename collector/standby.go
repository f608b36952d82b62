package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Standby reports the facts of a server in recovery: whether WAL arrives, how far
// it was received and replayed, and from where it is meant to come. A receiver
// that is connected to a dead upstream still counts as connected, until
// wal_receiver_timeout; so look at the last message too. It may be half that
// timeout old on a healthy link that is idle. A receiver that has just been started
// shows itself streaming, with its start as the time at which the last message was
// both sent and received; one that the upstream server turns away shows just that,
// again and again. So it counts as connected from its first message on.
var Standby = spec.Collector{
	Name: "standby", About: "What a standby has received and replayed, its lag, and whether it is connected.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Standby},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN w.pid IS NULL THEN 0 ELSE w.connected END::double precision                       AS receiver_connected
     , w.message::double precision                                                                 AS last_message_timestamp_seconds
     , (here.received - '0/0'::pg_catalog.pg_lsn)::double precision                                AS received_position_bytes_total
     , (here.replayed - '0/0'::pg_catalog.pg_lsn)::double precision                                AS replayed_position_bytes_total
     , (w.latest_end_lsn - '0/0'::pg_catalog.pg_lsn)::double precision                             AS upstream_position_bytes_total
     , CASE WHEN greatest(here.received, w.latest_end_lsn) < here.replayed THEN 0
            ELSE greatest(here.received, w.latest_end_lsn) - here.replayed
       END::double precision                                                                       AS pending_bytes
     , extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp())::double precision            AS last_replayed_commit_timestamp_seconds
     , pg_catalog.pg_is_wal_replay_paused()::int::double precision                                 AS replay_paused            -- until 14
     , (pg_catalog.pg_get_wal_replay_pause_state() = 'paused')::int::double precision              AS replay_paused            -- since 14
     , CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
            THEN (pg_catalog.current_setting('primary_conninfo') <> '')::int
       END::double precision                                                                       AS streaming_configured
     , (pg_catalog.current_setting('restore_command') <> '')::int::double precision                AS archive_configured
  FROM (SELECT pg_catalog.pg_last_wal_receive_lsn() AS received
             , pg_catalog.pg_last_wal_replay_lsn()  AS replayed) AS here
  LEFT JOIN (
       SELECT pid
            , latest_end_lsn
            , (status = 'streaming' AND last_msg_send_time <> last_msg_receipt_time)::int    AS connected
            , CASE WHEN last_msg_send_time <> last_msg_receipt_time
                   THEN extract(epoch FROM last_msg_receipt_time) END                        AS message
         FROM pg_catalog.pg_stat_wal_receiver
       ) AS w ON true
 WHERE pg_catalog.pg_is_in_recovery()`}},
	Metrics: []spec.Metric{
		{Name: "receiver_connected", Type: spec.Gauge, Help: "Whether the WAL receiver is streaming, as far as it knows."},
		{Name: "last_message_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last message from the upstream server, absent while there is no receiver."},
		{Name: "received_position_bytes_total", Type: spec.Counter, Help: "Position in the WAL up to which it was received and flushed, absent where none was streamed."},
		{Name: "replayed_position_bytes_total", Type: spec.Counter, Help: "Position in the WAL up to which it was replayed."},
		{Name: "upstream_position_bytes_total", Type: spec.Counter, Help: "Position in the WAL of the upstream server as its last message told."},
		{Name: "pending_bytes", Type: spec.Gauge, Help: "WAL that is known of and not yet replayed, absent where none was streamed."},
		{Name: "last_replayed_commit_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last commit or abort replayed, by the primary's clock, absent before the first since start."},
		{Name: "replay_paused", Type: spec.Gauge, Help: "Whether replay is paused."},
		{Name: "streaming_configured", Type: spec.Gauge, Help: "Whether primary_conninfo is set, absent where the role may not read it."},
		{Name: "archive_configured", Type: spec.Gauge, Help: "Whether restore_command is set."},
	},
}

// StandbyUpstream names the server that a standby receives from.
var StandbyUpstream = spec.Collector{
	Name: "standby_upstream", Of: "standby", About: "The server that a standby receives from.",
	Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Standby},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT coalesce(sender_host, '')           AS sender_host
     , coalesce(sender_port::text, '')     AS sender_port
     , coalesce(slot_name, '')             AS slot_name
     , 1::double precision                 AS upstream_info
  FROM pg_catalog.pg_stat_wal_receiver
 WHERE status IS NOT NULL`}},
	Labels:  []string{"sender_host", "sender_port", "slot_name"},
	Metrics: []spec.Metric{{Name: "upstream_info", Type: spec.Gauge, Help: "Always 1; the labels name the upstream server and the slot on it."}},
}

// StandbyLag answers how old a standby's data is at most. See standbyHistory for
// how it knows. In a cascade each standby vouches only for its own link.
var StandbyLag = spec.Collector{
	Name: "standby_lag", Of: "standby", About: "Age of a standby's data, and why it is that old.",
	Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Standby},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT extract(epoch FROM pg_catalog.clock_timestamp())::double precision                          AS now
     , w.message::double precision                                                                 AS message
     , extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp())::double precision            AS committed
     , (greatest(here.received, w.latest_end_lsn) - '0/0'::pg_catalog.pg_lsn)::double precision    AS upstream
     , (here.replayed - '0/0'::pg_catalog.pg_lsn)::double precision                                AS replayed
     , CASE WHEN w.pid IS NULL THEN 0 ELSE w.connected END::double precision                       AS receiver
     , extract(epoch FROM pg_catalog.current_setting('wal_receiver_timeout')::pg_catalog.interval)
       ::double precision                                                                          AS timeout
     , pg_catalog.pg_is_wal_replay_paused()::int::double precision                                 AS paused
     , CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
            THEN pg_catalog.current_setting('primary_conninfo') <> ''
            ELSE here.received IS NOT NULL OR pg_catalog.current_setting('restore_command') = ''
       END::int::double precision                                                                  AS streams
  FROM (SELECT pg_catalog.pg_last_wal_receive_lsn() AS received
             , pg_catalog.pg_last_wal_replay_lsn()  AS replayed) AS here
  LEFT JOIN (
       SELECT pid
            , latest_end_lsn
            , (status = 'streaming' AND last_msg_send_time <> last_msg_receipt_time)::int    AS connected
            , CASE WHEN last_msg_send_time <> last_msg_receipt_time
                   THEN extract(epoch FROM last_msg_receipt_time) END                        AS message
         FROM pg_catalog.pg_stat_wal_receiver
       ) AS w ON true
 WHERE pg_catalog.pg_is_in_recovery()`}},
	Labels: []string{"situation"},
	Metrics: []spec.Metric{
		{Name: "lag_seconds", Type: spec.Gauge, Help: "Age of the standby's data at most, 0 only while the upstream server is known to have nothing newer."},
	},
	Emit: func() spec.Emitter { return new(standbyHistory) },
}
