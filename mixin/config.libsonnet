// What a user of the mixin may want to change, each with the reason why it is as it is. Override it with
//
//   (import 'pgvigil/mixin/mixin.libsonnet') + { _config+:: { clusterLabel: '' } }
{
  _config+:: {
    // Which series are pgvigil's. The matchers stand in every query, so that one Prometheus can watch other things too.
    selector: 'job=~".*(postgres|pgvigil).*"',
    // Patroni's own metrics, which it serves itself.
    patroniSelector: 'job=~".*patroni.*"',

    // The labels that say whose a series is. A label that is not there is named ''.
    // cluster is the Prometheus or Kubernetes cluster, which matters as soon as Thanos joins several.
    clusterLabel: 'cluster',
    // pg_cluster is the primary with its standbys: a label of the scrape target.
    pgClusterLabel: 'pg_cluster',
    // More labels that alerts shall keep, such as a tenant or an environment.
    extraLabels: [],

    // Databases that boards and alerts of databases leave out.
    datnameFilter: 'datname!~"template.*"',

    // How often rules are evaluated; nothing here needs it faster.
    interval: '30s',

    // All durations, of windows too, are multiplied by this. It is for drills, which cannot wait; leave it at 1.
    timeScale: 1,

    // Where the page of an alert is. %s is the alert's name.
    runbookURL: 'https://github.com/pgvigil/pgvigil/blob/main/docs/runbooks/%s.md',
    // Where a board is. %s is its uid; an alert's labels become its variables. '' leaves the annotation away.
    dashboardURL: '/d/%s',

    // Levels of the alerts, by area.
    alerts:
      (import 'config/availability.libsonnet') +
      (import 'config/connections.libsonnet') +
      (import 'config/replication.libsonnet') +
      (import 'config/backup.libsonnet') +
      (import 'config/vacuum.libsonnet') +
      (import 'config/space.libsonnet') +
      (import 'config/performance.libsonnet') +
      (import 'config/settings.libsonnet') +
      (import 'config/pooler.libsonnet') +
      (import 'config/patroni.libsonnet'),

    grafana: {
      // Boards have these tags; the menu of links among them goes by the first.
      tags: ['pgvigil', 'postgresql'],
      // Before the title of each board.
      prefix: 'PostgreSQL / ',
      refresh: '30s',
      // Which datasources the variable offers.
      datasourceRegex: '',
      timezone: 'browser',
      from: 'now-3h',
    },

    thanos: {
      // Alerts on partial data are guesses; a store that is away is an alert of Thanos' own.
      partialResponseStrategy: 'abort',
      // How far in the past to evaluate, for remote write and receivers, which are late; null is not at all.
      queryOffset: null,
    },
  },
}
