// Whether WAL reaches the archive and backups are there, are new enough, and known of.
//
// A source of backups stands on the page of one server, which need not be the primary any more: alerts on backups ask for
// no role. Archiving is asked of pg_stat_archiver_archiving, which is 0 on a demoted primary, whose counters stay.

// repository, source are the labels of one repository, and of one tool's view of one server.
local source(l) = l { source: '%s, tool, stanza' % l.by };
local repository(l) = source(l) { repo: self.source + ', repo' };

// Labels of a cluster may all be switched off.
local ofCluster(l, more) = std.join(', ', (if l.byCluster == '' then [] else [l.byCluster]) + more);

{
  PostgresArchiveFailing: {
    group: 'archive',
    summary: 'WAL cannot be archived.',
    description: |||
      All attempts of {{ $labels.instance }} to archive WAL have failed for a quarter of an hour or longer. Nothing that
      is committed now can be restored from the archive, and pg_wal grows until the disk is full.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        (
          max by (%(by)s) (increase(pg_stat_archiver_failed_total{%(sel)s}[%(15m)s])) > 0
          unless on (%(by)s)
          max by (%(by)s) (increase(pg_stat_archiver_archived_total{%(sel)s}[%(15m)s])) > 0
        )
        and on (%(by)s)
        max by (%(by)s) (max_over_time(pg_stat_archiver_archiving{%(sel)s}[%(5m)s])) == 1
      ||| % l,
  },

  PostgresArchiveBacklog: {
    group: 'archive',
    summary: 'WAL is archived more slowly than it is written.',
    description: |||
      {{ $value }} WAL files of {{ $labels.instance }} wait to be archived, and there are more and more. They fill the disk
      of pg_wal, and what is in them cannot be restored from the archive yet.
    |||,
    dashboard: 'wal',
    // Growing is above the mean of the last quarter of an hour, which is the same for two Prometheus servers.
    expr(l)::
      |||
        max by (%(by)s) (last_over_time(pg_stat_archiver_ready_files{%(sel)s}[%(3m)s])) > %(files)d
        and on (%(by)s)
        max by (%(by)s) (avg_over_time(pg_stat_archiver_ready_files{%(sel)s}[%(5m)s]))
        > on (%(by)s)
        max by (%(by)s) (avg_over_time(pg_stat_archiver_ready_files{%(sel)s}[%(15m)s]))
        and on (%(by)s)
        max by (%(by)s) (max_over_time(pg_stat_archiver_archiving{%(sel)s}[%(5m)s])) == 1
      ||| % l,
  },

  PostgresArchiveStale: {
    group: 'archive',
    summary: 'WAL waits, and the archiver does nothing.',
    description: |||
      A WAL file of {{ $labels.instance }} has waited for {{ $value | humanizeDuration }} to be archived, and the archiver
      has neither archived one nor failed: it hangs, or nothing tells it how to archive.
    |||,
    dashboard: 'wal',
    // On a quiet server no file waits. Where attempts fail, PostgresArchiveFailing says so.
    expr(l)::
      |||
        time() - max by (%(by)s) (last_over_time(pg_stat_archiver_oldest_ready_timestamp_seconds{%(sel)s}[%(3m)s])) > %(seconds)d
        unless on (%(by)s)
        max by (%(by)s) (increase(pg_stat_archiver_archived_total{%(sel)s}[%(window)s])) > 0
        unless on (%(by)s)
        max by (%(by)s) (increase(pg_stat_archiver_failed_total{%(sel)s}[%(15m)s])) > 0
        and on (%(by)s)
        max by (%(by)s) (max_over_time(pg_stat_archiver_archiving{%(sel)s}[%(5m)s])) == 1
      ||| % (l { seconds: l.seconds(l.age), window: l.scaled(l.age) }),
  },

  PostgresBackupTooOld: {
    group: 'backup',
    summary: 'The last good backup is too old.',
    description: |||
      The last good {{ with $labels.type }}{{ . }} {{ end }}backup of {{ $labels.stanza }} by {{ $labels.tool }} ended
      {{ $value | humanizeDuration }} ago. The older it is, the longer a restore takes, and without all WAL since then what
      came after it is lost.
    |||,
    dashboard: 'wal',
    expr(l)::
      local r = repository(l) { seconds: l.seconds(l.age) };
      local special = [
        r { matcher: m, seconds: l.seconds(l.otherwise[m]) }
        for m in std.objectFields(l.otherwise)
      ];
      local types = [
        r { type: t, seconds: l.seconds(l.types[t]) }
        for t in std.objectFields(l.types)
      ];
      std.join('\nor on (%(repo)s, type)\n' % r, [
        '(\n  time() - max by (%(repo)s) (last_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s}[%(3m)s])) > %(seconds)d\n' % r +
        std.join('', [
          '  unless on (%(repo)s)\n  last_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s, %(matcher)s}[%(3m)s])\n' % s
          for s in special
        ]) +
        ')',
      ] + [
        '(\n  time() - max by (%(repo)s) (last_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s, %(matcher)s}[%(3m)s])) > %(seconds)d\n)' % s
        for s in special
      ] + [
        '(\n  time() - max by (%(repo)s, type) (last_over_time(pg_backup_last_stop_timestamp_seconds{%(sel)s, type="%(type)s"}[%(3m)s])) > %(seconds)d\n)' % t
        for t in types
      ]),
  },

  PostgresBackupNeverSucceeded: {
    group: 'backup',
    summary: 'There has never been a good backup.',
    description: |||
      {{ $labels.tool }} knows {{ $labels.stanza }} and has had no backup of it for a day that could be restored. If the
      server is lost now, its data is.
    |||,
    dashboard: 'wal',
    // The hour bridges restarts of pgvigil, which must not begin the day anew.
    expr(l)::
      |||
        max by (%(repo)s) (max_over_time(pg_backup_repository_running{%(sel)s}[%(1h)s])) >= 0
        unless on (%(repo)s)
        max by (%(repo)s) (max_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s}[%(15m)s]))
      ||| % repository(l),
  },

  PostgresBackupsGone: {
    group: 'backup',
    summary: 'No good backup is left.',
    description: |||
      {{ $labels.tool }} had a good backup of {{ $labels.stanza }} within the last two days and has none any more: it was
      removed, is found damaged, or lacks the WAL that makes it consistent. If the server is lost now, its data is.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        max by (%(repo)s) (max_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s}[%(2d)s]))
        unless on (%(repo)s)
        max by (%(repo)s) (max_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s}[%(15m)s]))
        and on (%(repo)s)
        max by (%(repo)s) (last_over_time(pg_backup_repository_running{%(sel)s}[%(3m)s])) >= 0
      ||| % repository(l),
  },

  PostgresBackupFailed: {
    group: 'backup',
    summary: 'The last backup has failed.',
    description: |||
      The last {{ $labels.type }} backup of {{ $labels.stanza }} by {{ $labels.tool }} failed or completed with damage, such
      as wrong page checksums. The one before it is still what a restore would use.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        max by (%(repo)s, type) (max_over_time(pg_backup_last_attempt_failed{%(sel)s}[%(5m)s])) == 1
        or on (%(repo)s, type)
        max by (%(repo)s, type) (max_over_time(pg_backup_last_damaged{%(sel)s}[%(5m)s])) == 1
      ||| % repository(l),
  },

  PostgresBackupCheckFailing: {
    group: 'backup',
    summary: 'A backup tool finds fault with its own state.',
    description: |||
      {{ $labels.tool }} says of {{ $labels.stanza }} that its check {{ $labels.check }} fails. Backups or archived WAL may
      stop, or be fewer than wanted.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        max by (%(source)s, check) (max_over_time(pg_backup_check_success{%(sel)s}[%(15m)s])) == 0
      ||| % source(l),
  },

  PostgresBackupMetricsMissing: {
    group: 'backup',
    scope: 'cluster',
    summary: 'Nothing tells of backups any more.',
    description: |||
      Within the last day pgvigil told of backups of {{ $labels.stanza }} by {{ $labels.tool }}, and now no page does. Until
      one does again no other alert on these backups can fire.
    |||,
    dashboard: 'wal',
    // By cluster: a source that moved to the page of the new primary is not missing.
    expr(l)::
      |||
        (
          count by (%(repo)s) (max_over_time(pg_backup_repository_running{%(sel)s}[%(1d)s]))
          unless on (%(repo)s)
          count by (%(repo)s) (max_over_time(pg_backup_repository_running{%(sel)s}[%(15m)s]))
        )
        or on (%(repo)s)
        (
          count by (%(source)s) (max_over_time(pg_backup_restore_proven_timestamp_seconds{%(sel)s}[%(1d)s]))
          unless on (%(source)s)
          count by (%(source)s) (max_over_time(pg_backup_restore_proven_timestamp_seconds{%(sel)s}[%(15m)s]))
        )
      ||| % (l { repo: ofCluster(l, ['tool', 'stanza', 'repo']), source: ofCluster(l, ['tool', 'stanza']) }),
  },

  PostgresBackupLookFailing: {
    group: 'backup',
    summary: 'What is shown of backups is old.',
    description: |||
      pgvigil has not been able to ask {{ $labels.tool }} about {{ $labels.stanza }}{{ with $labels.repo }}, repository
      {{ . }},{{ end }} for hours. What is shown is what the last good look saw, so a failed or missing backup goes unseen.
    |||,
    dashboard: 'wal',
    // Repositories first; then sources that tell of none, such as restore tests; then those that were never seen.
    expr(l)::
      |||
        (
          time() - max by (%(repo)s) (last_over_time(pg_backup_repository_last_look_timestamp_seconds{%(sel)s}[%(3m)s])) > %(look)d
        )
        or on (%(repo)s)
        (
          time() - max by (%(repo)s) (last_over_time(pg_backup_repository_last_wal_list_timestamp_seconds{%(sel)s}[%(3m)s])) > %(list)d
        )
        or on (%(repo)s)
        (
          time() - max by (%(source)s) (last_over_time(pg_backup_last_look_timestamp_seconds{%(sel)s}[%(3m)s])) > %(look)d
          unless on (%(source)s)
          last_over_time(pg_backup_repository_last_look_timestamp_seconds{%(sel)s}[%(3m)s])
        )
        or on (%(repo)s)
        (
          max by (%(source)s) (max_over_time(pg_backup_look_success{%(sel)s}[%(1h)s])) == 0
          unless on (%(source)s)
          last_over_time(pg_backup_last_look_timestamp_seconds{%(sel)s}[%(3m)s])
        )
      ||| % (repository(l) { look: l.seconds(l.age), list: l.seconds(l.listAge) }),
  },

  PostgresBackupWalGap: {
    group: 'backup',
    summary: 'WAL is missing after the last good backup.',
    description: |||
      The archive of {{ $labels.stanza }} at {{ $labels.tool }} has {{ $value }} gaps, and from no good backup does WAL go on
      to the present: what was committed after a gap cannot be restored until there is a new backup.
    |||,
    dashboard: 'wal',
    // Old gaps stay for as long as the backups around them, and where the tool expires WAL between backups they are wanted;
    // they do no harm as long as something after them can be restored.
    expr(l)::
      |||
        max by (%(repo)s) (last_over_time(pg_backup_wal_gaps{%(sel)s}[%(3m)s])) > 0
        and on (%(repo)s)
        last_over_time(pg_backup_repository_last_good_timestamp_seconds{%(sel)s}[%(3m)s])
        unless on (%(repo)s)
        last_over_time(pg_backup_repository_oldest_recoverable_timestamp_seconds{%(sel)s}[%(3m)s])
      ||| % repository(l),
  },

  PostgresBackupRestoreUnproven: {
    group: 'backup',
    summary: 'No restore has been tested for long.',
    description: |||
      The last restore of {{ $labels.stanza }} that {{ $labels.tool }} tested and found good was
      {{ $value | humanizeDuration }} ago. Whether backups can be restored is not known.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        time() - max by (%(source)s) (last_over_time(pg_backup_restore_proven_timestamp_seconds{%(sel)s}[%(3m)s])) > %(seconds)d
      ||| % (source(l) { seconds: l.seconds(l.age) }),
  },

  PostgresBackupRunningLong: {
    group: 'backup',
    summary: 'A backup takes much longer than those before.',
    description: |||
      A backup of {{ $labels.stanza }} by {{ $labels.tool }} has run for {{ $value | humanizeDuration }}. It may hang, or have
      been killed without the tool having noticed; meanwhile no other can begin.
    |||,
    dashboard: 'wal',
    // What type runs is not known, so the longest counts. The last ones stand for the usual: a mean over weeks would have to
    // be read anew with each evaluation, and says less when the database grows.
    expr(l)::
      |||
        (
          time() - max by (%(repo)s) (last_over_time(pg_backup_repository_running_since_timestamp_seconds{%(sel)s}[%(3m)s]))
          > on (%(repo)s)
          %(factor)g * max by (%(repo)s) (last_over_time(pg_backup_last_duration_seconds{%(sel)s}[%(3m)s]))
        )
        or on (%(repo)s)
        (
          time() - max by (%(repo)s) (last_over_time(pg_backup_repository_running_since_timestamp_seconds{%(sel)s}[%(3m)s])) > %(seconds)d
        )
      ||| % (repository(l) { seconds: l.seconds(l.atMost) }),
  },

  PostgresBaseBackupStuck: {
    group: 'backup',
    summary: 'A base backup makes no progress.',
    description: |||
      A base backup that {{ $labels.instance }} streams has not moved for an hour or longer. Its client hangs, or it waits for
      a checkpoint or for WAL to be archived.
    |||,
    dashboard: 'wal',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_stat_progress_basebackup_backup_streamed_bytes{%(sel)s}[%(15m)s]))
        == on (%(by)s)
        min by (%(by)s) (min_over_time(pg_stat_progress_basebackup_backup_streamed_bytes{%(sel)s}[%(15m)s]))
        and on (%(by)s)
        last_over_time(pg_stat_progress_basebackup_backup_streamed_bytes{%(sel)s}[%(3m)s])
      ||| % l,
  },
}
