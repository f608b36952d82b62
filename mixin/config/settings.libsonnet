// Levels of alerts/settings.libsonnet: by alert and severity, what must hold for how long, and why so much.
{
  // Three weeks are for those who must ask somebody for a certificate, and less than the month that automatic renewal
  // leaves; for certificates that live shorter set less. Clients that verify it fail at the end, at once. Standbys have
  // their time as a ticket: only a primary pages.
  PostgresTlsCertExpiring: {
    warning: { left: '21d', 'for': '1h' },
    critical: { left: '3d', primaryOnly: true, 'for': '1h' },
  },

  // Posture, and for somebody to know; an hour leaves out an administrator's session.
  PostgresUnencryptedClients: { info: { 'for': '1h' } },

  // Context beside other alerts, so it is there at once and for an hour.
  PostgresSettingsChanged: { info: { keep: '1h' } },
  // Who changes a setting that wants a restart usually has a window for it; a day later it has been forgotten.
  PostgresRestartPending: { info: { 'for': '24h' } },

  // Most faults that a check sees have an alert of their own, which comes first; this one is for what has none. An hour
  // leaves out what comes and goes, such as a lag, or a standby that is built anew.
  PostgresReadinessWorse: { info: { since: '1d', 'for': '1h' } },
}
