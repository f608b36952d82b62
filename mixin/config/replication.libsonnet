// Levels of alerts/replication.libsonnet: by alert and severity, what must hold for how long, and why so much.
local GiB = 1024 * 1024 * 1024;

{
  // Reads go on and the primary keeps the WAL for a while, so nobody is woken. A restart, or a change of the upstream
  // server, is over in ten minutes.
  PostgresReplicaDisconnected: { warning: { silence: '5m', 'for': '10m' } },

  // The next fault of the primary is an outage, with loss of data where commits do not wait. Five minutes, and the three
  // that the rule looks back, let an only standby restart.
  PostgresNoStreamingReplica: { critical: { 'for': '5m' } },

  // Who reads on standbys reads old data. How old hurts is known to the site alone: where it pages, set critical to
  // { lag: '30m', 'for': '10m' }.
  PostgresReplicationLagTime: { warning: { lag: '5m', 'for': '10m' }, critical: null },

  // A bulk load makes any receiver fall behind, and then the distance shrinks again. One that is less than 0.95 of its mean
  // of 15 minutes shrinks by at least as much as will have it gone in two and a half hours.
  PostgresReplicationLagBytes: { warning: { bytes: GiB, notBelow: 0.95, 'for': '15m' } },

  // A pause is somebody's decision, or a setting that is lower than the primary's; after an hour it may be forgotten.
  PostgresReplayPaused: { info: { 'for': '1h' } },

  // Some conflicts are the price of reading on a standby. The window is the wait.
  PostgresReplicationConflicts: { info: { conflicts: 10, keep: '15m' } },

  // Commits hang, all of them. The rule looks back two minutes, so a standby that comes and goes, with which commits go on,
  // does not page.
  PostgresSyncStandbyMissing: { critical: { 'for': '2m' } },

  // Consumers that come in batches are away for less than an hour. Below a gibibyte the WAL would be there anyway.
  PostgresSlotInactive: { warning: { bytes: GiB, 'for': '1h' } },

  // Ratios are of what max_slot_wal_keep_size allows; at 1 the slot may be lost with the next checkpoint. Without that limit
  // it is the disk that fills, whose size the exporter does not see: set bytes to a fifth of the one that WAL is on.
  PostgresSlotRetention: {
    warning: { ratio: 0.5, bytes: 50 * GiB, 'for': '10m' },
    critical: { ratio: 0.85, bytes: null, 'for': '10m' },
  },

  // The consumer of a logical slot stands still and must be built anew, a standby may have an archive to go on with. A slot
  // that idle_replication_slot_timeout took had no consumer for longer than the site says is right: that is no page.
  PostgresSlotLost: {
    warning: { which: '', 'for': '1m' },
    critical: { which: ', slot_type="logical", invalidation_reason!="idle_timeout"', 'for': '1m' },
  },

  // An event: it explains other alerts.
  PostgresRoleChanged: { info: { keep: '30m' } },

  // A switchover and back are two promotions, and with a third there is still somebody at work.
  PostgresFailoverFlapping: { critical: { promotions: 3 } },

  // A restart of the publisher is over in less. Data falls behind and the publisher keeps WAL, but nothing is lost yet.
  PostgresSubscriptionDown: { warning: { present: 0.5, 'for': '10m' } },

  // A publisher that restarts makes one error. More than three in an hour come from data that cannot be applied.
  PostgresSubscriptionErrors: { warning: { errors: 3, 'for': '15m' } },

  // A receiver that was away for long may take an hour. One that takes longer has a slow link, or a slow disk.
  PostgresReplicationCatchup: { info: { 'for': '1h' } },
}
