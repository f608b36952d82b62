// Levels of alerts/pooler.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // The rule looks at three minutes of scrapes, so a restart is not seen. alone: only where no pooler beside it answers,
  // which is when users cannot get in; with a sibling it is redundancy that is lost.
  PgBouncerDown: {
    critical: { alone: true, 'for': '2m' },
    warning: { alone: false, 'for': '2m' },
  },

  // Queues of a moment are what a pooler is for. Five seconds, on the mean of two minutes, a user notices; thirty look
  // like an outage, and most clients give up by themselves.
  PgBouncerWaiting: {
    critical: { wait: '30s', 'for': '5m' },
    warning: { wait: '5s', 'for': '5m' },
  },

  // The rule holds for about as long as clients wait, and a restart of the server is over by then. It does not page: one
  // application with a wrong password looks the same.
  PgBouncerNoServers: { warning: { 'for': '5m' } },

  // On the mean of five minutes; nobody need wait yet, so there is time.
  PgBouncerPoolSaturated: { warning: { threshold: 0.9, 'for': '15m' } },

  // New clients are refused at 1. The pooler's own limit, not a number given here, is the measure.
  PgBouncerClientsNearMax: { warning: { threshold: 0.85, 'for': '10m' } },

  // Longer than a switchover or an upgrade of the pooler takes: forgotten.
  PgBouncerPaused: { info: { 'for': '30m' } },
}
