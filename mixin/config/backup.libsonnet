// Levels of alerts/backup.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // Nothing after the last archived segment can be restored elsewhere, and pg_wal grows until the disk is full. The rule
  // looks at 15 minutes of attempts, of which there is one a minute; as long again lets a store be restarted.
  PostgresArchiveFailing: { critical: { 'for': '15m' } },
  // 100 segments are 1.6 GB unless initdb was told otherwise; a burst of that size is archived within the quarter of an hour.
  PostgresArchiveBacklog: { warning: { files: 100, 'for': '15m' } },
  // A file that is ready is archived at once by an archiver that works, whatever archive_timeout is.
  PostgresArchiveStale: { warning: { age: '30m', 'for': '15m' } },

  // age is of the newest good backup of any type: a backup a day and two hours for it to run. types are ages of the last
  // backup of one type: 32d lets a full one be monthly. otherwise are ages of repositories that are filled at another
  // rhythm, by matcher, to be given in both levels: { 'repo="2"': '8d' }. Two missed backups in a row page; types do not,
  // for something newer is there.
  PostgresBackupTooOld: {
    warning: { age: '26h', types: { full: '32d' }, otherwise: {}, 'for': '30m' },
    critical: { age: '52h', types: {}, otherwise: {}, 'for': '30m' },
  },
  // Who sets up backups in the morning has the first one after the night.
  PostgresBackupNeverSucceeded: { warning: { 'for': '24h' } },
  // A page would come with every new stanza after pg_upgrade; the ticket is there within the hour.
  PostgresBackupsGone: { warning: { 'for': '30m' } },
  // A look is some minutes old, and a failed backup stays one; there is no hurry that a quarter of an hour would harm.
  PostgresBackupFailed: { warning: { 'for': '15m' } },
  // Checks connect to the server, and fail while it is restarted or its primary changes.
  PostgresBackupCheckFailing: { warning: { 'for': '1h' } },
  // pgvigil's restart loses what it knew until the next look, which may take minutes.
  PostgresBackupMetricsMissing: { warning: { 'for': '1h' } },
  // Tools are asked every 5 minutes unless told otherwise, archives listed every hour: raise age and listAge above twice
  // the longest interval and wal_interval in use.
  PostgresBackupLookFailing: { warning: { age: '2h', listAge: '1d', 'for': '30m' } },
  // Segments that are pushed side by side arrive out of order, and are there at the next look or listing.
  PostgresBackupWalGap: { warning: { 'for': '1h' } },
  // Monthly restore tests, with some days in which to repeat one.
  PostgresBackupRestoreUnproven: { info: { age: '35d', 'for': '1h' } },
  // factor is over the longest of the last backups of each type. atMost is for those with none before: a backup that was
  // killed may be told of as running for ever.
  PostgresBackupRunningLong: { info: { factor: 3, atMost: '1d', 'for': '1h' } },
  // A client whose disk is slow takes minutes for a block at times, and a checkpoint or the archiver may be waited for.
  PostgresBaseBackupStuck: { info: { 'for': '1h' } },
}
