package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// ReplicationSlots answers which slot keeps WAL and old rows from being removed,
// and how much. A lost slot keeps nothing, so the numbers of that are absent. Synced
// slots are inactive by design. Temporary slots bear the process's number in
// their names, so they are added up under no name.
var ReplicationSlots = spec.Collector{
	Name: "replication_slots", About: "What replication slots keep from being removed, and their state.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 3000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN s.temporary THEN '' ELSE s.slot_name END::text                                                  AS slot_name
     , s.slot_type::text                                                                                         AS slot_type
     , coalesce(s.database, '')::text                                                                            AS datname
     , pg_catalog.max(greatest(here.lsn, s.restart_lsn) - s.restart_lsn)
       FILTER (WHERE s.wal_status <> 'lost')::double precision                                                   AS retained_bytes
     , pg_catalog.max(greatest(here.lsn, s.confirmed_flush_lsn) - s.confirmed_flush_lsn)
       FILTER (WHERE s.wal_status <> 'lost')::double precision                                                   AS confirmed_flush_lag_bytes
     , pg_catalog.min(s.safe_wal_size)::double precision                                                         AS safe_wal_size_bytes
     , pg_catalog.bool_or(s.active)::int::double precision                                                       AS active
     , pg_catalog.bool_or(s.temporary)::int::double precision                                                    AS temporary
     , pg_catalog.bool_or(s.conflicting)::int::double precision                                                  AS conflicting                       -- since 16
     , pg_catalog.bool_or(s.failover)::int::double precision                                                     AS failover                          -- since 17
     , pg_catalog.bool_or(s.synced)::int::double precision                                                       AS synced                            -- since 17
     , extract(epoch FROM pg_catalog.min(CASE WHEN NOT s.active THEN s.inactive_since END))::double precision    AS inactive_since_timestamp_seconds  -- since 17
     , pg_catalog.max(pg_catalog.age(s.xmin))
       FILTER (WHERE s.wal_status IS DISTINCT FROM 'lost')::double precision                                     AS xmin_age
     , pg_catalog.max(pg_catalog.age(s.catalog_xmin))
       FILTER (WHERE s.wal_status IS DISTINCT FROM 'lost')::double precision                                     AS catalog_xmin_age
  FROM pg_catalog.pg_replication_slots AS s
 CROSS JOIN (
       SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                   THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                   ELSE pg_catalog.pg_current_wal_lsn()
              END AS lsn
       ) AS here
 GROUP BY 1, 2, 3`}},
	Labels: []string{"slot_name", "slot_type", "datname"},
	Metrics: []spec.Metric{
		{Name: "retained_bytes", Type: spec.Gauge, Help: "WAL that the slot keeps, up to the position of this server."},
		{Name: "confirmed_flush_lag_bytes", Type: spec.Gauge, Help: "WAL that the consumer of a logical slot has not confirmed."},
		{Name: "safe_wal_size_bytes", Type: spec.Gauge, Help: "WAL that may be written before the slot is in danger of being lost, absent without max_slot_wal_keep_size."},
		{Name: "active", Type: spec.Gauge, Help: "Whether something is connected to the slot."},
		{Name: "temporary", Type: spec.Gauge, Help: "Whether the slot ends with its session."},
		{Name: "conflicting", Type: spec.Gauge, Help: "Whether a logical slot was lost to a recovery conflict, in 16 to anything."},
		{Name: "failover", Type: spec.Gauge, Help: "Whether the slot is to be synced to standbys."},
		{Name: "synced", Type: spec.Gauge, Help: "Whether the slot was synced from the primary, so that on a standby it is inactive by design."},
		{Name: "inactive_since_timestamp_seconds", Type: spec.Gauge, Help: "Unix time since when the slot is inactive, absent while it is active."},
		{Name: "xmin_age", Type: spec.Gauge, Help: "Age in transactions of the oldest transaction whose rows the slot keeps."},
		{Name: "catalog_xmin_age", Type: spec.Gauge, Help: "Age in transactions of the oldest transaction whose catalogue rows the slot keeps."},
	},
}

// ReplicationSlotsStatus reports whether the WAL that a slot needs is still there,
// and since 17 why a slot was invalidated.
var ReplicationSlotsStatus = spec.Collector{
	Name: "replication_slots_status", Of: "replication_slots", About: "Whether the WAL that a slot needs is still there.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT slot_name::text                          AS slot_name
     , slot_type::text                          AS slot_type
     , coalesce(wal_status, '')                 AS wal_status
     , ''::text                                 AS invalidation_reason    -- until 17
     , coalesce(invalidation_reason, '')        AS invalidation_reason    -- since 17
     , 1::double precision                      AS pg_replication_slots_wal_status
  FROM pg_catalog.pg_replication_slots
 WHERE NOT temporary`}},
	Labels: []string{"slot_name", "slot_type", "wal_status", "invalidation_reason"},
	Metrics: []spec.Metric{
		{Name: "pg_replication_slots_wal_status", Type: spec.Gauge, Help: "Always 1; wal_status says whether the WAL that the slot needs is still there."},
	},
}

// StatReplicationSlots reports what logical decoding had to spill to disk or
// could stream, slot by slot.
var StatReplicationSlots = spec.Collector{
	Name: "stat_replication_slots", Of: "replication_slots", About: "What logical slots decoded, spilled to disk and streamed.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 2000, Locks: "none"},
	Queries: []spec.Query{{Since: 14, SQL: `
SELECT s.slot_name::text                                    AS slot_name
     , s.spill_txns::double precision                       AS spill_transactions_total
     , s.spill_count::double precision                      AS spills_total
     , s.spill_bytes::double precision                      AS spill_bytes_total
     , s.stream_txns::double precision                      AS stream_transactions_total
     , s.stream_count::double precision                     AS streams_total
     , s.stream_bytes::double precision                     AS stream_bytes_total
     , s.total_txns::double precision                       AS transactions_total
     , s.total_bytes::double precision                      AS decoded_bytes_total
     , extract(epoch FROM s.stats_reset)::double precision  AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_replication_slots AS s
  JOIN pg_catalog.pg_replication_slots AS r ON r.slot_name = s.slot_name
 WHERE NOT r.temporary`}},
	Labels: []string{"slot_name"},
	Metrics: []spec.Metric{
		{Name: "spill_transactions_total", Type: spec.Counter, Help: "Transactions spilled to disk because they outgrew logical_decoding_work_mem."},
		{Name: "spills_total", Type: spec.Counter, Help: "Times transactions were spilled to disk."},
		{Name: "spill_bytes_total", Type: spec.Counter, Help: "Decoded bytes spilled to disk."},
		{Name: "stream_transactions_total", Type: spec.Counter, Help: "Transactions streamed before their end because they outgrew logical_decoding_work_mem."},
		{Name: "streams_total", Type: spec.Counter, Help: "Times transactions in progress were streamed."},
		{Name: "stream_bytes_total", Type: spec.Counter, Help: "Decoded bytes of transactions in progress that were streamed."},
		{Name: "transactions_total", Type: spec.Counter, Help: "Transactions decoded for output."},
		{Name: "decoded_bytes_total", Type: spec.Counter, Help: "Bytes decoded for output."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
