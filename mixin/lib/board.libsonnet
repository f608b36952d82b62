// A small library for boards. A board is declared as rows of panels; where a panel stands follows from its width.
//
//   board.new(c, { uid: 'instance', title: 'Instance', variables: ['instance'], rows: [
//     { title: 'Connections', panels: [
//       board.timeseries('Sessions by state', 'What sessions do.', [
//         board.target('sum by (%(by)s, state) (pg_stat_activity_count{%(on)s})', '{{instance}} {{state}}'),
//       ], { unit: 'short', w: 12 }),
//     ] },
//   ] })
//
// Queries are formatted with lib/promql's keys and these, which have the board's variables in them:
//
//   fleet       matchers of a Prometheus cluster
//   cluster     matchers of a PostgreSQL cluster
//   on          matchers of an instance
//   database    on, with a database
//   alerts      matchers of the mixin's firing alerts in the cluster, and alertsOn on the instance
//   patroni     cluster, of the metrics that Patroni serves itself
//   rate        $__rate_interval
//
// Variables chain: datasource, cluster, pg_cluster, then instance and datname where the board asks for them. Gauges that
// are 0 or 1 are read through max_over_time or min_over_time: downsampling averages all else.
//
// A panel that a healthy server may leave empty says when in emptyWhen. It is not rendered: tests read it from the
// declarations, which are mixin.boards.
local promql = import 'promql.libsonnet';

