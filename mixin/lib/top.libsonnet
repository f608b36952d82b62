// What boards of many servers have in common: queries that show only what ranks highest, and columns that say whose a row is.
//
// A graph ranks once, over all the time that is looked at, by @ end(): topk alone would choose anew at each point, and draw
// many torn lines. Texts are put together, not formatted, so that %(on)s and the like can stand in all of them.
{
  local root = self,

  // among(expr, labels, rank) is what of expr is among the series of rank.
  among(expr, labels, rank):: '(\n' + expr + '\n)\nand on (' + labels + ')\n' + rank,

  // total(labels, metric, matchers) is what a counter grew by in the time that is looked at, at its end.
  total(labels, metric, matchers):: 'sum by (' + labels + ') (increase(' + metric + '{' + matchers + '}[$__range] @ end()))',

  // rate(n, labels, metric, matchers) is a counter's growth per second, of those that grew most.
  rate(n, labels, metric, matchers)::
    root.among('sum by (' + labels + ') (rate(' + metric + '{' + matchers + '}[$__rate_interval]))', labels, 'topk(' + n + ', ' + root.total(labels, metric, matchers) + ')'),

  // count(n, labels, metric, matchers) is a counter's growth from point to point, of those that grew most.
  count(n, labels, metric, matchers)::
    root.among('sum by (' + labels + ') (increase(' + metric + '{' + matchers + '}[$__rate_interval]))', labels, 'topk(' + n + ', ' + root.total(labels, metric, matchers) + ')'),

  // gauge(n, labels, metric, matchers) is a gauge, of those that were highest.
  gauge(n, labels, metric, matchers)::
    root.among('max by (' + labels + ') (' + metric + '{' + matchers + '})', labels, 'topk(' + n + ', max by (' + labels + ') (max_over_time(' + metric + '{' + matchers + '}[$__range] @ end())))'),

  // age(labels, metric, matchers) is the time since the moment that a gauge tells.
  age(labels, metric, matchers):: 'time() - max by (' + labels + ') (' + metric + '{' + matchers + '})',

  // either(labels, parts) is all parts, told apart by a label: [[value, expr]]. or alone would hide what has equal labels.
  either(label, parts):: std.join('\nor\n', ['label_replace(' + p[1] + ", '" + label + "', '" + p[0] + "', '', '')" for p in parts]),

  // who(c) are the columns that say whose a row is; the instance leads to its board. All labels of an instance but job are
  // among them, as rows whose columns are equal would become one.
  who(c)::
    local of(label, title) = if label == '' then [] else [{ field: label, title: title }];
    local row(variable, label) = if label == '' then '' else '&var-%s=${__data.fields.%s}' % [variable, label];
    of(c.clusterLabel, 'Cluster') + of(c.pgClusterLabel, 'PostgreSQL cluster') + [{ field: l } for l in c.extraLabels] +
    [{
      field: 'instance',
      title: 'Instance',
      link: {
        title: 'Instance ${__value.text}',
        url: '/d/pgvigil-instance?${__url_time_range}&${datasource:queryparam}' +
             row('cluster', c.clusterLabel) + row('pg_cluster', c.pgClusterLabel) + row('instance', 'instance'),
      },
    }],

  // empty(reason) is for panels that have nothing to show where all is well, or where a server lacks what they show.
  empty(reason):: { noValue: reason, emptyWhen: reason },

  // sorted(title) sorts a table by a column, the most first.
  sorted(title):: { options: { sortBy: [{ displayName: title, desc: true }] } },

  bars:: { custom: { drawStyle: 'bars', lineWidth: 0, fillOpacity: 70 } },
}
