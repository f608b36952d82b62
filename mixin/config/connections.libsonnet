// Levels of alerts/connections.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  PostgresConnectionsHigh: {
    // Logins are about to be refused: minutes are left.
    critical: { ratio: 0.95, 'for': '5m' },
    // Bursts, such as a deployment that opens new pools before it closes the old ones, are shorter.
    warning: { ratio: 0.8, 'for': '15m' },
  },

  // Only this user or this database is refused. Limits below five are meant to be reached, as by a job that runs once.
  PostgresRoleConnectionLimit: { warning: { ratio: 0.9, limit: 5, 'for': '15m' } },

  // A login costs a process and some milliseconds: fifty a second keep a core busy. Where there have always been as many,
  // somebody has decided so.
  PostgresConnectionChurn: { info: { logins: 50, times: 5, 'for': '30m' } },

  // Quarter of an hour is no user who thinks, it is a transaction that was forgotten.
  PostgresIdleInTransaction: { warning: { age: '15m', 'for': '5m' } },
}