{
  local root = self,

  target(expr, legend='', opt={}):: { expr: expr, legend: legend } + opt,

  // The kinds of panels. opt may have: unit, w (of 24), h, min, max, decimals, stack, thresholds ([[value, colour]]),
  // mappings, overrides, link (of a value, see link), links (of the panel), noValue (what an empty panel says),
  // emptyWhen, calc (of a stat), options and custom (Grafana's own).
  local kind(type) = function(title, description, targets, opt={}) { type: type, title: title, description: description, targets: targets } + opt,
  timeseries:: kind('timeseries'),
  stat:: kind('stat'),
  gauge:: kind('gauge'),
  barGauge:: kind('bargauge'),
  stateTimeline:: kind('state-timeline'),
  // A table's rows are joined by the labels that its targets have in common. opt.columns, which must be, names labels and
  // values in order: [{ field, title, unit, decimals, link, width, thresholds, mappings, colour, hidden }]; others are
  // dropped, and of one with colour the mappings colour the cell. A target's value is the field 'Value #A', by the
  // target's place. opt.sort is the title of a column to sort by, the greatest first.
  table:: kind('table'),
  text(title, content, opt={}):: { type: 'text', title: title, description: title, targets: [], content: content } + opt,

  local datasource = { type: 'prometheus', uid: '${datasource}' },

  local labelOf(c, variable) = std.get({ cluster: c.clusterLabel, pg_cluster: c.pgClusterLabel }, variable, variable),

  // link leads to another board with the time, the data source and these variables as the clicked row of a table has
  // them, or the clicked series; labels says of which label a variable is where it is not its own.
  link(c, uid, title, variables, of='row', labels={})::
    local value = { row: '${__data.fields.%s}', series: '${__field.labels.%s}' }[of];
    {
      title: title,
      url: std.join('&', ['/d/pgvigil-%s?${datasource:queryparam}&${__url_time_range}' % uid] + [
        'var-%s=%s' % [v, value % std.get(labels, v, labelOf(c, v))]
        for v in variables
        if labelOf(c, v) != ''
      ]),
    },

  // whose begins legends and names the cluster; an instance follows, or nothing.
  whose(c):: std.join('', ['{{%s}} ' % l for l in [c.clusterLabel, c.pgClusterLabel] if l != '']),

  // columns of the labels that say whose a row is, each leading to its board.
  clusterColumns(c):: std.filter(function(col) col.field != '', [
    { field: c.clusterLabel, title: 'Cluster', link: root.link(c, 'fleet', 'Fleet', ['cluster']) },
    { field: c.pgClusterLabel, title: 'PostgreSQL cluster', link: root.link(c, 'cluster', 'Cluster', ['cluster', 'pg_cluster']) },
  ]) + [{ field: l } for l in c.extraLabels],
  // For links from rows whose cluster is not shown.
  hiddenClusterColumns(c):: [col { hidden: true } for col in root.clusterColumns(c)],
  instanceColumn(c, title='Instance', field='instance'):: { field: field, title: title, link: root.instanceLink(c) },
  instanceLink(c, of='row'):: root.link(c, 'instance', 'Instance', ['cluster', 'pg_cluster', 'instance'], of),

  // values maps numbers to words and colours: values([[0, 'down', 'red'], [1, 'up', 'green']]).
  values(list):: [{ type: 'value', options: { ['%g' % v[0]]: { text: v[1], color: v[2], index: 0 } for v in list } }],
  // named shows texts as others: named([['security', 'Provisioning and security']]).
  named(list):: [{ type: 'value', options: { [v[0]]: { text: v[1], index: 0 } for v in list } }],
  // words colours texts: words([['critical', 'red']]).
  words(list):: [{ type: 'value', options: { [v[0]]: { text: v[0], color: v[1], index: 0 } for v in list } }],

  // alerts is a table of what fires. Where no rules are loaded it is as empty as where all is well.
  alerts(c, matchers='alerts', opt={}):: root.table(
    'Firing alerts',
    "The mixin's alerts that fire in what is selected, the worst of each. A click leads to the instance or its cluster.",
    [root.target('max by (alertname, severity, %(by)s) (ALERTS{%(' + matchers + ')s})')],
    {
      columns: [
        { field: 'severity', title: 'Severity', width: 100, mappings: root.words([['critical', 'red'], ['warning', 'orange'], ['info', 'blue']]), colour: true },
        { field: 'alertname', title: 'Alert' },
      ] + root.clusterColumns(c) + [root.instanceColumn(c)],
      noValue: 'nothing fires',
      emptyWhen: 'no alert fires',
      h: 6,
    } + opt
  ),

  queries(c):: promql.query(c) + {
    local of(label, variable) = if label == '' then [] else ['%s=~"$%s"' % [label, variable]],
    local join(list) = std.join(', ', list),
    local fleet = [c.selector] + of(c.clusterLabel, 'cluster'),
    local cluster = fleet + of(c.pgClusterLabel, 'pg_cluster'),
    patroni: join([c.patroniSelector] + cluster[1:]),
    fleet: join(fleet),
    cluster: join(cluster),
    on: join(cluster + ['instance=~"$instance"']),
    database: join(cluster + ['instance=~"$instance"', 'datname=~"$datname"']),
    // A cluster's alert has no instance, and a job's no PostgreSQL cluster.
    local alerts = ['alertname=~"(Postgres|PgBouncer|Patroni).+"', 'alertname!="PostgresDeadMansSwitch"', 'alertstate="firing"'] +
                   of(c.clusterLabel, 'cluster') +
                   (if c.pgClusterLabel == '' then [] else ['%s=~"$pg_cluster|"' % c.pgClusterLabel]),
    alerts: join(alerts),
    alertsOn: join(alerts + ['instance=~"$instance|"']),
    rate: '$__rate_interval',
  },

  local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  local steps(thresholds) = { mode: 'absolute', steps: [{ value: t[0], color: t[1] } for t in thresholds] },
  local property(id, value) = { id: id, value: value },

  // What is unknown has no colour: it is neither good nor bad.
  local unknown(text, colour) = [{ type: 'special', options: { match: 'null+nan', result: { text: text, color: colour, index: 9 } } }],
  local grey = '#808080',

  local columnOverride(col) = {
    matcher: { id: 'byName', options: std.get(col, 'title', col.field) },
    properties:
      [property('noValue', '-')] +
      (if std.objectHas(col, 'unit') then [property('unit', col.unit)] else []) +
      (if std.objectHas(col, 'decimals') then [property('decimals', col.decimals)] else []) +
      (if std.objectHas(col, 'width') then [property('custom.width', col.width)] else []) +
      (if std.objectHas(col, 'mappings') || std.objectHas(col, 'thresholds') then [
         property('mappings', std.get(col, 'mappings', []) + unknown('-', 'transparent')),
       ] else []) +
      (if std.objectHas(col, 'thresholds') then [property('thresholds', steps(col.thresholds))] else []) +
      (if std.objectHas(col, 'thresholds') || std.get(col, 'colour', false) then [
         property('custom.cellOptions', { type: 'color-background', mode: 'basic' }),
       ] else []) +
      // The second is what Grafana calls it since 12.2.
      (if std.get(col, 'hidden', false) then [property('custom.hidden', true), property('custom.hideFrom.viz', true)] else []) +
      (if std.objectHas(col, 'link') then [property('links', [{ title: col.link.title, url: col.link.url }])] else []),
  },

  local tableParts(p) =
    local columns = p.columns;
    // Grafana calls the value of the only target just so.
    local names(field) = [field] + (if field == 'Value #A' && std.length(p.targets) == 1 then ['Value'] else []);
    {
      // Without what is not shown, such as the time, targets with the same labels become one row.
      transformations: [
        { id: 'filterFieldsByName', options: { include: { names: [n for col in columns for n in names(col.field)] } } },
        { id: 'merge', options: {} },
        {
          id: 'organize',
          options: {
            indexByName: { [n]: i for i in std.range(0, std.length(columns) - 1) for n in names(columns[i].field) },
            renameByName: { [n]: std.get(col, 'title', col.field) for col in columns for n in names(col.field) },
          },
        },
      ],
      overrides: [columnOverride(col) for col in columns],
    },

  // Graphs show a range, all else its end: the last value of a range may be of a server that is no more.
  local target(q, p, t, id) =
    local instant = std.get(t, 'instant', !std.member(['timeseries', 'state-timeline'], p.type));
    {
      datasource: datasource,
      refId: id,
      expr: std.stripChars(t.expr % q, ' \n'),
      legendFormat: t.legend,
      editorMode: 'code',
      range: !instant,
      instant: instant,
      [if instant then 'format']: if p.type == 'table' then 'table' else 'time_series',
    },

  local panel(q, p, id, pos) =
    local t = if p.type == 'table' then tableParts(p) else { transformations: [], overrides: [] };
    {
      id: id,
      type: p.type,
      title: p.title,
      description: p.description,
      gridPos: pos,
      [if p.type != 'text' then 'datasource']: datasource,
      [if p.type == 'text' then 'options']: { mode: 'markdown', content: p.content },
      [if p.type != 'text' then 'targets']: [
        target(q, p, p.targets[i], letters[i])
        for i in std.range(0, std.length(p.targets) - 1)
      ],
      [if t.transformations != [] then 'transformations']: t.transformations,
      [if std.objectHas(p, 'links') then 'links']: p.links,
      [if p.type != 'text' then 'fieldConfig']: {
        defaults: {
          unit: std.get(p, 'unit', 'short'),
          noValue: std.get(p, 'noValue', 'no data'),
          [if std.objectHas(p, 'min') then 'min']: p.min,
          [if std.objectHas(p, 'max') then 'max']: p.max,
          [if std.objectHas(p, 'decimals') then 'decimals']: p.decimals,
          [if std.objectHas(p, 'link') then 'links']: [p.link],
          mappings: std.get(p, 'mappings', []) + (if p.type == 'stat' then unknown(std.get(p, 'noValue', 'no data'), grey) else []),
          color: { mode: if p.type == 'table' || std.objectHas(p, 'thresholds') && p.type != 'timeseries' then 'thresholds' else 'palette-classic' },
          thresholds: steps(std.get(p, 'thresholds', [[null, if p.type == 'table' then 'transparent' else 'green']])),
          custom: (if p.type == 'timeseries' then {
                     drawStyle: 'line',
                     lineWidth: 1,
                     fillOpacity: if std.get(p, 'stack', false) then 30 else 5,
                     showPoints: 'auto',
                     stacking: { mode: if std.get(p, 'stack', false) then 'normal' else 'none', group: 'A' },
                     thresholdsStyle: { mode: if std.objectHas(p, 'thresholds') then 'dashed' else 'off' },
                   } else if p.type == 'state-timeline' then { fillOpacity: 80, lineWidth: 0 } else {}) + std.get(p, 'custom', {}),
        },
        overrides: t.overrides + std.get(p, 'overrides', []),
      },
      [if p.type != 'text' then 'options']: ({
                                               timeseries: {
                                                 legend: { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'], showLegend: true },
                                                 tooltip: { mode: 'multi', sort: 'desc' },
                                               },
                                               stat: {
                                                 reduceOptions: { calcs: [std.get(p, 'calc', 'lastNotNull')], fields: '', values: false },
                                                 colorMode: if std.objectHas(p, 'thresholds') then 'background' else 'none',
                                                 graphMode: 'none',
                                                 textMode: 'auto',
                                               },
                                               gauge: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } },
                                               bargauge: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, orientation: 'horizontal', displayMode: 'basic' },
                                               'state-timeline': { showValue: 'auto', mergeValues: true, rowHeight: 0.8, legend: { displayMode: 'list', placement: 'bottom', calcs: [], showLegend: true } },
                                               table: { showHeader: true, cellHeight: 'sm', sortBy: if std.objectHas(p, 'sort') then [{ displayName: p.sort, desc: true }] else [] },
                                             }[p.type] + std.get(p, 'options', {})),
    },

  local defaultHeight = { stat: 4, text: 3, gauge: 4 },
  // place puts panels of a row one after the other, in lines of 24.
  local place(panels, y) = std.foldl(
    function(acc, p)
      local w = std.get(p, 'w', std.get({ stat: 4, text: 24, table: 24, gauge: 4 }, p.type, 12));
      local h = std.get(p, 'h', std.get(defaultHeight, p.type, 8));
      local wraps = acc.x + w > 24;
      local at = if wraps then { x: 0, y: acc.y + acc.h, h: 0 } else { x: acc.x, y: acc.y, h: acc.h };
      {
        x: at.x + w,
        y: at.y,
        h: std.max(at.h, h),
        out: acc.out + [{ panel: p, pos: { x: at.x, y: at.y, w: w, h: h } }],
      },
    panels,
    { x: 0, y: y, h: 0, out: [] }
  ),

  local rowPanels(q, rows) = std.foldl(
    function(acc, row)
      local placed = place(row.panels, acc.y + 1);
      local collapsed = std.get(row, 'collapsed', false);
      local panels = [
        panel(q, placed.out[i].panel, acc.id + 1 + i, placed.out[i].pos)
        for i in std.range(0, std.length(placed.out) - 1)
      ];
      local head = {
        id: acc.id,
        type: 'row',
        title: row.title,
        collapsed: collapsed,
        gridPos: { x: 0, y: acc.y, w: 24, h: 1 },
        panels: if collapsed then panels else [],
        [if std.objectHas(row, 'repeat') then 'repeat']: row.repeat,
      };
      {
        id: acc.id + 1 + std.length(panels),
        y: if collapsed then acc.y + 1 else placed.y + placed.h,
        out: acc.out + [head] + (if collapsed then [] else panels),
      },
    rows,
    { id: 1, y: 0, out: [] }
  ).out,

  local variable(c, name, label, query, opt={}) = {
    type: 'query',
    name: name,
    label: label,
    datasource: datasource,
    query: { query: query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { selected: true, text: ['All'], value: ['$__all'] },
    hide: 0,
  } + opt,

  // A board for one has no All, so that it opens with the first and not with five hundred.
  local one(b, name) = if std.member(std.get(b, 'one', []), name) then { includeAll: false, allValue:: null, current: {} } else {},

  local variables(c, q, b, wanted) =
    local metric = std.get(b, 'metric', 'pg_up');
    [{
      type: 'datasource',
      name: 'datasource',
      label: 'Data source',
      query: 'prometheus',
      regex: c.grafana.datasourceRegex,
      current: {},
      hide: 0,
    }] +
    (if c.clusterLabel == '' then [] else [variable(c, 'cluster', 'Cluster', 'label_values(%s{%s}, %s)' % [metric, c.selector, c.clusterLabel])]) +
    (if c.pgClusterLabel == '' then [] else [variable(c, 'pg_cluster', 'PostgreSQL cluster', 'label_values(%s{%s}, %s)' % [metric, q.fleet, c.pgClusterLabel], one(b, 'pg_cluster'))]) +
    (if std.member(wanted, 'instance') then [variable(c, 'instance', 'Instance', 'label_values(%s{%s}, instance)' % [metric, q.cluster], { allValue: '.+' } + one(b, 'instance'))] else []) +
    (if std.member(wanted, 'datname') then [variable(c, 'datname', 'Database', 'label_values(pg_stat_database_numbackends{%s, %s}, datname)' % [q.on, c.datnameFilter])] else []),

  local annotation(name, colour, expr, title) = {
    name: name,
    datasource: datasource,
    enable: true,
    iconColor: colour,
    expr: expr,
    titleFormat: title,
    step: '60s',
  },

  // new(c, b) is a board. b: uid, title, description, rows, variables (of 'instance', 'datname'), one (of 'pg_cluster',
  // 'instance': variables without All), metric (whose labels the variables offer), and grafana, the fields of Grafana
  // that are to be otherwise.
  new(c, b)::
    local q = root.queries(c);
    local wanted = std.get(b, 'variables', []);
    // Of servers, also where the instances are poolers.
    local matchers = if std.member(wanted, 'instance') && std.get(b, 'metric', '') != 'pgbouncer_up' then q.on else q.cluster;
    {
      uid: 'pgvigil-' + b.uid,
      title: c.grafana.prefix + b.title,
      description: b.description,
      tags: c.grafana.tags,
      schemaVersion: 39,
      version: 1,
      editable: false,
      graphTooltip: 1,
      refresh: c.grafana.refresh,
      timezone: c.grafana.timezone,
      time: { from: c.grafana.from, to: 'now' },
      links: [{ type: 'dashboards', title: 'PostgreSQL', tags: [c.grafana.tags[0]], asDropdown: true, keepTime: true, includeVars: true, targetBlank: false, icon: 'external link', tooltip: '', url: '' }],
      templating: { list: variables(c, q, b, wanted) },
      annotations: {
        list: [
          annotation('Alerts', 'red', 'max by (alertname, %s) (ALERTS{%s, severity=~"critical|warning"})' % [q.by, if std.member(wanted, 'instance') then q.alertsOn else q.alerts], '{{alertname}} {{instance}}'),
          // A role that changed, and a start, are seen once each: where the value is another than before.
          annotation('Role changes', 'purple', 'max by (%s) (changes(pg_replication_is_replica{%s}[5m])) > 0' % [q.by, matchers], 'role of {{instance}} changed'),
          annotation('Starts', 'blue', 'max by (%s) (changes(pg_postmaster_start_time_seconds{%s}[5m])) > 0' % [q.by, matchers], '{{instance}} was started'),
        ],
      },
      panels: rowPanels(q, b.rows),
    } + std.get(b, 'grafana', {}),
}
