package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Bloat estimates what tables waste: their size less what they would have if they
// were written anew (VACUUM FULL) at their fillfactor. Toast tables, for which
// PostgreSQL keeps no statistics, temporary tables and those of less than 16 pages
// are left out. A partition stands under its own name: it is rewritten by itself.
//
// The rows are counted by the server, or where it has lost count by the last
// ANALYZE. The width of a row is laid out column by column, as PostgreSQL does it:
// bytes is what is expected up to here, which is residue modulo known, the power
// of two to which that is certain. A column of fixed length keeps it certain; one
// that may be NULL does as far as its length and alignment go; behind a text
// nothing is, and alignment costs half of what it may. Texts of less than 127
// bytes and pointers to toasted values are not aligned, and pg_stats has their
// width as stored, cut to whole bytes. The row's header is 23 bytes, and a bit for
// each column, dropped ones too, where one of them is NULL. A page has a header of
// 24 bytes and 4 for each row; of rows with unlike widths half a row is lost.
//
// Never a number without its ground: PostgreSQL shows the statistics of a table
// only to those who may SELECT from it, and pg_monitor may not. A table that is
// hidden, was never analyzed, has changed by a fifth since, or is locked is not
// judged but counted: its reason is 1. Such tables rank by how much of them was
// ever updated or deleted.
var Bloat = spec.Collector{
	Name: "bloat", About: "Space that tables waste, and btree indexes, estimated from statistics, which want SELECT or pg_read_all_data.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{
		Timeout: 30 * time.Second, Every: time.Hour, MaxSeries: 400,
		Locks: "ACCESS SHARE on each table while its size is read; none that are under ACCESS EXCLUSIVE",
	},
	Queries: []spec.Query{{SQL: `
WITH rel AS MATERIALIZED (
SELECT r.oid, r.nspname, r.relname, r.relnatts, r.relpages, r.block, r.size, r.fillfactor, r.hidden, r.changed
     , CASE WHEN r.counted THEN r.live ELSE r.reltuples END                         AS rows
     , CASE WHEN r.counted THEN r.modified > 50 + 0.2 * r.live
            ELSE abs(r.size / r.block - r.relpages) > 0.2 * r.relpages END          AS stale
     , r.counted OR r.relpages > 0 AND r.reltuples >= 0                             AS analyzed
  FROM (SELECT c.oid, n.nspname, c.relname, c.relnatts, c.relpages, c.reltuples, b.block
             , CASE WHEN k.relation IS NULL THEN pg_catalog.pg_relation_size(c.oid) END::double precision AS size
             , coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(c.reloptions) AS o WHERE o.option_name = 'fillfactor')::double precision, 100) AS fillfactor
             , NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR c.relrowsecurity AND pg_catalog.row_security_active(c.oid) AS hidden
             , coalesce(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) IS NOT NULL AS counted
             , pg_catalog.pg_stat_get_live_tuples(c.oid)::double precision          AS live
             , pg_catalog.pg_stat_get_mod_since_analyze(c.oid)                      AS modified
             , pg_catalog.pg_stat_get_tuples_updated(c.oid) + pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS changed
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          LEFT JOIN (SELECT DISTINCT l.relation
                       FROM pg_catalog.pg_locks AS l
                       JOIN pg_catalog.pg_database AS d ON d.oid = l.database
                      WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND d.datname = pg_catalog.current_database()) AS k ON k.relation = c.oid
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::double precision AS block) AS b
         WHERE c.relkind IN ('r', 'm') AND c.relam = 2 AND c.relpersistence <> 't' AND c.oid >= 16384) AS r
 WHERE coalesce(r.size / r.block, r.relpages) >= 16
), col AS (
SELECT r.oid
     , pg_catalog.count(*)::integer                                                 AS n
     , pg_catalog.count(*) = pg_catalog.count(s.null_frac)                          AS complete
     , 1 - exp(sum(ln(greatest(1 - s.null_frac::double precision, 1e-6))))          AS null_share
     , pg_catalog.array_agg(s.null_frac::double precision ORDER BY a.attnum)        AS nulls
     , pg_catalog.array_agg(a.attlen::integer ORDER BY a.attnum)                    AS lengths
     , pg_catalog.array_agg(CASE WHEN a.attlen < 0 THEN s.avg_width + 0.5 ELSE a.attlen END::double precision ORDER BY a.attnum) AS widths
     , pg_catalog.array_agg(CASE WHEN a.attlen < 0 AND a.attstorage <> 'p' AND s.avg_width < 127 THEN 1
                                 ELSE CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END END ORDER BY a.attnum) AS aligns
  FROM rel AS r
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_stats AS s ON s.schemaname = r.nspname AND s.tablename = r.relname AND s.attname = a.attname AND NOT s.inherited
 GROUP BY r.oid
), tuple AS (
SELECT c.oid
     , d.bytes + 24 * (1 - h.share) + h.share * 8 * ceil((23 + ceil(r.relnatts / 8.0)) / 8) AS bytes
     , d.exact AND (h.share IN (0, 1) OR r.relnatts <= 8)                           AS exact
  FROM col AS c
  JOIN rel AS r ON r.oid = c.oid
 CROSS JOIN LATERAL (SELECT CASE WHEN r.relnatts > c.n THEN 1 ELSE c.null_share END AS share) AS h
 CROSS JOIN LATERAL (
       WITH RECURSIVE layout (i, bytes, residue, known) AS (
       SELECT 1, 0::double precision, 0, 8
        UNION ALL
       SELECT l.i + 1
            , l.bytes + (1 - c.nulls[l.i]) * (p.pad + c.widths[l.i])
            , CASE WHEN c.nulls[l.i] = 1 THEN l.residue
                   WHEN c.nulls[l.i] = 0 AND c.lengths[l.i] > 0 THEN (CASE WHEN p.align <= l.known THEN l.residue + p.pad::integer ELSE 0 END + c.lengths[l.i]) % greatest(p.align, l.known)
                   ELSE 0 END
            , CASE WHEN c.nulls[l.i] = 1 THEN l.known
                   WHEN c.lengths[l.i] < 0 THEN 1
                   WHEN c.nulls[l.i] = 0 THEN greatest(p.align, l.known)
                   ELSE p.bits & -p.bits END
         FROM layout AS l
        CROSS JOIN LATERAL (SELECT c.aligns[l.i] AS align
                                 , l.known | l.residue | c.aligns[l.i] | c.lengths[l.i] AS bits
                                 , CASE WHEN c.aligns[l.i] <= l.known THEN (c.aligns[l.i] - l.residue % c.aligns[l.i]) % c.aligns[l.i]
                                        ELSE (l.known - l.residue) % l.known + (c.aligns[l.i] - l.known) / 2.0 END::double precision AS pad) AS p
        WHERE l.i <= c.n
       )
       SELECT l.bytes + (l.known - l.residue) % l.known + (8 - l.known) / 2.0 AS bytes, l.known = 8 AS exact
         FROM layout AS l
        WHERE l.i = c.n + 1) AS d
 WHERE c.complete
), judged AS (
SELECT r.oid, greatest(0, r.size - r.block * ceil(r.rows / greatest(1, CASE WHEN t.exact THEN floor(p.fit) ELSE (floor(p.fit) + p.fit - 0.5) / 2 END))) AS wasted
  FROM rel AS r
  JOIN tuple AS t ON t.oid = r.oid
 CROSS JOIN LATERAL (SELECT (r.block - 24 - floor(r.block * (100 - r.fillfactor) / 100)) / (t.bytes + 4) AS fit) AS p
 WHERE r.analyzed AND NOT r.stale
)
SELECT r.nspname::text                                                              AS schemaname
     , r.relname::text                                                              AS relname
     , 'estimate'                                                                   AS method
     , r.oid::text                                                                  AS relid
     , coalesce(j.wasted, r.size * greatest(0.01, least(1, r.changed / greatest(r.rows, 1))))::double precision AS suspect_bytes
     , j.wasted                                                                     AS table_wasted_bytes
     , CASE WHEN j.oid IS NOT NULL THEN r.size END                                  AS table_size_bytes
     , CASE WHEN u.reason = 'locked' THEN 1 END::double precision                   AS table_locked
     , CASE WHEN u.reason = 'hidden' THEN 1 END::double precision                   AS table_hidden
     , CASE WHEN u.reason = 'without' THEN 1 END::double precision                  AS table_without_statistics
     , CASE WHEN u.reason = 'stale' THEN 1 END::double precision                    AS table_stale
  FROM rel AS r
  LEFT JOIN col AS c ON c.oid = r.oid
  LEFT JOIN judged AS j ON j.oid = r.oid AND r.size IS NOT NULL
 CROSS JOIN LATERAL (SELECT CASE WHEN r.size IS NULL THEN 'locked'
                                 WHEN c.complete AND r.analyzed THEN CASE WHEN r.stale THEN 'stale' END
                                 WHEN r.hidden THEN 'hidden'
                                 ELSE 'without' END AS reason) AS u`}},
	Labels: []string{"schemaname", "relname", "method"},
	Metrics: []spec.Metric{
		{Name: "table_wasted_bytes", Type: spec.Gauge, Help: "What writing the table anew at its fillfactor would give back, absent where it cannot be known."},
		{Name: "table_size_bytes", Type: spec.Gauge, Help: "Size of the table without toast and indexes, of tables whose waste is known."},
		{Name: "table_locked", Type: spec.Gauge, Help: "1 for a table not judged because it is locked; their sum is how many there are."},
		{Name: "table_hidden", Type: spec.Gauge, Help: "1 for a table not judged because the role may not SELECT from it; their sum is how many there are."},
		{Name: "table_without_statistics", Type: spec.Gauge, Help: "1 for a table not judged because it was never analyzed; their sum is how many there are."},
		{Name: "table_stale", Type: spec.Gauge, Help: "1 for a table not judged because it has changed much since it was analyzed; their sum is how many there are."},
	},
	Fold: &spec.Fold{Key: "relid", Rank: []string{"suspect_bytes"}, Limit: 50, Keep: []string{"method"}},
}
