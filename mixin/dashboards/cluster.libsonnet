// One primary with its standbys: who is what, who follows whom, and how the members compare.
local board = import '../lib/board.libsonnet';

function(c)
  local to(uid, title) = board.link(c, uid, title, ['cluster', 'pg_cluster', 'instance']);
  local toInstance = board.instanceLink(c, 'series');
  local whose = board.whose(c);
  local roles = board.values([[0, 'primary', 'green'], [1, 'standby', 'blue'], [2, 'down', 'red'], [3, 'unknown', 'orange']]);
  {
    title: 'Cluster',
    description: 'One PostgreSQL cluster: its members, their roles, and what flows between them.',
    variables: ['instance'],
    one: ['pg_cluster'],
    rows: [
      {
        title: 'Health',
        panels: [
          board.stat('Primary', 'Members that were primary in the last three minutes. A cluster of standbys only, which follows another cluster, has none; for a moment of a switchover there may be two.', [
            board.target('max by (%(by)s) (instance:pg_primary:max{%(cluster)s} == 1)', '{{instance}}'),
          ], { noValue: 'none', options: { textMode: 'name' }, link: toInstance, emptyWhen: 'the cluster has standbys only' }),
          board.stat('Members up', 'Members that answered in the last three minutes.', [
            board.target('sum by (%(byCluster)s) (instance:pg_up:max3m{%(cluster)s})', whose),
          ]),
          board.stat('Members down', 'Members that did not answer for three minutes while the exporter did.', [
            board.target('sum by (%(byCluster)s) (1 - instance:pg_up:max3m{%(cluster)s})', whose),
          ], { thresholds: [[null, 'green'], [1, 'red']] }),
          board.stat('Standbys streaming', 'Standbys connected to the primary.', [
            board.target('sum by (%(byCluster)s) (pg_stat_replication_standbys{%(cluster)s} and on (%(by)s) instance:pg_primary:max{%(cluster)s} == 1)', whose),
          ], { noValue: 'no primary', emptyWhen: 'the cluster has standbys only' }),
          board.stat('Synchronous standbys missing', 'Standbys that commits wait for and that are not there: more than 0, and commits hang.', [
            board.target('sum by (%(byCluster)s) (clamp_min(pg_stat_replication_sync_standbys_wanted{%(cluster)s} - pg_stat_replication_sync_standbys{%(cluster)s}, 0))', whose),
          ], { thresholds: [[null, 'green'], [1, 'red']], noValue: 'no primary', emptyWhen: 'the cluster has standbys only' }),
          board.stat('Lag', 'Age of the data of the standby furthest behind; 0 while the primary has nothing newer, however long it has been idle. Standbys that only replay an archive are not counted.', [
            board.target('max by (%(byCluster)s) (pg_standby_lag_seconds{%(cluster)s, situation!="archive_only"})', whose),
          ], { unit: 's', decimals: 1, thresholds: [[null, 'green'], [300, 'orange'], [1800, 'red']], noValue: 'no standby', emptyWhen: 'the cluster has no standby, or they replay an archive only' }),
          board.stat('Connections', 'Of the member with the largest part of its connections in use.', [
            board.target('max by (%(byCluster)s) (instance:pg_connections_used:ratio{%(cluster)s})', whose),
          ], { unit: 'percentunit', decimals: 0, thresholds: [[null, 'green'], [0.8, 'orange'], [0.95, 'red']] }),
          board.stat('Transaction ids', 'Age of the oldest unfrozen transaction or multixact id; at 100 % the server stops taking writes.', [
            board.target('max by (%(byCluster)s) (instance:pg_xid_age:ratio_max{%(cluster)s})', whose),
          ], { unit: 'percentunit', decimals: 0, thresholds: [[null, 'green'], [0.4, 'orange'], [0.6, 'red']] }),
          board.stat('Archiving', 'Whether the last attempt to archive failed, of the members that archive. An idle server archives nothing, which is no failure.', [
            board.target('max by (%(byCluster)s) (max_over_time(pg_stat_archiver_failing{%(cluster)s}[$__rate_interval]))', whose),
          ], { mappings: board.values([[0, 'works', 'green'], [1, 'fails', 'red']]), thresholds: [[null, 'green'], [1, 'red']], noValue: 'off', emptyWhen: 'no member archives' }),
          board.stat('Slots in danger', 'Slots whose WAL may go at the next checkpoint, or has gone.', [
            board.target('count by (%(byCluster)s) (pg_replication_slots_wal_status{%(cluster)s, wal_status=~"unreserved|lost"}) or 0 * count by (%(byCluster)s) (pg_up{%(cluster)s})', whose),
          ], { thresholds: [[null, 'green'], [1, 'red']] }),
          board.stat('Last good backup', 'Age of the last good backup, of the stanza where that is oldest.', [
            board.target('time() - min by (%(byCluster)s) (max by (tool, stanza, %(byCluster)s) (pg_backup_repository_last_good_timestamp_seconds{%(cluster)s}))', whose),
          ], { unit: 's', decimals: 0, thresholds: [[null, 'green'], [26 * 3600, 'orange'], [52 * 3600, 'red']], noValue: 'not watched', emptyWhen: 'no backup tool is watched' }),
        ],
      },
      {
        title: 'Roles',
        panels: [
          board.stateTimeline('Roles', 'Role of each member; down is where the exporter answered and the server did not, unknown where the server answered and its role could not be read. A gap is time without scrapes.', [
            board.target(|||
              min by (%(by)s) (min_over_time(pg_replication_is_replica{%(cluster)s}[$__rate_interval]))
              or on (%(by)s)
              max by (%(by)s) (max_over_time(pg_up{%(cluster)s}[$__rate_interval])) + 2
            |||, '{{instance}}'),
          ], { mappings: roles, thresholds: [[null, 'green']] }),
          board.stateTimeline('Timelines', 'Timeline that each member writes or follows. Each promotion begins a new one; a member that stays on an old one does not follow the new primary.', [
            board.target('max by (%(by)s) (max_over_time(pg_server_timeline{%(cluster)s}[$__rate_interval]))', '{{instance}}'),
          ], { decimals: 0, noValue: 'needs EXECUTE on pg_control_checkpoint() and pg_control_recovery()', emptyWhen: 'the monitoring role may not read the control file' }),
          board.alerts(c),
        ],
      },
      {
        title: 'Members',
        panels: [
          board.table('Members', 'The members side by side. Standbys have a lag, and no other member has.', [
            board.target('max by (%(by)s) (instance:pg_up:max3m{%(cluster)s})'),
            board.target('max by (%(by)s) (instance:pg_primary:max{%(cluster)s})'),
            board.target('max by (%(by)s, short_version) (pg_server_info{%(cluster)s})'),
            board.target('time() - max by (%(by)s) (pg_postmaster_start_time_seconds{%(cluster)s})'),
            board.target('max by (%(by)s) (instance:pg_connections_used:ratio{%(cluster)s})'),
            board.target('sum by (%(by)s) (database:pg_stat_database_xacts:rate5m{%(cluster)s})'),
            board.target('max by (%(by)s) (pg_standby_lag_seconds{%(cluster)s})'),
            board.target('max by (%(by)s) (pg_settings_pending_restart{%(cluster)s})'),
          ], {
            columns: board.hiddenClusterColumns(c) + [
              { field: 'instance', title: 'Instance', link: to('instance', 'Instance') },
              { field: 'Value #A', title: 'Up', mappings: board.values([[0, 'down', 'red'], [1, 'up', 'green']]), colour: true, link: to('exporter', 'Exporter') },
              { field: 'Value #B', title: 'Role', mappings: board.values([[0, 'standby', 'blue'], [1, 'primary', 'green']]), link: to('replication', 'Replication') },
              { field: 'short_version', title: 'Version', link: to('instance', 'Instance') },
              { field: 'Value #D', title: 'Uptime', unit: 's', decimals: 0, link: to('instance', 'Instance') },
              { field: 'Value #E', title: 'Connections', unit: 'percentunit', decimals: 0, thresholds: [[null, 'transparent'], [0.8, 'orange'], [0.95, 'red']], link: to('instance', 'Instance') },
              { field: 'Value #F', title: 'TPS', unit: 'ops', decimals: 1, link: to('databases', 'Databases') },
              { field: 'Value #G', title: 'Lag', unit: 's', decimals: 1, link: to('replication', 'Replication') },
              { field: 'Value #H', title: 'Settings to restart for', thresholds: [[null, 'transparent'], [1, 'blue']], link: to('instance', 'Instance') },
            ],
            h: 7,
          }),
        ],
      },
      {
        title: 'Replication',
        panels: [
          board.table('As those see it who send', 'What each sender knows of those that receive from it: standbys, logical receivers and base backups.', [
            board.target('max by (%(by)s, application_name, client_addr, state, sync_state) (pg_stat_replication_senders{%(cluster)s})'),
            board.target('max by (%(by)s, application_name, client_addr) (pg_stat_replication_replay_lag_bytes{%(cluster)s})'),
            board.target('max by (%(by)s, application_name, client_addr) (pg_stat_replication_replay_lag_seconds{%(cluster)s})'),
          ], {
            w: 12,
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c, 'Sender'),
              { field: 'application_name', title: 'Receiver' },
              { field: 'client_addr', title: 'Address' },
              { field: 'state', title: 'State' },
              { field: 'sync_state', title: 'Sync' },
              { field: 'Value #B', title: 'Not replayed', unit: 'bytes' },
              { field: 'Value #C', title: 'Replay lag', unit: 's' },
            ],
            noValue: 'nobody receives',
            emptyWhen: 'nobody receives WAL from the members',
          }),
          board.table('As standbys see it', 'What each standby knows of where its WAL comes from. Several upstreams are a cascade, or members that disagree.', [
            board.target('max by (%(by)s, sender_host, sender_port, slot_name) (pg_standby_upstream_info{%(cluster)s})'),
            board.target('min by (%(by)s) (min_over_time(pg_standby_receiver_connected{%(cluster)s}[$__rate_interval]))'),
            board.target('max by (%(by)s, situation) (pg_standby_lag_seconds{%(cluster)s})'),
            board.target('max by (%(by)s) (pg_standby_pending_bytes{%(cluster)s})'),
          ], {
            w: 12,
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c, 'Standby'),
              { field: 'sender_host', title: 'Upstream' },
              { field: 'sender_port', title: 'Port' },
              { field: 'slot_name', title: 'Slot' },
              { field: 'Value #B', title: 'Link', mappings: board.values([[0, 'cut', 'orange'], [1, 'streams', 'green']]) },
              { field: 'situation', title: 'Situation' },
              { field: 'Value #C', title: 'Lag', unit: 's', decimals: 1 },
              { field: 'Value #D', title: 'Not replayed', unit: 'bytes' },
            ],
            noValue: 'no standby',
            emptyWhen: 'the cluster has no standby',
          }),
          board.timeseries('Lag in time', "Age of each standby's data at most; 0 while the upstream is known to have nothing newer.", [
            board.target('max by (%(by)s) (pg_standby_lag_seconds{%(cluster)s})', '{{instance}}'),
          ], { unit: 's', min: 0, noValue: 'no standby', emptyWhen: 'the cluster has no standby', link: toInstance }),
          board.timeseries('Lag in bytes', 'WAL that each receiver has not yet replayed, as its sender knows it.', [
            board.target('max by (%(by)s, application_name) (pg_stat_replication_replay_lag_bytes{%(cluster)s})', '{{application_name}} of {{instance}}'),
          ], { unit: 'bytes', min: 0, noValue: 'nobody receives', emptyWhen: 'nobody receives WAL from the members' }),
        ],
      },
      {
        title: 'WAL and slots',
        panels: [
          board.timeseries('WAL', 'Written on a primary, received on a standby. Standbys that fall below the primary fall behind.', [
            board.target('max by (%(by)s) (rate(pg_wal_position_bytes_total{%(cluster)s}[$__rate_interval]))', '{{instance}}'),
          ], { unit: 'Bps', min: 0, link: toInstance }),
          board.timeseries('Archiver', 'WAL files archived per minute, and attempts that failed, by member.', [
            board.target('60 * max by (%(by)s) (rate(pg_stat_archiver_archived_total{%(cluster)s}[$__rate_interval]))', '{{instance}} archived'),
            board.target('60 * max by (%(by)s) (rate(pg_stat_archiver_failed_total{%(cluster)s}[$__rate_interval]))', '{{instance}} failed'),
          ], { min: 0 }),
          board.table('Slots', 'What each slot keeps from being removed. On a standby a synced slot is inactive by design.', [
            board.target('max by (%(by)s, slot_name, slot_type) (pg_replication_slots_retained_bytes{%(cluster)s})'),
            board.target('max by (%(by)s, slot_name, slot_type) (max_over_time(pg_replication_slots_active{%(cluster)s}[$__rate_interval]))'),
            board.target('max by (%(by)s, slot_name, slot_type, wal_status) (pg_replication_slots_wal_status{%(cluster)s})'),
          ], {
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c) { link: to('replication', 'Replication') },
              { field: 'slot_name', title: 'Slot' },
              { field: 'slot_type', title: 'Type' },
              { field: 'Value #B', title: 'Active', mappings: board.values([[0, 'no', 'orange'], [1, 'yes', 'green']]) },
              { field: 'Value #A', title: 'Keeps', unit: 'bytes' },
              { field: 'wal_status', title: 'WAL', colour: true, mappings: board.words([['unreserved', 'orange'], ['lost', 'red']]) },
            ],
            h: 6,
            sort: 'Keeps',
            noValue: 'no slots',
            emptyWhen: 'the cluster has no replication slots',
          }),
        ],
      },
      {
        title: '$instance',
        collapsed: true,
        repeat: 'instance',
        panels: [
          board.timeseries('Sessions', 'Client sessions by state.', [
            board.target('sum by (%(by)s, state) (pg_stat_activity_count{%(on)s, backend_type="client backend"})', '{{instance}} {{state}}'),
          ], { stack: true, min: 0, w: 8, noValue: 'no client', emptyWhen: 'no client is connected' }),
          board.timeseries('Transactions', 'Committed.', [
            board.target('sum by (%(by)s) (rate(pg_stat_database_xact_commit_total{%(on)s}[$__rate_interval]))', '{{instance}} commits'),
          ], { unit: 'ops', min: 0, w: 8 }),
          board.timeseries('WAL directory', 'Size of all files in pg_wal.', [
            board.target('max by (%(by)s) (pg_wal_size_bytes{%(on)s})', '{{instance}}'),
          ], { unit: 'bytes', min: 0, w: 8, noValue: 'needs pg_monitor', emptyWhen: 'the monitoring role may not list pg_wal' }),
        ],
      },
    ],
  }
