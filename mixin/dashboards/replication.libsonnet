// What standbys, slots and subscriptions lag behind and why.
local board = import '../lib/board.libsonnet';

function(c)
  local toInstance = board.instanceLink(c, 'series');
  local noStandby = { noValue: 'no standby', emptyWhen: 'no standby is watched' };
  local noReceiver = { noValue: 'nobody receives', emptyWhen: 'nobody receives WAL from what is selected' };
  local noLogical = { noValue: 'no logical slot', emptyWhen: 'no logical slot is used, or the server is older than 14' };
  local yes(colour) = board.values([[0, 'no', 'text'], [1, 'yes', colour]]);
  // Receivers are told apart by name: addresses of pods come and go.
  local receiver = '{{application_name}} of {{instance}}';
  local slot = 'slot_name, slot_type';
  {
    title: 'Replication and slots',
    description: 'Lag of standbys, seen from both ends, what slots keep, and logical replication.',
    variables: ['instance'],
    one: ['pg_cluster'],
    rows: [
      {
        title: 'Standbys',
        panels: [
          board.stateTimeline('Situation', "Why each standby's lag is what it is: caught_up and replaying are well; paused is somebody's wish; cut has lost its upstream; archive_only replays an archive, and nobody can tell whether there is more.", [
            board.target(|||
              max by (%(by)s) (
                0 * max_over_time(pg_standby_lag_seconds{%(on)s, situation="caught_up"}[$__rate_interval])
                or on (%(by)s)
                0 * max_over_time(pg_standby_lag_seconds{%(on)s, situation="replaying"}[$__rate_interval]) + 1
                or on (%(by)s)
                0 * max_over_time(pg_standby_lag_seconds{%(on)s, situation="paused"}[$__rate_interval]) + 2
                or on (%(by)s)
                0 * max_over_time(pg_standby_lag_seconds{%(on)s, situation="cut"}[$__rate_interval]) + 3
                or on (%(by)s)
                0 * max_over_time(pg_standby_lag_seconds{%(on)s, situation="archive_only"}[$__rate_interval]) + 4
              )
            |||, '{{instance}}'),
          ], noStandby {
            mappings: board.values([[0, 'caught_up', 'green'], [1, 'replaying', 'super-light-green'], [2, 'paused', 'yellow'], [3, 'cut', 'red'], [4, 'archive_only', 'blue']]),
          }),
          board.timeseries('Lag', "Age of each standby's data at most; 0 only while the upstream is known to have nothing newer.", [
            board.target('max by (%(by)s) (pg_standby_lag_seconds{%(on)s})', '{{instance}}'),
          ], noStandby { unit: 's', min: 0, link: toInstance }),
          board.timeseries('Not replayed', 'WAL that a standby knows of and has not replayed.', [
            board.target('max by (%(by)s) (pg_standby_pending_bytes{%(on)s})', '{{instance}}'),
          ], { unit: 'bytes', min: 0, w: 8, noValue: 'no standby', emptyWhen: 'no standby is watched, or none has streamed since its start' }),
          board.timeseries('Last message', 'Time since the last message from the upstream. Even an idle upstream sends one within wal_receiver_timeout.', [
            board.target('time() - max by (%(by)s) (pg_standby_last_message_timestamp_seconds{%(on)s})', '{{instance}}'),
          ], { unit: 's', min: 0, w: 8, noValue: 'no receiver', emptyWhen: 'no standby has a WAL receiver' }),
          board.timeseries('Conflicts', 'Queries per minute that replay cancelled on a standby, by kind.', [
            board.target('60 * sum by (%(by)s) (rate(pg_stat_database_conflicts_confl_' + kind + '_total{%(on)s}[$__rate_interval]))', '{{instance}} ' + kind)
            for kind in ['lock', 'snapshot', 'bufferpin', 'deadlock', 'tablespace', 'active_logicalslot']
          ], noStandby { min: 0, w: 8 }),
        ],
      },
      {
        title: 'Senders',
        panels: [
          board.timeseries('Lag in time', 'Time from flushing WAL on the sender to its write, flush and replay at the receiver, while there is WAL; absent on an idle server.', [
            board.target('max by (%(by)s, application_name) (pg_stat_replication_' + step + '_lag_seconds{%(on)s})', receiver + ' ' + step)
            for step in ['write', 'flush', 'replay']
          ], { unit: 's', min: 0, noValue: 'nobody receives, or the sender is idle', emptyWhen: 'nobody receives WAL, or no WAL was written of late' }),
          board.timeseries('Lag in bytes', 'WAL that the receiver has not been sent, or has not yet flushed or replayed.', [
            board.target('max by (%(by)s, application_name) (pg_stat_replication_pending_bytes{%(on)s})', receiver + ' not sent'),
            board.target('max by (%(by)s, application_name) (pg_stat_replication_flush_lag_bytes{%(on)s})', receiver + ' not flushed'),
            board.target('max by (%(by)s, application_name) (pg_stat_replication_replay_lag_bytes{%(on)s})', receiver + ' not replayed'),
          ], noReceiver { unit: 'bytes', min: 0 }),
          board.table('Receivers', 'Everything that receives WAL, and whether commits wait for it.', [
            board.target('max by (%(by)s, application_name, client_addr, state, sync_state) (pg_stat_replication_senders{%(on)s})'),
            board.target('time() - max by (%(by)s, application_name, client_addr, slot_name) (pg_stat_replication_connected_timestamp_seconds{%(on)s})'),
            board.target('time() - max by (%(by)s, application_name, client_addr, slot_name) (pg_stat_replication_last_reply_timestamp_seconds{%(on)s})'),
          ], noReceiver {
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c, 'Sender'),
              { field: 'application_name', title: 'Receiver' },
              { field: 'client_addr', title: 'Address' },
              { field: 'state', title: 'State' },
              { field: 'sync_state', title: 'Sync' },
              { field: 'slot_name', title: 'Slot' },
              { field: 'Value #B', title: 'Connected for', unit: 's', decimals: 0 },
              { field: 'Value #C', title: 'Last reply', unit: 's', decimals: 0 },
            ],
            h: 6,
          }),
          board.timeseries('Synchronous standbys', 'Standbys that commits wait for, and those that are there. Fewer than wanted, and commits hang.', [
            board.target('max by (%(by)s) (pg_stat_replication_sync_standbys_wanted{%(on)s})', '{{instance}} wanted'),
            board.target('max by (%(by)s) (pg_stat_replication_sync_standbys{%(on)s})', '{{instance}} there'),
          ], { min: 0, decimals: 0, noValue: 'no primary', emptyWhen: 'standbys only are selected' }),
          board.alerts(c, 'alertsOn', { w: 12, h: 8 }),
        ],
      },
      {
        title: 'Slots',
        panels: [
          board.table('Slots', 'What each slot keeps from being removed. Synced slots on a standby are inactive by design. The room left is what may be written before the slot is in danger; without max_slot_wal_keep_size it has no end but the disk.', [
            board.target('max by (%(by)s, ' + slot + ') (pg_replication_slots_retained_bytes{%(on)s})'),
            board.target('max by (%(by)s, ' + slot + ') (max_over_time(pg_replication_slots_active{%(on)s}[$__rate_interval]))'),
            board.target('max by (%(by)s, ' + slot + ') (max_over_time(pg_replication_slots_synced{%(on)s}[$__rate_interval]))'),
            board.target('max by (%(by)s, ' + slot + ') (max_over_time(pg_replication_slots_temporary{%(on)s}[$__rate_interval]))'),
            board.target('time() - max by (%(by)s, ' + slot + ') (pg_replication_slots_inactive_since_timestamp_seconds{%(on)s})'),
            board.target('min by (%(by)s, ' + slot + ') (pg_replication_slots_safe_wal_size_bytes{%(on)s})'),
            board.target('max by (%(by)s, ' + slot + ', wal_status, invalidation_reason) (pg_replication_slots_wal_status{%(on)s})'),
          ], {
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c),
              { field: 'slot_name', title: 'Slot' },
              { field: 'slot_type', title: 'Type' },
              { field: 'Value #B', title: 'Active', mappings: board.values([[0, 'no', 'orange'], [1, 'yes', 'green']]) },
              { field: 'Value #E', title: 'Inactive for', unit: 's', decimals: 0 },
              { field: 'Value #C', title: 'Synced', mappings: yes('blue') },
              { field: 'Value #D', title: 'Temporary', mappings: yes('blue') },
              { field: 'Value #A', title: 'Keeps', unit: 'bytes' },
              { field: 'Value #F', title: 'Room left', unit: 'bytes' },
              { field: 'wal_status', title: 'WAL', colour: true, mappings: board.words([['unreserved', 'orange'], ['lost', 'red']]) },
              { field: 'invalidation_reason', title: 'Lost for' },
            ],
            sort: 'Keeps',
            noValue: 'no slots',
            emptyWhen: 'there are no replication slots',
          }),
          board.timeseries('WAL kept', 'WAL that each slot keeps. Of a slot that nobody uses it grows until the disk is full, or max_slot_wal_keep_size ends the slot.', [
            board.target('max by (%(by)s, slot_name) (pg_replication_slots_retained_bytes{%(on)s})', '{{slot_name}} of {{instance}}'),
          ], { unit: 'bytes', min: 0, noValue: 'no slots', emptyWhen: 'there are no replication slots' }),
          board.timeseries('Rows kept', 'Age in transactions of the oldest transaction whose rows a slot keeps from vacuum, in tables or in the catalogue, whichever is older.', [
            board.target(|||
              max by (%(by)s, slot_name) (
                label_replace(pg_replication_slots_xmin_age{%(on)s}, "of", "rows", "", "")
                or
                label_replace(pg_replication_slots_catalog_xmin_age{%(on)s}, "of", "catalogue", "", "")
              )
            |||, '{{slot_name}} of {{instance}}'),
          ], { min: 0, noValue: 'no slot keeps rows', emptyWhen: 'no slot has an xmin, which takes hot_standby_feedback or a logical slot' }),
        ],
      },
      {
        title: 'Logical replication',
        panels: [
          board.timeseries('Not confirmed', 'WAL that the consumer of a logical slot has not confirmed.', [
            board.target('max by (%(by)s, slot_name) (pg_replication_slots_confirmed_flush_lag_bytes{%(on)s})', '{{slot_name}} of {{instance}}'),
          ], noLogical { unit: 'bytes', min: 0, w: 8 }),
          board.timeseries('Decoded', 'Bytes decoded for output, and spilled to disk because they outgrew logical_decoding_work_mem. PostgreSQL 13 does not count them.', [
            board.target('sum by (%(by)s, slot_name) (rate(pg_replication_slots_decoded_bytes_total{%(on)s}[$__rate_interval]))', '{{slot_name}} of {{instance}} decoded'),
            board.target('sum by (%(by)s, slot_name) (rate(pg_replication_slots_spill_bytes_total{%(on)s}[$__rate_interval]))', '{{slot_name}} of {{instance}} spilled'),
          ], noLogical { unit: 'Bps', min: 0, w: 8 }),
          board.timeseries('Subscription errors', 'Failures per minute to apply changes or to copy tables. It tries again, for ever if it must. PostgreSQL 14 and older do not count them.', [
            board.target('60 * sum by (%(by)s, datname, subname) (rate(pg_stat_subscription_apply_errors_total{%(on)s}[$__rate_interval]))', '{{instance}} {{datname}} {{subname}} apply'),
            board.target('60 * sum by (%(by)s, datname, subname) (rate(pg_stat_subscription_sync_errors_total{%(on)s}[$__rate_interval]))', '{{instance}} {{datname}} {{subname}} copy'),
          ], { min: 0, w: 8, noValue: 'no subscription', emptyWhen: 'there is no subscription, or the server is older than 15' }),
          board.table('Subscriptions', 'An enabled subscription without a worker falls behind. A quiet publisher sends a message now and then too.', [
            board.target('max by (%(by)s, datname, subname) (max_over_time(pg_stat_subscription_enabled{%(on)s}[$__rate_interval]))'),
            board.target('max by (%(by)s, datname, subname) (max_over_time(pg_stat_subscription_apply_workers{%(on)s}[$__rate_interval]))'),
            board.target('time() - max by (%(by)s, datname, subname) (pg_stat_subscription_last_message_receipt_timestamp_seconds{%(on)s})'),
            board.target('sum by (%(by)s, datname, subname) (pg_stat_subscription_tables{%(on)s, state!="ready"}) or on (%(by)s, datname, subname) 0 * max by (%(by)s, datname, subname) (pg_stat_subscription_enabled{%(on)s})'),
          ], {
            columns: board.hiddenClusterColumns(c) + [
              board.instanceColumn(c),
              { field: 'datname', title: 'Database' },
              { field: 'subname', title: 'Subscription' },
              { field: 'Value #A', title: 'Enabled', mappings: board.values([[0, 'no', 'orange'], [1, 'yes', 'green']]) },
              { field: 'Value #B', title: 'Worker', mappings: board.values([[0, 'none', 'orange'], [1, 'runs', 'green']]) },
              { field: 'Value #C', title: 'Last message', unit: 's', decimals: 0 },
              { field: 'Value #D', title: 'Tables not ready' },
            ],
            h: 6,
            noValue: 'no subscription',
            emptyWhen: 'there is no subscription',
          }),
        ],
      },
    ],
  }
