// Databases, their tables and indexes: which grow, which work, and what in them is a waste.
local board = import '../lib/board.libsonnet';
local top = import '../lib/top.libsonnet';

function(c)
  local db = '%(by)s, datname';
  local table = '%(by)s, datname, schemaname, relname';
  local index = '%(by)s, datname, schemaname, relname, indexrelname';

  // The rest of a database, which the exporter adds up, is no table.
  local named = '%(database)s, schemaname!~"|other"';

  local databaseColumns = top.who(c) + [{ field: 'datname', title: 'Database' }];
  local tableColumns = databaseColumns + [{ field: 'schemaname', title: 'Schema' }, { field: 'relname', title: 'Table' }];
  local indexColumns = tableColumns + [{ field: 'indexrelname', title: 'Index' }];

  local largest = 'topk(50, max by (' + db + ') (pg_database_size_bytes{%(database)s}))';
  local transactions(window) =
    '(\n  sum by (' + db + ') (rate(pg_stat_database_xact_commit_total{%(database)s}[' + window + ']))\n  + sum by (' + db + ') (rate(pg_stat_database_xact_rollback_total{%(database)s}[' + window + ']))\n)';

  // Both parts of a table, which are two metrics.
  local tableSize = '(\n  max by (' + table + ') (pg_stat_user_tables_table_size_bytes{' + named + '})\n  + on (' + table + ') max by (' + table + ') (pg_stat_user_tables_index_size_bytes{' + named + '})\n)';
  local largestTables = 'topk(25, ' + tableSize + ')';
  local deadTables = 'topk(25, max by (' + table + ') (pg_stat_user_tables_n_dead_tup{' + named + '}) > 0)';
  local scannedTables = 'topk(25, sum by (' + table + ') (increase(pg_stat_user_tables_seq_tup_read_total{' + named + '}[$__range])) > 0)';
  local worstKinds = 'topk(50, max by (' + db + ', kind) (pg_index_health_bytes{%(database)s, relname=""}) and on (' + db + ', kind) max by (' + db + ', kind) (pg_index_health_indexes{%(database)s, relname=""}) > 0)';
  local grown(labels, metric, matchers) = 'max by (' + labels + ') (' + metric + '{' + matchers + '})\n- on (' + labels + ') max by (' + labels + ') (min_over_time(' + metric + '{' + matchers + '}[$__range]))';
  local changes = 'sum by (' + table + ') (rate(pg_stat_user_tables_n_tup_ins_total{' + named + '}[$__rate_interval]))\n+ sum by (' + table + ') (rate(pg_stat_user_tables_n_tup_upd_total{' + named + '}[$__rate_interval]))\n+ sum by (' + table + ') (rate(pg_stat_user_tables_n_tup_del_total{' + named + '}[$__rate_interval]))';

  local graph(title, description, expr, legend, opt) = board.timeseries(title, description, [board.target(expr, legend)], { min: 0 } + opt);
  local perDatabase = '{{instance}} {{datname}}';
  local perTable = '{{instance}} {{datname}} {{schemaname}}.{{relname}}';

  {
    title: 'Databases and tables',
    description: 'Which databases and tables are large, grow and work, and which tables and indexes are a waste.',
    variables: ['instance', 'datname'],
    rows: [
      {
        title: 'Databases',
        panels: [
          board.table('Databases', 'The 50 largest databases. Growth is what a database is above its smallest size in the time that is looked at; the other numbers are of this time too.', [
            board.target(largest),
            board.target(top.among(grown(db, 'pg_database_size_bytes', '%(database)s'), db, largest)),
            board.target(top.among(transactions('$__range'), db, largest)),
            board.target(top.among('sum by (' + db + ') (increase(pg_stat_database_deadlocks_total{%(database)s}[$__range]))', db, largest)),
            board.target(top.among('sum by (' + db + ') (increase(pg_stat_database_temp_bytes_total{%(database)s}[$__range]))', db, largest)),
          ], top.sorted('Size') {
            h: 9,
            columns: databaseColumns + [
              { field: 'Value #A', title: 'Size', unit: 'bytes' },
              { field: 'Value #B', title: 'Growth', unit: 'bytes' },
              { field: 'Value #C', title: 'Transactions', unit: 'ops' },
              { field: 'Value #D', title: 'Deadlocks', unit: 'short', decimals: 0 },
              { field: 'Value #E', title: 'Temporary files', unit: 'bytes' },
            ],
          }),
          graph('Size', 'The 15 largest databases. The size is read every few minutes.', top.gauge(15, db, 'pg_database_size_bytes', '%(database)s'), perDatabase, { unit: 'bytes' }),
          graph(
            'Growth',
            'How much a database is above its smallest size in the time that is looked at; the 15 that grew most.',
            top.among(
              'max by (' + db + ') (pg_database_size_bytes{%(database)s})\n- on (' + db + ') max by (' + db + ') (min_over_time(pg_database_size_bytes{%(database)s}[$__range] @ end()))',
              db,
              'topk(15, max by (' + db + ') (pg_database_size_bytes{%(database)s} @ end()) - on (' + db + ') max by (' + db + ') (min_over_time(pg_database_size_bytes{%(database)s}[$__range] @ end())))'
            ),
            perDatabase,
            { unit: 'bytes' }
          ),
          graph(
            'Transactions',
            'Transactions committed and rolled back, of the 15 databases with most commits.',
            top.among(transactions('$__rate_interval'), db, 'topk(15, ' + top.total(db, 'pg_stat_database_xact_commit_total', '%(database)s') + ')'),
            perDatabase,
            { unit: 'ops' }
          ),
          graph(
            'Share of transactions rolled back',
            'Of the 15 databases with most rollbacks, while there is at least one transaction in ten seconds: of fewer a share says nothing. Errors of applications end in rollbacks; so do some pools and health checks.',
            top.among(
              'sum by (' + db + ') (rate(pg_stat_database_xact_rollback_total{%(database)s}[$__rate_interval]))\n/ on (' + db + ')\n(' + transactions('$__rate_interval') + ' > 0.1)',
              db,
              'topk(15, ' + top.total(db, 'pg_stat_database_xact_rollback_total', '%(database)s') + ')'
            ),
            perDatabase,
            { unit: 'percentunit', max: 1 } + top.empty('No database has a transaction in ten seconds.')
          ),
          graph('Deadlocks', 'Deadlocks from one point to the next, of the 15 databases with most. Each ended a transaction with an error.', top.count(15, db, 'pg_stat_database_deadlocks_total', '%(database)s'), perDatabase, top.bars { decimals: 0 }),
          graph('Temporary files', 'Bytes per second written to temporary files by sorts and hashes that do not fit into work_mem; the 15 databases with most.', top.rate(15, db, 'pg_stat_database_temp_bytes_total', '%(database)s'), perDatabase, { unit: 'binBps' }),
          graph(
            'Blocks found in shared buffers',
            'Share of blocks that were in shared buffers, of the 15 databases that read most from outside, while they want at least 10 blocks a second. What is not in shared buffers may still be in the memory of the operating system.',
            top.among(
              'sum by (' + db + ') (rate(pg_stat_database_blks_hit_total{%(database)s}[$__rate_interval]))\n/ on (' + db + ')\n(\n  sum by (' + db + ') (rate(pg_stat_database_blks_hit_total{%(database)s}[$__rate_interval]))\n  + sum by (' + db + ') (rate(pg_stat_database_blks_read_total{%(database)s}[$__rate_interval]))\n  > 10\n)',
              db,
              'topk(15, ' + top.total(db, 'pg_stat_database_blks_read_total', '%(database)s') + ')'
            ),
            perDatabase,
            { unit: 'percentunit', max: 1 } + top.empty('No database wants 10 blocks a second.')
          ),
          graph('Sessions', 'Backends connected to a database; the 15 databases with most.', top.gauge(15, db, 'pg_stat_database_numbackends', '%(database)s'), perDatabase, { decimals: 0 }),
        ],
      },
      {
        title: 'Tables',
        panels: [
          board.table('Largest tables', 'The 25 largest tables, as measured every few minutes. The exporter shows the largest tables of a server and adds up the rest, which is not listed here. Growth is of the table without its indexes, above its smallest size in the time that is looked at.', [
            board.target(largestTables),
            board.target(top.among('max by (' + table + ') (pg_stat_user_tables_index_size_bytes{' + named + '})', table, largestTables)),
            board.target(top.among('max by (' + table + ') (pg_relation_size_toast_bytes{' + named + '})', table, largestTables)),
            board.target(top.among(grown(table, 'pg_stat_user_tables_table_size_bytes', named), table, largestTables)),
            board.target(top.among('max by (' + table + ') (pg_stat_user_tables_n_live_tup{' + named + '})', table, largestTables)),
          ], top.sorted('Size') + top.empty('No table to see: the databases have none, or the exporter has yet to measure them.') {
            h: 9,
            columns: tableColumns + [
              { field: 'Value #A', title: 'Size', unit: 'bytes' },
              { field: 'Value #B', title: 'Indexes', unit: 'bytes' },
              { field: 'Value #C', title: 'TOAST', unit: 'bytes' },
              { field: 'Value #D', title: 'Growth', unit: 'bytes' },
              { field: 'Value #E', title: 'Rows', unit: 'short' },
            ],
          }),
          board.table('Dead rows', 'The 25 tables with most dead rows: what vacuum is to remove. An old last vacuum beside many dead rows is what to look for; the board of vacuum says what is in its way.', [
            board.target(deadTables),
            board.target(top.among(
              'max by (' + table + ') (pg_stat_user_tables_n_dead_tup{' + named + '})\n/ on (' + table + ')\n(\n  max by (' + table + ') (pg_stat_user_tables_n_dead_tup{' + named + '})\n  + on (' + table + ') max by (' + table + ') (pg_stat_user_tables_n_live_tup{' + named + '})\n  > 0\n)',
              table,
              deadTables
            )),
            board.target(top.among('max by (' + table + ') (pg_stat_user_tables_n_mod_since_analyze{' + named + '})', table, deadTables)),
            board.target(top.among(
              'time() - max by (' + table + ') (\n' + top.either('by', [
                ['hand', 'pg_stat_user_tables_last_vacuum_timestamp_seconds{' + named + '}'],
                ['autovacuum', 'pg_stat_user_tables_last_autovacuum_timestamp_seconds{' + named + '}'],
              ]) + '\n)',
              table,
              deadTables
            )),
          ], top.sorted('Dead rows') + top.empty('No table has dead rows; a standby does not count them.') {
            columns: tableColumns + [
              { field: 'Value #A', title: 'Dead rows', unit: 'short' },
              { field: 'Value #B', title: 'Share of all', unit: 'percentunit' },
              { field: 'Value #C', title: 'Changed since analyze', unit: 'short' },
              { field: 'Value #D', title: 'Last vacuum', unit: 's' },
            ],
          }),
          board.table('Sequential scans', 'The 25 tables of which sequential scans read most rows in the time that is looked at. Many rows in each of many scans want an index, or a query that is written otherwise.', [
            board.target(scannedTables),
            board.target(top.among('sum by (' + table + ') (increase(pg_stat_user_tables_seq_scan_total{' + named + '}[$__range]))', table, scannedTables)),
            board.target(top.among(
              'sum by (' + table + ') (increase(pg_stat_user_tables_seq_tup_read_total{' + named + '}[$__range]))\n/ on (' + table + ')\n(sum by (' + table + ') (increase(pg_stat_user_tables_seq_scan_total{' + named + '}[$__range])) > 0)',
              table,
              scannedTables
            )),
            board.target(top.among('sum by (' + table + ') (increase(pg_stat_user_tables_idx_scan_total{' + named + '}[$__range]))', table, scannedTables)),
          ], top.sorted('Rows read') + top.empty('No table was read by a sequential scan in this time, or none did so yet since the statistics began.') {
            columns: tableColumns + [
              { field: 'Value #A', title: 'Rows read', unit: 'short' },
              { field: 'Value #B', title: 'Scans', unit: 'short', decimals: 0 },
              { field: 'Value #C', title: 'Rows in a scan', unit: 'short' },
              { field: 'Value #D', title: 'Index scans', unit: 'short', decimals: 0 },
            ],
          }),
          graph('Rows read by sequential scans', 'Per second, of the 10 tables of which most are read.', top.rate(10, table, 'pg_stat_user_tables_seq_tup_read_total', named), perTable, { unit: 'rowsps' } + top.empty('No table was read by a sequential scan yet.')),
          graph(
            'Rows changed',
            'Rows inserted, updated and deleted per second, of the 10 tables with most updates and inserts.',
            top.among(changes, table, 'topk(10, ' + top.total(table, 'pg_stat_user_tables_n_tup_ins_total', named) + ' + on (' + table + ') ' + top.total(table, 'pg_stat_user_tables_n_tup_upd_total', named) + ')'),
            perTable,
            { unit: 'rowsps' } + top.empty('No table to see, or none was changed yet.')
          ),
        ],
      },
      {
        title: 'Indexes, keys and sequences',
        panels: [
          board.table('Indexes that are a waste or a fault', 'Number and size of indexes by kind, of the 50 databases and kinds with the largest. An invalid index is the rest of a build that failed. One is unused that nobody has read since the statistics began; it may serve on a standby all the same. An index may be of several kinds.', [
            board.target(worstKinds),
            board.target(top.among('max by (' + db + ', kind) (pg_index_health_indexes{%(database)s, relname=""})', db + ', kind', worstKinds)),
          ], top.sorted('Size') + top.empty('No index is invalid, unused, duplicate or redundant.') {
            columns: databaseColumns + [
              { field: 'kind', title: 'Kind' },
              { field: 'Value #B', title: 'Indexes', unit: 'short', decimals: 0 },
              { field: 'Value #A', title: 'Size', unit: 'bytes' },
            ],
          }),
          board.table('The largest of them', 'Of each database and kind the exporter names the five largest indexes; here are the 50 largest. Before you drop one, see that no standby reads it and that it enforces nothing.', [
            board.target('topk(50, max by (' + index + ', kind) (pg_index_health_index_bytes{%(database)s}))'),
          ], top.sorted('Size') + top.empty('No index is invalid, unused, duplicate or redundant.') {
            columns: indexColumns + [{ field: 'kind', title: 'Kind' }, { field: 'Value #A', title: 'Size', unit: 'bytes' }],
          }),
          board.table('Keys that lack', 'Foreign keys without an index make each delete of a referred row read the whole referring table; tables without a primary key cannot be told apart row from row. The 50 databases with most.', [
            board.target('topk(50, max by (' + db + ') (pg_index_health_foreign_keys_without_index{%(database)s}) > 0)'),
            board.target('topk(50, max by (' + db + ') (pg_index_health_tables_without_primary_key{%(database)s}) > 0)'),
          ], top.sorted('Foreign keys without an index') + top.empty('All foreign keys have an index, and all tables a primary key.') {
            w: 12,
            columns: databaseColumns + [
              { field: 'Value #A', title: 'Foreign keys without an index', unit: 'short' },
              { field: 'Value #B', title: 'Tables without a primary key', unit: 'short' },
            ],
          }),
          board.table('Sequences that run out', 'The 25 sequences of which most is used: at 100% inserts fail. Sequences that the role may not read are not among them.', [
            board.target('topk(25, max by (%(by)s, datname, schemaname, sequencename) (pg_sequences_used_ratio{%(database)s}))'),
          ], top.sorted('Used') + top.empty('No sequence to see: there is none, or the role of the exporter may not read them (GRANT pg_read_all_data).') {
            w: 12,
            columns: databaseColumns + [
              { field: 'schemaname', title: 'Schema' },
              { field: 'sequencename', title: 'Sequence' },
              { field: 'Value #A', title: 'Used', unit: 'percentunit', thresholds: [[null, 'transparent'], [0.8, 'orange'], [0.95, 'red']] },
            ],
          }),
        ],
      },
      {
        title: 'Bloat',
        panels: [
          board.table('Space that tables waste', 'The 25 tables of which writing anew would give back most. Method says whether it was measured or is estimated from statistics; waste of a few tens of percent is normal where rows change.', [
            board.target('topk(25, max by (' + table + ', method) (pg_bloat_table_wasted_bytes{' + named + '}))'),
            board.target(top.among(
              'max by (' + table + ', method) (pg_bloat_table_wasted_bytes{' + named + '})\n/ on (' + table + ', method)\n(max by (' + table + ', method) (pg_bloat_table_size_bytes{' + named + '}) > 0)',
              table + ', method',
              'topk(25, max by (' + table + ', method) (pg_bloat_table_wasted_bytes{' + named + '}))'
            )),
          ], top.sorted('Waste') + top.empty('The waste of no table is known: there is no table of 16 pages, or the role may not read their statistics (see below).') {
            columns: tableColumns + [
              { field: 'method', title: 'Method' },
              { field: 'Value #A', title: 'Waste', unit: 'bytes' },
              { field: 'Value #B', title: 'Share of the table', unit: 'percentunit' },
            ],
          }),
          board.table('Space that indexes waste', 'The 25 btree indexes of which REINDEX would give back most.', [
            board.target('topk(25, max by (' + index + ', method) (pg_bloat_index_wasted_bytes{' + named + '}))'),
            board.target(top.among(
              'max by (' + index + ', method) (pg_bloat_index_wasted_bytes{' + named + '})\n/ on (' + index + ', method)\n(max by (' + index + ', method) (pg_bloat_index_size_bytes{' + named + '}) > 0)',
              index + ', method',
              'topk(25, max by (' + index + ', method) (pg_bloat_index_wasted_bytes{' + named + '}))'
            )),
          ], top.sorted('Waste') + top.empty('The waste of no index is known: there is no large one, or the role may not read their statistics (see below).') {
            columns: indexColumns + [
              { field: 'method', title: 'Method' },
              { field: 'Value #A', title: 'Waste', unit: 'bytes' },
              { field: 'Value #B', title: 'Share of the index', unit: 'percentunit' },
            ],
          }),
          board.table('Tables whose waste is not known', 'Why tables are not judged, in the 50 databases with most: hidden are those that the role may not SELECT from, which GRANT pg_read_all_data cures. What is measured with pgstattuple may be hidden from the estimate all the same.', [
            board.target('topk(50, sum by (' + db + ', why) (\n' + top.either('why', [
              ['hidden from the role', 'pg_bloat_table_hidden{%(database)s}'],
              ['never analyzed', 'pg_bloat_table_without_statistics{%(database)s}'],
              ['changed much since analyze', 'pg_bloat_table_stale{%(database)s}'],
              ['locked', 'pg_bloat_table_locked{%(database)s}'],
            ]) + '\n))'),
          ], top.sorted('Tables') + top.empty('All tables are judged.') {
            columns: databaseColumns + [{ field: 'why', title: 'Why' }, { field: 'Value #A', title: 'Tables', unit: 'short', decimals: 0 }],
          }),
        ],
      },
    ],
  }
