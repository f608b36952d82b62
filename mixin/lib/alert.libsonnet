// Alerts are declared as data: an object whose fields are alert names, each with
//
//   group        of which rule group it is; groups of one instance and of whole clusters are apart
//   scope        'instance' (default), 'cluster' or 'pooler' or 'job': the labels that the alert has and its links use;
//                'member' is one of Patroni's, whose instance no board has as a variable
//   summary      one sentence, no template
//   description  one or two sentences with $labels and $value: what it means for whom
//   dashboard    the uid of the board that shows it, without the prefix 'pgvigil-'
//   expr(l)      the expression for one level; l has what config says of the level, and what lib/promql gives
//
// and config.alerts has for each name its levels by severity: { warning: { threshold: 0.8, 'for': '15m' } }. A level that
// is null is not rendered, so a severity is changed by moving the level to another key. Alerts of scope cluster are not
// rendered where no label says which servers belong together: all of them would pass for one cluster.
//
// A description says $labels.pg_cluster and $labels.cluster, whatever these labels are called.
local promql = import 'promql.libsonnet';

{
  // rules(c, declarations) are the Prometheus rules of all levels.
  rules(c, declarations)::
    local q = promql.query(c);
    local renamed(text, usual, label) = if label == '' then text else std.strReplace(text, '$labels.' + usual, '$labels.' + label);
    local called(text) = renamed(renamed(text, 'cluster', c.clusterLabel), 'pg_cluster', c.pgClusterLabel);
    local apart(a) = c.pgClusterLabel != '' || std.get(a, 'scope', 'instance') != 'cluster';
    local rule(name, severity) =
      local a = declarations[name];
      local level = c.alerts[name][severity];
      local d(text) = promql.duration(text, c.timeScale);
      {
        alert: name,
        expr: std.stripChars(a.expr(q + level + { scaled(text):: d(text), seconds(text):: promql.seconds(text) * c.timeScale }), ' \n'),
        [if std.get(level, 'for', '0m') != '0m' then 'for']: d(level['for']),
        [if std.objectHas(level, 'keep') then 'keep_firing_for']: d(level.keep),
        labels: { severity: severity },
        annotations: {
          summary: a.summary,
          description: called(std.strReplace(std.stripChars(a.description, ' \n'), '\n', ' ')),
          runbook_url: c.runbookURL % name,
          [if c.dashboardURL != '' then 'dashboard_url']: (c.dashboardURL % ('pgvigil-' + a.dashboard)) + $.variables(c, std.get(a, 'scope', 'instance')),
        },
      };
    [
      rule(name, severity)
      for name in std.objectFields(declarations)
      if apart(declarations[name]) && std.objectHas(c.alerts, name) && c.alerts[name] != null
      for severity in ['critical', 'warning', 'info']
      if std.get(c.alerts[name], severity) != null
    ],

  // variables(c, scope) is the query of a link to a board that shows what an alert with these labels is about.
  variables(c, scope)::
    local of(name, label) = if label == '' then [] else ['var-%s={{ $labels.%s }}' % [name, label]];
    // On a Prometheus whose external label it is, series do not have it, and on the boards of Thanos they do.
    local external(name, label) = if label == '' then [] else ['var-%s={{ or $labels.%s $externalLabels.%s }}' % [name, label, label]];
    local list = external('cluster', c.clusterLabel) + (if scope == 'job' then [] else of('pg_cluster', c.pgClusterLabel)) +
                 (if scope == 'instance' || scope == 'pooler' then of('instance', 'instance') else []);
    if list == [] then '' else '?' + std.join('&', list),

  // groups(c, declarations) are the rule groups, by name. Those of clusters and jobs are apart: they need all members at
  // once, so on Thanos their place may be another.
  groups(c, declarations)::
    local all = $.rules(c, declarations);
    local groupOf(r) =
      local a = declarations[r.alert];
      local wide = std.member(['cluster', 'job'], std.get(a, 'scope', 'instance'));
      (if wide then 'pgvigil-cluster-' else 'pgvigil-') + a.group;
    [
      { name: g, interval: c.interval, rules: std.filter(function(r) groupOf(r) == g, all) }
      for g in std.set(std.map(groupOf, all))
    ],
}
