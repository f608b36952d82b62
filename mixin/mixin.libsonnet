// The mixin as others import it: grafanaDashboards, prometheusAlerts and prometheusRules, changed through _config.
(import 'config.libsonnet') +
(import 'alerts/alerts.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'dashboards/dashboards.libsonnet')
