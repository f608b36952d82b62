// Levels of alerts/vacuum.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // Of the age at which the server refuses to write. Autovacuum is forced at a tenth of it unless told otherwise, so at
  // 40% something has kept it from its work for long; at 60% there may be days left on a busy server, and a vacuum of
  // a large table takes days too.
  PostgresXidWraparound: {
    warning: { threshold: 0.4, 'for': '15m' },
    critical: { threshold: 0.6, 'for': '15m' },
  },
  // Ages up to autovacuum_freeze_max_age are the normal saw-tooth, and a large table takes hours from there.
  PostgresFreezeNotKeepingUp: { warning: { threshold: 1.5, 'for': '6h' } },
  // Fewer transactions than ids since then leave no bloat worth a ticket.
  PostgresXminHorizonOld: { warning: { age: '24h', ids: 100000, 'for': '1h' } },
  // Whoever prepares a transaction ends it within seconds, minutes if its coordinator is restarted.
  PostgresPreparedXactOld: { warning: { age: '1h', 'for': '15m' } },
  // Not quite all: between two tables a worker is gone for a moment. A load of data keeps all busy for an hour or two.
  PostgresAutovacuumSaturated: { warning: { threshold: 0.9, 'for': '3h' } },
  // Some switch it off while they load data.
  PostgresAutovacuumDisabled: { warning: { 'for': '1h' } },
  // ratio is dead rows over what makes autovacuum take the table; the rule looks at three hours, so it is six in all, in
  // which even a large table is done. Smaller tables than bytes are not worth a ticket.
  PostgresDeadTuplesHigh: { warning: { ratio: 2, bytes: 1024 * 1024 * 1024, 'for': '3h' } },
  // An analyze takes minutes, so after twelve hours nothing will come of itself.
  PostgresStatsStale: { info: { ratio: 5, bytes: 1024 * 1024 * 1024, 'for': '6h' } },
}
