// Poolers, and Patroni: who waits for a server, and who may become primary.
local board = import '../lib/board.libsonnet';

// The state of a flag: good and bad are what 0 and 1 mean.
local flag(zero, one, colour) = {
  mappings: [{ type: 'value', options: { '0': { text: zero, color: 'green' }, '1': { text: one, color: colour } } }],
  thresholds: [[null, 'green'], [1, colour]],
};

function(c) {
  title: 'PgBouncer and Patroni',
  description: 'Poolers: who waits, for how long, and what room is left. Patroni: who leads, whether it sees its store, and who could take over.',
  variables: ['instance'],
  metric: 'pgbouncer_up',
  rows: [
    {
      title: 'PgBouncer',
      panels: [
        board.stat('Up', "Whether the exporter's own session on the admin console answered in the last minutes.", [
          board.target('max by (%(by)s) (max_over_time(pgbouncer_up{%(on)s}[%(3m)s]))', '{{instance}}'),
        ], {
          w: 6,
          mappings: [{ type: 'value', options: { '0': { text: 'down', color: 'red' }, '1': { text: 'up', color: 'green' } } }],
          thresholds: [[null, 'red'], [1, 'green']],
        }),
        board.stat('Longest wait', 'Time that the client at the head of the longest queue has waited: what users feel. It is 0 where a pool has not reached its server even once; Waiting clients shows those.', [
          board.target('max by (%(by)s) (pgbouncer_pools_client_maxwait_seconds{%(on)s})', '{{instance}}'),
        ], { w: 6, unit: 's', decimals: 1, thresholds: [[null, 'green'], [5, 'orange'], [30, 'red']] }),
        board.stat('Clients, of most allowed', 'Clients connected, over max_client_conn. At 100 % new ones are refused.', [
          board.target(|||
            max by (%(by)s) (pgbouncer_used_clients{%(on)s})
            / on (%(by)s) max by (%(by)s) (pgbouncer_config_max_client_connections{%(on)s} > 0)
          |||, '{{instance}}'),
        ], { w: 6, unit: 'percentunit', thresholds: [[null, 'green'], [0.85, 'orange'], [0.95, 'red']] }),
        board.stat('Paused or disabled', 'Databases whose clients are made to wait or refused. A PAUSE of the whole pooler is not counted by PgBouncer.', [
          board.target(|||
            sum by (%(by)s) (
              max by (%(by)s, name) (max_over_time(pgbouncer_databases_paused{%(on)s}[%(rate)s]))
              or on (%(by)s, name)
              max by (%(by)s, name) (max_over_time(pgbouncer_databases_disabled{%(on)s}[%(rate)s]))
            )
          |||, '{{instance}}'),
        ], { w: 6, thresholds: [[null, 'green'], [1, 'orange']] }),
        board.timeseries('Waiting clients', 'Clients that have sent a query and wait for a server connection, by pool. A moment is normal; a queue that stands is not.', [
          board.target('sum by (%(by)s, database, user) (pgbouncer_pools_client_waiting_connections{%(on)s})', '{{instance}} {{database}} {{user}}'),
        ], { min: 0 }),
        board.timeseries('Longest wait by pool', 'Time that the client at the head of each queue has waited.', [
          board.target('max by (%(by)s, database, user) (pgbouncer_pools_client_maxwait_seconds{%(on)s})', '{{instance}} {{database}} {{user}}'),
        ], { unit: 's', min: 0, thresholds: [[null, 'transparent'], [5, 'orange'], [30, 'red']] }),
        board.timeseries('Server connections by state', 'What the connections to servers are at: active ones have a client, idle ones can be had without waiting. Connections that stay in login do not reach their server.', [
          board.target('sum by (%(by)s) (pgbouncer_pools_server_active_connections{%(on)s})', '{{instance}} active'),
          board.target('sum by (%(by)s) (pgbouncer_pools_server_idle_connections{%(on)s})', '{{instance}} idle'),
          board.target('sum by (%(by)s) (pgbouncer_pools_server_used_connections{%(on)s})', '{{instance}} idle, to be checked'),
          board.target('sum by (%(by)s) (pgbouncer_pools_server_testing_connections{%(on)s})', '{{instance}} reset or checked'),
          board.target('sum by (%(by)s) (pgbouncer_pools_server_login_connections{%(on)s})', '{{instance}} login'),
          board.target('sum by (%(by)s) (pgbouncer_pools_server_being_canceled_connections{%(on)s})', '{{instance}} being cancelled'),
        ], { min: 0, stack: true }),
        board.timeseries('Pools, of their size', 'Server connections with a client, over the size of the pool. At 100 % the next client waits; more is the reserve.', [
          board.target(|||
            sum by (%(by)s, database, user) (pgbouncer_pools_server_active_connections{%(on)s})
            / on (%(by)s, database) group_left ()
            max by (%(by)s, database) (label_replace(pgbouncer_databases_pool_size{%(on)s} > 0, "database", "$1", "name", "(.+)"))
          |||, '{{instance}} {{database}} {{user}}'),
        ], { unit: 'percentunit', min: 0, thresholds: [[null, 'transparent'], [0.9, 'orange']] }),
        board.timeseries('Clients', 'Clients connected, and how many may be.', [
          board.target('max by (%(by)s) (pgbouncer_used_clients{%(on)s})', '{{instance}} connected'),
          board.target('max by (%(by)s) (pgbouncer_login_clients{%(on)s})', '{{instance}} logging in'),
          board.target('max by (%(by)s) (pgbouncer_config_max_client_connections{%(on)s})', '{{instance}} most allowed'),
        ], { min: 0 }),
        board.timeseries('Transactions', 'Transactions a second, by database of the pooler.', [
          board.target('sum by (%(by)s, database) (rate(pgbouncer_stats_sql_transactions_pooled_total{%(on)s}[%(rate)s]))', '{{instance}} {{database}}'),
        ], { unit: 'ops', min: 0 }),
        board.timeseries('Mean time of a query', 'Time that servers worked on a query, on the mean.', [
          board.target(|||
            sum by (%(by)s, database) (rate(pgbouncer_stats_queries_duration_seconds_total{%(on)s}[%(rate)s]))
            / on (%(by)s, database)
            (sum by (%(by)s, database) (rate(pgbouncer_stats_queries_pooled_total{%(on)s}[%(rate)s])) > 0)
          |||, '{{instance}} {{database}}'),
        ], { unit: 's', min: 0 }),
        board.timeseries('Mean wait of a transaction', 'Time that clients waited for a server, on the mean: what the pooler adds to each transaction.', [
          board.target(|||
            sum by (%(by)s, database) (rate(pgbouncer_stats_client_wait_seconds_total{%(on)s}[%(rate)s]))
            / on (%(by)s, database)
            (sum by (%(by)s, database) (rate(pgbouncer_stats_sql_transactions_pooled_total{%(on)s}[%(rate)s])) > 0)
          |||, '{{instance}} {{database}}'),
        ], { unit: 's', min: 0 }),
        board.timeseries('Traffic', 'Bytes received from clients and servers, and sent to them.', [
          board.target('sum by (%(by)s) (rate(pgbouncer_stats_received_bytes_total{%(on)s}[%(rate)s]))', '{{instance}} received'),
          board.target('sum by (%(by)s) (rate(pgbouncer_stats_sent_bytes_total{%(on)s}[%(rate)s]))', '{{instance}} sent'),
        ], { unit: 'Bps', min: 0 }),
        board.timeseries('Connects that failed', "The exporter's own, by reason: why a pooler counts as down.", [
          board.target('sum by (%(by)s, reason) (rate(pgvigil_pgbouncer_connect_failures_total{%(on)s}[%(rate)s]))', '{{instance}} {{reason}}'),
        ], { unit: 'ops', min: 0 }),
      ],
    },
    {
      title: 'Patroni',
      panels: [p { noValue: 'no Patroni is scraped', emptyWhen: 'No Patroni is scraped.' } for p in [
        board.stat('Leader lock', 'Whether any member of the cluster sees a leader.', [
          board.target('min by (%(byScope)s) (min_over_time(patroni_cluster_unlocked{%(patroni)s}[%(rate)s]))', '{{scope}}'),
        ], { w: 6 } + flag('held', 'nobody has it', 'red')),
        board.stat('Failsafe mode', 'Whether the primary stays one although the store cannot be reached, because all members agree.', [
          board.target('max by (%(byScope)s) (max_over_time(patroni_failsafe_mode_is_active{%(patroni)s}[%(rate)s]))', '{{scope}}'),
        ], { w: 6 } + flag('off', 'active', 'red')),
        board.stat('Automatic failover', 'Whether it is paused.', [
          board.target('max by (%(byScope)s) (max_over_time(patroni_is_paused{%(patroni)s}[%(rate)s]))', '{{scope}}'),
        ], { w: 6 } + flag('on', 'paused', 'orange')),
        board.stat('Pending restart', 'Members whose settings wait for a restart.', [
          board.target('sum by (%(byScope)s) (max by (%(by)s, scope) (max_over_time(patroni_pending_restart{%(patroni)s}[%(rate)s])))', '{{scope}}'),
        ], { w: 6, thresholds: [[null, 'green'], [1, 'blue']] }),
        board.stateTimeline('Role', 'What each member is. Where two are primary at once, look at once.', [
          board.target(|||
            clamp_max(
              3 * (
                max by (%(by)s) (max_over_time(patroni_primary{%(patroni)s}[%(rate)s]))
                or on (%(by)s) max by (%(by)s) (max_over_time(patroni_master{%(patroni)s}[%(rate)s]))
              )
              + on (%(by)s) 2 * max by (%(by)s) (max_over_time(patroni_standby_leader{%(patroni)s}[%(rate)s]))
              + on (%(by)s) max by (%(by)s) (max_over_time(patroni_sync_standby{%(patroni)s}[%(rate)s])),
              3
            )
          |||, '{{instance}}'),
        ], {
          w: 24,
          h: 6,
          mappings: [{ type: 'value', options: {
            '0': { text: 'replica', color: 'blue' },
            '1': { text: 'synchronous standby', color: 'purple' },
            '2': { text: 'standby leader', color: 'orange' },
            '3': { text: 'primary', color: 'green' },
          } }],
        }),
        board.timeseries('Store last seen', 'Time since each member reached the store. A leader demotes itself where this nears the ttl, 30 s as Patroni comes, unless failsafe mode or a pause keeps it.', [
          board.target('time() - max by (%(by)s) (max_over_time(patroni_dcs_last_seen{%(patroni)s}[%(rate)s]) > 0)', '{{instance}}'),
        ], { unit: 's', min: 0, thresholds: [[null, 'transparent'], [90, 'orange'], [300, 'red']] }),
        board.timeseries('Timeline', 'Of the server of each member. It grows by one with each promotion; members of one cluster that stay on different ones do not replicate.', [
          board.target('max by (%(by)s) (max_over_time(patroni_postgres_timeline{%(patroni)s}[%(rate)s]) > 0)', '{{instance}}'),
        ], { unit: 'none', decimals: 0 }),
        board.stateTimeline('Replication', 'How the server of each member gets its WAL; of Patroni 3.0.4 and later.', [
          board.target(|||
            max by (%(by)s) (max_over_time(patroni_postgres_in_archive_recovery{%(patroni)s}[%(rate)s]))
            + on (%(by)s) 2 * max by (%(by)s) (max_over_time(patroni_postgres_streaming{%(patroni)s}[%(rate)s]))
            and on (%(by)s) max by (%(by)s) (max_over_time(patroni_replica{%(patroni)s}[%(rate)s])) == 1
          |||, '{{instance}}'),
        ], {
          h: 6,
          mappings: [{ type: 'value', options: {
            '0': { text: 'nothing', color: 'red' },
            '1': { text: 'from the archive', color: 'orange' },
            '2': { text: 'streams', color: 'green' },
            '3': { text: 'streams', color: 'green' },
          } }],
          noValue: 'no replicas, or a release that does not say',
        }),
        board.stateTimeline('Server runs', 'Whether Patroni sees its server run.', [
          board.target('max by (%(by)s) (min_over_time(patroni_postgres_running{%(patroni)s}[%(rate)s]))', '{{instance}}'),
        ], { h: 6, mappings: [{ type: 'value', options: { '0': { text: 'no', color: 'red' }, '1': { text: 'yes', color: 'green' } } }] }),
      ]],
    },
  ],
}
