// Encryption, and settings that change.
{
  PostgresTlsCertExpiring: {
    group: 'settings',
    summary: 'The TLS certificate expires.',
    description: |||
      The certificate that {{ $labels.instance }} shows expires in {{ $value | humanizeDuration }} (below zero it has).
      From then on clients that verify it cannot connect.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        min by (%(by)s) (last_over_time(pg_tls_certificate_not_after_timestamp_seconds{%(sel)s}[%(3m)s])) - time() < %(limit)d
        %(ofRole)s
      ||| % (l { limit: l.seconds(l.left), ofRole: if std.get(l, 'primaryOnly', false) then l.onPrimary else '' }),
  },

  PostgresUnencryptedClients: {
    group: 'settings',
    summary: 'Remote clients connect without TLS.',
    description: |||
      {{ $value }} sessions on {{ $labels.instance }} come over the network without TLS, although the server offers it. What
      they send can be read on the way, passwords of weak methods too.
    |||,
    dashboard: 'instance',
    // Short sessions are in some scrapes only.
    expr(l)::
      |||
        sum by (%(by)s) (max_over_time(pg_connections_sessions{%(sel)s, address_class=~"private|public", ssl="false"}[%(15m)s])) > 0
        and on (%(by)s)
        max by (%(by)s) (min_over_time(pg_tls_enabled{%(sel)s}[%(15m)s])) == 1
      ||| % l,
  },

  PostgresSettingsChanged: {
    group: 'settings',
    summary: 'A setting has changed.',
    description: |||
      The settings of {{ $labels.instance }} have changed within a quarter of an hour. If something else has begun to behave
      otherwise since then, this may be why.
    |||,
    dashboard: 'instance',
    // A promotion takes a few settings with it, beyond those that the fingerprint leaves out.
    expr(l)::
      |||
        max by (%(by)s) (changes(pg_settings_fingerprint{%(sel)s}[%(15m)s])) > 0
        unless on (%(by)s)
        max by (%(by)s) (changes(pg_replication_is_replica{%(sel)s}[%(30m)s])) > 0
      ||| % l,
  },

  PostgresRestartPending: {
    group: 'settings',
    summary: 'Settings wait for a restart.',
    description: |||
      {{ $value }} settings of {{ $labels.instance }} were changed in the configuration and have no effect until PostgreSQL
      is restarted. The next restart, whenever it comes, will bring them.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_settings_pending_restart{%(sel)s}[%(15m)s])) > 0
      ||| % l,
  },
}
