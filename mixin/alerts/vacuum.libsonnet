// Whether vacuum keeps up: with wraparound, with dead rows, with statistics, and what keeps it from that. All of these are
// facts of a primary, which standbys repeat.
{
  PostgresXidWraparound: {
    group: 'vacuum',
    summary: 'Transaction ids are running out.',
    description: |||
      The oldest transaction or multixact id on {{ $labels.instance }} has reached {{ $value | humanizePercentage }} of the
      age at which the server refuses all writing. From there only vacuum helps, which takes hours.
    |||,
    dashboard: 'vacuum',
    expr(l)::
      |||
        instance:pg_xid_age:ratio_max > %(threshold)g
        %(onPrimary)s
      ||| % l,
  },

  PostgresFreezeNotKeepingUp: {
    group: 'vacuum',
    summary: 'Autovacuum does not keep up with freezing.',
    description: |||
      {{ $value }} databases of {{ $labels.instance }} are far past the age at which autovacuum is forced, and their age
      still grows. If that goes on the server comes to refuse all writing.
    |||,
    dashboard: 'vacuum',
    // Growing is above the mean of six hours. Templates count: they hold back the server like any other database.
    expr(l)::
      local age(metric, limit) = |||
        (
          max by (%(by)s, datname) (last_over_time(%(metric)s{%(sel)s}[%(3m)s]))
          > on (%(by)s) group_left ()
          %(threshold)g * max by (%(by)s) (last_over_time(%(limit)s{%(sel)s}[%(3m)s]))
          and on (%(by)s, datname)
          max by (%(by)s, datname) (avg_over_time(%(metric)s{%(sel)s}[%(1h)s]))
          > on (%(by)s, datname)
          max by (%(by)s, datname) (avg_over_time(%(metric)s{%(sel)s}[%(6h)s]))
        )
      ||| % (l { metric: metric, limit: limit });
      'count by (%(by)s) (\n' % l +
      age('pg_xid_datfrozenxid_age', 'pg_xid_freeze_max_age') +
      'or on (%(by)s, datname)\n' % l +
      age('pg_xid_datminmxid_age', 'pg_xid_multixact_freeze_max_age') +
      ') > 0\n%(onPrimary)s' % l,
  },

  PostgresXminHorizonOld: {
    group: 'vacuum',
    summary: 'Something has kept vacuum from removing rows for a day.',
    description: |||
      On {{ $labels.instance }} a holder of kind {{ $labels.holder }} has needed old row versions for more than a day.
      Vacuum removes nothing that died since then, so tables grow and queries become slow.
    |||,
    dashboard: 'vacuum',
    // Since when a slot or a standby holds is not known: it is more than a day if the age is more than the ids of a day.
    // That needs a day of history.
    expr(l)::
      |||
        (
          max by (%(by)s, holder) (last_over_time(pg_xmin_horizon_transaction_seconds{%(sel)s}[%(3m)s])) > %(seconds)d
          or on (%(by)s, holder)
          (
            max by (%(by)s, holder) (last_over_time(pg_xmin_horizon_age{%(sel)s, holder=~"replication_slot|replication_slot_catalog|standby_feedback"}[%(3m)s]))
            > on (%(by)s) group_left ()
            max by (%(by)s) (increase(pg_xid_transaction_ids_total{%(sel)s}[%(window)s]))
            and on (%(by)s)
            max_over_time(pg_xid_stop_age{%(sel)s}[%(1h)s] offset %(window)s)
          )
        )
        and on (%(by)s, holder)
        max by (%(by)s, holder) (last_over_time(pg_xmin_horizon_age{%(sel)s}[%(3m)s])) > %(ids)d
        %(onPrimary)s
      ||| % (l { seconds: l.seconds(l.age), window: l.scaled(l.age) }),
  },

  PostgresPreparedXactOld: {
    group: 'vacuum',
    summary: 'A prepared transaction was forgotten.',
    description: |||
      A transaction in {{ $labels.datname }} on {{ $labels.instance }} was prepared {{ $value | humanizeDuration }} ago and
      neither committed nor rolled back. It keeps its locks and holds back vacuum, also over a restart.
    |||,
    dashboard: 'vacuum',
    expr(l)::
      |||
        max by (%(by)s, datname) (last_over_time(pg_prepared_xacts_max_age_seconds{%(sel)s}[%(3m)s])) > %(seconds)d
        %(onPrimary)s
      ||| % (l { seconds: l.seconds(l.age) }),
  },

  PostgresAutovacuumSaturated: {
    group: 'vacuum',
    summary: 'All autovacuum workers have been busy for hours.',
    description: |||
      {{ $value | humanizePercentage }} of the autovacuum workers of {{ $labels.instance }} are busy, and more tables are due
      than there are workers. Tables are vacuumed late, so they grow and plans become worse.
    |||,
    dashboard: 'vacuum',
    // Since 18 there may be fewer slots than autovacuum_max_workers.
    expr(l)::
      |||
        max by (%(by)s) (avg_over_time(pg_autovacuum_workers{%(sel)s}[%(30m)s]))
        / on (%(by)s)
        (
          max by (%(by)s) (last_over_time(pg_autovacuum_worker_slots{%(sel)s}[%(3m)s])) < on (%(by)s) max by (%(by)s) (last_over_time(pg_autovacuum_max_workers{%(sel)s}[%(3m)s]))
          or on (%(by)s)
          max by (%(by)s) (last_over_time(pg_autovacuum_max_workers{%(sel)s}[%(3m)s]))
        )
        >= %(threshold)g
        and on (%(by)s)
        (
          sum by (%(by)s) (last_over_time(pg_autovacuum_vacuum_due_tables{%(sel)s}[%(3m)s])) > on (%(by)s) max by (%(by)s) (last_over_time(pg_autovacuum_max_workers{%(sel)s}[%(3m)s]))
          or on (%(by)s)
          sum by (%(by)s) (last_over_time(pg_autovacuum_insert_due_tables{%(sel)s}[%(3m)s])) > on (%(by)s) max by (%(by)s) (last_over_time(pg_autovacuum_max_workers{%(sel)s}[%(3m)s]))
          or on (%(by)s)
          sum by (%(by)s) (last_over_time(pg_autovacuum_freeze_due_tables{%(sel)s}[%(3m)s])) > on (%(by)s) max by (%(by)s) (last_over_time(pg_autovacuum_max_workers{%(sel)s}[%(3m)s]))
        )
        %(onPrimary)s
      ||| % l,
  },

  PostgresAutovacuumDisabled: {
    group: 'vacuum',
    summary: 'Autovacuum is off.',
    description: |||
      Autovacuum or track_counts is off on {{ $labels.instance }}. Dead rows are not removed and statistics not renewed
      unless somebody does it by hand; only to prevent wraparound does it still run.
    |||,
    dashboard: 'vacuum',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_autovacuum_enabled{%(sel)s}[%(5m)s])) == 0
        %(onPrimary)s
      ||| % l,
  },

  PostgresDeadTuplesHigh: {
    group: 'vacuum',
    summary: 'Large tables have too many dead rows.',
    description: |||
      {{ $value }} large tables in {{ $labels.datname }} on {{ $labels.instance }} have for hours had far more dead rows than
      make autovacuum take them. They grow, and queries on them become slow.
    |||,
    dashboard: 'vacuum',
    // A table that was vacuumed has no ratio any more. Partitions and catalogs have no size of their own: they count where that much of the database is due all the time.
    expr(l)::
      |||
        (
          count by (%(by)s, datname) (
            min_over_time(pg_autovacuum_table_vacuum_ratio{%(sel)s}[%(3h)s]) >= %(ratio)g
            and on (%(by)s, datname, schemaname, relname)
            last_over_time(pg_autovacuum_table_vacuum_ratio{%(sel)s}[%(3m)s])
            and on (%(by)s, datname, schemaname, relname)
            last_over_time(pg_stat_user_tables_table_size_bytes{%(sel)s}[%(3m)s]) > %(bytes)d
          )
          or on (%(by)s, datname)
          (
            count by (%(by)s, datname) (
              min_over_time(pg_autovacuum_table_vacuum_ratio{%(sel)s}[%(3h)s]) >= %(ratio)g
              and on (%(by)s, datname, schemaname, relname)
              last_over_time(pg_autovacuum_table_vacuum_ratio{%(sel)s}[%(3m)s])
              unless on (%(by)s, datname, schemaname, relname)
              last_over_time(pg_stat_user_tables_table_size_bytes{%(sel)s}[%(3m)s])
            )
            and on (%(by)s, datname)
            max by (%(by)s, datname) (min_over_time(pg_autovacuum_vacuum_due_bytes{%(sel)s}[%(3h)s])) > %(bytes)d
          )
        )
        %(onPrimary)s
      ||| % l,
  },

  PostgresStatsStale: {
    group: 'vacuum',
    summary: 'Statistics of large tables are old.',
    description: |||
      {{ $value }} large tables in {{ $labels.datname }} on {{ $labels.instance }} have for hours had far more changed rows
      than make autovacuum analyze them. Plans rest on what the tables were like before.
    |||,
    dashboard: 'vacuum',
    expr(l)::
      |||
        count by (%(by)s, datname) (
          min_over_time(pg_autovacuum_table_analyze_ratio{%(sel)s}[%(6h)s]) >= %(ratio)g
          and on (%(by)s, datname, schemaname, relname)
          last_over_time(pg_autovacuum_table_analyze_ratio{%(sel)s}[%(3m)s])
          and on (%(by)s, datname, schemaname, relname)
          last_over_time(pg_stat_user_tables_table_size_bytes{%(sel)s}[%(3m)s]) > %(bytes)d
        )
        %(onPrimary)s
      ||| % l,
  },
}
