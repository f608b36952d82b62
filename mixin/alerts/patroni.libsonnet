// Patroni, by what it serves itself at /metrics of its REST API; pgvigil has no part in it. Its label scope, the name that
// the cluster has in the store, is kept beside ours: it tells clusters apart where a job has no label pg_cluster.
//
// patroni_failsafe_mode_is_active and patroni_primary came with 3.0, patroni_postgres_streaming with 3.0.4;
// patroni_master went with 4.0. What a release does not have cannot fire.
{
  PatroniDown: {
    group: 'patroni',
    scope: 'member',
    summary: 'Patroni does not answer.',
    description: |||
      Patroni on {{ $labels.instance }} has answered no scrape for minutes. The server there may run on, but nobody fails
      it over, and a leader without Patroni loses its lock.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(up{%(patroniSel)s}[%(3m)s])) == 0
      ||| % l,
  },

  PatroniClusterUnlocked: {
    group: 'patroni',
    scope: 'cluster',
    summary: 'Nobody holds the leader lock of a Patroni cluster.',
    description: |||
      No member of {{ $labels.scope }} has seen a leader for minutes. Without one there is no primary that stays, so writes
      fail or soon will.
    |||,
    dashboard: 'poolers',
    // A member that cannot reach the store says unlocked too, so all have to.
    expr(l)::
      |||
        min by (%(byScope)s) (min_over_time(patroni_cluster_unlocked{%(patroniSel)s}[%(3m)s])) == 1
      ||| % l,
  },

  PatroniFailsafe: {
    group: 'patroni',
    scope: 'cluster',
    summary: 'A Patroni cluster runs in failsafe mode.',
    description: |||
      The store of {{ $labels.scope }} cannot be reached, and its primary stays one only because all members agree. If one
      more of them is lost, it demotes itself and writes fail; there is no failover.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(byScope)s) (min_over_time(patroni_failsafe_mode_is_active{%(patroniSel)s}[%(2m)s])) == 1
      ||| % l,
  },

  PatroniDcsStale: {
    group: 'patroni',
    scope: 'member',
    summary: 'A Patroni member does not reach its store.',
    description: |||
      Patroni on {{ $labels.instance }} last reached the store {{ $value | humanizeDuration }} ago. A replica cannot be
      promoted meanwhile; a leader is about to demote itself, unless failsafe mode or a pause keeps it.
    |||,
    dashboard: 'poolers',
    // 0 is a member that has not seen it yet.
    expr(l)::
      |||
        time() - max by (%(by)s) (last_over_time(patroni_dcs_last_seen{%(patroniSel)s}[%(3m)s]) > 0) > %(least)s
      ||| % (l { least: l.seconds(l.age) })
      + if l.leader then
        |||
          and on (%(by)s) (
            max by (%(by)s) (max_over_time(patroni_primary{%(patroniSel)s}[%(3m)s])) == 1
            or on (%(by)s)
            max by (%(by)s) (max_over_time(patroni_master{%(patroniSel)s}[%(3m)s])) == 1
            or on (%(by)s)
            max by (%(by)s) (max_over_time(patroni_standby_leader{%(patroniSel)s}[%(3m)s])) == 1
          )
        ||| % l
      else '',
  },

  PatroniPaused: {
    group: 'patroni',
    scope: 'cluster',
    summary: 'Automatic failover of a Patroni cluster is paused.',
    description: |||
      {{ $labels.scope }} has been in maintenance mode for hours. If its primary fails now, nothing takes its place.
    |||,
    dashboard: 'poolers',
    expr(l)::
      |||
        max by (%(byScope)s) (min_over_time(patroni_is_paused{%(patroniSel)s}[%(5m)s])) == 1
      ||| % l,
  },

  PatroniPendingRestart: {
    group: 'patroni',
    scope: 'member',
    summary: 'A server waits for a restart by Patroni.',
    description: |||
      Settings of the server of {{ $labels.instance }} have changed that take a restart, and it has had none for a day:
      what runs is not what is written, and the next restart changes more than one expects.
    |||,
    dashboard: 'poolers',
    // An hour, so that missed scrapes do not begin the day anew.
    expr(l)::
      |||
        max by (%(by)s) (min_over_time(patroni_pending_restart{%(patroniSel)s}[%(1h)s])) == 1
      ||| % l,
  },

  PatroniReplicaNotFailoverReady: {
    group: 'patroni',
    scope: 'member',
    summary: 'A replica of a Patroni cluster cannot take over.',
    description: |||
      The replica of {{ $labels.instance }} does not run, or receives nothing: a failover has one candidate less, or none.
    |||,
    dashboard: 'poolers',
    // One that lives off the archive, by design or for a while, can still be promoted. Lag is left to the alerts on
    // replication: positions scraped at different moments differ by what was written between.
    expr(l)::
      |||
        max by (%(by)s) (min_over_time(patroni_replica{%(patroniSel)s}[%(5m)s])) == 1
        and on (%(by)s) (
          max by (%(by)s) (max_over_time(patroni_postgres_running{%(patroniSel)s}[%(5m)s])) == 0
          or on (%(by)s)
          max by (%(by)s) (max_over_time(patroni_postgres_streaming{%(patroniSel)s}[%(5m)s]))
          + on (%(by)s)
          max by (%(by)s) (max_over_time(patroni_postgres_in_archive_recovery{%(patroniSel)s}[%(5m)s]))
          == 0
        )
      ||| % l,
  },
}
