package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatReplication answers how far behind each receiver of WAL is, as this server
// sees it: standbys, logical subscribers (slot_type logical) and archivers such as
// pg_receivewal, which never replay. On a standby that feeds others, behind means
// behind what that standby has itself. Connections that have not begun, base
// backups and the WAL streams that go with them are left out. Equal receivers are
// one row, the worst of them. Names that change with each connection are cut:
// slot_name is empty for temporary slots, and what synchronises the tables of
// subscriptions is pg_sync, for pg_16394_sync_16385_7000000000000000000.
var StatReplication = spec.Collector{
	Name: "stat_replication", About: "How far behind standbys and other receivers of WAL are.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.regexp_replace(coalesce(r.application_name, ''), '_\d+_sync_\d+(_\d+)?$', '_sync')                 AS application_name
     , coalesce(pg_catalog.host(r.client_addr), '')                                                                  AS client_addr
     , coalesce(pg_catalog.regexp_replace(s.slot_name, '_\d+_sync_\d+(_\d+)?$', '_sync'), '')                        AS slot_name
     , coalesce(s.slot_type, 'physical')                                                                             AS slot_type
     , pg_catalog.max(greatest(here.lsn, r.sent_lsn) - r.sent_lsn)::double precision                                 AS pending_bytes
     , pg_catalog.max(greatest(here.lsn, r.write_lsn) - r.write_lsn)::double precision                               AS write_lag_bytes
     , pg_catalog.max(greatest(here.lsn, r.flush_lsn) - r.flush_lsn)::double precision                               AS flush_lag_bytes
     , pg_catalog.max(greatest(here.lsn, r.replay_lsn) - r.replay_lsn)::double precision                             AS replay_lag_bytes
     , extract(epoch FROM pg_catalog.max(r.write_lag))::double precision                                             AS write_lag_seconds
     , extract(epoch FROM pg_catalog.max(r.flush_lag) FILTER (WHERE r.flush_lsn IS NOT NULL))::double precision      AS flush_lag_seconds
     , extract(epoch FROM pg_catalog.max(r.replay_lag) FILTER (WHERE r.replay_lsn IS NOT NULL))::double precision    AS replay_lag_seconds
     , extract(epoch FROM pg_catalog.min(r.reply_time))::double precision                                            AS last_reply_timestamp_seconds
     , extract(epoch FROM pg_catalog.max(r.backend_start))::double precision                                         AS connected_timestamp_seconds
  FROM pg_catalog.pg_stat_replication AS r
 CROSS JOIN (
       SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                   THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                   ELSE pg_catalog.pg_current_wal_lsn()
              END AS lsn
       ) AS here
  LEFT JOIN (
       SELECT active_pid
            , pg_catalog.max(slot_name::text) FILTER (WHERE NOT temporary)                             AS slot_name
            , pg_catalog.max(slot_type)                                                                AS slot_type
            , pg_catalog.bool_or(temporary AND pg_catalog.starts_with(slot_name, 'pg_basebackup_'))    AS backup
         FROM pg_catalog.pg_replication_slots
        GROUP BY 1
       ) AS s ON s.active_pid = r.pid
 WHERE r.state IN ('catchup', 'streaming', 'stopping')
   AND r.application_name IS DISTINCT FROM 'pg_basebackup'
   AND s.backup IS NOT TRUE
 GROUP BY 1, 2, 3, 4`}},
	Labels: []string{"application_name", "client_addr", "slot_name", "slot_type"},
	Metrics: []spec.Metric{
		{Name: "pending_bytes", Type: spec.Gauge, Help: "WAL not yet sent."},
		{Name: "write_lag_bytes", Type: spec.Gauge, Help: "WAL that the receiver has not yet written."},
		{Name: "flush_lag_bytes", Type: spec.Gauge, Help: "WAL that the receiver has not yet flushed."},
		{Name: "replay_lag_bytes", Type: spec.Gauge, Help: "WAL that the receiver has not yet replayed, absent where it never does."},
		{Name: "write_lag_seconds", Type: spec.Gauge, Help: "Time from flushing recent WAL here to its write there, absent while there is none."},
		{Name: "flush_lag_seconds", Type: spec.Gauge, Help: "Time from flushing recent WAL here to its flush there, absent while there is none."},
		{Name: "replay_lag_seconds", Type: spec.Gauge, Help: "Time from flushing recent WAL here to its replay there, absent while there is none."},
		{Name: "last_reply_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reply, by the receiver's clock."},
		{Name: "connected_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last connection."},
	},
}

// StatReplicationState counts the WAL senders by what they do, base backups and
// those about to begin included.
var StatReplicationState = spec.Collector{
	Name: "stat_replication_state", Of: "stat_replication", About: "Number of WAL senders by state and synchrony.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.regexp_replace(coalesce(application_name, ''), '_\d+_sync_\d+(_\d+)?$', '_sync')    AS application_name
     , coalesce(pg_catalog.host(client_addr), '')                                                     AS client_addr
     , state                                                                                          AS state
     , coalesce(sync_state, '')                                                                       AS sync_state
     , pg_catalog.count(*)::double precision                                                          AS senders
  FROM pg_catalog.pg_stat_replication
 WHERE state IS NOT NULL
 GROUP BY 1, 2, 3, 4`}},
	Labels:  []string{"application_name", "client_addr", "state", "sync_state"},
	Metrics: []spec.Metric{{Name: "senders", Type: spec.Gauge, Help: "WAL senders, of which base backups have the state backup."}},
}

