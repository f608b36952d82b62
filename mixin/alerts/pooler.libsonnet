// PgBouncer: whether clients get in, and how long they wait for a server. A pooler that is gone from the page altogether
// is a matter of its target, and of the alerts on targets.
{
  PgBouncerDown: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'PgBouncer does not answer.',
    description: |||
      The exporter could not open or use a session on the admin console of {{ $labels.instance }} in any scrape of three
      minutes. Applications that come this way most likely cannot connect; it pages where no other pooler of the same
      PostgreSQL cluster answers.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pgbouncer_up{%(sel)s}[%(3m)s])) == 0
      ||| % l
      + if l.alone then
        // Siblings are those of the same PostgreSQL cluster, in whichever job.
        |||
          unless on (%(byCluster)s) (
            max by (%(byCluster)s) (max_over_time(pgbouncer_up{%(sel)s}[%(3m)s])) == 1
          )
        ||| % l
      else '',
  },

  PgBouncerWaiting: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'Clients of PgBouncer wait for a server connection.',
    description: |||
      In the pools of database {{ $labels.database }} on {{ $labels.instance }} the client that is next has waited for
      {{ $value | humanizeDuration }}, on the mean of two minutes. Its user waits as long before the query even starts.
    |||,
    dashboard: 'poolers',
    // Clients that give up, or are sent away after query_wait_timeout, all at once, begin to wait anew: the mean bridges
    // that. The pool of the admin console has no servers, and whoever paused a database wants its clients to wait.
    expr(l)::
      |||
        max by (%(by)s, database) (avg_over_time(pgbouncer_pools_client_maxwait_seconds{%(sel)s, database!="pgbouncer"}[%(2m)s])) > %(least)s
        unless on (%(by)s, database) (
          max by (%(by)s, database) (
            label_replace(max_over_time(pgbouncer_databases_paused{%(sel)s}[%(5m)s]), "database", "$1", "name", "(.+)")
          ) == 1
        )
      ||| % (l { least: l.seconds(l.wait) }),
  },

  PgBouncerNoServers: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'PgBouncer has clients and no connection to their server.',
    description: |||
      Clients of database {{ $labels.database }} on {{ $labels.instance }} have waited for minutes, or were refused one after
      the other, and the pooler has no connection to the server, which may well be up: look at the way between them, and at
      the login.
    |||,
    dashboard: 'poolers',
    // Until a pool has reached its server once, its clients are not logged in, and PgBouncer does not measure their wait.
    // They may be away for moments, all of them, between giving up and the next try. After a login that failed PgBouncer
    // refuses them without a wait for server_login_retry, and counts a transaction for each in which nothing is sent.
    expr(l)::
      |||
        (
          sum by (%(by)s, database) (min_over_time(pgbouncer_pools_client_waiting_connections{%(sel)s, database!="pgbouncer"}[%(5m)s])) > 0
          or on (%(by)s, database)
          sum by (%(by)s, database) (avg_over_time(pgbouncer_pools_client_waiting_connections{%(sel)s, database!="pgbouncer"}[%(5m)s]))
          > on (%(by)s, database)
          0.5 * sum by (%(by)s, database) (max_over_time(pgbouncer_pools_client_waiting_connections{%(sel)s, database!="pgbouncer"}[%(5m)s]))
          or on (%(by)s, database)
          (
            sum by (%(by)s, database) (increase(pgbouncer_stats_sql_transactions_pooled_total{%(sel)s, database!="pgbouncer"}[%(5m)s])) > 0
            unless on (%(by)s, database)
            sum by (%(by)s, database) (increase(pgbouncer_stats_received_bytes_total{%(sel)s}[%(5m)s])) > 0
          )
        )
        unless on (%(by)s, database) (
          sum by (%(by)s, database) (max_over_time(pgbouncer_pools_server_active_connections{%(sel)s}[%(5m)s]))
          + on (%(by)s, database) sum by (%(by)s, database) (max_over_time(pgbouncer_pools_server_idle_connections{%(sel)s}[%(5m)s]))
          + on (%(by)s, database) sum by (%(by)s, database) (max_over_time(pgbouncer_pools_server_used_connections{%(sel)s}[%(5m)s]))
          > 0
        )
        unless on (%(by)s, database) (
          max by (%(by)s, database) (
            label_replace(max_over_time(pgbouncer_databases_paused{%(sel)s}[%(5m)s]), "database", "$1", "name", "(.+)")
          ) == 1
        )
      ||| % l,
  },

  PgBouncerPoolSaturated: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'A pool of PgBouncer has no server connections left.',
    description: |||
      Of the server connections that database {{ $labels.database }} on {{ $labels.instance }} may have, by the size of its
      pools or by its limit, {{ $value | humanizePercentage }} are with a client. Further clients will wait.
    |||,
    dashboard: 'poolers',
    // Idle connections are left out: a pool keeps those it once needed, and a database at its limit gives them up for
    // another user's. A limit of 0 is none.
    expr(l)::
      |||
        max by (%(by)s, database) (
          max by (%(by)s, database, user) (avg_over_time(pgbouncer_pools_server_active_connections{%(sel)s}[%(5m)s]))
          / on (%(by)s, database) group_left ()
          max by (%(by)s, database) (label_replace(last_over_time(pgbouncer_databases_pool_size{%(sel)s}[%(3m)s]) > 0, "database", "$1", "name", "(.+)"))
          > %(threshold)s
          or on (%(by)s, database)
          sum by (%(by)s, database) (avg_over_time(pgbouncer_pools_server_active_connections{%(sel)s}[%(5m)s]))
          / on (%(by)s, database)
          max by (%(by)s, database) (label_replace(last_over_time(pgbouncer_databases_max_connections{%(sel)s}[%(3m)s]) > 0, "database", "$1", "name", "(.+)"))
          > %(threshold)s
        )
      ||| % l,
  },

  PgBouncerClientsNearMax: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'PgBouncer has almost as many clients as it takes.',
    description: |||
      {{ $labels.instance }} has {{ $value | humanizePercentage }} of the clients that its max_client_conn allows. At 100 %
      it refuses new ones.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(by)s) (last_over_time(pgbouncer_used_clients{%(sel)s}[%(3m)s]))
        / on (%(by)s)
        max by (%(by)s) (last_over_time(pgbouncer_config_max_client_connections{%(sel)s}[%(3m)s]) > 0)
        > %(threshold)s
      ||| % l,
  },

  PgBouncerPaused: {
    group: 'pooler',
    scope: 'pooler',
    summary: 'A database of PgBouncer is paused or disabled.',
    description: |||
      Database {{ $labels.name }} on {{ $labels.instance }} has been paused or disabled for a while: its clients wait, or
      are refused, until an administrator says RESUME or ENABLE.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(by)s, name) (min_over_time(pgbouncer_databases_paused{%(sel)s}[%(5m)s])) == 1
        or on (%(by)s, name)
        max by (%(by)s, name) (min_over_time(pgbouncer_databases_disabled{%(sel)s}[%(5m)s])) == 1
      ||| % l,
  },
}
