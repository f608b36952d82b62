// Space that is wasted or runs out, and whether what is stored is sound.

// bloated counts by database the relations that waste more than a part of their size and more than some bytes. What was
// measured is better than the estimate. The row "other" is of many relations and so says nothing of one. Hourly numbers are
// held for three hours, so that a restart of the exporter does not begin the day anew.
local bloated(l, metric, labels) =
  local wasted = 'last_over_time(pg_bloat_%s_wasted_bytes{%s, %s, relname!="other", method="%%s"}[%s])' % [metric, l.sel, l.datname, l['3h']];
  local size = 'last_over_time(pg_bloat_%s_size_bytes{%s, %s}[%s])' % [metric, l.sel, l.datname, l['3h']];
  |||
    count by (%(by)s, datname) (
      (
        %(measured)s
        or on (%(by)s, datname, %(labels)s)
        %(estimate)s
      ) > %(bytes)d
      > on (%(by)s, datname, %(labels)s, method)
      %(ratio)g * %(size)s
    )
    %(onPrimary)s
  ||| % (l { labels: labels, measured: wasted % 'measured', estimate: wasted % 'estimate', size: size });

{
  PostgresTableBloat: {
    group: 'space',
    summary: 'Tables are mostly empty space.',
    description: |||
      {{ $value }} tables in database {{ $labels.datname }} on {{ $labels.instance }} have been wasting most of their size
      for a day. Disk, cache and sequential scans pay for it; writing them anew gives it back.
    |||,
    dashboard: 'databases',
    expr(l):: bloated(l, 'table', 'schemaname, relname'),
  },

  PostgresIndexBloat: {
    group: 'space',
    summary: 'Indexes are mostly empty space.',
    description: |||
      {{ $value }} btree indexes in database {{ $labels.datname }} on {{ $labels.instance }} have been wasting most of their
      size for a day. Disk and cache pay for it; REINDEX CONCURRENTLY gives it back.
    |||,
    dashboard: 'databases',
    expr(l):: bloated(l, 'index', 'schemaname, relname, indexrelname'),
  },

  PostgresSequenceExhaustion: {
    group: 'space',
    summary: 'A sequence runs out of numbers.',
    description: |||
      {{ $value }} sequences in database {{ $labels.datname }} on {{ $labels.instance }} have few numbers left, of their own
      range or of the column they feed. At the end each insert that takes a number fails.
    |||,
    dashboard: 'databases',
    // One that cycles has no ratio.
    expr(l)::
      |||
        count by (%(by)s, datname) (
          max by (%(by)s, datname, schemaname, sequencename) (last_over_time(pg_sequences_used_ratio{%(sel)s, %(datname)s}[%(3m)s])) > %(ratio)g
        )
        %(onPrimary)s
      ||| % l,
  },

  PostgresInvalidIndex: {
    group: 'space',
    summary: 'An index is invalid and nothing builds it.',
    description: |||
      {{ $value }} indexes in database {{ $labels.datname }} on {{ $labels.instance }} are invalid, most likely left behind
      by a build that failed. Writes keep them up, no query uses them, and what they should enforce may not be.
    |||,
    dashboard: 'databases',
    expr(l)::
      |||
        max by (%(by)s, datname) (last_over_time(pg_index_health_indexes{%(sel)s, %(datname)s, kind="invalid"}[%(3m)s])) > 0
        %(onPrimary)s
      ||| % l,
  },

  PostgresChecksumFailure: {
    group: 'space',
    summary: 'Data pages are damaged.',
    description: |||
      {{ $labels.instance }} has read pages whose checksum is wrong, in database "{{ $labels.datname }}" (none is the shared
      catalogs). Rows on them are lost or wrong, and queries that meet them fail.
    |||,
    dashboard: 'databases',
    // The counter misses what happened while nobody scraped, the timestamp what a server with a wrong clock says.
    expr(l)::
      |||
        (
          sum by (%(by)s, datname) (increase(pg_stat_database_checksum_failures_total{%(sel)s}[%(1h)s])) > 0
          or on (%(by)s, datname)
          time() - max by (%(by)s, datname) (last_over_time(pg_stat_database_checksum_last_failure_timestamp_seconds{%(sel)s}[%(3m)s])) < %(recent)d
        )
        %(ofRole)s
      ||| % (l {
               recent: l.seconds('1h'),
               ofRole: if l.role == 'standby' then l.onStandby else 'unless on (%(by)s) instance:pg_primary:max == 0' % l,
             }),
  },

  PostgresChecksumsDisabled: {
    group: 'space',
    summary: 'Data pages carry no checksums.',
    description: |||
      Data checksums are off on {{ $labels.instance }}: a page that storage damages is read as if it were good, copied to
      standbys and backups, and noticed late or never.
    |||,
    dashboard: 'instance',
    expr(l)::
      |||
        max by (%(by)s) (max_over_time(pg_server_data_checksums{%(sel)s}[%(15m)s])) == 0
      ||| % l,
  },

  PostgresDatabaseGrowth: {
    group: 'space',
    summary: 'A database grows much faster than it did.',
    description: |||
      Database {{ $labels.datname }} on {{ $labels.instance }} has grown by {{ $value | humanize1024 }}B within a day, some
      times what it grew each day of the week before. The disk will be full sooner than planned.
    |||,
    dashboard: 'databases',
    // The same hour a day ago and a week ago, so that what comes and goes each night or each week is no growth. A database
    // without a week's past has no norm. Sizes are slow gauges and equal to all who scrape them.
    expr(l)::
      local size(offset) = 'max by (%s, datname) (avg_over_time(pg_database_size_bytes{%s, %s}[%s]%s))' % [l.by, l.sel, l.datname, l['1h'], offset];
      |||
        (
          %(now)s - on (%(by)s, datname) %(day)s
          > on (%(by)s, datname)
          %(factor)g / 7 * clamp_min(%(day)s - on (%(by)s, datname) %(before)s, 0)
        )
        > %(bytes)d
        > on (%(by)s, datname)
        %(share)g * %(day)s
        and on (%(by)s, datname)
        %(now)s > on (%(by)s, datname) %(most)g * %(week)s
        %(onPrimary)s
      ||| % (l {
               most: 1 + l.share,
               now: size(''),
               day: size(' offset ' + l['1d']),
               week: size(' offset ' + l['7d']),
               before: size(' offset ' + l.scaled('8d')),
             }),
  },

  PostgresTempFilesHigh: {
    group: 'space',
    summary: 'Queries write a lot to temporary files.',
    description: |||
      Queries on {{ $labels.instance }} write {{ $value | humanize1024 }}B/s to temporary files. What spills is slow, and the
      disk is shared with everything else; work_mem is too small for the load, or a query has gone astray.
    |||,
    dashboard: 'databases',
    // A file is counted when it is closed, so in lumps; twenty minutes bridge them, and one lump does not last for the
    // level's time.
    expr(l)::
      |||
        sum by (%(by)s) (rate(pg_stat_database_temp_bytes_total{%(sel)s}[%(20m)s])) > %(bytes)d
      ||| % l,
  },

  PostgresWalDirLarge: {
    group: 'space',
    summary: 'The WAL directory is large and grows.',
    description: |||
      pg_wal on {{ $labels.instance }} holds {{ $value | humanize1024 }}B, far more than max_wal_size and wal_keep_size ask
      for, and grows. Something keeps WAL from being removed; when the disk is full the server stops.
    |||,
    dashboard: 'wal',
    // On standbys too, which keep WAL for slots and while replay is paused. It grows where the least of a quarter of an hour
    // is more than the mean of the hour, which it is not when a load is over.
    expr(l)::
      |||
        max by (%(by)s) (min_over_time(pg_wal_size_bytes{%(sel)s}[%(15m)s]))
        > on (%(by)s)
        (
          %(factor)g * max by (%(by)s) (last_over_time(pg_settings_max_wal_size_bytes{%(sel)s}[%(3m)s]))
          + on (%(by)s) max by (%(by)s) (last_over_time(pg_settings_wal_keep_size_bytes{%(sel)s}[%(3m)s]))
        )
        > on (%(by)s)
        max by (%(by)s) (avg_over_time(pg_wal_size_bytes{%(sel)s}[%(1h)s]))
      ||| % l,
  },
}
