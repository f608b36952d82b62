package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// BloatIndexes estimates what btree indexes waste: their size less what REINDEX at
// their fillfactor would leave. An index that grows in random order is never more
// than about 70 % full, so it has a quarter to give back, and will lose it again.
//
// An entry is a header of 8 bytes, 16 where a key is NULL, and the columns, laid out
// as in Bloat; 4 bytes on the page point to it. A leaf page is filled to the
// fillfactor but for its header and trailer, and holds one entry more than that, the
// high key. The pages above are 70 % full of such keys. Where the operator classes
// allow it (a fourth support function in pg_amproc, and no collation that calls
// unlike bytes equal) and the index is neither unique nor has INCLUDE columns, a
// build merges equal keys into one entry of 812 bytes at most, with 6 for each row.
//
// How many keys are equal is known of one column, whose most common values are taken
// apart: what ANALYZE thinks of the others may be too few by the factor that
// their share and the size of its sample allow. Of several columns together, or of
// the rows of a partial index, it lies between bounds. Where these are more than a
// fifth of the index apart nothing is said, nor of texts so long that an index
// compresses them: index_unclear is 1. Statistics of an expression are the index's
// own, and SELECT on the table does not show them; pg_read_all_data does.
var BloatIndexes = spec.Collector{
	Name: "bloat_indexes", Of: "bloat", About: "Space that btree indexes waste, estimated from statistics.",
	Scope: spec.PerDatabase,
	Cost: spec.Cost{
		Timeout: 30 * time.Second, Every: time.Hour, MaxSeries: 400,
		Locks: "ACCESS SHARE on each index while its size is read; none that are, or whose table is, under ACCESS EXCLUSIVE",
	},
	Queries: []spec.Query{{SQL: `
WITH lock AS MATERIALIZED (
SELECT DISTINCT l.relation
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_database AS d ON d.oid = l.database
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND d.datname = pg_catalog.current_database()
), rel AS MATERIALIZED (
SELECT r.oid, r.tableoid, r.nspname, r.relname, r.indexrelname, r.indkey, r.indclass, r.indcollation, r.indnatts, r.partial, r.mergeable
     , r.block, r.size, r.hidden, r.changed
     , r.block - 48 - floor(r.block * (100 - r.fillfactor) / 100)                   AS room
     , CASE WHEN r.partial AND r.table_reltuples > 0 THEN least(1, r.reltuples / r.table_reltuples) ELSE 1 END AS share
     , CASE WHEN r.counted THEN r.live ELSE r.table_reltuples END                   AS rows
     , CASE WHEN r.counted THEN r.modified > 50 + 0.2 * r.live
            ELSE abs(r.size / r.block - r.relpages) > 0.2 * r.relpages END          AS stale
     , r.counted OR r.table_relpages > 0 AND r.table_reltuples >= 0                 AS analyzed
  FROM (SELECT i.oid, c.oid AS tableoid, n.nspname, c.relname, i.relname AS indexrelname, x.indkey, x.indclass, x.indcollation, x.indnatts
             , i.relpages, i.reltuples, c.relpages AS table_relpages, c.reltuples AS table_reltuples, b.block
             , x.indpred IS NOT NULL                                                AS partial
             , NOT x.indisunique AND x.indnatts = x.indnkeyatts
               AND coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(i.reloptions) AS o WHERE o.option_name = 'deduplicate_items')::boolean, true) AS mergeable
             , coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(i.reloptions) AS o WHERE o.option_name = 'fillfactor')::double precision, 90) AS fillfactor
             , CASE WHEN ki.relation IS NULL AND kc.relation IS NULL THEN pg_catalog.pg_relation_size(i.oid) END::double precision AS size
             , NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR c.relrowsecurity AND pg_catalog.row_security_active(c.oid)
               OR x.indexprs IS NOT NULL AND NOT pg_catalog.has_table_privilege(i.oid, 'SELECT') AS hidden
             , coalesce(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)) IS NOT NULL AS counted
             , pg_catalog.pg_stat_get_live_tuples(c.oid)::double precision          AS live
             , pg_catalog.pg_stat_get_mod_since_analyze(c.oid)                      AS modified
             , pg_catalog.pg_stat_get_tuples_updated(c.oid) - pg_catalog.pg_stat_get_tuples_hot_updated(c.oid) + pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS changed
          FROM pg_catalog.pg_index AS x
          JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid AND i.relkind = 'i' AND i.relam = 403
          JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          LEFT JOIN lock AS ki ON ki.relation = i.oid
          LEFT JOIN lock AS kc ON kc.relation = c.oid
         CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::double precision AS block) AS b
         WHERE x.indrelid >= 16384 AND x.indisvalid) AS r
 WHERE coalesce(r.size / r.block, r.relpages) >= 16
), att AS (
SELECT r.oid, a.attnum, a.attlen::integer AS length
     , s.null_frac IS NOT NULL                                                      AS complete
     , a.attlen = -2 OR a.attlen = -1 AND s.avg_width > 508                         AS unclear
     , CASE WHEN v.without THEN 0 ELSE s.null_frac END::double precision            AS nulls
     , CASE WHEN a.attlen < 0 THEN s.avg_width + 0.5 ELSE a.attlen END::double precision AS width
     , CASE WHEN a.attlen < 0 AND a.attstorage <> 'p' AND s.avg_width < 127 THEN 1
            ELSE CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END END AS align
     , f.share                                                                      AS common_share
     , coalesce(f.n, 0)                                                             AS common
     , v.n * CASE WHEN t.attnum IS NULL THEN 1 WHEN v.without THEN least(1, r.share / (1 - s.null_frac)) ELSE r.share END AS fewest
     , least(r.rows, coalesce(f.n, 0) + greatest(0, v.n - coalesce(f.n, 0))
             * CASE WHEN f.share < 1 - s.null_frac THEN 1 + f.share / (1 - s.null_frac) * (greatest(1, r.rows / g.sample) - 1) ELSE 1 END) AS most
     , CASE WHEN r.mergeable THEN
            EXISTS (SELECT FROM pg_catalog.pg_opclass AS o
                      JOIN pg_catalog.pg_amproc AS p ON p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype AND p.amprocnum = 4
                     WHERE o.oid = r.indclass[a.attnum - 1])
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_collation AS l WHERE l.oid = r.indcollation[a.attnum - 1] AND NOT l.collisdeterministic) END AS mergeable
  FROM rel AS r
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
  LEFT JOIN pg_catalog.pg_attribute AS t ON t.attrelid = r.tableoid AND t.attnum = r.indkey[a.attnum - 1] AND t.attnum > 0
  LEFT JOIN pg_catalog.pg_stats AS s ON s.schemaname = r.nspname AND NOT s.inherited
   AND s.tablename = CASE WHEN t.attnum IS NULL THEN r.indexrelname ELSE r.relname END AND s.attname = coalesce(t.attname, a.attname)
 CROSS JOIN LATERAL (SELECT CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * r.rows * CASE WHEN t.attnum IS NULL THEN r.share ELSE 1 END ELSE s.n_distinct END::double precision AS n
                          , r.partial AND s.null_frac < 1 AND r.share <= 1.05 * (1 - s.null_frac) AS without) AS v
 CROSS JOIN (SELECT 300 * pg_catalog.current_setting('default_statistics_target')::double precision AS sample) AS g
  LEFT JOIN LATERAL (SELECT sum(m)::double precision AS share, pg_catalog.count(*)::double precision AS n
                       FROM pg_catalog.unnest(s.most_common_freqs) AS m) AS f ON r.mergeable
), col AS (
SELECT a.oid
     , pg_catalog.count(*)::integer                                                 AS n
     , pg_catalog.bool_and(a.complete)                                              AS complete
     , pg_catalog.bool_or(a.unclear)                                                AS unclear
     , pg_catalog.bool_and(a.mergeable)                                             AS merged
     , 1 - exp(sum(ln(greatest(1 - a.nulls, 1e-6))))                                AS null_share
     , max(a.common_share)                                                          AS common_share
     , max(a.common)                                                                AS common
     , max(a.fewest)                                                                AS fewest
     , exp(least(sum(ln(greatest(a.most, 1))), 50))                                 AS most
     , pg_catalog.array_agg(a.nulls ORDER BY a.attnum)                              AS nulls
     , pg_catalog.array_agg(a.length ORDER BY a.attnum)                             AS lengths
     , pg_catalog.array_agg(a.width ORDER BY a.attnum)                              AS widths
     , pg_catalog.array_agg(a.align ORDER BY a.attnum)                              AS aligns
  FROM att AS a
 GROUP BY a.oid
), entry AS (
SELECT c.oid, c.merged, c.null_share, c.common_share, c.common, c.fewest, c.most
     , 4 + 8 * (1 + c.null_share) + d.bytes                                         AS bytes
     , d.exact AND c.null_share IN (0, 1)                                           AS exact
  FROM col AS c
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
 WHERE c.complete AND NOT c.unclear
), leaf AS (
SELECT r.oid, e.bytes
     , CASE WHEN e.merged THEN m.few / (p.fit * e.bytes) ELSE p.entries / p.fit END  AS few
     , CASE WHEN e.merged THEN m.many / (p.fit * e.bytes) ELSE p.entries / p.fit END AS many
  FROM rel AS r
  JOIN entry AS e ON e.oid = r.oid
 CROSS JOIN LATERAL (SELECT r.rows * r.share                                        AS entries
                          , greatest(1, CASE WHEN e.exact THEN floor(r.room / e.bytes) ELSE r.room / e.bytes - 0.5 END) AS fit
                          , CASE WHEN r.indnatts = 1 THEN e.null_share ELSE 0 END   AS null_share
                          , CASE WHEN r.indnatts = 1 AND NOT r.partial THEN coalesce(e.common_share, 0) ELSE 0 END AS common_share
                          , CASE WHEN r.indnatts = 1 AND NOT r.partial THEN e.common ELSE 0 END AS common) AS p
 CROSS JOIN LATERAL (
       SELECT sum(g.bytes) FILTER (WHERE NOT g.high)                                AS few
            , sum(g.bytes) FILTER (WHERE g.high)                                    AS many
         FROM (SELECT k.high, k.keys * (e.bytes * greatest(1, k.rows / k.keys / greatest(1, floor((816 - e.bytes) / 6)))
                                        + least(16 * (k.rows / k.keys - 1), greatest(16, 6 * k.rows / k.keys + 3))) AS bytes
                 FROM (SELECT v.high, v.rows, greatest(1, least(v.rows, v.keys)) AS keys
                         FROM (VALUES (false, p.entries * p.null_share, 1::double precision)
                                    , (true, p.entries * p.null_share, 1)
                                    , (false, p.entries * p.common_share, p.common)
                                    , (true, p.entries * p.common_share, p.common)
                                    , (false, p.entries * (1 - p.null_share - p.common_share), e.fewest - p.common)
                                    , (true, p.entries * (1 - p.null_share - p.common_share), e.most - p.common)) AS v (high, rows, keys)
                        WHERE v.rows > 0) AS k) AS g) AS m
 WHERE r.analyzed AND NOT r.stale
), judged AS (
SELECT r.oid, (l.many - l.few) * r.block <= 0.2 * r.size                            AS clear
     , greatest(0, r.size - r.block * (1 + ceil(w.leaves) + CASE WHEN w.leaves > 1 THEN ceil(w.leaves / greatest(1, 0.7 * (r.block - 40) / l.bytes - 1)) ELSE 0 END)) AS wasted
  FROM rel AS r
  JOIN leaf AS l ON l.oid = r.oid
 CROSS JOIN LATERAL (SELECT coalesce((l.few + l.many) / 2, 0) AS leaves) AS w
 WHERE r.size IS NOT NULL
)
SELECT r.nspname::text                                                              AS schemaname
     , r.relname::text                                                              AS relname
     , r.indexrelname::text                                                         AS indexrelname
     , 'estimate'                                                                   AS method
     , r.oid::text                                                                  AS relid
     , CASE WHEN j.clear THEN j.wasted ELSE r.size * greatest(0.01, least(1, r.changed / greatest(r.rows, 1))) END::double precision AS suspect_bytes
     , CASE WHEN j.clear THEN j.wasted END                                          AS index_wasted_bytes
     , CASE WHEN j.clear THEN r.size END                                            AS index_size_bytes
     , CASE WHEN u.reason = 'locked' THEN 1 END::double precision                   AS index_locked
     , CASE WHEN u.reason = 'hidden' THEN 1 END::double precision                   AS index_hidden
     , CASE WHEN u.reason = 'without' THEN 1 END::double precision                  AS index_without_statistics
     , CASE WHEN u.reason = 'stale' THEN 1 END::double precision                    AS index_stale
     , CASE WHEN u.reason = 'unclear' THEN 1 END::double precision                  AS index_unclear
  FROM rel AS r
  LEFT JOIN col AS c ON c.oid = r.oid
  LEFT JOIN judged AS j ON j.oid = r.oid
 CROSS JOIN LATERAL (SELECT CASE WHEN r.size IS NULL THEN 'locked'
                                 WHEN c.complete AND r.analyzed THEN CASE WHEN r.stale THEN 'stale' WHEN j.clear IS NOT TRUE THEN 'unclear' END
                                 WHEN r.hidden THEN 'hidden'
                                 ELSE 'without' END AS reason) AS u`}},
	Labels: []string{"schemaname", "relname", "indexrelname", "method"},
	Metrics: []spec.Metric{
		{Name: "index_wasted_bytes", Type: spec.Gauge, Help: "What REINDEX at the index's fillfactor would give back, absent where it cannot be known."},
		{Name: "index_size_bytes", Type: spec.Gauge, Help: "Size of the index, of btree indexes whose waste is known."},
		{Name: "index_locked", Type: spec.Gauge, Help: "1 for an index not judged because it or its table is locked; their sum is how many there are."},
		{Name: "index_hidden", Type: spec.Gauge, Help: "1 for an index not judged because the role may not SELECT from its table; their sum is how many there are."},
		{Name: "index_without_statistics", Type: spec.Gauge, Help: "1 for an index not judged because its table was never analyzed; their sum is how many there are."},
		{Name: "index_stale", Type: spec.Gauge, Help: "1 for an index not judged because its table has changed much since it was analyzed; their sum is how many there are."},
		{Name: "index_unclear", Type: spec.Gauge, Help: "1 for an index not judged because statistics do not tell how many of its keys are equal; their sum is how many there are."},
	},
	Fold: &spec.Fold{Key: "relid", Rank: []string{"suspect_bytes"}, Limit: 50, Keep: []string{"method"}},
}
