// pgvigil itself: whether what the other boards show can be believed.
local board = import '../lib/board.libsonnet';

function(c)
  local toInstance = board.link(c, 'exporter', 'Only this', ['cluster', 'pg_cluster', 'instance'], 'series');
  local whose = board.whose(c);
  local total(title, description, expr, legend, opt) = board.stat(title, description, [board.target(expr, legend)], { w: 3 } + opt);
  // What fails now, not once in the last minutes: the best of each of them.
  local ok = 'max_over_time(pgvigil_collector_success{%(on)s}[$__rate_interval])';
  local top(expr) = |||
    %s
    and on (%%(by)s)
    topk(20, %s)
  ||| % [expr % '', expr % ' @ end()'];
  {
    title: 'Exporter',
    description: 'Whether pgvigil is well: what it could not read, how long it takes, how much it tells.',
    variables: ['instance'],
    metric: 'up',
    rows: [
      {
        title: 'State',
        panels: [
          total('Targets', 'Targets that Prometheus scrapes, servers and poolers.', 'count(up{%(on)s})', 'targets', {}),
          total('Targets down', 'Targets whose scrapes failed for some minutes: the exporter is away, or too slow.', 'sum(1 - max_over_time(up{%(on)s}[$__rate_interval]))', 'down', { thresholds: [[null, 'green'], [1, 'red']] }),
          total('Servers down', 'Servers and poolers that did not answer the exporter for some minutes.', |||
            sum(
              1 - max by (%(by)s) (max_over_time(pg_up{%(on)s}[$__rate_interval]))
              or on (%(by)s)
              1 - max by (%(by)s) (max_over_time(pgbouncer_up{%(on)s}[$__rate_interval]))
            )
          |||, 'down', { thresholds: [[null, 'green'], [1, 'red']] }),
          total('Collectors failing', 'Collectors whose last run failed, over all servers that answer, and their databases: where a server is down all of its collectors fail, which is no news of theirs.', |||
            sum(
              1 - max_over_time(pgvigil_collector_success{%(on)s}[$__rate_interval])
              unless on (%(by)s)
              max_over_time(pg_up{%(on)s}[$__rate_interval]) == 0
            )
          |||, 'failing', { thresholds: [[null, 'green'], [1, 'orange']] }),
          total('Late scrapes now', 'Scrapes of the last minutes that ended at their deadline with something missing, per minute.', '60 * sum(rate(pgvigil_scrapes_late_total{%(on)s}[$__rate_interval]))', 'late', { decimals: 1, thresholds: [[null, 'green'], [0.01, 'orange']], noValue: 'no server' }),
          total('Configuration', 'Whether the last load of the configuration succeeded; if not, the one before is in force.', 'min(min_over_time(pgvigil_config_last_reload_successful{%(on)s}[$__rate_interval]))', 'configuration', {
            mappings: board.values([[0, 'refused', 'red'], [1, 'loaded', 'green']]),
            thresholds: [[null, 'red'], [1, 'green']],
            noValue: 'not told',
            emptyWhen: "only probes are selected: it is told on the page of the exporter's own server",
          }),
          total('Series', 'Series of the collectors, over all targets.', 'sum(pgvigil_collector_series{%(on)s})', 'series', {}),
          total('Servers with recording rules', 'Servers for which the recording rules gave something, of those that are watched. Less than 100 % right after a start; nothing where the rules are not loaded.', 'count(instance:pg_up:max3m{%(on)s}) / count(pg_up{%(on)s})', 'rules', {
            unit: 'percentunit',
            decimals: 0,
            thresholds: [[null, 'orange'], [1, 'green']],
            noValue: 'no rules',
          }),
          board.alerts(c, 'alertsOn', { w: 12, h: 8 }),
          board.table('Builds', 'Versions of pgvigil, one row an exporter.', [
            board.target('max by (%(by)s, version, revision, goversion) (pgvigil_build_info{%(on)s})'),
          ], {
            w: 12,
            h: 8,
            columns: board.clusterColumns(c) + [
              board.instanceColumn(c, 'Exporter'),
              { field: 'version', title: 'Version' },
              { field: 'revision', title: 'Revision' },
              { field: 'goversion', title: 'Go' },
            ],
            noValue: 'not told',
            emptyWhen: "only probes are selected: it is told on the page of the exporter's own server",
          }),
        ],
      },
      {
        title: 'Collectors',
        panels: [
          board.table('Collectors', 'Each collector over all that is selected. Skipped ones do not fit the server, as standby does not a primary, or lack a right.', [
            board.target('count by (collector) (' + ok + ' == 1)'),
            board.target('count by (collector) (' + ok + ' == 0)'),
            board.target('sum by (collector) (max_over_time(pgvigil_collector_skipped{%(on)s}[$__rate_interval]))'),
            board.target('sum by (collector) (max_over_time(pgvigil_collector_skipped{%(on)s, reason="privilege"}[$__rate_interval]))'),
            board.target('max by (collector) (pgvigil_collector_duration_seconds{%(on)s})'),
            board.target('sum by (collector) (pgvigil_collector_series{%(on)s})'),
            board.target('time() - min by (collector) (pgvigil_collector_last_success_timestamp_seconds{%(on)s})'),
            board.target('max by (collector) (pgvigil_collector_interval_seconds{%(on)s})'),
            board.target('sum by (collector) (pgvigil_collector_folded{%(on)s})'),
          ], {
            columns: [
              { field: 'collector', title: 'Collector' },
              { field: 'Value #A', title: 'Works' },
              { field: 'Value #B', title: 'Fails', thresholds: [[null, 'transparent'], [1, 'orange']] },
              { field: 'Value #C', title: 'Skipped' },
              { field: 'Value #D', title: 'For lack of a right', thresholds: [[null, 'transparent'], [1, 'blue']] },
              { field: 'Value #E', title: 'Longest run', unit: 's' },
              { field: 'Value #F', title: 'Series' },
              { field: 'Value #G', title: 'Oldest success', unit: 's', decimals: 0 },
              { field: 'Value #H', title: 'Runs every', unit: 's' },
              { field: 'Value #I', title: 'Label sets added up' },
            ],
            sort: 'Fails',
            h: 12,
          }),
          board.table('Failing and skipped for lack of a right', 'Where, and in which database; without servers that are down. Failures have their reasons below.', [
            board.target(|||
              max by (%(by)s, collector, datname, state) (
                label_replace(
                  max_over_time(pgvigil_collector_success{%(on)s}[$__rate_interval]) == 0
                  unless on (%(by)s)
                  max_over_time(pg_up{%(on)s}[$__rate_interval]) == 0,
                  "state", "fails", "", ""
                )
                or
                label_replace(max_over_time(pgvigil_collector_skipped{%(on)s, reason="privilege"}[$__rate_interval]) == 1, "state", "lacks a right", "", "")
              )
            |||),
          ], {
            columns: board.clusterColumns(c) + [
              board.instanceColumn(c),
              { field: 'collector', title: 'Collector' },
              { field: 'datname', title: 'Database' },
              { field: 'state', title: 'State', colour: true, mappings: board.words([['fails', 'orange'], ['lacks a right', 'blue']]) },
            ],
            noValue: 'all that can run works',
            emptyWhen: 'no collector fails and none lacks a right',
          }),
          board.timeseries('Failures by reason', 'Runs of collectors that failed, per minute. What failed because the server was away has its reason beside.', [
            board.target('60 * sum by (%(by)s, collector, reason) (rate(pgvigil_collector_failures_total{%(on)s}[$__rate_interval])) > 0', whose + '{{instance}} {{collector}} {{reason}}'),
          ], { min: 0, noValue: 'no failures', emptyWhen: 'no collector failed by itself' }),
          board.timeseries('Connects that failed, by reason', 'Per minute, of servers and poolers.', [
            board.target('60 * sum by (%(by)s, reason) (rate(pgvigil_connect_failures_total{%(on)s}[$__rate_interval])) > 0', whose + '{{instance}} {{reason}}'),
            board.target('60 * sum by (%(by)s, reason) (rate(pgvigil_pgbouncer_connect_failures_total{%(on)s}[$__rate_interval])) > 0', whose + '{{instance}} pooler {{reason}}'),
          ], { min: 0, noValue: 'no failures', emptyWhen: 'no connect failed' }),
        ],
      },
      {
        title: 'Time',
        panels: [
          board.timeseries('Scrapes', 'Time that Prometheus waited, of the 20 targets that take longest at the end of the time range. A scrape that comes near scrape_timeout loses what is late.', [
            board.target(top('max by (%%(by)s) (scrape_duration_seconds{%%(on)s}%s)'), whose + '{{instance}}'),
          ], { unit: 's', min: 0, link: toInstance }),
          board.timeseries('Late scrapes', 'Scrapes per minute that ended at their deadline with something missing.', [
            board.target('60 * max by (%(by)s) (rate(pgvigil_scrapes_late_total{%(on)s}[$__rate_interval])) > 0', whose + '{{instance}}'),
          ], { min: 0, noValue: 'none was late', emptyWhen: 'no scrape was late', link: toInstance }),
          board.timeseries('Collectors that take longest', 'Longest run of each collector, of the ten that take longest at the end of the time range, over all that is selected.', [
            board.target(|||
              max by (collector) (pgvigil_collector_duration_seconds{%(on)s})
              and on (collector)
              topk(10, max by (collector) (pgvigil_collector_duration_seconds{%(on)s} @ end()))
            |||, '{{collector}}'),
          ], { unit: 's', min: 0 }),
          board.timeseries('Age of what is shown', 'Time since the last success of a collector with a rhythm of its own, in rhythms. After three it is dropped.', [
            board.target(|||
              max by (collector) (
                (time() - min by (%(by)s, collector) (pgvigil_collector_last_success_timestamp_seconds{%(on)s}))
                / on (%(by)s, collector)
                max by (%(by)s, collector) (pgvigil_collector_interval_seconds{%(on)s})
              )
            |||, '{{collector}}'),
          ], { min: 0, decimals: 1, thresholds: [[null, 'green'], [3, 'red']], noValue: 'no server' }),
        ],
      },
      {
        title: 'Cost',
        panels: [
          board.timeseries('Series by collector', 'Of the ten collectors that have most at the end of the time range, over all that is selected.', [
            board.target(|||
              sum by (collector) (pgvigil_collector_series{%(on)s})
              and on (collector)
              topk(10, sum by (collector) (pgvigil_collector_series{%(on)s} @ end()))
            |||, '{{collector}}'),
          ], { min: 0, stack: true }),
          board.timeseries('Series by target', 'Of the 20 targets that have most at the end of the time range.', [
            board.target(top('sum by (%%(by)s) (pgvigil_collector_series{%%(on)s}%s)'), whose + '{{instance}}'),
          ], { min: 0, link: toInstance }),
          board.timeseries('Sessions', 'Sessions on servers, of the 20 that have most at the end of the time range, and how many may be open at once.', [
            board.target(top('max by (%%(by)s) (pgvigil_sessions_open{%%(on)s}%s)'), whose + '{{instance}}'),
            board.target('max(pgvigil_sessions_limit{%(on)s})', 'limit'),
          ], { min: 0, decimals: 0, link: toInstance }),
          board.timeseries('Sessions opened and refused', 'Per minute, over all that is selected. Sessions last: many that are opened are many that break. Refused is what the budget did not allow.', [
            board.target('60 * sum(rate(pgvigil_sessions_opened_total{%(on)s}[$__rate_interval]))', 'opened'),
            board.target('60 * sum(rate(pgvigil_sessions_refused_total{%(on)s}[$__rate_interval]))', 'refused'),
          ], { min: 0 }),
        ],
      },
      {
        title: 'Matrix of collectors and time',
        collapsed: true,
        panels: [
          board.stateTimeline('Collectors over time', 'Each collector over all that is selected: it fails where it fails in one place.', [
            board.target('min by (collector) (min_over_time(pgvigil_collector_success{%(on)s}[$__rate_interval]))', '{{collector}}'),
          ], { w: 24, h: 30, mappings: board.values([[0, 'fails', 'orange'], [1, 'works', 'green']]), options: { showValue: 'never' } }),
        ],
      },
    ],
  }
