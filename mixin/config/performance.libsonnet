// Levels of alerts/performance.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // An hour holds back vacuum for all tables of the server; ten minutes more say that it is not about to end.
  PostgresLongTransaction: { warning: { age: '1h', 'for': '10m' } },
  // Reports and loads may take so long: nobody need act.
  PostgresLongQuery: { info: { age: '6h', 'for': '10m' } },

  // Users hang. For a page, set critical to { wait: '15m', waiters: 10, 'for': '2m' }: many that hang for long. It is not
  // one by itself, because many queues are batch jobs of one application that wait for each other.
  PostgresLockWaitLong: {
    warning: { wait: '5m', waiters: 0, 'for': '2m' },
    critical: null,
  },

  // A few are normal, applications try again. The hour is in the rule, so that the alert ends an hour after the last.
  PostgresDeadlocks: { warning: { count: 5 } },
  // Below a transaction a second the ratio is that of a few cron jobs; a deployment is over in a quarter of an hour.
  PostgresRollbackRatioHigh: { warning: { ratio: 0.2, tps: 1, 'for': '15m' } },
  // The limit is soft, beyond it the next lock may fail with "out of shared memory". A query over many partitions that
  // ends within ten minutes has hurt nobody.
  PostgresLockTableFull: { warning: { ratio: 0.8, 'for': '10m' } },

  // Each evicts a twentieth of the entries: five in half an hour are a quarter of what is known.
  PostgresStatStatementsEvictions: { info: { count: 5, 'for': '1h' } },
  // Only where blocks are read in earnest, and not while a cache is still filled after a start.
  PostgresCacheHitLow: { info: { ratio: 0.9, blocks: 1000, uptime: '1h', 'for': '1h' } },
  // Of all that active clients do; with fewer than five of them one session makes the share. reads are blocks per second
  // that SLRU caches had to read: without them the waits are for other locks.
  PostgresSlruOrBufferPinWaits: { info: { ratio: 0.3, active: 5, reads: 100, 'for': '15m' } },

  // More than every ten minutes for want of room, for longer than one large load: max_wal_size is too small for the work.
  PostgresCheckpointsRequested: { info: { ratio: 0.5, count: 6, 'for': '2h' } },
  // A checkpoint is spread over checkpoint_completion_target of the timeout on purpose, which is 0.9 since 14. Late is what
  // comes after that by a twentieth of the timeout, and never what takes less than nine tenths of it.
  PostgresCheckpointSlow: { warning: { ratio: 0.9, late: 0.05, 'for': '1h' } },
  // Once may be a burst; for half an hour it is the rule.
  PostgresBackendFsync: { warning: { 'for': '30m' } },
}
