package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatSubscription answers whether subscriptions run, how far they are, and what
// they stumble over. One that is enabled and has no apply worker is down, or
// between two tries: a worker that fails ends, and is started anew.
//
// Statistics know subscriptions by oid, which 13 shows to superusers alone, so
// workers are found by their database and the subscription's name. A standby has
// its primary's subscriptions and runs none of them.
var StatSubscription = spec.Collector{
	Name: "stat_subscription", About: "Subscriptions of logical replication: workers, positions, errors and conflicts.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Role: spec.Primary},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 5000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH worker AS (
SELECT a.datid                                                                         AS datid
     , w.subname                                                                       AS subname
     , pg_catalog.count(*) FILTER (WHERE w.relid IS NULL)                              AS apply                                 -- until 16
     , pg_catalog.count(*) FILTER (WHERE w.relid IS NULL AND w.leader_pid IS NULL)     AS apply                                 -- since 16
     , pg_catalog.count(w.leader_pid)                                                  AS parallel_apply                        -- since 16
     , pg_catalog.count(w.relid)                                                       AS table_synchronization
     , pg_catalog.max(w.received_lsn - '0/0') FILTER (WHERE w.relid IS NULL)           AS received
     , pg_catalog.max(w.last_msg_send_time) FILTER (WHERE w.relid IS NULL)             AS message_sent
     , pg_catalog.max(w.last_msg_receipt_time) FILTER (WHERE w.relid IS NULL)          AS message_received
     , pg_catalog.max(w.latest_end_lsn - '0/0') FILTER (WHERE w.relid IS NULL)         AS latest_end
     , pg_catalog.max(w.latest_end_time) FILTER (WHERE w.relid IS NULL)                AS latest_end_time
  FROM pg_catalog.pg_stat_subscription AS w
  JOIN pg_catalog.pg_stat_get_activity(NULL::integer) AS a ON a.pid = w.pid
 GROUP BY a.datid, w.subname
)
SELECT d.datname::text                                                                 AS datname
     , u.subname::text                                                                 AS subname
     , u.subenabled::int::double precision                                             AS enabled
     , coalesce(w.apply, 0)::double precision                                          AS apply_workers
     , coalesce(w.parallel_apply, 0)::double precision                                 AS parallel_apply_workers                -- since 16
     , coalesce(w.table_synchronization, 0)::double precision                          AS table_synchronization_workers
     , w.received::double precision                                                    AS received_position_bytes_total
     , extract(epoch FROM w.message_sent)::double precision                            AS last_message_send_timestamp_seconds
     , extract(epoch FROM w.message_received)::double precision                        AS last_message_receipt_timestamp_seconds
     , w.latest_end::double precision                                                  AS latest_end_position_bytes_total
     , extract(epoch FROM w.latest_end_time)::double precision                         AS latest_end_timestamp_seconds
     , e.apply_error_count::double precision                                           AS apply_errors_total                    -- since 15
     , e.sync_error_count::double precision                                            AS sync_errors_total                     -- since 15
     , e.confl_insert_exists::double precision                                         AS confl_insert_exists_total             -- since 18
     , e.confl_update_origin_differs::double precision                                 AS confl_update_origin_differs_total     -- since 18
     , e.confl_update_exists::double precision                                         AS confl_update_exists_total             -- since 18
     , e.confl_update_missing::double precision                                        AS confl_update_missing_total            -- since 18
     , e.confl_delete_origin_differs::double precision                                 AS confl_delete_origin_differs_total     -- since 18
     , e.confl_delete_missing::double precision                                        AS confl_delete_missing_total            -- since 18
     , e.confl_multiple_unique_conflicts::double precision                             AS confl_multiple_unique_conflicts_total -- since 18
     , extract(epoch FROM e.stats_reset)::double precision                             AS stats_reset_timestamp_seconds         -- since 15
  FROM pg_catalog.pg_subscription AS u
  JOIN pg_catalog.pg_database AS d ON d.oid = u.subdbid
  LEFT JOIN worker AS w ON w.datid = u.subdbid AND w.subname = u.subname
  LEFT JOIN LATERAL pg_catalog.pg_stat_get_subscription_stats(u.oid) AS e ON true                                               -- since 15`}},
	Labels: []string{"datname", "subname"},
	Metrics: []spec.Metric{
		{Name: "enabled", Type: spec.Gauge, Help: "Whether the subscription is to run."},
		{Name: "apply_workers", Type: spec.Gauge, Help: "Whether the worker that receives and applies changes is there."},
		{Name: "parallel_apply_workers", Type: spec.Gauge, Help: "Workers that apply large transactions beside it."},
		{Name: "table_synchronization_workers", Type: spec.Gauge, Help: "Workers that make the first copy of a table."},
		{Name: "received_position_bytes_total", Type: spec.Counter, Help: "Position in the publisher's WAL up to which changes were received."},
		{Name: "last_message_send_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which the publisher sent its last message, by its clock."},
		{Name: "last_message_receipt_timestamp_seconds", Type: spec.Gauge, Help: "Unix time at which that message was received."},
		{Name: "latest_end_position_bytes_total", Type: spec.Counter, Help: "Position in the publisher's WAL that was last reported back to it."},
		{Name: "latest_end_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of that report, by the publisher's clock."},
		{Name: "apply_errors_total", Type: spec.Counter, Help: "Times the application of changes failed."},
		{Name: "sync_errors_total", Type: spec.Counter, Help: "Times the first copy of a table failed."},
		{Name: "confl_insert_exists_total", Type: spec.Counter, Help: "Rows inserted whose unique key is there already, which stops the subscription."},
		{Name: "confl_update_origin_differs_total", Type: spec.Counter, Help: "Rows updated that somebody else had changed, counted with track_commit_timestamp."},
		{Name: "confl_update_exists_total", Type: spec.Counter, Help: "Rows updated whose new unique key is there already, which stops the subscription."},
		{Name: "confl_update_missing_total", Type: spec.Counter, Help: "Rows to be updated that are not there; the update is skipped."},
		{Name: "confl_delete_origin_differs_total", Type: spec.Counter, Help: "Rows deleted that somebody else had changed, counted with track_commit_timestamp."},
		{Name: "confl_delete_missing_total", Type: spec.Counter, Help: "Rows to be deleted that are not there; the delete is skipped."},
		{Name: "confl_multiple_unique_conflicts_total", Type: spec.Counter, Help: "Rows in conflict with several unique keys, which stops the subscription."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of errors and conflicts."},
	},
}

// StatSubscriptionTables answers which subscribed tables have not yet been copied.
// Only the database of a subscription knows its tables. Its name is read from the
// view of the workers, for 13 shows the oid of a subscription to superusers alone.
var StatSubscriptionTables = spec.Collector{
	Name: "stat_subscription_tables", Of: "stat_subscription", About: "Subscribed tables by the state of their first copy.",
	Scope: spec.PerDatabase,
	Needs: spec.Needs{Role: spec.Primary},
	Cost:  spec.Cost{Timeout: 2 * time.Second, Every: time.Minute, MaxSeries: 1000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT s.subname::text                           AS subname
     , CASE r.srsubstate WHEN 'i' THEN 'initialize'
                         WHEN 'd' THEN 'data copy'
                         WHEN 'f' THEN 'finished copy'
                         WHEN 's' THEN 'synchronized'
                         WHEN 'r' THEN 'ready'
                         ELSE r.srsubstate::text END
                                                 AS state
     , pg_catalog.count(*)::double precision     AS tables
  FROM pg_catalog.pg_subscription_rel AS r
  JOIN (SELECT DISTINCT w.subid, w.subname FROM pg_catalog.pg_stat_subscription AS w) AS s ON s.subid = r.srsubid
 GROUP BY 1, 2`}},
	Labels: []string{"subname", "state"},
	Metrics: []spec.Metric{
		{Name: "tables", Type: spec.Gauge, Help: "Tables of the subscription whose first copy is in this state; a ready one follows the publisher."},
	},
}
