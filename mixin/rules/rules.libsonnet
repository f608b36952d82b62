// Recording rules: only what alerts, the fleet board and the cluster board share, none by relation, query or user. Named
// level:metric:operations, as Prometheus' documentation has it. Three minutes, where an instance may be gone or change:
// two Prometheus servers that disagree about one scrape must not make an alert flap.
local promql = import '../lib/promql.libsonnet';

{
  local c = $._config,
  local q = promql.query(c),
  local rule(name, expr) = { record: name, expr: std.stripChars(expr % q, ' \n') },

  prometheusRules+:: {
    groups+: [
      {
        name: 'pgvigil-rules-instance',
        interval: c.interval,
        rules: [
          rule('instance:pg_up:max3m', 'max by (%(by)s) (max_over_time(pg_up{%(sel)s}[%(3m)s]))'),
          // 1 on a primary, 0 on a standby: who was primary in any scrape of the last minutes is.
          rule('instance:pg_primary:max', '1 - min by (%(by)s) (min_over_time(pg_replication_is_replica{%(sel)s}[%(3m)s]))'),
          // Of what ordinary users may have: without both reservations. The last values of three minutes here and below: a scrape
          // that ran out of time lacks some, and would make an alert wait anew.
          rule('instance:pg_connections_used:ratio', 'max by (%(by)s) (last_over_time(pg_connections_used{%(sel)s}[%(3m)s])) / on (%(by)s) max by (%(by)s) (last_over_time(pg_connections_max_ordinary{%(sel)s}[%(3m)s]))'),
          rule('instance:pg_stat_database_xact_commit:rate5m', 'sum by (%(by)s) (rate(pg_stat_database_xact_commit_total{%(sel)s}[%(5m)s]))'),
          rule('instance:pg_stat_database_xact_rollback:rate5m', 'sum by (%(by)s) (rate(pg_stat_database_xact_rollback_total{%(sel)s}[%(5m)s]))'),
          rule('instance:pg_stat_database_blks_hit:ratio_rate5m', |||
            sum by (%(by)s) (rate(pg_stat_database_blks_hit_total{%(sel)s}[%(5m)s]))
            / on (%(by)s)
            (
              sum by (%(by)s) (rate(pg_stat_database_blks_hit_total{%(sel)s}[%(5m)s]))
              + on (%(by)s) sum by (%(by)s) (rate(pg_stat_database_blks_read_total{%(sel)s}[%(5m)s]))
              > 0
            )
          |||),
          // A position does not begin at 0: one that falls, as after pg_rewind, would count as terabytes. On series that Thanos
          // has deduplicated resets() is 0, so the fall is seen by the values.
          rule('instance:pg_wal_position_bytes:rate5m', |||
            max by (%(by)s) (rate(pg_wal_position_bytes_total{%(sel)s}[%(5m)s]))
            unless on (%(by)s)
            (
              max by (%(by)s) (max_over_time(pg_wal_position_bytes_total{%(sel)s}[%(5m)s]))
              > on (%(by)s) max by (%(by)s) (last_over_time(pg_wal_position_bytes_total{%(sel)s}[%(5m)s]))
            )
          |||),
          // As the primary sees it: the standby that is furthest behind.
          rule('instance:pg_stat_replication_replay_lag_bytes:max', 'max by (%(by)s) (last_over_time(pg_stat_replication_replay_lag_bytes{%(sel)s, slot_type="physical"}[%(3m)s]))'),
          // As the standby sees it.
          rule('instance:pg_standby_lag_seconds:max', 'max by (%(by)s) (last_over_time(pg_standby_lag_seconds{%(sel)s, situation!="archive_only"}[%(3m)s]))'),
          rule('instance:pg_replication_slots_retained_bytes:max', 'max by (%(by)s) (last_over_time(pg_replication_slots_retained_bytes{%(sel)s}[%(3m)s]))'),
          // Transaction ids and multixacts, whichever is further; 1 is where the server stops.
          rule('instance:pg_xid_age:ratio_max', |||
            max by (%(by)s) (
              label_replace(max by (%(by)s, datname) (last_over_time(pg_xid_datfrozenxid_age{%(sel)s}[%(3m)s])) / on (%(by)s) group_left () max by (%(by)s) (last_over_time(pg_xid_stop_age{%(sel)s}[%(3m)s])), 'of', 'xid', '', '')
              or
              label_replace(max by (%(by)s, datname) (last_over_time(pg_xid_datminmxid_age{%(sel)s}[%(3m)s])) / on (%(by)s) group_left () max by (%(by)s) (last_over_time(pg_xid_multixact_stop_age{%(sel)s}[%(3m)s])), 'of', 'multixact', '', '')
            )
          |||),
          rule('instance:pg_xmin_horizon_transaction_seconds:max', 'max by (%(by)s) (last_over_time(pg_xmin_horizon_transaction_seconds{%(sel)s}[%(3m)s]))'),
          rule('instance:pg_stat_checkpointer_num_requested:ratio_rate1h', |||
            sum by (%(by)s) (rate(pg_stat_checkpointer_num_requested_total{%(sel)s}[%(1h)s]))
            / on (%(by)s)
            (
              sum by (%(by)s) (rate(pg_stat_checkpointer_num_requested_total{%(sel)s}[%(1h)s]))
              + on (%(by)s) sum by (%(by)s) (rate(pg_stat_checkpointer_num_timed_total{%(sel)s}[%(1h)s]))
              > 0
            )
          |||),
          rule('instance:pg_stat_database_temp_bytes:rate5m', 'sum by (%(by)s) (rate(pg_stat_database_temp_bytes_total{%(sel)s}[%(5m)s]))'),
          rule('instance:pg_locks_max_wait_seconds:max', 'max by (%(by)s) (last_over_time(pg_locks_max_wait_seconds{%(sel)s}[%(3m)s]))'),
          // Over all scrapes that answered, not over those in which a series was there: most come and go.
          rule('instance:pg_stat_activity_active:avg5m', |||
            sum by (%(by)s) (sum_over_time(pg_stat_activity_count{%(sel)s, state="active", backend_type="client backend"}[%(5m)s]))
            / on (%(by)s)
            (max by (%(by)s) (sum_over_time(pg_up{%(sel)s}[%(5m)s])) > 0)
          |||),
          rule('instance:scrape_duration_seconds:avg5m', 'max by (%(by)s) (avg_over_time(scrape_duration_seconds{%(sel)s}[%(5m)s]))'),
          rule('instance:pgbouncer_pools_client_maxwait_seconds:max', 'max by (%(by)s) (last_over_time(pgbouncer_pools_client_maxwait_seconds{%(sel)s}[%(3m)s]))'),
        ],
      },
      {
        name: 'pgvigil-rules-database',
        interval: c.interval,
        rules: [
          rule('database:pg_stat_database_xacts:rate5m', |||
            sum by (%(by)s, datname) (rate(pg_stat_database_xact_commit_total{%(sel)s, %(datname)s}[%(5m)s]))
            + on (%(by)s, datname) sum by (%(by)s, datname) (rate(pg_stat_database_xact_rollback_total{%(sel)s, %(datname)s}[%(5m)s]))
          |||),
        ],
      },
      {
        name: 'pgvigil-rules-cluster',
        interval: c.interval,
        rules: [
          rule('pg_cluster:pg_primary:count', 'count by (%(byCluster)s) (instance:pg_primary:max == 1 and on (%(by)s) instance:pg_up:max3m == 1)'),
          rule('pg_cluster:pg_up:count', 'count by (%(byCluster)s) (instance:pg_up:max3m)'),
        ],
      },
    ],
  },
}
