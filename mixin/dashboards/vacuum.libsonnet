// Vacuum and the ages that it keeps down: how near the limits are, what is in vacuum's way, and whether autovacuum keeps up.
local board = import '../lib/board.libsonnet';
local top = import '../lib/top.libsonnet';

function(c)
  local server = '%(by)s';
  local db = '%(by)s, datname';
  local table = '%(by)s, datname, schemaname, relname';
  local names = 'datname, usename, application_name, slot_name';

  // Rows without names are of the whole database.
  local whole = '%(database)s, relname=""';
  local named = '%(database)s, relname!=""';

  local serverColumns = top.who(c);
  local databaseColumns = serverColumns + [{ field: 'datname', title: 'Database' }];
  local tableColumns = databaseColumns + [{ field: 'schemaname', title: 'Schema' }, { field: 'relname', title: 'Table' }];

  local graph(title, description, expr, legend, opt) = board.timeseries(title, description, [board.target(expr, legend)], { min: 0 } + opt);
  local perDatabase = '{{instance}} {{datname}}';

  // An age of a database over a limit of its server, now or over all the time that is looked at.
  local share(age, limit) = '(\n  max by (' + db + ') (' + age + '{%(database)s})\n  / on (' + server + ') group_left ()\n  max by (' + server + ') (' + limit + '{%(on)s})\n)';
  local shareMost(age, limit) = '(\n  max by (' + db + ') (max_over_time(' + age + '{%(database)s}[$__range] @ end()))\n  / on (' + server + ') group_left ()\n  max by (' + server + ') (' + limit + '{%(on)s} @ end())\n)';
  local shares(n, age, limit) = top.among(share(age, limit), db, 'topk(' + n + ', ' + shareMost(age, limit) + ')');

  local oldest = 'topk(25, ' + share('pg_xid_datfrozenxid_age', 'pg_xid_stop_age') + ')';
  local oldestTables = 'topk(25, max by (' + table + ') (pg_table_xid_relfrozenxid_age{%(database)s}))';
  local stopping = 'bottomk(25, min by (' + server + ') (pg_xid_until_stop_seconds{%(on)s}))';

  // The holder's names, where it has some; each holder has one series of names.
  local holder(metric) =
    local value = 'max by (' + server + ', holder) (' + metric + '{%(on)s})';
    '(\n  ' + value + '\n  * on (' + server + ', holder) group_left (' + names + ')\n  topk by (' + server + ', holder) (1, max by (' + server + ', holder, ' + names + ') (pg_xmin_horizon_holder_info{%(on)s}))\n)\nor on (' + server + ', holder)\n' + value;
  local holders = 'topk(25, max by (' + server + ', holder) (pg_xmin_horizon_age{%(on)s}))';

  // Where there is less room for workers than workers may be, the room counts.
  local workersLimit = 'min by (' + server + ') (\n' + top.either('limit', [['max_workers', 'pg_autovacuum_max_workers{%(on)s}'], ['slots', 'pg_autovacuum_worker_slots{%(on)s}']]) + '\n)';

  local dueKinds = ['vacuum', 'insert', 'analyze', 'freeze', 'multixact'];
  local dueDatabases = 'topk(50, max by (' + db + ') (\n' + top.either('why', [[k, 'pg_autovacuum_' + k + '_due_tables{' + whole + '}'] for k in dueKinds + ['disabled']]) + '\n) > 0)';
  local furthest = 'topk(25, max by (' + table + ') (\n' + top.either('why', [[k, 'pg_autovacuum_table_' + k + '_ratio{' + named + '}'] for k in dueKinds]) + '\n))';

  local phase = 'topk(50, max by (' + table + ', phase) (pg_stat_progress_vacuum_phase{%(database)s}) > 0)';
  local progress(part) = top.among(
    'max by (' + table + ') (pg_stat_progress_vacuum_' + part + '{%(database)s})\n/ on (' + table + ')\n(max by (' + table + ') (pg_stat_progress_vacuum_heap_blks{%(database)s}) > 0)',
    table,
    'topk(50, max by (' + table + ') (pg_stat_progress_vacuum_heap_blks{%(database)s}))'
  );
  local noVacuum = top.empty('No vacuum runs.');

  {
    title: 'Vacuum and transaction ids',
    description: 'How near databases are to the limits of transaction ids, what keeps vacuum from removing dead rows, and whether autovacuum keeps up.',
    variables: ['instance', 'datname'],
    rows: [
      {
        title: 'Age of transaction ids',
        panels: [
          graph('Transaction ids, of the limit', 'Age of the oldest transaction id that is not frozen, over the age at which the server refuses to write; the 15 databases that were nearest. Autovacuum keeps healthy databases near 10%; at 40% it is not keeping up.', shares(15, 'pg_xid_datfrozenxid_age', 'pg_xid_stop_age'), perDatabase, { unit: 'percentunit', decimals: 1, thresholds: [[null, 'transparent'], [0.4, 'orange'], [0.6, 'red']] }),
          graph('Multixact ids, of the limit', 'The same for multixact ids, which rows get that several transactions lock at once; the 15 databases that were nearest.', shares(15, 'pg_xid_datminmxid_age', 'pg_xid_multixact_stop_age'), perDatabase, { unit: 'percentunit', decimals: 1, thresholds: [[null, 'transparent'], [0.4, 'orange'], [0.6, 'red']] }),
          graph('Freezing', 'Age over the age at which autovacuum is forced on a table (autovacuum_freeze_max_age); the 15 oldest databases. A healthy database draws a saw: up to 1, then down when its oldest tables were frozen. A line that stays above 1 says that freezing fails or is slow.', shares(15, 'pg_xid_datfrozenxid_age', 'pg_xid_freeze_max_age'), perDatabase, { unit: 'percentunit', decimals: 1, thresholds: [[null, 'transparent'], [1, 'orange']] }),
          graph('Transaction ids assigned', 'Per second, of the 15 servers that assign most: how fast the age grows.', top.rate(15, server, 'pg_xid_transaction_ids_total', '%(on)s'), '{{instance}}', { unit: 'ops' }),
          board.table('Databases by age', 'The 25 databases nearest to where the server refuses to write.', [
            board.target(oldest),
            board.target(top.among('max by (' + db + ') (pg_xid_datfrozenxid_age{%(database)s})', db, oldest)),
            board.target(top.among(share('pg_xid_datfrozenxid_age', 'pg_xid_freeze_max_age'), db, oldest)),
          ], top.sorted('Of the limit') {
            w: 12,
            columns: databaseColumns + [
              { field: 'Value #A', title: 'Of the limit', unit: 'percentunit', decimals: 1, thresholds: [[null, 'transparent'], [0.4, 'orange'], [0.6, 'red']] },
              { field: 'Value #B', title: 'Transactions', unit: 'short' },
              { field: 'Value #C', title: 'Of the age that forces autovacuum', unit: 'percentunit', decimals: 1 },
            ],
          }),
          board.table('Time left', 'At the present rate and if nothing is frozen before: time until autovacuum is forced, and until the server refuses to write. The 25 servers with least.', [
            board.target(stopping),
            board.target(top.among('min by (' + server + ') (pg_xid_until_forced_vacuum_seconds{%(on)s})', server, stopping)),
            board.target(top.among('min by (' + server + ') (pg_xid_multixact_until_stop_seconds{%(on)s})', server, stopping)),
          ], { options: { sortBy: [{ displayName: 'Until writing stops', desc: false }] } } + top.empty('No server assigns transaction ids, or the exporter has not looked for long enough to know the rate.') {
            w: 12,
            columns: serverColumns + [
              { field: 'Value #A', title: 'Until writing stops', unit: 's' },
              { field: 'Value #B', title: 'Until vacuum is forced', unit: 's' },
              { field: 'Value #C', title: 'Until multixact ids end', unit: 's' },
            ],
          }),
          board.table('Oldest tables', 'The 25 tables with the oldest transaction ids: these hold their databases back. Read every quarter of an hour.', [
            board.target(oldestTables),
            board.target(top.among('max by (' + table + ') (pg_table_xid_relfrozenxid_age{%(database)s})\n/ on (' + server + ') group_left ()\nmax by (' + server + ') (pg_xid_freeze_max_age{%(on)s})', table, oldestTables)),
            board.target(top.among('max by (' + table + ') (pg_table_xid_relminmxid_age{%(database)s})', table, oldestTables)),
          ], top.sorted('Transactions') {
            columns: tableColumns + [
              { field: 'Value #A', title: 'Transactions', unit: 'short' },
              { field: 'Value #B', title: 'Of the age that forces autovacuum', unit: 'percentunit', decimals: 1 },
              { field: 'Value #C', title: 'Multixacts', unit: 'short' },
            ],
          }),
          board.table('Temporary tables without a session', 'The 25 databases with most temporary tables whose session is gone. They hold their database back like any other table, until autovacuum drops them. Known since PostgreSQL 16.', [
            board.target('topk(25, max by (' + db + ') (pg_table_xid_orphaned_temporary_tables{%(database)s}) > 0)'),
          ], top.sorted('Tables') + top.empty('No temporary table was left behind.') {
            h: 5,
            columns: databaseColumns + [
              { field: 'Value #A', title: 'Tables', unit: 'short', decimals: 0 },
            ],
          }),
        ],
      },
      {
        title: "What is in vacuum's way",
        panels: [
          graph('Age of what is held', 'Transactions begun since the oldest that somebody still has to see, by kind of holder; the 15 that were oldest. What died since then vacuum cannot remove.', top.gauge(15, server + ', holder', 'pg_xmin_horizon_age', '%(on)s'), '{{instance}} {{holder}}', top.empty('Nobody holds anything back.')),
          graph('Time that it is held', "Time since the holder's transaction began or was prepared; the 15 that were longest. PostgreSQL does not know it of slots and standbys.", top.gauge(15, server + ', holder', 'pg_xmin_horizon_transaction_seconds', '%(on)s'), '{{instance}} {{holder}}', { unit: 's' } + top.empty('No transaction holds anything back.')),
          board.table('Who holds it', 'The worst holder of each kind now, the 25 oldest. Sessions are named once their transaction has lasted five seconds. End a session or a prepared transaction; a slot or standby must catch up, or be dropped.', [
            board.target(top.among(holder('pg_xmin_horizon_age'), server + ', holder', holders)),
            board.target(top.among(holder('pg_xmin_horizon_transaction_seconds'), server + ', holder', holders)),
          ], top.sorted('Transactions') + top.empty('Nobody holds anything back.') {
            columns: serverColumns + [
              { field: 'holder', title: 'Holder' },
              { field: 'Value #A', title: 'Transactions', unit: 'short', decimals: 0 },
              { field: 'Value #B', title: 'Time', unit: 's' },
              { field: 'datname', title: 'Database' },
              { field: 'usename', title: 'User' },
              { field: 'application_name', title: 'Application' },
              { field: 'slot_name', title: 'Slot' },
            ],
          }),
        ],
      },
      {
        title: 'Autovacuum',
        panels: [
          graph(
            'Workers busy',
            'Autovacuum workers that run, of those that may, on the 15 servers where most did. All busy for hours, with tables past their trigger, is a sign of too few workers or too much cost delay.',
            top.among(
              'max by (' + server + ') (pg_autovacuum_workers{%(on)s})\n/ on (' + server + ')\n' + workersLimit,
              server,
              'topk(15, max by (' + server + ') (max_over_time(pg_autovacuum_workers{%(on)s}[$__range] @ end())))'
            ),
            '{{instance}}',
            { unit: 'percentunit', max: 1, w: 8 } + top.empty('No primary among the servers: on a standby autovacuum does not run.')
          ),
          graph('Workers against wraparound', 'Autovacuum workers whose vacuum is to prevent wraparound, which does not give way to a lock; the 15 servers with most.', top.gauge(15, server, 'pg_autovacuum_wraparound_workers', '%(on)s'), '{{instance}}', { decimals: 0, w: 8 } + top.empty('No primary among the servers: on a standby autovacuum does not run.')),
          board.stateTimeline('Autovacuum is on', 'The servers where autovacuum, or the counting of rows that it needs, was off at some point; it then still prevents wraparound.', [
            board.target('min by (' + server + ') (min_over_time(pg_autovacuum_enabled{%(on)s}[$__rate_interval])) and on (' + server + ') topk(20, min by (' + server + ') (min_over_time(pg_autovacuum_enabled{%(on)s}[$__range] @ end())) == 0)', '{{instance}}'),
          ], top.empty('It was on all the time, everywhere.') {
            w: 8,
            mappings: [{ type: 'value', options: { '0': { text: 'off', color: 'red' }, '1': { text: 'on', color: 'green' } } }],
          }),
          graph('Tables with too many dead rows', 'Tables with more dead rows than autovacuum waits for, of the 15 databases with most. Looked at every five minutes.', top.gauge(15, db, 'pg_autovacuum_vacuum_due_tables', whole), perDatabase, { decimals: 0 } + top.empty('No primary among the servers: on a standby autovacuum does not run.')),
          graph('Size of tables due for vacuum', 'For whichever reason, without indexes: what autovacuum has before it, of the 15 databases with most.', top.gauge(15, db, 'pg_autovacuum_vacuum_due_bytes', whole), perDatabase, { unit: 'bytes' } + top.empty('No primary among the servers: on a standby autovacuum does not run.')),
          board.table('Tables due, by reason', 'Tables past their trigger for dead rows, rows inserted, rows to analyze, and the age of transaction and multixact ids; then those that are due and that autovacuum is told to leave alone. The 50 databases with most.', [
            board.target(top.among('max by (' + db + ') (pg_autovacuum_%s_due_tables{' % k + whole + '})', db, dueDatabases))
            for k in dueKinds + ['disabled']
          ], top.sorted('Dead rows') + top.empty('No table is past a trigger, or no primary is among the servers.') {
            columns: databaseColumns + [
              { field: 'Value #A', title: 'Dead rows', unit: 'short', decimals: 0 },
              { field: 'Value #B', title: 'Inserts', unit: 'short', decimals: 0 },
              { field: 'Value #C', title: 'Analyze', unit: 'short', decimals: 0 },
              { field: 'Value #D', title: 'Freezing', unit: 'short', decimals: 0 },
              { field: 'Value #E', title: 'Multixacts', unit: 'short', decimals: 0 },
              { field: 'Value #F', title: 'Left alone', unit: 'short', decimals: 0 },
            ],
          }),
          board.table('Tables furthest past a trigger', 'What there is over what makes a table due: 1 is due, 10 is late. The 25 tables with the highest of the numbers.', [
            board.target(top.among('max by (' + table + ') (pg_autovacuum_table_%s_ratio{' % k + named + '})', table, furthest))
            for k in ['vacuum', 'insert', 'analyze', 'freeze']
          ], top.sorted('Dead rows') + top.empty('No table is past a trigger, or no primary is among the servers.') {
            columns: tableColumns + [
              { field: 'Value #A', title: 'Dead rows', unit: 'short', decimals: 1 },
              { field: 'Value #B', title: 'Inserts', unit: 'short', decimals: 1 },
              { field: 'Value #C', title: 'Analyze', unit: 'short', decimals: 1 },
              { field: 'Value #D', title: 'Freezing', unit: 'short', decimals: 1 },
            ],
          }),
          graph('Vacuums by autovacuum', 'From one point to the next, of the 15 databases with most. A table that was never vacuumed has no series.', top.count(15, db, 'pg_stat_user_tables_autovacuum_count_total', '%(database)s'), perDatabase, top.bars { w: 8 } + top.empty('Autovacuum has not vacuumed any table yet.')),
          graph('Analyzes by autovacuum', 'From one point to the next, of the 15 databases with most.', top.count(15, db, 'pg_stat_user_tables_autoanalyze_count_total', '%(database)s'), perDatabase, top.bars { w: 8 } + top.empty('Autovacuum has not analyzed any table yet.')),
          graph('Time spent in vacuums by autovacuum', 'Workers busy with vacuums that ended, on average, of the 15 databases with most. Known since PostgreSQL 18.', top.rate(15, db, 'pg_stat_user_tables_autovacuum_seconds_total', '%(database)s'), perDatabase, { unit: 'short', w: 8 } + top.empty('Autovacuum has not vacuumed any table yet, or the servers are older than PostgreSQL 18.')),
        ],
      },
      {
        title: 'Vacuums that run',
        panels: [
          board.table('Progress', 'Vacuums that run now, by hand or not, the 50 of the largest tables. Tables have names only in the database that the exporter is connected to; vacuums in another are added up in a row without. Where all indexes were vacuumed more than once memory was short (autovacuum_work_mem, maintenance_work_mem).', [
            board.target(phase),
            board.target(progress('heap_blks_scanned')),
            board.target(progress('heap_blks_vacuumed')),
            board.target('topk(50, max by (' + table + ') (pg_stat_progress_vacuum_index_vacuums{%(database)s}))'),
          ], top.sorted('Scanned') + noVacuum {
            columns: tableColumns + [
              { field: 'phase', title: 'Phase' },
              { field: 'Value #A', title: 'Vacuums', unit: 'short', decimals: 0 },
              { field: 'Value #B', title: 'Scanned', unit: 'percentunit', decimals: 0 },
              { field: 'Value #C', title: 'Vacuumed', unit: 'percentunit', decimals: 0 },
              { field: 'Value #D', title: 'Times indexes were vacuumed', unit: 'short', decimals: 0 },
            ],
          }),
        ],
      },
    ],
  }
