// Queries: which cost the most, and since when.
local board = import '../lib/board.libsonnet';
local top = import '../lib/top.libsonnet';

function(c)
  local server = '%(by)s';
  local query = '%(by)s, datname, usename, queryid';

  // What the exporter adds up under "other" is no query.
  local one = '%(database)s, queryid!="other"';

  local metric(name) = 'pg_stat_statements_' + name + '_total';

  // texts(rank) is 1 for each query of rank, with the query's text as a label where query_text is on. A queryid has one text,
  // and that of all the time that is looked at, as the exporter learns it later than the query.
  local texts(rank) =
    '(\n  (0 * ' + rank + ' + 1)\n  * on (%(by)s, queryid) group_left (query)\n  topk by (%(by)s, queryid) (1, max by (%(by)s, queryid, query) (max_over_time(pg_stat_statements_query_info{%(on)s}[$__range] @ end())))\n  or on (' + query + ')\n  (0 * ' + rank + ' + 1)\n)';
  // among(expr, rank) is what of expr is among rank, with the beginning of its text, as a legend has no room for more. All
  // but expr is the same from point to point, so it is worked out once.
  local among(expr, rank) = 'label_replace(\n(\n' + expr + '\n)\n* on (' + query + ') group_left (query)\n' + texts(rank) + ",\n'text', '$1', 'query', '(.{0,60}).*')";
  local legend = '{{instance}} {{datname}} {{usename}} {{queryid}} {{text}}';

  local grown(name) = 'sum by (' + query + ') (increase(' + metric(name) + '{' + one + '}[$__range]))';
  local costliest = 'topk(25, ' + grown('seconds') + ' > 0)';
  local column(expr) = board.target(top.among(expr, query, costliest));
  local bytes(expr) = expr + '\n* on (' + server + ') group_left ()\nmax by (' + server + ') (pg_settings_block_size{%(on)s} @ end())';

  local graph(title, description, expr, rank, opt) = board.timeseries(title, description, [board.target(among(expr, rank), legend)], { min: 0 } + opt);
  local rate(name) = 'sum by (' + query + ') (rate(' + metric(name) + '{' + one + '}[$__rate_interval]))';
  local most(name) = 'topk(10, ' + top.total(query, metric(name), one) + ')';
  local perServer(title, description, expr, opt) = board.timeseries(title, description, [board.target(expr, '{{instance}}')], { min: 0, w: 8 } + opt);
  local rateOf(name, matchers) = 'sum by (' + server + ') (rate(' + metric(name) + '{' + matchers + '}[$__rate_interval]))';
  local unread = 'No query was counted in this time: pg_stat_statements is not installed or cannot be read (see the last row).';

  {
    title: 'Queries',
    description: 'Which queries cost the most, by time, calls, rows, temporary files and WAL, and since when.',
    variables: ['instance', 'datname'],
    rows: [
      {
        title: 'What costs the most, and since when',
        panels: [
          graph('Load of the 10 costliest queries', 'Time spent executing per second, which is the number of sessions that a query keeps busy. The ten are those that took most time in all that is looked at: widen the time to see since when one costs so much.', rate('seconds'), most('seconds'), { unit: 'short', stack: true, h: 10, w: 24 } + top.empty(unread)),
          board.table('Costliest queries', 'The 25 queries that took most time in the time that is looked at. Share is of all time that statements took on the server; a dash is none yet. Texts are shown where the exporter runs with --collector.query_text; else look up queryid in pg_stat_statements.', [
            board.target(costliest + '\n* on (' + query + ') group_left (query)\n' + texts(costliest)),
            column(grown('seconds') + '\n/ on (' + server + ') group_left ()\nsum by (' + server + ') (increase(' + metric('seconds') + '{%(on)s}[$__range]))'),
            column(grown('calls')),
            column(grown('seconds') + '\n/ on (' + query + ')\n(' + grown('calls') + ' > 0)'),
            column(grown('rows')),
            column(bytes(grown('shared_blks_read'))),
            column(bytes(grown('temp_blks_written'))),
            column(grown('wal_bytes')),
          ], top.sorted('Time') + top.empty(unread) {
            h: 14,
            columns: top.who(c) + [
              { field: 'datname', title: 'Database' },
              { field: 'usename', title: 'User' },
              { field: 'queryid', title: 'Query id' },
              { field: 'query', title: 'Text', width: 400 },
              { field: 'Value #A', title: 'Time', unit: 's' },
              { field: 'Value #B', title: 'Share', unit: 'percentunit', decimals: 1 },
              { field: 'Value #C', title: 'Calls', unit: 'short' },
              { field: 'Value #D', title: 'Mean', unit: 's' },
              { field: 'Value #E', title: 'Rows', unit: 'short' },
              { field: 'Value #F', title: 'Read', unit: 'bytes' },
              { field: 'Value #G', title: 'Temporary files', unit: 'bytes' },
              { field: 'Value #H', title: 'WAL', unit: 'bytes' },
            ],
          }),
        ],
      },
      {
        title: 'By other measures',
        panels: [
          graph('Calls', 'Calls per second, of the 10 queries called most.', rate('calls'), most('calls'), { unit: 'ops' } + top.empty(unread)),
          graph(
            'Mean time',
            'Time a call takes, of the 10 queries with the highest mean over the time that is looked at. A line that steps up shows when a plan or the data changed.',
            rate('seconds') + '\n/ on (' + query + ')\n(' + rate('calls') + ' > 0)',
            'topk(10, ' + top.total(query, metric('seconds'), one) + ' / on (' + query + ') (' + top.total(query, metric('calls'), one) + ' > 0))',
            { unit: 's', custom: { showPoints: 'auto' } } + top.empty(unread)
          ),
          graph('Rows', 'Rows retrieved or changed per second, of the 10 queries with most.', rate('rows'), most('rows'), { unit: 'rowsps' } + top.empty(unread)),
          graph('Time spent reading', 'Time per second spent reading blocks of tables and indexes, of the 10 queries with most.', rate('block_read_seconds'), most('block_read_seconds'), { unit: 'short' } + top.empty('No query waited for a block yet, or track_io_timing is off.')),
          graph('Read from outside shared buffers', 'Bytes per second that were not in shared buffers, of the 10 queries with most.', bytes(rate('shared_blks_read')), most('shared_blks_read'), { unit: 'binBps' } + top.empty(unread)),
          graph('Temporary files', 'Bytes per second written to temporary files by sorts and hashes that do not fit into work_mem, of the 10 queries with most.', bytes(rate('temp_blks_written')), most('temp_blks_written'), { unit: 'binBps' } + top.empty('No query has written a temporary file yet.')),
          graph('WAL', 'WAL written per second, of the 10 queries with most.', rate('wal_bytes'), most('wal_bytes'), { unit: 'binBps' } + top.empty('No query has written WAL yet, or none is counted on a standby.')),
          graph('Time spent planning', 'Time per second, of the 10 queries with most.', rate('plan_seconds'), most('plan_seconds'), { unit: 'short' } + top.empty('Planning is not counted: pg_stat_statements.track_planning is off.')),
        ],
      },
      {
        title: 'What is not seen',
        panels: [
          perServer('Time not named', 'Share of the time of all statements that is of those the exporter does not name but adds up as "other", on the 15 servers where it is highest. Where it is high, let it name more.', top.among(
            rateOf('seconds', '%(on)s, queryid="other"') + '\n/ on (' + server + ')\n(' + rateOf('seconds', '%(on)s') + ' > 0)',
            server,
            'topk(15, ' + top.total(server, metric('seconds'), '%(on)s, queryid="other"') + ' / on (' + server + ') (' + top.total(server, metric('seconds'), '%(on)s') + ' > 0))'
          ), { unit: 'percentunit', max: 1 } + top.empty('All statements are named, or none is counted.')),
          perServer('Statements added up as other', 'Statements that the exporter does not name, on the 15 servers with most.', top.gauge(15, server, 'pgvigil_collector_folded', '%(on)s, collector="stat_statements"'), top.empty('pg_stat_statements is not read.')),
          perServer('Room in pg_stat_statements', 'Entries of those there may be (pg_stat_statements.max), on the 15 servers with most. When it is full the least used are evicted.', top.among(
            'max by (' + server + ') (pg_stat_statements_entries{%(on)s})\n/ on (' + server + ')\nmax by (' + server + ') (pg_stat_statements_entries_limit{%(on)s})',
            server,
            'topk(15, max by (' + server + ') (pg_stat_statements_entries{%(on)s} @ end()) / on (' + server + ') max by (' + server + ') (pg_stat_statements_entries_limit{%(on)s} @ end()))'
          ), { unit: 'percentunit', max: 1 } + top.empty('pg_stat_statements is not read.')),
          perServer('Evictions by PostgreSQL', 'Times that the least used twentieth of the entries was evicted, from one point to the next, on the 15 servers with most; PostgreSQL 13 does not count them. What was evicted begins anew when it runs again, so rare queries are counted in part: raise pg_stat_statements.max.', top.count(15, server, 'pg_stat_statements_deallocations_total', '%(on)s'), top.bars { w: 12 } + top.empty('pg_stat_statements is not read, or is older than version 1.9.')),
          perServer('Entries lost', 'Entries that were there when the exporter last looked, and no longer, from one point to the next; the 15 servers with most. What they counted in between is lost.', top.count(15, server, 'pgvigil_collector_evicted_total', '%(on)s, collector="stat_statements"'), top.bars { w: 12 } + top.empty('pg_stat_statements is not read.')),
          board.table('Servers whose queries are not seen', 'Why stat_statements or query_text does not run: extension is to be created, setting to be preloaded, privilege to be granted. A collector that is switched off does not stand here.', [
            board.target('topk(50, max by (' + server + ', collector, reason) (pgvigil_collector_skipped{%(on)s, collector=~"stat_statements|query_text"}))'),
          ], top.empty('pg_stat_statements is read on all servers.') {
            w: 12,
            columns: top.who(c) + [{ field: 'collector', title: 'Collector' }, { field: 'reason', title: 'Reason' }],
          }),
          board.text('How many series', |||
            Each query that is named is a dozen series or more in Prometheus, and a queryid is new after a change of its text, of its tables or of PostgreSQL. The exporter names the 50 statements of a server that take most time or calls, keeps them as long as they rank, and adds up the rest by database as `queryid="other"`: what is looked at above is exact for those named, and nothing is lost of the sum.

            A query that ranks for the first time begins at 0, so its cost shows from then on. Texts are one more series a query; they are off by default and cut at 300 characters. To rank thousands of queries takes Prometheus some seconds a panel: among hundreds of servers choose those you mean.
          |||, { w: 12, h: 8 }),
        ],
      },
    ],
  }
