// Whether clients can still connect, and what those that have do to the others.
{
  // Reserved connections are not for those who are about to be refused, so they are not counted as room.
  PostgresConnectionsHigh: {
    group: 'connections',
    summary: 'Connections are running out.',
    description: |||
      {{ $value | humanizePercentage }} of the connections that ordinary users may have on {{ $labels.instance }} are
      taken. When all are, new logins are refused.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        instance:pg_connections_used:ratio > %(ratio)s
      ||| % l,
  },

  // Only users and databases that have a limit have these series.
  PostgresRoleConnectionLimit: {
    group: 'connections',
    summary: 'A user or a database is near its own connection limit.',
    description: |||
      {{ with $labels.rolname }}The user {{ . }}{{ end }}{{ with $labels.datname }}The database {{ . }}{{ end }} has
      {{ $value | humanizePercentage }} of its own connection limit on {{ $labels.instance }} in use. When all of it is,
      new logins of that user or to that database are refused, and no others.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s, rolname) (last_over_time(pg_connections_role_used{%(sel)s}[%(3m)s]))
        / on (%(by)s, rolname)
        (max by (%(by)s, rolname) (last_over_time(pg_connections_role_limit{%(sel)s}[%(3m)s])) >= %(limit)d)
        > %(ratio)s
        or on (%(by)s, rolname, datname)
        max by (%(by)s, datname) (last_over_time(pg_connections_database_used{%(sel)s, %(datname)s}[%(3m)s]))
        / on (%(by)s, datname)
        (max by (%(by)s, datname) (last_over_time(pg_connections_database_limit{%(sel)s, %(datname)s}[%(3m)s])) >= %(limit)d)
        > %(ratio)s
      ||| % l,
  },

  // Compared with the busiest server of the cluster in the same hour a week ago: a standby that was promoted has logins
  // that it did not have, and nights differ from days. Without that hour there is nothing to compare with.
  PostgresConnectionChurn: {
    group: 'connections',
    summary: 'Far more logins than usual.',
    description: |||
      {{ $value | humanize }} sessions a second are opened on {{ $labels.instance }}, many times what was usual in this
      hour a week ago. Each costs a process; most likely a client has stopped to pool its connections.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        sum by (%(by)s) (rate(pg_stat_database_sessions_total{%(sel)s}[%(15m)s])) > %(logins)s
        and on (%(by)s)
        sum by (%(by)s) (rate(pg_stat_database_sessions_total{%(sel)s}[%(15m)s]))
        > on (%(byCluster)s) group_left ()
        %(times)s * max by (%(byCluster)s) (sum by (%(by)s) (rate(pg_stat_database_sessions_total{%(sel)s}[%(1h)s] offset %(7d)s)))
      ||| % l,
  },

  // Time since the session went idle, not the age of its transaction, and only where it holds a transaction id or a
  // snapshot: others hold back nothing. On standbys PostgresXminHorizonOld tells, if they hold back the primary.
  PostgresIdleInTransaction: {
    group: 'connections',
    summary: 'A session is idle in a transaction and holds back vacuum.',
    description: |||
      A session on the database {{ $labels.datname }} of {{ $labels.instance }} has been idle in an open transaction for
      {{ $value | humanizeDuration }}. Vacuum cannot remove rows that died since, and others may wait for its locks.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s, datname) (last_over_time(pg_stat_activity_max_idle_in_transaction_with_xid_seconds{%(sel)s, backend_type="client backend"}[%(3m)s])) > %(oldest)d
        %(onPrimary)s
      ||| % (l { oldest: l.seconds(l.age) }),
  },
}
