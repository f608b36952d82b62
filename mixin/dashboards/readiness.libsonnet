// Whether servers are ready for production: what pgvigil's checks come to, by the four factors.
local board = import '../lib/board.libsonnet';

function(c)
  local toInstance = board.link(c, 'readiness', 'Only this', ['cluster', 'pg_cluster', 'instance']);
  local verdicts = board.words([['fail', 'red'], ['warn', 'orange'], ['unknown', 'purple'], ['accepted', 'blue'], ['pass', 'green']]);
  local factors = board.named([
    ['security', 'Provisioning and security'],
    ['availability', 'High availability and disaster recovery'],
    ['performance', 'Performance and scalability'],
    ['observability', 'Observability and maintenance'],
  ]);
  local count(title, verdict, description, thresholds) = board.stat(
    title,
    description,
    [board.target('sum(pg_readiness_checks{%(on)s, verdict="' + verdict + '"})', verdict)],
    { w: 3, thresholds: thresholds, noValue: 'no server' }
  );
  local checks(verdict) = 'sum by (factor) (pg_readiness_checks{%(on)s, verdict="' + verdict + '"})';
  local ofInstance(verdict) = 'sum by (%(by)s) (pg_readiness_checks{%(on)s, verdict="' + verdict + '"})';
  local counted(from) = [
    { field: 'Value #' + from[0], title: 'Fail', thresholds: [[null, 'transparent'], [1, 'red']] },
    { field: 'Value #' + from[1], title: 'Warn', thresholds: [[null, 'transparent'], [1, 'orange']] },
    { field: 'Value #' + from[2], title: 'Unknown', thresholds: [[null, 'transparent'], [1, 'purple']] },
    { field: 'Value #' + from[3], title: 'Pass' },
  ];
  {
    title: 'Readiness',
    description: 'Whether servers are ready for production, by four factors. What to do about each check is on the page /readiness of their exporter, and said by pgvigil check.',
    variables: ['instance'],
    metric: 'pg_readiness_checks',
    rows: [
      {
        title: 'Verdicts',
        panels: [
          count('Fail', 'fail', 'Checks that fail, over all that is selected.', [[null, 'green'], [1, 'red']]),
          count('Warn', 'warn', 'Checks that warn, over all that is selected.', [[null, 'green'], [1, 'orange']]),
          count('Unknown', 'unknown', 'Checks whose facts the exporter cannot see: most often it lacks a grant, or nobody has configured what to look for.', [[null, 'green'], [1, 'purple']]),
          count('Pass', 'pass', 'Checks that pass, or that somebody has accepted with a reason and an end.', [[null, 'green']]),
          board.table('By factor', 'Checks of the four factors, over all that is selected.', [
            board.target(checks('fail')),
            board.target(checks('warn')),
            board.target(checks('unknown')),
            board.target(checks('pass')),
          ], {
            w: 12,
            h: 7,
            columns: [{ field: 'factor', title: 'Factor', mappings: factors, width: 320 }] + counted('ABCD'),
            sort: 'Fail',
            noValue: 'no server',
          }),
          board.table('By server', 'The most to do first. A click leads to one.', [
            board.target(ofInstance('fail')),
            board.target(ofInstance('warn')),
            board.target(ofInstance('unknown')),
            board.target(ofInstance('pass')),
          ], {
            w: 12,
            h: 9,
            columns: board.clusterColumns(c) + [{ field: 'instance', title: 'Instance', link: toInstance }] + counted('ABCD'),
            sort: 'Fail',
            noValue: 'no server',
          }),
          board.table('What to do', 'Checks that fail or warn now. A click on the server leads to its board; pgvigil check says why each matters and what to do.', [
            board.target('max by (%(by)s, factor, check, verdict) (pg_readiness_check{%(on)s, verdict=~"fail|warn"})'),
          ], {
            w: 12,
            h: 9,
            columns: [
              { field: 'verdict', title: 'Verdict', width: 90, colour: true, mappings: verdicts },
              { field: 'check', title: 'Check' },
              { field: 'factor', title: 'Factor', mappings: factors },
            ] + board.clusterColumns(c) + [board.instanceColumn(c)],
            noValue: 'all checks pass',
            emptyWhen: 'all checks pass',
          }),
        ],
      },
      {
        title: 'What has changed',
        panels: [
          board.timeseries('Checks that fail, by factor', 'Over all that is selected.', [
            board.target(checks('fail'), '{{factor}}'),
          ], { min: 0, decimals: 0, noValue: 'no server' }),
          board.timeseries('Checks that warn, by factor', 'Over all that is selected.', [
            board.target(checks('warn'), '{{factor}}'),
          ], { min: 0, decimals: 0, noValue: 'no server' }),
          board.table('Worse than at the start of the time range', 'Checks that passed then and fail or warn now, or warned and fail.', [
            board.target(|||
              max by (%(by)s, factor, check, verdict) (pg_readiness_check{%(on)s, verdict=~"fail|warn"})
              and on (%(by)s, factor, check)
              pg_readiness_check{%(on)s, verdict="pass"} offset $__range
              or
              max by (%(by)s, factor, check, verdict) (pg_readiness_check{%(on)s, verdict="fail"})
              and on (%(by)s, factor, check)
              pg_readiness_check{%(on)s, verdict="warn"} offset $__range
            |||),
          ], {
            w: 12,
            columns: [
              { field: 'verdict', title: 'Verdict', width: 90, colour: true, mappings: verdicts },
              { field: 'check', title: 'Check' },
            ] + board.clusterColumns(c) + [board.instanceColumn(c)],
            noValue: 'nothing got worse',
            emptyWhen: 'nothing got worse',
          }),
          board.table('Accepted', 'Findings that somebody has decided to live with, in the configuration of pgvigil. After their last day they count again.', [
            board.target('max by (%(by)s, factor, check) (pg_readiness_check{%(on)s, verdict="accepted"})'),
          ], {
            w: 12,
            columns: [
              { field: 'check', title: 'Check' },
              { field: 'factor', title: 'Factor', mappings: factors },
            ] + board.clusterColumns(c) + [board.instanceColumn(c)],
            noValue: 'nothing is accepted',
            emptyWhen: 'nobody has accepted a finding',
          }),
        ],
      },
      {
        title: 'Checks over time',
        collapsed: true,
        panels: [
          board.stateTimeline('Checks over time', 'The worst verdict of each check in what is selected.', [
            board.target(|||
              max by (check) (
                3 * pg_readiness_check{%(on)s, verdict="fail"}
                or 2 * pg_readiness_check{%(on)s, verdict="warn"}
                or 1 * pg_readiness_check{%(on)s, verdict="unknown"}
                or 0 * pg_readiness_check{%(on)s, verdict=~"pass|accepted"}
              )
            |||, '{{check}}'),
          ], {
            w: 24,
            h: 40,
            mappings: board.values([[0, 'pass', 'green'], [1, 'unknown', 'purple'], [2, 'warn', 'orange'], [3, 'fail', 'red']]),
            options: { showValue: 'never' },
          }),
        ],
      },
    ],
  }
