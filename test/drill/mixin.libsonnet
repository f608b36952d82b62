// The mixin as drills use it: durations are a thirtieth, so that an hour is two
// minutes, and what is still too long, or too large for a small server, is less.
// What is tested is how alerts come about, not the numbers.
local MiB = 1024 * 1024;
{
  _config+:: {
    timeScale: 1 / 30,
    interval: error 'the harness says how often',
    alerts+: {
      // Hours and days of waiting, which would be minutes.
      PostgresRestarted: { info: { keep: '2m' } },
      PostgresRoleChanged: { info: { keep: '2m' } },
      PostgresCrashRestart+: { critical+: { keep: '2m' } },
      PostgresCollectorFailing: { warning: { 'for': '15m' } },
      PostgresPermissionMissing+: { info+: { 'for': '15m' } },
      PostgresReplayPaused: { info: { 'for': '10m' } },
      PostgresSlotInactive: { warning: { bytes: 8 * MiB, 'for': '10m' } },
      PostgresReplicationCatchup: { info: { 'for': '10m' } },
      PostgresWalDirLarge: { warning: { factor: 2, 'for': '15m' } },
      PostgresReplicationLagBytes+: { warning+: { bytes: 32 * MiB } },
      PostgresInvalidIndex: { warning: { 'for': '15m' } },
      PostgresSequenceExhaustion: { warning: { ratio: 0.8, 'for': '10m' }, critical: { ratio: 0.95, 'for': '10m' } },
      PostgresTableBloat+: { info+: { bytes: 4 * MiB, 'for': '15m' } },
      PostgresIndexBloat+: { info+: { bytes: 2 * MiB, 'for': '15m' } },
      PostgresDeadTuplesHigh+: { warning+: { bytes: 1 * MiB, 'for': '10m' } },
      PostgresTempFilesHigh+: { warning+: { bytes: 4 * MiB, 'for': '10m' } },
      PostgresRestartPending: { info: { 'for': '15m' } },
      PostgresTlsCertExpiring+: { critical+: { left: '60d', 'for': '10m' }, warning+: { left: '600d', 'for': '10m' } },
      PostgresXminHorizonOld: { warning: { age: '30m', ids: 1000, 'for': '10m' } },
      PostgresPreparedXactOld: { warning: { age: '20m', 'for': '10m' } },
      PostgresLongTransaction: { warning: { age: '20m', 'for': '5m' } },
      PostgresIdleInTransaction: { warning: { age: '10m', 'for': '5m' } },
      PostgresAutovacuumDisabled: { warning: { 'for': '15m' } },
      PostgresFreezeNotKeepingUp: { warning: { threshold: 1.5, 'for': '10m' } },
      PostgresCheckpointsRequested+: { info+: { 'for': '10m' } },
      PostgresArchiveBacklog: { warning: { files: 20, 'for': '10m' } },
      PostgresBackupTooOld+: { warning+: { age: '60m' }, critical+: { age: '120m' } },
      PostgresBackupWalGap: { warning: { 'for': '15m' } },
      PostgresBackupMetricsMissing: { warning: { 'for': '15m' } },
      PostgresBackupLookFailing+: { warning+: { age: '10m', 'for': '10m' } },
      PostgresChecksumFailure+: { critical+: { keep: '10m' }, warning+: { keep: '10m' } },
      PostgresSettingsChanged: { info: { keep: '10m' } },
      PgBouncerPaused: { info: { 'for': '15m' } },
    },
  },
}