// StatReplicationSync answers whether there are as many standbys as commits wait
// for, and whether there are any: it gives 0 where the others give no series. Only
// a receiver that replays is a standby here.
var StatReplicationSync = spec.Collector{
	Name: "stat_replication_sync", Of: "stat_replication", About: "Number of standbys, and of those that synchronous commits wait for.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 5, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN known THEN standbys END::double precision                                      AS standbys
     , CASE WHEN known THEN logical END::double precision                                       AS logical_receivers
     , CASE WHEN known THEN backups END::double precision                                       AS backups
     , CASE WHEN known AND NOT pg_catalog.pg_is_in_recovery() THEN sync END::double precision   AS sync_standbys
     , CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            WHEN names ~ '^\s*$' THEN 0
            ELSE coalesce(pg_catalog.substring(names, '(?i)^\s*(?:(?:first|any)\s+)?(\d+)\s*\('), '1')::double precision
       END                                                                                      AS sync_standbys_wanted
  FROM (SELECT pg_catalog.current_setting('synchronous_standby_names') AS names) AS setting
 CROSS JOIN (
       SELECT pg_catalog.count(*) = pg_catalog.count(state)                                         AS known
            , pg_catalog.count(*) FILTER (WHERE replay_lsn IS NOT NULL AND NOT logical)             AS standbys
            , pg_catalog.count(*) FILTER (WHERE state <> 'startup' AND logical)                     AS logical
            , pg_catalog.count(*) FILTER (WHERE state = 'backup')                                   AS backups
            , pg_catalog.count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))                   AS sync
         FROM (SELECT r.state
                    , r.replay_lsn
                    , r.sync_state
                    , EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s
                               WHERE s.active_pid = r.pid AND s.slot_type = 'logical') AS logical
                 FROM pg_catalog.pg_stat_replication AS r) AS sender
       ) AS senders`}},
	Metrics: []spec.Metric{
		{Name: "standbys", Type: spec.Gauge, Help: "Standbys connected, base backups and archivers of WAL not counted."},
		{Name: "logical_receivers", Type: spec.Gauge, Help: "Receivers connected to logical slots."},
		{Name: "backups", Type: spec.Gauge, Help: "Base backups being taken."},
		{Name: "sync_standbys", Type: spec.Gauge, Help: "Standbys that synchronous commits may count on now, absent on a standby."},
		{Name: "sync_standbys_wanted", Type: spec.Gauge, Help: "Standbys that synchronous commits wait for by synchronous_standby_names, absent on a standby."},
	},
}
