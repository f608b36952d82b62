// Everything that is rendered, by path from the top of the repository; make generate writes it.
local mixin = (import 'mixin.libsonnet') + std.extVar('config');
local c = mixin._config;

local isCluster(group) = std.startsWith(group.name, 'pgvigil-cluster');
local files = {
  'pgvigil-rules': mixin.prometheusRules.groups,
  // One file each, so that the groups of whole clusters can live on a Thanos Ruler and the others beside the targets.
  'pgvigil-alerts-instance': std.filter(function(g) !isCluster(g), mixin.prometheusAlerts.groups),
  'pgvigil-alerts-cluster': std.filter(isCluster, mixin.prometheusAlerts.groups),
};

local thanos(groups) = [
  g {
    partial_response_strategy: c.thanos.partialResponseStrategy,
    [if c.thanos.queryOffset != null then 'query_offset']: c.thanos.queryOffset,
  }
  for g in groups
];

local yaml(value) = '# Generated from mixin/ by make generate: change it there.\n' + std.manifestYamlDoc(value, indent_array_in_object=true, quote_keys=false) + '\n';

// The list of alerts for people, by group.
local list =
  local line(r) = '| [%s](runbooks/%s.md) | %s | %s | %s |' % [r.alert, r.alert, r.labels.severity, std.get(r, 'for', ''), r.annotations.summary];
  local section(g) = '## %s\n\n| Alert | Severity | For | Says |\n| --- | --- | --- | --- |\n%s\n' % [std.strReplace(g.name, 'pgvigil-', ''), std.join('\n', std.map(line, g.rules))];
  |||
    <!-- Generated from mixin/ by make generate: change it there. -->

    # Alerts

    %d alerts. Critical is for what a person must act on now, warning for a ticket, info for context. Each has a page that says what it means and what to do.
    [mixin.md](mixin.md) says how to install and change them, and what is left without an alert on purpose.

    %s
  ||| % [
    std.length(std.set([r.alert for g in mixin.prometheusAlerts.groups for r in g.rules])),
    std.join('\n', std.map(section, mixin.prometheusAlerts.groups)),
  ];

{ 'docs/alerts.md': std.rstripChars(list, '\n') + '\n' } +
{ ['alerts/prometheus/%s.yaml' % name]: yaml({ groups: files[name] }) for name in std.objectFields(files) } +
{ ['alerts/thanos/%s.yaml' % name]: yaml({ groups: thanos(files[name]) }) for name in std.objectFields(files) } +
{
  ['alerts/operator/%s.yaml' % name]: yaml({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: name, labels: { 'app.kubernetes.io/name': 'pgvigil', 'app.kubernetes.io/component': 'rules' } },
    spec: { groups: thanos(files[name]) },
  })
  for name in std.objectFields(files)
} +
{ ['dashboards/' + name]: std.manifestJsonEx(mixin.grafanaDashboards[name], '  ') + '\n' for name in std.objectFields(mixin.grafanaDashboards) }
