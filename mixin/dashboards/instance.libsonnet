// One server: is it well, who is connected, what does it wait for.
local board = import '../lib/board.libsonnet';

function(c) {
  title: 'Instance',
  description: 'One server, or a few side by side: whether it is well, who is connected, what it waits for.',
  variables: ['instance'],
  rows: [
    {
      title: 'State',
      panels: [
        board.stat('Up', "Whether the exporter's own session answered in the last minutes.", [
          board.target('max by (%(by)s) (max_over_time(pg_up{%(on)s}[%(3m)s]))', '{{instance}}'),
        ], {
          mappings: [{ type: 'value', options: { '0': { text: 'down', color: 'red' }, '1': { text: 'up', color: 'green' } } }],
          thresholds: [[null, 'red'], [1, 'green']],
        }),
      ],
    },
  ],
}
