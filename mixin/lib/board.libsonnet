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
//   rate        $__rate_interval
//
// Variables chain: datasource, cluster, pg_cluster, then instance and datname where the board asks for them. Gauges that
// are 0 or 1 are read through max_over_time or min_over_time: downsampling averages all else.
local promql = import 'promql.libsonnet';

{
  local root = self,

  target(expr, legend='', opt={}):: { expr: expr, legend: legend } + opt,

  // The kinds of panels. opt may have: unit, w (of 24), h, min, max, decimals, stack, thresholds ([[value, colour]]),
  // mappings, overrides, links, noValue (what an empty panel says), calc (of a stat), options and custom (Grafana's own).
  local kind(type) = function(title, description, targets, opt={}) { type: type, title: title, description: description, targets: targets } + opt,
  timeseries:: kind('timeseries'),
  stat:: kind('stat'),
  gauge:: kind('gauge'),
  barGauge:: kind('bargauge'),
  stateTimeline:: kind('state-timeline'),
  // A table's columns are the labels of its targets and their values, joined by the labels in opt.by; opt.columns names
  // them: [{ field, title, unit, link, width, thresholds, mappings }], in order; others are hidden. A target's value is
  // the field 'Value #A', by the target's place.
  table:: kind('table'),
  text(title, content, opt={}):: { type: 'text', title: title, description: title, targets: [], content: content } + opt,

  local datasource = { type: 'prometheus', uid: '${datasource}' },

  queries(c):: promql.query(c) + {
    local of(label, variable) = if label == '' then [] else ['%s=~"$%s"' % [label, variable]],
    local join(list) = std.join(', ', list),
    local fleet = [c.selector] + of(c.clusterLabel, 'cluster'),
    local cluster = fleet + of(c.pgClusterLabel, 'pg_cluster'),
    fleet: join(fleet),
    cluster: join(cluster),
    on: join(cluster + ['instance=~"$instance"']),
    database: join(cluster + ['instance=~"$instance"', 'datname=~"$datname"']),
    rate: '$__rate_interval',
  },

  local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  local steps(thresholds) = { mode: 'absolute', steps: [{ value: t[0], color: t[1] } for t in thresholds] },
  local property(id, value) = { id: id, value: value },

  local columnOverride(col) = {
    matcher: { id: 'byName', options: std.get(col, 'title', col.field) },
    properties:
      (if std.objectHas(col, 'unit') then [property('unit', col.unit)] else []) +
      (if std.objectHas(col, 'decimals') then [property('decimals', col.decimals)] else []) +
      (if std.objectHas(col, 'width') then [property('custom.width', col.width)] else []) +
      (if std.objectHas(col, 'mappings') then [property('mappings', col.mappings)] else []) +
      (if std.objectHas(col, 'thresholds') then [
         property('thresholds', steps(col.thresholds)),
         property('custom.cellOptions', { type: 'color-background', mode: 'basic' }),
       ] else []) +
      (if std.objectHas(col, 'link') then [property('links', [{ title: col.link.title, url: col.link.url }])] else []),
  },

  local tableParts(p) =
    local columns = std.get(p, 'columns', []);
    local names = [col.field for col in columns];
    {
      transformations: [
        // Targets with the same labels become one row.
        { id: 'merge', options: {} },
      ] + (if columns == [] then [] else [
             { id: 'filterFieldsByName', options: { include: { names: names } } },
             {
               id: 'organize',
               options: {
                 indexByName: { [names[i]]: i for i in std.range(0, std.length(names) - 1) },
                 renameByName: { [col.field]: std.get(col, 'title', col.field) for col in columns },
               },
             },
           ]),
      overrides: [columnOverride(col) for col in columns],
    },

  // Tables and bars show one moment, all else a range.
  local target(q, p, t, id) =
    local instant = std.get(t, 'instant', p.type == 'table' || p.type == 'bargauge');
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
          mappings: std.get(p, 'mappings', []),
          color: { mode: if std.objectHas(p, 'thresholds') && p.type != 'timeseries' then 'thresholds' else 'palette-classic' },
          thresholds: steps(std.get(p, 'thresholds', [[null, 'green']])),
          custom: (if p.type == 'timeseries' then {
                     drawStyle: 'line',
                     lineWidth: 1,
                     fillOpacity: if std.get(p, 'stack', false) then 30 else 5,
                     showPoints: 'never',
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
                                               'state-timeline': { showValue: 'auto', mergeValues: true, rowHeight: 0.8, legend: { displayMode: 'list', placement: 'bottom', showLegend: true } },
                                               table: { showHeader: true, cellHeight: 'sm', footer: { show: false } },
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

  local variables(c, q, wanted) =
    local metric = 'pg_up';
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
    (if c.pgClusterLabel == '' then [] else [variable(c, 'pg_cluster', 'PostgreSQL cluster', 'label_values(%s{%s}, %s)' % [metric, q.fleet, c.pgClusterLabel])]) +
    (if std.member(wanted, 'instance') then [variable(c, 'instance', 'Instance', 'label_values(%s{%s}, instance)' % [metric, q.cluster], { allValue: '.+' })] else []) +
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

  // new(c, b) is a board. b: uid, title, description, rows, variables (of 'instance', 'datname'), and the fields of
  // Grafana that are to be otherwise.
  new(c, b)::
    local q = root.queries(c);
    local wanted = std.get(b, 'variables', []);
    local matchers = if std.member(wanted, 'instance') then q.on else q.cluster;
    local alertMatchers = std.join(', ', ['alertstate="firing"', 'severity=~"critical|warning"'] +
                                         (if c.clusterLabel == '' then [] else ['%s=~"$cluster"' % c.clusterLabel]) +
                                         (if c.pgClusterLabel == '' then [] else ['%s=~"$pg_cluster|"' % c.pgClusterLabel]));
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
      templating: { list: variables(c, q, wanted) },
      annotations: {
        list: [
          annotation('Alerts', 'red', 'ALERTS{%s}' % alertMatchers, '{{alertname}} {{instance}}'),
          // A role that changed, and a start, are seen once each: where the value is another than before.
          annotation('Role changes', 'purple', 'max by (%s) (changes(pg_replication_is_replica{%s}[5m])) > 0' % [q.by, matchers], 'role of {{instance}} changed'),
          annotation('Starts', 'blue', 'max by (%s) (changes(pg_postmaster_start_time_seconds{%s}[5m])) > 0' % [q.by, matchers], '{{instance}} was started'),
        ],
      },
      panels: rowPanels(q, b.rows),
    } + std.get(b, 'grafana', {}),
}
