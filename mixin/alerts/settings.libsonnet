// Encryption, settings that change, and what makes a server less ready for production.
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

  PostgresReadinessWorse: {
    group: 'settings',
    summary: 'A readiness check no longer passes.',
    description: |||
      The check {{ $labels.check }} of {{ $labels.instance }} (factor: {{ $labels.factor }}) is worse than a day ago. The
      page /readiness of its exporter and pgvigil check say what was found, why it matters and what to do.
    |||,
    dashboard: 'readiness',
    // Where it passed, or somebody had accepted it, and now warns or fails; or where it only warned and now fails. The day
    // before is looked at by a moment: all of it would be millions of samples. After a day it is how the server is.
    expr(l)::
      local check(verdicts, offset) = 'max by (%s, factor, check) (last_over_time(pg_readiness_check{%s, verdict=~"%s"}[%s]%s)) == 1' % [l.by, l.sel, verdicts, l['3m'], offset];
      local before = ' offset ' + l.scaled(l.since);
      |||
        %(bad)s
        and on (%(by)s, factor, check)
        %(good)s
        or on (%(by)s, factor, check)
        %(worst)s
        and on (%(by)s, factor, check)
        %(middling)s
      ||| % (l { bad: check('warn|fail', ''), good: check('pass|accepted', before), worst: check('fail', ''), middling: check('warn', before) }),
  },
}
