// The alerts, by area; each area's levels are in config/. A new area is a line here and a line in config.libsonnet.
local alert = import '../lib/alert.libsonnet';

{
  // alertDeclarations are the alerts as they are written, for tests and documentation.
  alertDeclarations+::
    (import 'availability.libsonnet') +
    (import 'connections.libsonnet') +
    (import 'replication.libsonnet') +
    (import 'backup.libsonnet') +
    (import 'vacuum.libsonnet') +
    (import 'space.libsonnet') +
    (import 'performance.libsonnet') +
    (import 'settings.libsonnet') +
    (import 'pooler.libsonnet') +
    (import 'patroni.libsonnet'),

  prometheusAlerts+:: {
    groups+: alert.groups($._config, $.alertDeclarations),
  },
}
