// Whether standbys and subscribers have what the primary has, and whether roles stay where they are.
local withReceiver(l) = l { receiver: l.by + ', application_name, client_addr, slot_name, slot_type' };
local withSlot(l) = l { slot: l.by + ', slot_name, slot_type, datname' };
local withSubscription(l) = l { database: l.by + ', datname', subscription: l.by + ', datname, subname' };

{
  PostgresReplicaDisconnected: {
    group: 'replication',
    summary: 'A standby that is to stream receives nothing.',
    description: |||
      {{ $labels.instance }} has primary_conninfo and no live link to its upstream server. What is read there grows old, and
      it may not be fit to take over.
    |||,
    dashboard: 'replication',
    // A receiver that hangs ends with wal_receiver_timeout. Where that is off an idle link is silent, so silence counts only
    // while a primary writes. Without primary_conninfo a standby lives on the archive.
    expr(l)::
      |||
        (
          max by (%(by)s) (max_over_time(pg_standby_receiver_connected{%(sel)s}[%(3m)s])) == 0
          or on (%(by)s)
          time() - max by (%(by)s) (max_over_time(pg_standby_last_message_timestamp_seconds{%(sel)s}[%(3m)s])) > %(silenceSeconds)g
          and on (%(byCluster)s) max by (%(byCluster)s) (instance:pg_wal_position_bytes:rate5m %(onPrimary)s) > 0
        )
        and on (%(by)s) max by (%(by)s) (max_over_time(pg_standby_streaming_configured{%(sel)s}[%(3m)s])) == 1
        %(onStandby)s
      ||| % l { silenceSeconds: l.seconds(l.silence) },
  },

  PostgresNoStreamingReplica: {
    group: 'replication',
    summary: 'A primary has lost all its standbys.',
    description: |||
      No standby streams from {{ $labels.instance }}, and in the last day there was one. If this server fails there is
      nothing to take over.
    |||,
    dashboard: 'cluster',
    // What counts is that this server had a standby. After a failover it is that the former primary had one, where the pg
    // cluster has one primary only: unrelated servers without the label would vouch for each other.
    expr(l)::
      |||
        (
          max by (%(by)s) (max_over_time(pg_stat_replication_standbys{%(sel)s}[%(3m)s])) == 0
          and on (%(by)s) max by (%(by)s) (max_over_time(pg_stat_replication_standbys{%(sel)s}[%(24h)s])) > 0
          or on (%(by)s)
          max by (%(by)s) (max_over_time(pg_stat_replication_standbys{%(sel)s}[%(3m)s])) == 0
          and on (%(byCluster)s) max by (%(byCluster)s) (max_over_time(pg_stat_replication_standbys{%(sel)s}[%(24h)s])) > 0
          and on (%(byCluster)s) pg_cluster:pg_primary:count == 1
        )
        %(onPrimary)s
      ||| % l,
  },

  PostgresReplicationLagTime: {
    group: 'replication',
    summary: 'A standby replays too slowly.',
    description: |||
      WAL waits to be replayed on {{ $labels.instance }}, whose data is {{ $value | humanizeDuration }} old. Who reads there
      reads that, and a failover would have to replay it first.
    |||,
    dashboard: 'replication',
    // Only where WAL is known to wait. A link that is cut and a pause have alerts of their own; how far behind a standby is
    // that lives on the archive, nobody can tell. A delay that is set is not lag.
    expr(l)::
      |||
        (
          max by (%(by)s) (max_over_time(pg_standby_lag_seconds{%(sel)s, situation="replaying"}[%(3m)s])) > %(lagSeconds)g
          unless on (%(by)s)
          max by (%(by)s) (max_over_time(pg_standby_lag_seconds{%(sel)s, situation="replaying"}[%(3m)s]))
          - on (%(by)s) max by (%(by)s) (last_over_time(pg_settings_recovery_min_apply_delay_seconds{%(sel)s}[%(3m)s]))
          <= %(lagSeconds)g
        )
        %(onStandby)s
      ||| % l { lagSeconds: l.seconds(l.lag) },
  },

  PostgresReplicationLagBytes: {
    group: 'replication',
    summary: 'A receiver of WAL is far behind and does not catch up.',
    description: |||
      A standby or subscriber of {{ $labels.instance }} has yet to store {{ $value | humanize1024 }}B of WAL, and it does not
      become less. The primary keeps that WAL on its disk, or removes what the receiver still needs; the board says which.
    |||,
    dashboard: 'replication',
    // What is not stored, rather than not replayed: a pause, a delay or a long query on the standby makes nobody keep WAL.
    // The last value of three minutes: under a load that makes receivers fall behind, a scrape may run out of time too.
    expr(l)::
      |||
        max by (%(by)s) (
          (
            max by (%(receiver)s) (last_over_time(pg_stat_replication_flush_lag_bytes{%(sel)s}[%(3m)s]))
            >= on (%(receiver)s)
            %(notBelow)g * max by (%(receiver)s) (avg_over_time(pg_stat_replication_flush_lag_bytes{%(sel)s}[%(15m)s]))
          ) > %(bytes)d
        )
        %(onPrimary)s
      ||| % withReceiver(l),
  },

  PostgresReplayPaused: {
    group: 'replication',
    summary: 'Replay is paused on a standby.',
    description: |||
      {{ $labels.instance }} receives WAL and does not replay it, so what is read there stays as it was, and WAL piles up on
      its disk.
    |||,
    dashboard: 'replication',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_standby_replay_paused{%(sel)s}[%(3m)s])) == 1
        %(onStandby)s
      ||| % l,
  },

  PostgresReplicationConflicts: {
    group: 'replication',
    summary: 'Replay cancels queries on a standby.',
    description: |||
      On {{ $labels.instance }} {{ $value | humanize }} queries of the last hour were cancelled because replay could not wait
      for them. Their users saw an error.
    |||,
    dashboard: 'replication',
    expr(l)::
      |||
        sum by (%(by)s) (increase(pg_stat_database_conflicts_total{%(sel)s}[%(1h)s])) > %(conflicts)d
        %(onStandby)s
      ||| % l,
  },

  PostgresSyncStandbyMissing: {
    group: 'replication',
    summary: 'Commits wait for a synchronous standby that is not there.',
    description: |||
      synchronous_standby_names of {{ $labels.instance }} demands more standbys than the {{ $value | humanize }} that are
      connected. Writing transactions hang in their commit.
    |||,
    dashboard: 'replication',
    // With synchronous_commit local or off nobody waits, whatever the names say.
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_stat_replication_sync_standbys{%(sel)s}[%(2m)s]))
        < on (%(by)s)
        max by (%(by)s) (min_over_time(pg_stat_replication_sync_standbys_wanted{%(sel)s}[%(2m)s]))
        unless on (%(by)s) max by (%(by)s) (last_over_time(pg_settings_info{%(sel)s, name="synchronous_commit", setting=~"local|off"}[%(3m)s])) == 1
        %(onPrimary)s
      ||| % l,
  },

  PostgresRoleChanged: {
    group: 'replication',
    summary: 'A server changed between primary and standby.',
    description: |||
      {{ $labels.instance }} was promoted, or came back as a standby, in the last 15 minutes. Sessions were cut, and other
      alerts of this time may have this cause.
    |||,
    dashboard: 'cluster',
    // The exporter remembers the role of a server that was away for longer than the window.
    expr(l)::
      |||
        sum by (%(by)s) (changes(pg_replication_is_replica{%(sel)s}[%(15m)s])) > 0
        or on (%(by)s)
        time() - max by (%(by)s) (last_over_time(pg_server_role_changed_timestamp_seconds{%(sel)s}[%(3m)s])) < %(window)g
      ||| % l { window: l.seconds('15m') },
  },

  PostgresFailoverFlapping: {
    group: 'replication',
    scope: 'cluster',
    summary: 'The role of primary goes round.',
    description: |||
      In the last hour servers of one PostgreSQL cluster were promoted about {{ $value | humanize }} times. Each time sessions
      are cut, and writes may be lost.
    |||,
    dashboard: 'cluster',
    // A promotion changes the role of two servers. One that is restarted and promoted again between two scrapes shows in the
    // timeline alone. That has to grow step by step: on a standby it may fall back with the link, and on a server that was
    // restored it jumps.
    expr(l)::
      |||
        sum by (%(byCluster)s) (changes(pg_replication_is_replica{%(sel)s}[%(1h)s])) / 2 > %(promotions)d
        or on (%(byCluster)s)
        max by (%(byCluster)s) (
          max by (%(by)s) (max_over_time(pg_server_timeline{%(sel)s}[%(1h)s]))
          - on (%(by)s) min by (%(by)s) (min_over_time(pg_server_timeline{%(sel)s}[%(1h)s]))
          > %(promotions)d
          and on (%(by)s) max by (%(by)s) (changes(pg_server_timeline{%(sel)s}[%(1h)s])) > %(promotions)d
          %(onPrimary)s
        )
      ||| % l,
  },

  PostgresReplicationCatchup: {
    group: 'replication',
    summary: 'A receiver of WAL does not get beyond catching up.',
    description: |||
      For an hour a standby or subscriber of {{ $labels.instance }} has been reading WAL of the past, without reaching the
      present. Its link or its disk may be too slow; the board says which.
    |||,
    dashboard: 'replication',
    // First copies of subscribed tables, which have workers of their own, catch up one after the other.
    expr(l)::
      |||
        sum by (%(by)s) (max_over_time(pg_stat_replication_senders{%(sel)s, state="catchup", application_name!="pg_sync"}[%(3m)s])) > 0
        %(onPrimary)s
      ||| % l,
  },

  PostgresSlotInactive: {
    group: 'slots',
    summary: 'A replication slot that nobody uses keeps WAL.',
    description: |||
      Nothing has been connected for an hour to a slot of {{ $labels.instance }} that keeps {{ $value | humanize1024 }}B of
      WAL. It goes on until the disk is full or the slot is lost; the board names the slot.
    |||,
    dashboard: 'replication',
    // Slots on standbys are inactive by design, synced ones too. On a primary the flag synced is left over from before its
    // promotion and means nothing.
    expr(l)::
      |||
        max by (%(by)s) (
          max by (%(slot)s) (max_over_time(pg_replication_slots_retained_bytes{%(sel)s}[%(5m)s])) > %(bytes)d
          and on (%(slot)s) max by (%(slot)s) (max_over_time(pg_replication_slots_active{%(sel)s}[%(5m)s])) == 0
          unless on (%(slot)s) max by (%(slot)s) (max_over_time(pg_replication_slots_temporary{%(sel)s}[%(5m)s])) == 1
        )
        %(onPrimary)s
      ||| % withSlot(l),
  },

  PostgresSlotRetention: {
    group: 'slots',
    summary: 'A replication slot keeps too much WAL.',
    description: |||
      A slot of {{ $labels.instance }} has used up much of what max_slot_wal_keep_size allows, or without that limit keeps WAL
      that fills the disk. A slot beyond its limit is lost with all that its consumer has not read; the board names it.
    |||,
    dashboard: 'replication',
    // What is kept and what is still safe add up to the limit, wal_keep_size included. Temporary slots end by themselves, but
    // a base backup whose slot runs into the limit fails. The last values of three minutes, since under load a scrape may
    // run out of time.
    expr(l)::
      |||
        max by (%(by)s) (
          max by (%(slot)s) (last_over_time(pg_replication_slots_retained_bytes{%(sel)s}[%(3m)s]))
          / on (%(slot)s) (
            max by (%(slot)s) (last_over_time(pg_replication_slots_retained_bytes{%(sel)s}[%(3m)s]))
            + on (%(slot)s) clamp_min(min by (%(slot)s) (last_over_time(pg_replication_slots_safe_wal_size_bytes{%(sel)s}[%(3m)s])), 0)
          )
          > %(ratio)g
        )
        %(onPrimary)s
      ||| % withSlot(l) +
      (if l.bytes == null then '' else
         |||
           or on (%(by)s)
           max by (%(by)s) (
             max by (%(slot)s) (last_over_time(pg_replication_slots_retained_bytes{%(sel)s}[%(3m)s])) > %(bytes)d
             unless on (%(slot)s) max by (%(slot)s) (last_over_time(pg_replication_slots_safe_wal_size_bytes{%(sel)s}[%(3m)s]))
             unless on (%(slot)s) max by (%(slot)s) (last_over_time(pg_replication_slots_temporary{%(sel)s}[%(3m)s])) == 1
           )
           %(onPrimary)s
         ||| % withSlot(l)),
  },

  PostgresSlotLost: {
    group: 'slots',
    summary: 'A replication slot is lost.',
    description: |||
      WAL or rows that {{ $value | humanize }} slots of {{ $labels.instance }} were to keep are gone. What consumes a logical
      slot must be built anew; the board names the slots.
    |||,
    dashboard: 'replication',
    // Whatever invalidated a slot, its wal_status is lost.
    expr(l)::
      |||
        count by (%(by)s) (
          max by (%(by)s, slot_name) (max_over_time(pg_replication_slots_wal_status{%(sel)s, wal_status="lost"%(which)s}[%(3m)s]))
        ) > 0
        %(onPrimary)s
      ||| % l,
  },

  PostgresSubscriptionDown: {
    group: 'subscriptions',
    summary: 'An enabled subscription has no worker.',
    description: |||
      In {{ $labels.datname }} on {{ $labels.instance }}, {{ $value | humanize }} subscriptions are to run and do not. Their
      tables fall behind, and the publisher keeps WAL for them.
    |||,
    dashboard: 'replication',
    // A worker that fails is started again every few seconds, so some scrapes see one that gets nothing done.
    expr(l)::
      |||
        count by (%(database)s) (
          max by (%(subscription)s) (avg_over_time(pg_stat_subscription_apply_workers{%(sel)s}[%(10m)s])) < %(present)g
          and on (%(subscription)s) max by (%(subscription)s) (min_over_time(pg_stat_subscription_enabled{%(sel)s}[%(10m)s])) == 1
        ) > 0
        %(onPrimary)s
      ||| % withSubscription(l),
  },

  PostgresSubscriptionErrors: {
    group: 'subscriptions',
    summary: 'A subscription fails again and again.',
    description: |||
      In {{ $labels.datname }} on {{ $labels.instance }}, {{ $value | humanize }} subscriptions cannot apply what they get, or
      an error has disabled them. Their tables stay as they are until somebody resolves it.
    |||,
    dashboard: 'replication',
    // With disable_on_error there is one error, and then none.
    expr(l)::
      |||
        count by (%(database)s) (
          sum by (%(subscription)s) (increase(pg_stat_subscription_apply_errors_total{%(sel)s}[%(1h)s]))
          + on (%(subscription)s) sum by (%(subscription)s) (increase(pg_stat_subscription_sync_errors_total{%(sel)s}[%(1h)s]))
          > %(errors)d
          and on (%(subscription)s)
          sum by (%(subscription)s) (increase(pg_stat_subscription_apply_errors_total{%(sel)s}[%(15m)s]))
          + on (%(subscription)s) sum by (%(subscription)s) (increase(pg_stat_subscription_sync_errors_total{%(sel)s}[%(15m)s]))
          > 0
          or on (%(subscription)s)
          sum by (%(subscription)s) (increase(pg_stat_subscription_apply_errors_total{%(sel)s}[%(6h)s]))
          + on (%(subscription)s) sum by (%(subscription)s) (increase(pg_stat_subscription_sync_errors_total{%(sel)s}[%(6h)s]))
          > 0
          and on (%(subscription)s) max by (%(subscription)s) (max_over_time(pg_stat_subscription_enabled{%(sel)s}[%(5m)s])) == 0
        ) > 0
        %(onPrimary)s
      ||| % withSubscription(l),
  },
}
