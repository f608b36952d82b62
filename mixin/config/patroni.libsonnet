// Levels of alerts/patroni.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // The server serves on, so it is not an outage; a restart of Patroni is over by then.
  PatroniDown: { warning: { 'for': '5m' } },

  // An election is over in seconds, and a lock that ran out after its ttl, 30 s. The rule holds three minutes already, so
  // this pages after five.
  PatroniClusterUnlocked: { critical: { 'for': '2m' } },

  // One failure of another member from an outage. The rule holds two minutes, so one lost request does not page.
  PatroniFailsafe: { critical: { 'for': '1m' } },

  // age: three and ten times the ttl, which Patroni does not tell: give your own if yours is not 30 s. Patroni looks every
  // loop_wait, 10 s. A leader that still is one after ten does so by failsafe mode or a pause.
  PatroniDcsStale: {
    critical: { age: '300s', leader: true, 'for': '2m' },
    warning: { age: '90s', leader: false, 'for': '2m' },
  },

  // Maintenance takes an hour or two; what lasts longer is forgotten. Somebody did it on purpose, so it never pages.
  PatroniPaused: { warning: { 'for': '4h' } },

  // A day has a maintenance window, or an evening.
  PatroniPendingRestart: { info: { 'for': '24h' } },

  // Longer than a replica of middling size takes to be built anew.
  PatroniReplicaNotFailoverReady: { info: { 'for': '1h' } },
}
