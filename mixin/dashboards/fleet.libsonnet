// All clusters at once: what fires, who is worst, and where to look.
local board = import '../lib/board.libsonnet';

function(c)
  local cluster = ['cluster', 'pg_cluster'];
  local to(uid, title) = board.link(c, uid, title, cluster);
  local whose = board.whose(c);
  // The rules say that nothing fires only where they are loaded.
  local firing(severity) = board.target('count(ALERTS{%%(alerts)s, severity="%s"}) or 0 * count(instance:pg_up:max3m{%%(cluster)s})' % severity, severity);
  local alertTile(title, severity, colour) = board.stat(title, 'Alerts that fire with the severity %s. Without the recording rules it says so, and not 0.' % severity, [firing(severity)], {
    thresholds: [[null, 'green'], [1, colour]],
    noValue: 'no rules',
  });
  local worst(title, description, expr, opt) = board.barGauge(title, description, [
    board.target('topk(10, %s)' % expr, whose + '{{instance}}'),
  ], { w: 8, h: 11, min: 0, link: board.instanceLink(c, 'series') } + opt);
  {
    title: 'Fleet',
    description: 'All PostgreSQL clusters: what fires, who is worst, and the way to each.',
    rows: [
      {
        title: 'Now',
        panels: [
          alertTile('Critical', 'critical', 'red'),
          alertTile('Warnings', 'warning', 'orange'),
          alertTile('Info', 'info', 'blue'),
          board.stat('Clusters', 'PostgreSQL clusters of which at least one member is watched.', [
            board.target('count(count by (%(byCluster)s) (instance:pg_up:max3m{%(cluster)s}))', 'clusters'),
          ]),
          board.stat('Servers up', 'Servers that answered in the last three minutes.', [
            board.target('sum(instance:pg_up:max3m{%(cluster)s})', 'up'),
          ]),
          board.stat('Servers down', 'Servers that did not answer for three minutes while the exporter did. A target that is not scraped at all is not among them: the exporter board has those.', [
            board.target('sum(1 - instance:pg_up:max3m{%(cluster)s})', 'down'),
          ], { thresholds: [[null, 'green'], [1, 'red']] }),
        ],
      },
      {
        title: 'Clusters',
        panels: [
          board.table('PostgreSQL clusters', 'One row a cluster, more where it has more than one primary. Lag is that of the standby furthest behind, not counted where a standby only replays an archive, since its age then says nothing. The backup is the last good one, of the stanza where that is oldest. Every cell leads further.', [
            board.target(|||
              max by (primary, short_version, %(byCluster)s) (
                label_replace(
                  (
                    max by (%(by)s, short_version) (pg_server_info{%(cluster)s})
                    and on (%(by)s)
                    instance:pg_primary:max{%(cluster)s} == 1
                  )
                  or on (%(by)s)
                  instance:pg_primary:max{%(cluster)s} == 1,
                  "primary", "$1", "instance", "(.+)"
                )
              )
            |||),
            board.target('sum by (%(byCluster)s) (instance:pg_up:max3m{%(cluster)s})'),
            board.target('sum by (%(byCluster)s) (1 - instance:pg_up:max3m{%(cluster)s})'),
            board.target('max by (%(byCluster)s) (pg_standby_lag_seconds{%(cluster)s, situation!="archive_only"})'),
            board.target('max by (%(byCluster)s) (instance:pg_connections_used:ratio{%(cluster)s})'),
            board.target('max by (%(byCluster)s) (instance:pg_xid_age:ratio_max{%(cluster)s})'),
            board.target('time() - min by (%(byCluster)s) (max by (tool, stanza, %(byCluster)s) (pg_backup_repository_last_good_timestamp_seconds{%(cluster)s}))'),
            board.target('sum by (%(byCluster)s) (database:pg_stat_database_xacts:rate5m{%(cluster)s})'),
            board.target('count by (%(byCluster)s) (ALERTS{%(alerts)s, severity="critical"}) or 0 * count by (%(byCluster)s) (instance:pg_up:max3m{%(cluster)s})'),
            board.target('count by (%(byCluster)s) (ALERTS{%(alerts)s, severity="warning"}) or 0 * count by (%(byCluster)s) (instance:pg_up:max3m{%(cluster)s})'),
          ], {
            columns: board.clusterColumns(c) + [
              { field: 'Value #I', title: 'Critical', link: to('cluster', 'Cluster'), thresholds: [[null, 'transparent'], [1, 'red']] },
              { field: 'Value #J', title: 'Warnings', link: to('cluster', 'Cluster'), thresholds: [[null, 'transparent'], [1, 'orange']] },
              { field: 'primary', title: 'Primary', link: board.link(c, 'instance', 'Primary', cluster + ['instance'], labels={ instance: 'primary' }) },
              { field: 'Value #B', title: 'Up', link: to('cluster', 'Cluster') },
              { field: 'Value #C', title: 'Down', link: to('cluster', 'Cluster'), thresholds: [[null, 'transparent'], [1, 'red']] },
              { field: 'Value #D', title: 'Lag', unit: 's', decimals: 1, link: to('replication', 'Replication'), thresholds: [[null, 'transparent'], [300, 'orange'], [1800, 'red']] },
              { field: 'Value #E', title: 'Connections', unit: 'percentunit', decimals: 0, link: to('instance', 'Instance'), thresholds: [[null, 'transparent'], [0.8, 'orange'], [0.95, 'red']] },
              { field: 'Value #F', title: 'XID', unit: 'percentunit', decimals: 0, link: to('vacuum', 'Vacuum'), thresholds: [[null, 'transparent'], [0.4, 'orange'], [0.6, 'red']] },
              { field: 'Value #G', title: 'Backup', unit: 's', decimals: 0, link: to('wal', 'Backups'), thresholds: [[null, 'transparent'], [26 * 3600, 'orange'], [52 * 3600, 'red']] },
              { field: 'Value #H', title: 'TPS', unit: 'ops', decimals: 1, link: to('databases', 'Databases') },
              { field: 'short_version', title: 'Version', link: to('instance', 'Instance') },
            ],
            sort: 'Critical',
            h: 12,
            noValue: 'no series: is something scraped, and are the recording rules loaded?',
          }),
          board.alerts(c),
        ],
      },
      {
        title: 'Traffic',
        panels: [
          board.timeseries('Transactions', 'Committed and rolled back, on all members, of the 20 clusters that have most at the end of the time range: another end shows others, and the list does not change within a range.', [
            board.target(|||
              sum by (%(byCluster)s) (database:pg_stat_database_xacts:rate5m{%(cluster)s})
              and on (%(byCluster)s)
              topk(20, sum by (%(byCluster)s) (database:pg_stat_database_xacts:rate5m{%(cluster)s} @ end()))
            |||, whose),
          ], { unit: 'ops', min: 0, link: board.link(c, 'cluster', 'Cluster', cluster, 'series') }),
          board.timeseries('WAL written', 'By primaries, of the 20 clusters that write most at the end of the time range.', [
            board.target(|||
              max by (%(byCluster)s) (instance:pg_wal_position_bytes:rate5m{%(cluster)s})
              and on (%(byCluster)s)
              topk(20, max by (%(byCluster)s) (instance:pg_wal_position_bytes:rate5m{%(cluster)s} @ end()))
            |||, whose),
          ], { unit: 'Bps', min: 0, link: board.link(c, 'wal', 'WAL', cluster, 'series') }),
        ],
      },
      {
        title: 'Worst ten now',
        panels: [
          worst('Connections', 'Connections in use, of those that ordinary users may have.', 'max by (%(by)s) (instance:pg_connections_used:ratio{%(cluster)s})', {
            unit: 'percentunit',
            max: 1,
            thresholds: [[null, 'green'], [0.8, 'orange'], [0.95, 'red']],
          }),
          worst('Lag', "Age of standbys' data at most; 0 while the upstream has nothing newer, however long it has been idle. Standbys that only replay an archive are not shown.", 'max by (%(by)s) (pg_standby_lag_seconds{%(cluster)s, situation!="archive_only"})', {
            unit: 's',
            thresholds: [[null, 'green'], [300, 'orange'], [1800, 'red']],
            noValue: 'no standby',
            emptyWhen: 'there is no standby, or all replay an archive only',
          }),
          worst('Transaction ids', 'Age of the oldest unfrozen transaction or multixact id; at 100 % the server stops taking writes.', 'max by (%(by)s) (instance:pg_xid_age:ratio_max{%(cluster)s})', {
            unit: 'percentunit',
            max: 1,
            thresholds: [[null, 'green'], [0.4, 'orange'], [0.6, 'red']],
          }),
        ],
      },
    ],
  }
