// Levels of alerts/availability.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // Users cannot reach the database. The rule already looks at three minutes of scrapes, so a minute more is enough.
  PostgresDown: { critical: { 'for': '1m' } },

  // No member is left to take over. A restart of all of them at once, as for a new minor release, is over in the three
  // minutes that the rule looks at. It does not wait longer, to be there before PostgresDown, which it inhibits: one page
  // for one outage.
  PostgresClusterDown: { critical: {} },

  // Monitoring is lost, not the database, so nobody is woken. A new release of pgvigil is rolled out in less.
  PostgresExporterDown: { warning: { 'for': '10m' } },

  // A rollout has more or fewer targets than usual for some minutes.
  PostgresTargetsMissing: { warning: { 'for': '15m' } },

  // Alerts that page are deaf while it fires. A failover and a restart are over by then.
  PostgresMonitoringBlind: { warning: { 'for': '15m' } },

  // A collector may run once an hour only; one that fails twice does not heal by itself.
  PostgresCollectorFailing: { warning: { 'for': '1h' } },

  // A tenth: a single late scrape, as after a restart, has left the fifteen minutes before the alert would fire.
  PostgresScrapeSlow: { warning: { ratio: 0.1, 'for': '15m' } },

  // The cap did its work; a person decides whether it is too low.
  PostgresExporterSeriesLimit: { info: { 'for': '30m' } },

  // Somebody has just written the file and may be about to mend it.
  PostgresExporterConfigReloadFailed: { warning: { 'for': '15m' } },

  // A grant is noticed within the hour. Collectors in `optional` want more than pg_monitor, which many will not give.
  PostgresPermissionMissing: { info: { optional: 'hba|hba_weak|roles_passwords', 'for': '1h' } },

  // An event: it is over when it is seen. It is kept to be there when somebody looks for the cause of something else.
  PostgresRestarted: { info: { keep: '30m' } },

  // Two restarts may be a person who tries a setting; the third in an hour is a loop.
  PostgresCrashRestart: { critical: { restarts: 2, keep: '30m' } },

  // It is to be there always.
  PostgresDeadMansSwitch: { info: {} },

  // Patroni and its like promote within a minute; the rule looks at three minutes of scrapes besides.
  PostgresNoPrimary: { critical: { 'for': '1m' } },

  // Two of them have been primary for three minutes without a break already when the rule sees it. A minute more lets a
  // primary that died go out of sight, where scrapes are a minute apart.
  PostgresMultiplePrimaries: { critical: { 'for': '1m' } },
}
