// Write-ahead log from where it is written to where it is kept: WAL, checkpoints, the archiver and backups.
local board = import '../lib/board.libsonnet';
local top = import '../lib/top.libsonnet';

function(c)
  local server = '%(by)s';
  local stanza = '%(by)s, tool, stanza';
  local repo = '%(by)s, tool, stanza, repo';
  local backup = '%(by)s, tool, stanza, repo, type';

  local serverColumns = top.who(c);
  local stanzaColumns = serverColumns + [{ field: 'tool', title: 'Tool' }, { field: 'stanza', title: 'Stanza' }];
  local repoColumns = stanzaColumns + [{ field: 'repo', title: 'Repository' }];

  local graph(title, description, expr, legend, opt) = board.timeseries(title, description, [board.target(expr, legend)], { min: 0 } + opt);
  local perServer(title, description, expr, opt) = graph(title, description, expr, '{{instance}}', opt);
  local max(labels, metric, matchers='%(on)s') = 'max by (' + labels + ') (' + metric + '{' + matchers + '})';
  local flag(labels, metric) = 'max by (' + labels + ') (max_over_time(' + metric + '{%(on)s}[%(3m)s]))';
  // Grafana has moments in milliseconds.
  local moment(labels, metric) = max(labels, metric) + ' * 1000';

  // Until 17 pg_stat_wal has the times of WAL, since 18 pg_stat_io.
  local walTime(window, end) = std.join('\nor on (' + server + ')\n', [
    'sum by (' + server + ') (' + window[0] + '(pg_stat_wal_write_seconds_total{%(on)s}[' + window[1] + ']' + end + ') + ' + window[0] + '(pg_stat_wal_sync_seconds_total{%(on)s}[' + window[1] + ']' + end + '))',
    'sum by (' + server + ') (' + window[0] + '(pg_stat_io_write_seconds_total{%(on)s, object="wal"}[' + window[1] + ']' + end + '))\n+ on (' + server + ') sum by (' + server + ') (' + window[0] + '(pg_stat_io_fsync_seconds_total{%(on)s, object="wal"}[' + window[1] + ']' + end + '))',
  ]);

  // Until 16 pg_stat_bgwriter counts what backends must sync, since 16 pg_stat_io does.
  local backendSyncs(window, end) = std.join('\nor on (' + server + ')\n', [
    'sum by (' + server + ') (increase(pg_stat_io_fsyncs_total{%(on)s, object="relation", backend_type=~"client backend|background worker|autovacuum worker"}[' + window + ']' + end + '))',
    'sum by (' + server + ') (increase(pg_stat_bgwriter_buffers_backend_fsync_total{%(on)s}[' + window + ']' + end + '))',
  ]);

  local waiting = 'topk(50, ' + std.join('\nor on (' + server + ')\n', [max(server, 'pg_stat_archiver_ready_files'), '0 * ' + max(server, 'pg_stat_archiver_configured', '%(on)s')]) + '\nand on (' + server + ') ' + flag(server, 'pg_stat_archiver_configured') + ' == 1)';
  local repositories = 'topk(50, ' + top.age(repo, 'pg_backup_repository_last_look_timestamp_seconds', '%(on)s') + ')';
  local backups = 'topk(50, ' + max(backup, 'pg_backup_last_stop_timestamp_seconds') + ')';
  local stanzas = 'topk(50, ' + max(stanza, 'pg_backup_look_duration_seconds') + ')';

  local noBackups = top.empty('The exporter looks at no backups of these servers (docs/backups.md).');
  local noArchive = top.empty('None of these servers archives WAL, or the role may not look into its directory.');
  local yesNo(bad) = [{ type: 'value', options: { [v]: { text: if v == '1' then 'yes' else 'no', color: if v == bad then 'red' else 'transparent' } for v in ['0', '1'] } }];
  local red(bad) = { mappings: yesNo(bad), thresholds: [[null, 'transparent']] };

  {
    title: 'WAL, checkpoints and backups',
    description: 'How much WAL is written, what checkpoints cost, whether WAL is archived, and which moments backups can restore.',
    variables: ['instance'],
    rows: [
      {
        title: 'WAL',
        panels: [
          perServer('WAL', 'Bytes per second that a primary writes, and a standby receives or replays; the 15 servers with most.', top.rate(15, server, 'pg_wal_position_bytes_total', '%(on)s'), { unit: 'binBps' }),
          perServer('Full-page images', 'Per second, on the 15 servers with most. The first change of a page after a checkpoint writes the page whole: frequent checkpoints make WAL grow. PostgreSQL 13 does not count them.', top.rate(15, server, 'pg_stat_wal_full_page_images_total', '%(on)s'), { unit: 'ops' } + top.empty('The servers are older than PostgreSQL 14.')),
          perServer('WAL on disk', 'Size of the directory pg_wal, of the 15 largest.', top.gauge(15, server, 'pg_wal_size_bytes', '%(on)s'), { unit: 'bytes' }),
          perServer('WAL on disk, of max_wal_size', 'Size of pg_wal over max_wal_size, of the 15 highest. Much above 1 something keeps WAL: an archiver that fails, a replication slot, wal_keep_size.', top.among(
            max(server, 'pg_wal_size_bytes') + '\n/ on (' + server + ')\n' + max(server, 'pg_settings_max_wal_size_bytes'),
            server,
            'topk(15, max by (' + server + ') (max_over_time(pg_wal_size_bytes{%(on)s}[$__range] @ end())) / on (' + server + ') max by (' + server + ') (pg_settings_max_wal_size_bytes{%(on)s} @ end()))'
          ), { unit: 'percentunit', thresholds: [[null, 'transparent'], [2, 'orange']] }),
          perServer('WAL buffers full', 'Times per second that a session had to write WAL itself for want of room in wal_buffers; the 15 servers with most. PostgreSQL 13 does not count them.', top.rate(15, server, 'pg_stat_wal_buffers_full_total', '%(on)s'), { unit: 'ops' } + top.empty('The servers are older than PostgreSQL 14.')),
          perServer('Time spent writing and syncing WAL', 'Per second, by all processes; the 15 servers with most. It is 0 where track_wal_io_timing is off, and PostgreSQL 13 does not tell.', top.among(walTime(['rate', '$__rate_interval'], ''), server, 'topk(15, ' + walTime(['increase', '$__range'], ' @ end()') + ')'), { unit: 'short' } + top.empty('The servers are older than PostgreSQL 14.')),
        ],
      },
      {
        title: 'Checkpoints',
        panels: [
          perServer('Checkpoints for their time', 'From one point to the next, begun because checkpoint_timeout had passed; the 15 servers with most.', top.count(15, server, 'pg_stat_checkpointer_num_timed_total', '%(on)s'), top.bars { w: 8 }),
          perServer('Checkpoints on request', 'From one point to the next, begun because of max_wal_size or by somebody; the 15 servers with most.', top.count(15, server, 'pg_stat_checkpointer_num_requested_total', '%(on)s'), top.bars { w: 8 }),
          perServer('Share of checkpoints on request', 'Over an hour, on the 15 servers where it was highest. Where most are on request max_wal_size is too small for what is written.', top.gauge(15, server, 'instance:pg_stat_checkpointer_num_requested:ratio_rate1h', '%(on)s'), { unit: 'percentunit', max: 1, w: 8 } + top.empty('No checkpoint in the last hour, or the recording rules are not loaded.')),
          perServer('Writing', 'Share of the time that checkpoints spend writing, which they spread over checkpoint_completion_target on purpose; the 15 servers with most. At 1 a checkpoint does not end before the next begins.', top.rate(15, server, 'pg_stat_checkpointer_write_seconds_total', '%(on)s'), { unit: 'percentunit', w: 8 }),
          perServer('Syncing', 'Share of the time that checkpoints spend syncing files to disk; the 15 servers with most. While a slow disk syncs, everybody waits.', top.rate(15, server, 'pg_stat_checkpointer_sync_seconds_total', '%(on)s'), { unit: 'percentunit', w: 8 }),
          perServer('Restartpoints', "A standby's checkpoints that were performed, from one point to the next; the 15 standbys with most. Counted since PostgreSQL 17.", top.count(15, server, 'pg_stat_checkpointer_restartpoints_done_total', '%(on)s'), top.bars { w: 8 } + top.empty('The servers are older than PostgreSQL 17.')),
          perServer('Buffers written by checkpoints', 'Per second, on the 15 servers with most; by restartpoints on a standby.', top.rate(15, server, 'pg_stat_checkpointer_buffers_written_total', '%(on)s'), { unit: 'ops', w: 8 }),
          perServer('Files that backends had to sync', 'Calls of fsync that backends made themselves, from one point to the next, on the 15 servers with most: the checkpointer could not take them over. A few come with the making of files in bulk.', top.among(backendSyncs('$__rate_interval', ''), server, 'topk(15, ' + backendSyncs('$__range', ' @ end()') + ')'), top.bars { w: 8 }),
        ],
      },
      {
        title: 'Archiver',
        panels: [
          board.table('Archivers', 'Servers whose archive_mode and archive_command or archive_library are set, the 50 with most files that wait. A last success long ago is no fault where nothing is written and archive_timeout is 0.', [
            board.target(waiting),
            board.target(top.among(flag(server, 'pg_stat_archiver_archiving'), server, waiting)),
            board.target(top.among(flag(server, 'pg_stat_archiver_failing'), server, waiting)),
            board.target(top.among(top.age(server, 'pg_stat_archiver_last_archived_timestamp_seconds', '%(on)s'), server, waiting)),
            board.target(top.among(top.age(server, 'pg_stat_archiver_oldest_ready_timestamp_seconds', '%(on)s'), server, waiting)),
          ], top.sorted('Files waiting') + noArchive {
            columns: serverColumns + [
              { field: 'Value #B', title: 'Archives now', mappings: yesNo('') },
              { field: 'Value #C', title: 'Fails' } + red('1'),
              { field: 'Value #A', title: 'Files waiting', unit: 'short', decimals: 0 },
              { field: 'Value #E', title: 'The oldest waits for', unit: 's' },
              { field: 'Value #D', title: 'Last success', unit: 's' },
            ],
          }),
          perServer('Files waiting', 'WAL files that are ready to be archived, on the 15 servers with most. A line that climbs is an archiver that fails or is too slow; pg_wal grows with it.', top.gauge(15, server, 'pg_stat_archiver_ready_files', '%(on)s'), { decimals: 0, w: 8 } + noArchive),
          perServer('Files archived', 'From one point to the next, on the 15 servers with most.', top.count(15, server, 'pg_stat_archiver_archived_total', '%(on)s'), top.bars { w: 8 }),
          perServer('Attempts that failed', 'From one point to the next, each retry counted, on the 15 servers with most.', top.count(15, server, 'pg_stat_archiver_failed_total', '%(on)s'), top.bars { w: 8 }),
        ],
      },
      {
        title: 'Backups',
        panels: [
          board.table('Recovery window', 'Which moments each repository can restore: from the oldest to the newest, as far as the tool tells. The 50 that were looked at longest ago; a window is as old as the last look.', [
            board.target(top.among(flag(repo + ', status', 'pg_backup_repository_status') + ' == 1', repo, repositories)),
            board.target(repositories),
            board.target(top.among(top.age(repo, 'pg_backup_repository_last_good_timestamp_seconds', '%(on)s'), repo, repositories)),
            board.target(top.among(moment(repo, 'pg_backup_repository_oldest_recoverable_timestamp_seconds'), repo, repositories)),
            board.target(top.among(moment(repo, 'pg_backup_repository_newest_recoverable_timestamp_seconds'), repo, repositories)),
            board.target(top.among(max(repo, 'pg_backup_repository_recovery_window_seconds'), repo, repositories)),
            board.target(top.among(flag(repo, 'pg_backup_repository_running'), repo, repositories)),
          ], top.sorted('Last good backup') + noBackups {
            columns: repoColumns + [
              { field: 'status', title: 'Status' },
              { field: 'Value #C', title: 'Last good backup', unit: 's' },
              { field: 'Value #D', title: 'From', unit: 'dateTimeAsIso' },
              { field: 'Value #E', title: 'To', unit: 'dateTimeAsIso' },
              { field: 'Value #F', title: 'Window', unit: 's' },
              { field: 'Value #G', title: 'Backup runs', mappings: yesNo('') },
              { field: 'Value #B', title: 'Last look', unit: 's' },
            ],
          }),
          graph('What would be lost', 'Time since the newest moment that a repository can restore, of the 15 oldest: what a restore now would lose. Where nothing is written nothing is archived, and this grows without harm.', top.among(
            top.age(repo, 'pg_backup_repository_newest_recoverable_timestamp_seconds', '%(on)s'),
            repo,
            'bottomk(15, max by (' + repo + ') (pg_backup_repository_newest_recoverable_timestamp_seconds{%(on)s} @ end()))'
          ), '{{instance}} {{tool}} {{stanza}} {{repo}}', { unit: 's' } + noBackups),
          board.table('Backups', 'The last completed backup of each type, the 50 newest. Size is that of the database; stored is what a restore of it needs in the repository.', [
            board.target(top.among(top.age(backup, 'pg_backup_last_stop_timestamp_seconds', '%(on)s'), backup, backups)),
            board.target(top.among(max(backup, 'pg_backup_last_duration_seconds'), backup, backups)),
            board.target(top.among(max(backup, 'pg_backup_last_database_bytes'), backup, backups)),
            board.target(top.among(max(backup, 'pg_backup_last_repository_bytes'), backup, backups)),
            board.target(top.among(flag(backup, 'pg_backup_last_damaged'), backup, backups)),
            board.target(top.among(flag(backup, 'pg_backup_last_attempt_failed'), backup, backups)),
          ], { options: { sortBy: [{ displayName: 'Ended', desc: false }] } } + noBackups {
            columns: repoColumns + [
              { field: 'type', title: 'Type' },
              { field: 'Value #A', title: 'Ended', unit: 's' },
              { field: 'Value #B', title: 'Took', unit: 's' },
              { field: 'Value #C', title: 'Size', unit: 'bytes' },
              { field: 'Value #D', title: 'Stored', unit: 'bytes' },
              { field: 'Value #E', title: 'Damaged' } + red('1'),
              { field: 'Value #F', title: 'A later one failed' } + red('1'),
            ],
          }),
          board.table('Gaps in the archive', 'Segments of WAL that are missing between archived ones, of the 50 timelines with most. No moment after a gap can be restored from a backup before it.', [
            board.target('topk(50, max by (' + repo + ', timeline) (pg_backup_wal_missing_segments{%(on)s}) > 0)'),
          ], top.sorted('Missing segments') + top.empty('No gap is known.') {
            w: 12,
            columns: repoColumns + [{ field: 'timeline', title: 'Timeline' }, { field: 'Value #A', title: 'Missing segments', unit: 'short', decimals: 0 }],
          }),
          board.table('Looks at backup tools', 'Whether the last look succeeded, how long ago the last good one was, and when a restore was last tested and found good. The 50 slowest.', [
            board.target(top.among('min by (' + stanza + ') (min_over_time(pg_backup_look_success{%(on)s}[%(3m)s]))', stanza, stanzas)),
            board.target(top.among(top.age(stanza, 'pg_backup_last_look_timestamp_seconds', '%(on)s'), stanza, stanzas)),
            board.target(top.among(top.age(stanza, 'pg_backup_restore_proven_timestamp_seconds', '%(on)s'), stanza, stanzas)),
          ], top.sorted('Last good look') + noBackups {
            w: 12,
            columns: stanzaColumns + [
              { field: 'Value #A', title: 'Succeeded' } + red('0'),
              { field: 'Value #B', title: 'Last good look', unit: 's' },
              { field: 'Value #C', title: 'Restore proven', unit: 's' },
            ],
          }),
        ],
      },
    ],
  }
