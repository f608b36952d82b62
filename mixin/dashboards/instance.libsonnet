// One server: is it well, who is connected, what does it wait for.
local board = import '../lib/board.libsonnet';

function(c)
  local on = ['cluster', 'pg_cluster', 'instance'];
  local to(uid, title) = board.link(c, uid, title, on, 'series');
  local tile(title, description, expr, opt) = board.stat(title, description, [board.target(expr, '{{instance}}')], { w: 3 } + opt);
  // Of clients only: walsenders, autovacuum and workers have their own measures.
  local clients = '%(on)s, backend_type="client backend"';
  local rates(metrics) = [
    board.target('sum by (%(by)s) (rate(' + m[0] + '{%(on)s}[$__rate_interval]))', '{{instance}} ' + m[1])
    for m in metrics
  ];
  {
    title: 'Instance',
    description: 'One server, or a few side by side: whether it is well, who is connected, what it waits for.',
    variables: ['instance'],
    one: ['instance'],
    rows: [
      {
        title: 'State',
        panels: [
          tile('Up', "Whether the exporter's own session answered in the last minutes.", 'max by (%(by)s) (max_over_time(pg_up{%(on)s}[$__rate_interval]))', {
            mappings: board.values([[0, 'down', 'red'], [1, 'up', 'green']]),
            thresholds: [[null, 'red'], [1, 'green']],
            noValue: 'not scraped',
          }),
          tile('Role', 'Primary or standby.', 'min by (%(by)s) (min_over_time(pg_replication_is_replica{%(on)s}[$__rate_interval]))', {
            mappings: board.values([[0, 'primary', 'green'], [1, 'standby', 'blue']]),
            link: to('replication', 'Replication'),
          }),
          tile('Uptime', 'Time since the server was started.', 'time() - max by (%(by)s) (pg_postmaster_start_time_seconds{%(on)s})', { unit: 's', decimals: 0 }),
          board.stat('Version', 'Release of PostgreSQL.', [
            board.target('max by (%(by)s, short_version) (pg_server_info{%(on)s})', '{{short_version}} {{instance}}'),
          ], { w: 3, options: { textMode: 'name' }, noValue: 'not known', emptyWhen: 'the monitoring role may not call pg_control_system()' }),
          tile('Connections', 'In use, of those that ordinary users may have. At 100 % they are refused.', 'max by (%(by)s) (pg_connections_used{%(on)s}) / max by (%(by)s) (pg_connections_max_ordinary{%(on)s})', {
            unit: 'percentunit',
            decimals: 0,
            thresholds: [[null, 'green'], [0.8, 'orange'], [0.95, 'red']],
          }),
          tile('Cache hits', 'Blocks found in shared buffers, of all that were asked for. Only where blocks were asked for: an idle server has no ratio. It has no colour, since what is good depends on the load.', |||
            sum by (%(by)s) (rate(pg_stat_database_blks_hit_total{%(on)s}[$__rate_interval]))
            /
            (
              sum by (%(by)s) (rate(pg_stat_database_blks_hit_total{%(on)s}[$__rate_interval]))
              + sum by (%(by)s) (rate(pg_stat_database_blks_read_total{%(on)s}[$__rate_interval]))
              > 0
            )
          |||, { unit: 'percentunit', decimals: 1, noValue: 'idle', emptyWhen: 'no blocks were read for some minutes' }),
          tile('Transactions per second', 'Committed and rolled back, by all sessions.', |||
            sum by (%(by)s) (rate(pg_stat_database_xact_commit_total{%(on)s}[$__rate_interval]))
            + sum by (%(by)s) (rate(pg_stat_database_xact_rollback_total{%(on)s}[$__rate_interval]))
          |||, { unit: 'ops', decimals: 1, link: to('databases', 'Databases') }),
          tile('Transaction ids', 'Age of the oldest unfrozen transaction or multixact id; at 100 % the server stops taking writes.', 'max by (%(by)s) (instance:pg_xid_age:ratio_max{%(on)s})', {
            unit: 'percentunit',
            decimals: 0,
            thresholds: [[null, 'green'], [0.4, 'orange'], [0.6, 'red']],
            link: to('vacuum', 'Vacuum'),
          }),
        ],
      },
      {
        title: 'Problems',
        panels: [
          tile('Longest lock wait', 'Longest time a session has waited for a lock it does not have yet. PostgreSQL 13 does not tell.', 'max by (%(by)s) (pg_locks_max_wait_seconds{%(on)s})', {
            unit: 's',
            decimals: 0,
            thresholds: [[null, 'green'], [60, 'orange'], [300, 'red']],
            noValue: 'not known',
            emptyWhen: 'the server is older than 14, which does not tell how long',
          }),
          tile('Waiting for locks', 'Sessions that wait for a lock.', 'max by (%(by)s) (pg_locks_waiting_sessions{%(on)s})', { thresholds: [[null, 'green'], [1, 'orange'], [10, 'red']] }),
          tile('Oldest transaction', 'Age of the oldest open transaction of a client. It keeps vacuum from removing rows.', 'max by (%(by)s) (pg_stat_activity_max_tx_duration_seconds{' + clients + '}) or on (%(by)s) 0 * max by (%(by)s) (pg_connections_used{%(on)s})', {
            unit: 's',
            decimals: 0,
            thresholds: [[null, 'green'], [3600, 'orange']],
          }),
          tile('Idle in transaction', 'Longest time a client has been idle in a transaction that holds back vacuum.', 'max by (%(by)s) (pg_stat_activity_max_idle_in_transaction_with_xid_seconds{' + clients + '}) or on (%(by)s) 0 * max by (%(by)s) (pg_connections_used{%(on)s})', {
            unit: 's',
            decimals: 0,
            thresholds: [[null, 'green'], [900, 'orange']],
          }),
          tile('Archiving', 'Whether the last attempt to archive failed. An idle server archives nothing, which is no failure.', 'max by (%(by)s) (max_over_time(pg_stat_archiver_failing{%(on)s}[$__rate_interval]))', {
            mappings: board.values([[0, 'works', 'green'], [1, 'fails', 'red']]),
            thresholds: [[null, 'green'], [1, 'red']],
            noValue: 'off',
            emptyWhen: 'the server does not archive',
            link: to('wal', 'WAL'),
          }),
          tile('Failing collectors', 'Collectors whose last run failed: what they report is missing here.', 'sum by (%(by)s) (1 - max_over_time(pgvigil_collector_success{%(on)s}[$__rate_interval]))', {
            thresholds: [[null, 'green'], [1, 'orange']],
            link: to('exporter', 'Exporter'),
          }),
          tile('Settings to restart for', 'Settings changed in the configuration that wait for a restart.', 'max by (%(by)s) (pg_settings_pending_restart{%(on)s})', { thresholds: [[null, 'green'], [1, 'blue']] }),
          tile('TLS certificate', "Time until the server's certificate expires.", 'max by (%(by)s) (pg_tls_certificate_not_after_timestamp_seconds{%(on)s}) - time()', {
            unit: 's',
            decimals: 0,
            thresholds: [[null, 'red'], [3 * 86400, 'orange'], [21 * 86400, 'green']],
            noValue: 'no TLS',
            emptyWhen: "the exporter's session has no TLS, so that it does not see the certificate",
          }),
          board.alerts(c, 'alertsOn'),
        ],
      },
      {
        title: 'Sessions',
        panels: [
          board.timeseries('Sessions', 'Client sessions by state, and how many ordinary users may have.', [
            board.target('sum by (%(by)s, state) (pg_stat_activity_count{' + clients + '})', '{{instance}} {{state}}'),
            board.target('max by (%(by)s) (pg_connections_max_ordinary{%(on)s})', '{{instance}} limit'),
          ], {
            min: 0,
            stack: true,
            overrides: [{
              matcher: { id: 'byRegexp', options: '.* limit' },
              properties: [
                { id: 'custom.stacking', value: { mode: 'none', group: 'A' } },
                { id: 'custom.fillOpacity', value: 0 },
                { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 8] } },
                { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
              ],
            }],
          }),
          board.timeseries('What active sessions wait for', 'Active client sessions by kind of wait; those without a kind work on the CPU. A sample per scrape: what is short is seen only if there is much of it.', [
            board.target('sum by (%(by)s, wait_event_type) (pg_stat_activity_count{' + clients + ', state="active"})', '{{instance}} {{wait_event_type}}'),
          ], { min: 0, stack: true, link: to('queries', 'Queries'), noValue: 'nobody is active', emptyWhen: 'no client was active in the moment of a scrape' }),
          board.timeseries('Oldest transaction and query', 'Of clients. Sessions that hold transactions open keep vacuum from removing rows.', [
            board.target('max by (%(by)s) (pg_stat_activity_max_tx_duration_seconds{' + clients + '})', '{{instance}} transaction'),
            board.target('max by (%(by)s) (pg_stat_activity_max_query_duration_seconds{' + clients + '})', '{{instance}} query'),
            board.target('max by (%(by)s) (pg_stat_activity_max_idle_in_transaction_seconds{' + clients + '})', '{{instance}} idle in transaction'),
          ], { unit: 's', min: 0, link: to('queries', 'Queries'), noValue: 'no transaction is open', emptyWhen: 'no client had a transaction open in the moment of a scrape' }),
          board.timeseries('Locks', 'Sessions that wait for a lock, and those that make others wait and wait for none themselves.', [
            board.target('max by (%(by)s) (pg_locks_waiting_sessions{%(on)s})', '{{instance}} waiting'),
            board.target('max by (%(by)s) (pg_locks_root_blockers{%(on)s})', '{{instance}} blockers'),
          ], { min: 0 }),
        ],
      },
      {
        title: 'Work',
        panels: [
          board.timeseries('Transactions', 'Committed and rolled back.', rates([
            ['pg_stat_database_xact_commit_total', 'commits'],
            ['pg_stat_database_xact_rollback_total', 'rollbacks'],
          ]), { unit: 'ops', min: 0, w: 8 }),
          board.timeseries('Rows', 'Rows read and changed.', rates([
            ['pg_stat_database_tup_returned_total', 'scanned'],
            ['pg_stat_database_tup_fetched_total', 'fetched'],
            ['pg_stat_database_tup_inserted_total', 'inserted'],
            ['pg_stat_database_tup_updated_total', 'updated'],
            ['pg_stat_database_tup_deleted_total', 'deleted'],
          ]), { unit: 'ops', min: 0, w: 8 }),
          board.timeseries('Temporary files', 'Bytes that queries wrote to temporary files, because work_mem was too small for them.', rates([
            ['pg_stat_database_temp_bytes_total', 'written'],
          ]), { unit: 'Bps', min: 0, w: 8 }),
        ],
      },
      {
        title: 'Input and output',
        panels: [
          board.timeseries('Read', 'Bytes read from files, by kind of process, from PostgreSQL 16 on.', [
            board.target('sum by (%(by)s, backend_type) (rate(pg_stat_io_read_bytes_total{%(on)s}[$__rate_interval])) > 0', '{{instance}} {{backend_type}}'),
          ], { unit: 'Bps', min: 0, w: 8, noValue: 'nothing was read', emptyWhen: 'nothing was read, or the server is older than 16' }),
          board.timeseries('Written', 'Bytes written to files and added to them, by kind of process, from PostgreSQL 16 on.', [
            board.target(|||
              (
                sum by (%(by)s, backend_type) (rate(pg_stat_io_write_bytes_total{%(on)s}[$__rate_interval]))
                + (
                  sum by (%(by)s, backend_type) (rate(pg_stat_io_extend_bytes_total{%(on)s}[$__rate_interval]))
                  or on (%(by)s, backend_type)
                  0 * sum by (%(by)s, backend_type) (rate(pg_stat_io_write_bytes_total{%(on)s}[$__rate_interval]))
                )
              ) > 0
            |||, '{{instance}} {{backend_type}}'),
          ], { unit: 'Bps', min: 0, w: 8, noValue: 'nothing was written', emptyWhen: 'nothing was written, or the server is older than 16' }),
          board.timeseries('Checkpoints', 'Checkpoints per hour. Those on request, which max_wal_size makes come early, should be few.', [
            board.target('3600 * max by (%(by)s) (rate(pg_stat_checkpointer_num_timed_total{%(on)s}[$__rate_interval]))', '{{instance}} timed'),
            board.target('3600 * max by (%(by)s) (rate(pg_stat_checkpointer_num_requested_total{%(on)s}[$__rate_interval]))', '{{instance}} requested'),
          ], { min: 0, w: 8, link: to('wal', 'WAL') }),
        ],
      },
      {
        title: 'Size and settings',
        panels: [
          board.timeseries('Databases', 'Space that each database takes.', [
            board.target('max by (%(by)s, datname) (pg_database_size_bytes{%(on)s, %(datname)s})', '{{instance}} {{datname}}'),
          ], { unit: 'bytes', min: 0, stack: true, w: 8, link: to('databases', 'Databases') }),
          board.timeseries('WAL directory', 'Size of all files in pg_wal.', [
            board.target('max by (%(by)s) (pg_wal_size_bytes{%(on)s})', '{{instance}}'),
          ], { unit: 'bytes', min: 0, w: 8, noValue: 'needs pg_monitor', emptyWhen: 'the monitoring role may not list pg_wal' }),
          board.timeseries('Settings changed', 'Above 0 where a setting had changed, other than those that follow the role.', [
            board.target('max by (%(by)s) (changes(pg_settings_fingerprint{%(on)s}[$__rate_interval]))', '{{instance}}'),
          ], { min: 0, decimals: 0, w: 8, custom: { drawStyle: 'bars' } }),
        ],
      },
    ],
  }
