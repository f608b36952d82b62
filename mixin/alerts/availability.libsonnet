// Whether servers answer, and whether anybody would know.

// Collectors that alerts which page stand on. While one of them fails, these cannot fire.
local vital = std.join('|', [
  'server',
  'standby',
  'standby_lag',
  'stat_replication',
  'stat_replication_sync',
  'replication_slots',
  'replication_slots_status',
  'stat_archiver',
  'xid',
  'xid_limits',
  'connections',
]);

{
  PostgresDown: {
    group: 'availability',
    summary: 'PostgreSQL does not answer.',
    description: |||
      The exporter could not open or use a session on {{ $labels.instance }} in any scrape of three minutes. Clients most
      likely cannot either.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        instance:pg_up:max3m == 0
      ||| % l,
  },

  // A member is known if it answered within a day and is still a target, so a cluster that was removed is no outage. One
  // that is not scraped counts as down after ten minutes only: until then it is more likely that pgvigil is restarted,
  // and one pgvigil may watch many clusters.
  PostgresClusterDown: {
    group: 'availability',
    scope: 'cluster',
    summary: 'No server of a PostgreSQL cluster answers.',
    description: |||
      None of the {{ $value }} known servers of the cluster {{ $labels.pg_cluster }} answers or can be scraped. The
      databases in it are most likely gone for everybody.
    |||,
    dashboard: 'cluster',
    expr(l)::
      |||
        count by (%(byCluster)s) (
          max by (%(by)s) (max_over_time(pg_up{%(sel)s, %(clustered)s}[%(1d)s]))
          and on (%(by)s)
          max by (%(by)s) (max_over_time(up{%(sel)s, %(clustered)s}[%(3m)s]))
        )
        unless on (%(byCluster)s)
        count by (%(byCluster)s) (
          (
            max by (%(by)s) (max_over_time(pg_up{%(sel)s, %(clustered)s}[%(1d)s]))
            and on (%(by)s)
            max by (%(by)s) (max_over_time(up{%(sel)s, %(clustered)s}[%(10m)s])) == 1
          )
          unless on (%(by)s)
          instance:pg_up:max3m{%(clustered)s} == 0
        )
      ||| % l,
  },

  PostgresExporterDown: {
    group: 'availability',
    summary: 'The exporter cannot be scraped.',
    description: |||
      Prometheus gets no page for {{ $labels.instance }}, so no alert about it can fire. Whether PostgreSQL works is not
      known.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(up{%(sel)s}[%(3m)s])) == 0
      ||| % l,
  },

  PostgresTargetsMissing: {
    group: 'availability',
    scope: 'job',
    summary: 'There are fewer targets than an hour ago.',
    description: |||
      The job {{ $labels.job }} has lost {{ $value }} of its targets since an hour ago. If nobody removed them, nothing
      watches these servers any more, and no other alert will tell.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        (
          count by (%(byJob)s) (max by (%(by)s) (max_over_time(up{%(sel)s}[%(5m)s] offset %(1h)s)))
          - on (%(byJob)s)
          count by (%(byJob)s) (max by (%(by)s) (max_over_time(up{%(sel)s}[%(5m)s])))
        ) > 0
        or on (%(byJob)s)
        (
          count by (%(byJob)s) (max by (%(by)s) (max_over_time(up{%(sel)s}[%(5m)s] offset %(1h)s)))
          unless on (%(byJob)s)
          count by (%(byJob)s) (max by (%(by)s) (max_over_time(up{%(sel)s}[%(5m)s])))
        )
      ||| % l,
  },

  PostgresMonitoringBlind: {
    group: 'availability',
    summary: 'Collectors that alerts depend on are failing.',
    description: |||
      {{ $value }} collectors of roles, replication, transaction ids, archiving or connections fail on
      {{ $labels.instance }}. Alerts about these cannot fire, so their silence means nothing.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        count by (%(by)s) (
          min by (%(by)s, collector) (max_over_time(pgvigil_collector_success{%(sel)s, collector=~"%(vital)s"}[%(5m)s])) == 0
        )
        and on (%(by)s)
        instance:pg_up:max3m == 1
      ||| % (l { vital: vital }),
  },

  // Results that are too old are no success either: a collector that gets no turn is seen here as well.
  PostgresCollectorFailing: {
    group: 'availability',
    summary: 'A collector fails.',
    description: |||
      The collector {{ $labels.collector }} fails on {{ $labels.instance }}, in one database at least. What it shows is
      missing on boards, and alerts about it cannot fire.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        min by (%(by)s, collector) (max_over_time(pgvigil_collector_success{%(sel)s, collector!~"%(vital)s"}[%(5m)s])) == 0
        unless on (%(by)s)
        instance:pg_up:max3m == 0
      ||| % (l { vital: vital }),
  },

  PostgresScrapeSlow: {
    group: 'availability',
    summary: 'Scrapes run out of time.',
    description: |||
      {{ $value | humanizePercentage }} of the scrapes of {{ $labels.instance }} in fifteen minutes were answered at their
      deadline with something missing. Series have gaps, and alerts may come late.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        sum by (%(by)s) (increase(pgvigil_scrapes_late_total{%(sel)s}[%(15m)s]))
        / on (%(by)s)
        max by (%(by)s) (count_over_time(pg_up{%(sel)s}[%(15m)s]))
        > %(ratio)s
        and on (%(by)s)
        instance:pg_up:max3m == 1
      ||| % l,
  },

  // Label sets that are folded into one are no fault, however many they are. Two hours, since some collectors run once
  // an hour.
  PostgresExporterSeriesLimit: {
    group: 'availability',
    summary: 'A collector has more series than it may show.',
    description: |||
      The collector {{ $labels.collector }} found more on {{ $labels.instance }} than its limit of series, so it shows
      nothing. All else is shown as before.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        max by (%(by)s, collector) (increase(pgvigil_collector_failures_total{%(sel)s, reason="limit"}[%(2h)s])) > 0
      ||| % l,
  },

  PostgresExporterConfigReloadFailed: {
    group: 'availability',
    summary: 'The exporter could not load its configuration.',
    description: |||
      The exporter {{ $labels.instance }} refused its configuration when it was last told to load it, and goes on with the
      one before. New targets are not watched, and the file would not survive a restart.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pgvigil_config_last_reload_successful{%(sel)s}[%(5m)s])) == 0
      ||| % l,
  },

  PostgresPermissionMissing: {
    group: 'availability',
    summary: 'Collectors are skipped because a grant is missing.',
    description: |||
      {{ $value }} collectors do not run on {{ $labels.instance }} because the exporter's role lacks a grant. What they
      show is missing on boards, and alerts about it cannot fire.
    |||,
    dashboard: 'exporter',
    expr(l)::
      |||
        count by (%(by)s) (
          max by (%(by)s, collector) (max_over_time(pgvigil_collector_skipped{%(sel)s, reason="privilege", collector!~"%(optional)s"}[%(5m)s])) == 1
        )
      ||| % l,
  },

  // A server that was not there before is new, not restarted. A demotion restarts the server too; PostgresRoleChanged
  // tells of that.
  PostgresRestarted: {
    group: 'availability',
    summary: 'PostgreSQL was restarted.',
    description: |||
      {{ $labels.instance }} was started {{ $value | humanizeDuration }} ago and its role is the same as before. All
      sessions were lost, and its cache is cold.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        time() - max by (%(by)s) (last_over_time(pg_postmaster_start_time_seconds{%(sel)s}[%(3m)s])) < %(window)d
        and on (%(by)s)
        max by (%(by)s) (last_over_time(pg_postmaster_start_time_seconds{%(sel)s}[%(3m)s])) > on (%(by)s) min by (%(by)s) (min_over_time(pg_postmaster_start_time_seconds{%(sel)s}[%(1d)s]))
        unless on (%(by)s)
        max by (%(by)s) (max_over_time(pg_replication_is_replica{%(sel)s}[%(30m)s])) > on (%(by)s) min by (%(by)s) (min_over_time(pg_replication_is_replica{%(sel)s}[%(30m)s]))
      ||| % (l { window: l.seconds('15m') }),
  },

  // When a server process dies, all others are ended and the crash is recovered from, but the start time stays: only the
  // processes are new. Counters that begin anew would not do: Thanos makes one series of two replicas, without resets.
  PostgresCrashRestart: {
    group: 'availability',
    summary: 'PostgreSQL restarts again and again.',
    description: |||
      {{ $labels.instance }} was started or recovered from a crash {{ $value }} times within an hour. Each time all
      sessions are lost.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s) (changes(pg_postmaster_start_time_seconds{%(sel)s}[%(1h)s])) > %(restarts)d
        or on (%(by)s)
        max by (%(by)s) (changes(pg_server_checkpointer_start_timestamp_seconds{%(sel)s}[%(1h)s])) > %(restarts)d
      ||| % l,
  },

  // Of a job: it proves that targets are found and scraped, that rules are evaluated, and that notices arrive.
  PostgresDeadMansSwitch: {
    group: 'availability',
    scope: 'job',
    summary: 'Alerting works.',
    description: |||
      This alert fires always, for {{ $value }} targets of the job {{ $labels.job }}. Have something outside tell you when
      it stops.
    |||,
    dashboard: 'fleet',
    expr(l)::
      |||
        count by (%(byJob)s) (max by (%(by)s) (max_over_time(up{%(sel)s}[%(5m)s]))) > 0
      ||| % l,
  },

  // A cluster that had no primary in a week is a standby cluster, fed by another. One that has just become one streams
  // with all that are to stream, and so do the standbys of a primary that only the exporter cannot reach. Then more of
  // them receive than standbys send to: those that feed each other get nothing from a primary.
  PostgresNoPrimary: {
    group: 'availability',
    scope: 'cluster',
    summary: 'A PostgreSQL cluster has no primary.',
    description: |||
      {{ $value }} servers of the cluster {{ $labels.pg_cluster }} answer and none of them is primary. Nothing can be
      written.
    |||,
    dashboard: 'cluster',
    expr(l)::
      |||
        count by (%(byCluster)s) (instance:pg_primary:max{%(clustered)s})
        unless on (%(byCluster)s)
        count by (%(byCluster)s) (instance:pg_primary:max{%(clustered)s} == 1)
        and on (%(byCluster)s)
        max by (%(byCluster)s) (max_over_time(pg_cluster:pg_primary:count{%(clustered)s}[%(7d)s])) > 0
        unless on (%(byCluster)s)
        (
          min by (%(byCluster)s) (
            max by (%(by)s) (max_over_time(pg_standby_receiver_connected{%(sel)s, %(clustered)s}[%(3m)s]))
            unless on (%(by)s)
            max by (%(by)s) (last_over_time(pg_standby_streaming_configured{%(sel)s, %(clustered)s}[%(3m)s])) == 0
          ) == 1
          and on (%(byCluster)s)
          sum by (%(byCluster)s) (max by (%(by)s) (max_over_time(pg_standby_receiver_connected{%(sel)s, %(clustered)s}[%(3m)s])))
          > on (%(byCluster)s)
          sum by (%(byCluster)s) (
            max by (%(by)s) (max_over_time(pg_stat_replication_standbys{%(sel)s, %(clustered)s}[%(3m)s]))
            %(onStandby)s
          )
        )
      ||| % l,
  },

  // Servers with another system identifier are another cluster, as in an upgrade by logical replication. Where the
  // identifier is not known the label alone decides. One that died was primary in its last three minutes as well: it has to
  // answer still, for a promoted standby may have been out of sight while it was one.
  PostgresMultiplePrimaries: {
    group: 'availability',
    scope: 'cluster',
    summary: 'A PostgreSQL cluster has more than one primary.',
    description: |||
      {{ $value }} servers of the cluster {{ $labels.pg_cluster }} take writes at the same time. Their data go apart, and
      what one of them took will be lost.
    |||,
    dashboard: 'cluster',
    expr(l)::
      |||
        max by (%(byCluster)s) (
          count by (%(byCluster)s, system_identifier) (
            (
              max by (%(by)s, system_identifier) (max_over_time(pg_server_info{%(sel)s, %(clustered)s}[%(3m)s]))
              or on (%(by)s)
              max by (%(by)s) (max_over_time(pg_up{%(sel)s, %(clustered)s}[%(3m)s]))
            )
            and on (%(by)s)
            max by (%(by)s) (max_over_time(pg_replication_is_replica{%(sel)s, %(clustered)s}[%(3m)s])) == 0
            and on (%(by)s)
            max by (%(by)s) (max_over_time(pg_up{%(sel)s, %(clustered)s}[%(2m)s])) == 1
          ) > 1
        )
      ||| % l,
  },
}
