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
