// The boards, by file name. A new board is a line here.
local board = import '../lib/board.libsonnet';

{
  local c = $._config,
  local boards = {
    fleet: import 'fleet.libsonnet',
    cluster: import 'cluster.libsonnet',
    instance: import 'instance.libsonnet',
    replication: import 'replication.libsonnet',
    databases: import 'databases.libsonnet',
    vacuum: import 'vacuum.libsonnet',
    queries: import 'queries.libsonnet',
    wal: import 'wal.libsonnet',
    poolers: import 'poolers.libsonnet',
    readiness: import 'readiness.libsonnet',
    exporter: import 'exporter.libsonnet',
  },

  // What was declared, with what is not rendered.
  boards+:: { [name]: boards[name](c) for name in std.objectFields(boards) },

  grafanaDashboards+:: {
    ['pgvigil-%s.json' % name]: board.new(c, { uid: name } + $.boards[name])
    for name in std.objectFields(boards)
  },
}
