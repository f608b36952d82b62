// Levels of alerts/space.libsonnet: by alert and severity, what must hold for how long, and why so much.
local GiB = 1024 * 1024 * 1024;

{
  // Work to plan, not to do now: a table that is updated has a part free on purpose, and what is less than some GiB is not
  // worth the lock. An estimate that holds for a day is not one of a moment between a mass delete and the next vacuum.
  PostgresTableBloat: { info: { ratio: 0.6, bytes: 5 * GiB, 'for': '24h' } },
  // Likewise; an index that grows in random order wastes a quarter as soon as it is rebuilt, which is far below.
  PostgresIndexBloat: { info: { ratio: 0.6, bytes: 5 * GiB, 'for': '24h' } },

  // At the end of the range each insert fails. A fifth of it is time to plan a change of type, a twentieth may be days.
  PostgresSequenceExhaustion: {
    warning: { ratio: 0.8, 'for': '1h' },
    critical: { ratio: 0.95, 'for': '1h' },
  },

  // It costs each write and serves no query. The collector leaves out tables with an index in the making; two hours are for
  // builds that fail and are begun again.
  PostgresInvalidIndex: { warning: { 'for': '2h' } },

  // Damaged data, at whatever hour. The counter stands still after one read, so the alert is held for a day. On a standby
  // nobody loses anything yet: that is a ticket. A server whose role is unknown counts as primary.
  PostgresChecksumFailure: {
    critical: { role: 'primary', keep: '24h' },
    warning: { role: 'standby', keep: '24h' },
  },

  // A decision somebody should have taken, and nothing that hurries.
  PostgresChecksumsDisabled: { info: { 'for': '24h' } },

  // Three times what is usual, and enough to matter: without the share a large database at rest would be a case each day,
  // without the bytes a small one. Six hours are for a load whose working tables are dropped at its end.
  PostgresDatabaseGrowth: { info: { factor: 3, share: 0.05, bytes: 5 * GiB, 'for': '6h' } },

  // A steady stream of sorts and hashes that do not fit in work_mem, which a disk feels; one large sort is none.
  PostgresTempFilesHigh: { warning: { bytes: 50 * 1024 * 1024, 'for': '30m' } },

  // max_wal_size is a soft limit, and a load goes past it between two checkpoints; twice as much, and still more half an
  // hour later, is kept by something.
  PostgresWalDirLarge: { warning: { factor: 2, 'for': '30m' } },
}
