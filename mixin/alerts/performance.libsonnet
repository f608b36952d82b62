// What makes users wait: transactions, locks, caches, checkpoints and input and output.
{
  PostgresLongTransaction: {
    group: 'performance',
    summary: 'A transaction has been open for very long.',
    description: |||
      A client's transaction in database {{ $labels.datname }} on {{ $labels.instance }} has been open for
      {{ $value | humanizeDuration }}. Vacuum cannot remove what it may still see, and its locks stay.
    |||,
    dashboard: 'instance',
    // Autovacuum and walsenders have a backend_type of their own. The last value of three minutes, here and below, since a
    // scrape that ran out of time lacks some.
    expr(l)::
      |||
        max by (%(by)s, datname) (last_over_time(pg_stat_activity_max_tx_duration_seconds{%(sel)s, %(datname)s, backend_type="client backend"}[%(3m)s])) > %(limit)d
        %(onPrimary)s
      ||| % (l { limit: l.seconds(l.age) }),
  },

  PostgresLongQuery: {
    group: 'performance',
    summary: 'A query has been running for hours.',
    description: |||
      A client's query in database {{ $labels.datname }} on {{ $labels.instance }} has been running for
      {{ $value | humanizeDuration }}. It may be meant to.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s, datname) (last_over_time(pg_stat_activity_max_query_duration_seconds{%(sel)s, %(datname)s, backend_type="client backend"}[%(3m)s])) > %(limit)d
      ||| % (l { limit: l.seconds(l.age) }),
  },

  PostgresLockWaitLong: {
    group: 'performance',
    summary: 'A session waits long for a lock.',
    description: |||
      A session on {{ $labels.instance }} has waited for a lock for {{ $value | humanizeDuration }}. Whoever uses it hangs,
      and so does everybody who queues behind it.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        instance:pg_locks_max_wait_seconds:max > %(limit)d
        and on (%(by)s)
        max by (%(by)s) (last_over_time(pg_locks_waiting_sessions{%(sel)s}[%(3m)s])) > %(waiters)d
      ||| % (l { limit: l.seconds(l.wait) }),
  },

  PostgresDeadlocks: {
    group: 'performance',
    summary: 'Transactions deadlock.',
    description: |||
      {{ $value | humanize }} transactions in database {{ $labels.datname }} on {{ $labels.instance }} were aborted within an
      hour to end a deadlock. Applications take the same locks in different order.
    |||,
    dashboard: 'databases',
    expr(l)::
      |||
        sum by (%(by)s, datname) (increase(pg_stat_database_deadlocks_total{%(sel)s, %(datname)s}[%(1h)s])) > %(count)d
      ||| % l,
  },

  PostgresRollbackRatioHigh: {
    group: 'performance',
    summary: 'Many transactions are rolled back.',
    description: |||
      {{ $value | humanizePercentage }} of the transactions in database {{ $labels.datname }} on {{ $labels.instance }} are
      rolled back. Unless the application ends its reads so, its users see errors.
    |||,
    dashboard: 'databases',
    // The row without a name is of the shared catalogs.
    expr(l)::
      |||
        sum by (%(by)s, datname) (rate(pg_stat_database_xact_rollback_total{%(sel)s, %(datname)s, datname!=""}[%(5m)s]))
        / on (%(by)s, datname)
        (database:pg_stat_database_xacts:rate5m > %(tps)g)
        > %(ratio)g
      ||| % l,
  },

  PostgresLockTableFull: {
    group: 'performance',
    summary: 'The lock table is nearly full.',
    description: |||
      The shared lock table of {{ $labels.instance }} is {{ $value | humanizePercentage }} full. When there is no room left,
      statements of all users fail with "out of shared memory".
    |||,
    dashboard: 'instance',
    // Objects and holds have a table each, and either may be full first.
    expr(l)::
      |||
        max by (%(by)s) (last_over_time(pg_locks_slots_used{%(sel)s}[%(3m)s])) / on (%(by)s) max by (%(by)s) (last_over_time(pg_locks_slots_limit{%(sel)s}[%(3m)s])) > %(ratio)g
        or on (%(by)s)
        max by (%(by)s) (last_over_time(pg_locks_holder_slots_used{%(sel)s}[%(3m)s])) / on (%(by)s) max by (%(by)s) (last_over_time(pg_locks_holder_slots_limit{%(sel)s}[%(3m)s])) > %(ratio)g
      ||| % l,
  },

  PostgresStatStatementsEvictions: {
    group: 'performance',
    summary: 'Statistics of statements are evicted.',
    description: |||
      pg_stat_statements on {{ $labels.instance }} has evicted entries {{ $value | humanize }} times in half an hour, a
      twentieth of them each time. What its statements cost is known in part only.
    |||,
    dashboard: 'queries',
    expr(l)::
      |||
        sum by (%(by)s) (increase(pg_stat_statements_deallocations_total{%(sel)s}[%(30m)s])) > %(count)d
      ||| % l,
  },

  PostgresCacheHitLow: {
    group: 'performance',
    summary: 'Few blocks are found in shared buffers.',
    description: |||
      {{ $labels.instance }} finds {{ $value | humanizePercentage }} of the blocks it needs in shared buffers and asks the
      system for many others. The data in use may have outgrown memory, or a query reads what it need not.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        instance:pg_stat_database_blks_hit:ratio_rate5m < %(ratio)g
        and on (%(by)s)
        sum by (%(by)s) (rate(pg_stat_database_blks_read_total{%(sel)s}[%(5m)s])) > %(blocks)d
        and on (%(by)s)
        time() - max by (%(by)s) (last_over_time(pg_postmaster_start_time_seconds{%(sel)s}[%(3m)s])) > %(limit)d
      ||| % (l { limit: l.seconds(l.uptime) }),
  },

  PostgresSlruOrBufferPinWaits: {
    group: 'performance',
    summary: 'Sessions wait for internal caches.',
    description: |||
      {{ $value | humanizePercentage }} of what active clients on {{ $labels.instance }} do is to wait for pinned buffers, or
      for lightweight locks while caches of transaction status read from disk. Everything is slow, and the disk is not why.
    |||,
    dashboard: 'instance',
    // Sessions that are not there have no sample, so the samples of a time are summed: their mean would be too high.
    expr(l)::
      local sessions(matcher) = 'sum by (%s) (sum_over_time(pg_stat_activity_count{%s, backend_type="client backend", state="active"%s}[%s]))' % [l.by, l.sel, matcher, l['15m']];
      |||
        (
          %(lwlock)s / on (%(by)s) %(all)s > %(ratio)g
          and on (%(by)s)
          sum by (%(by)s) (rate(pg_stat_slru_blks_read_total{%(sel)s}[%(15m)s])) > %(reads)d
          or on (%(by)s)
          %(pin)s / on (%(by)s) %(all)s > %(ratio)g
        )
        and on (%(by)s)
        %(all)s / on (%(by)s) max by (%(by)s) (count_over_time(pg_up{%(sel)s}[%(15m)s])) > %(active)d
      ||| % (l {
               all: sessions(''),
               lwlock: sessions(', wait_event_type="LWLock"'),
               pin: sessions(', wait_event_type="BufferPin"'),
             }),
  },

  PostgresCheckpointsRequested: {
    group: 'performance',
    summary: 'Checkpoints come for want of room.',
    description: |||
      {{ $value | humanizePercentage }} of the checkpoints on {{ $labels.instance }} begin before their time, most likely
      because max_wal_size is reached. Each makes whole pages be written to the WAL anew, so writes cost more than need be.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        instance:pg_stat_checkpointer_num_requested:ratio_rate1h > %(ratio)g
        and on (%(by)s)
        sum by (%(by)s) (increase(pg_stat_checkpointer_num_requested_total{%(sel)s}[%(1h)s])) > %(count)d
        %(onPrimary)s
      ||| % l,
  },

  PostgresCheckpointSlow: {
    group: 'performance',
    summary: 'Checkpoints take longer than planned.',
    description: |||
      Checkpoints on {{ $labels.instance }} take {{ $value | humanizeDuration }} on average, nearly checkpoint_timeout or
      more. Storage does not keep up with what is written, which commits feel, and recovery after a crash takes longer.
    |||,
    dashboard: 'wal',
    // The time of restartpoints is counted too, by which a server that was promoted would look slow: since 17 their number
    // stands apart.
    expr(l)::
      |||
        (
          sum by (%(by)s) (rate(pg_stat_checkpointer_write_seconds_total{%(sel)s}[%(2h)s]))
          + on (%(by)s) sum by (%(by)s) (rate(pg_stat_checkpointer_sync_seconds_total{%(sel)s}[%(2h)s]))
        )
        / on (%(by)s)
        (
          sum by (%(by)s) (rate(pg_stat_checkpointer_num_timed_total{%(sel)s}[%(2h)s]))
          + on (%(by)s) sum by (%(by)s) (rate(pg_stat_checkpointer_num_requested_total{%(sel)s}[%(2h)s]))
          + on (%(by)s) (
            sum by (%(by)s) (rate(pg_stat_checkpointer_restartpoints_done_total{%(sel)s}[%(2h)s]))
            or on (%(by)s) 0 * sum by (%(by)s) (rate(pg_stat_checkpointer_num_timed_total{%(sel)s}[%(2h)s]))
          )
          > 0
        )
        > on (%(by)s)
        max by (%(by)s) (last_over_time(pg_settings_checkpoint_timeout_seconds{%(sel)s}[%(3m)s]))
        * on (%(by)s)
        clamp_min(max by (%(by)s) (last_over_time(pg_settings_checkpoint_completion_target{%(sel)s}[%(3m)s])) + %(late)g, %(ratio)g)
        %(onPrimary)s
      ||| % l,
  },

  PostgresBackendFsync: {
    group: 'performance',
    summary: 'Backends must sync files themselves.',
    description: |||
      Sessions on {{ $labels.instance }} have called fsync {{ $value | humanize }} times within 15 minutes, because the
      checkpointer's queue was full. Each time a user waits for the disk.
    |||,
    dashboard: 'wal',
    // Since 16 in pg_stat_io, until 16 in pg_stat_bgwriter.
    expr(l)::
      |||
        sum by (%(by)s) (increase(pg_stat_io_fsyncs_total{%(sel)s, object="relation", backend_type!~"checkpointer|startup|standalone backend"}[%(15m)s])) > 0
        or on (%(by)s)
        sum by (%(by)s) (increase(pg_stat_bgwriter_buffers_backend_fsync_total{%(sel)s}[%(15m)s])) > 0
      ||| % l,
  },
}
