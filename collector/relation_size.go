package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// RelationSize reports the bytes of the largest tables, and of all others of each
// database in one. Partitions count for the table at the root of their tree.
//
// To ask for a size is to open the relation, which costs and waits for locks. So
// in each run only the 100 largest of a database by pg_class.relpages are measured,
// and of those that VACUUM and ANALYZE have never seen, which may be large, the 100
// with most rows or, where nobody has counted them, the newest. For all others
// relpages stands in.
//
// It stands in too for a table that is locked exclusively, or that somebody waits
// to lock so, or its TOAST table or an index: to open those is to wait. They are
// looked up last, right before the sizes. A lock on a partition's parent does not
// matter. What follows from relpages is in estimated_bytes.
//
// A system catalog has a name of its own from 16 MB on; smaller ones are of use
// only together, under relname="other". Left out are sequences, temporary tables
// and the catalogs that all databases share. The two names with pg_stat_user_tables are those of postgres_exporter.
var RelationSize = spec.Collector{
	Name: "relation_size", About: "Bytes of tables, indexes, TOAST data and system catalogs.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{
		Timeout: 15 * time.Second, Every: 5 * time.Minute, MaxSeries: 1000,
		Locks: "AccessShareLock on up to 200 tables of each database, one after the other, none of which is locked exclusively",
	},
	Queries: []spec.Query{{SQL: `
WITH index AS (
SELECT coalesce(o.oid, x.indrelid)                                                   AS relid
     , sum(i.relpages) FILTER (WHERE o.oid IS NULL)                                  AS pages
     , sum(i.relpages) FILTER (WHERE o.oid IS NOT NULL)                              AS toast_pages
  FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
  LEFT JOIN pg_catalog.pg_class o ON o.reltoastrelid = x.indrelid AND o.reltoastrelid <> 0
 GROUP BY coalesce(o.oid, x.indrelid)
), relation AS (
SELECT c.oid                                                                         AS relid
     , c.relname                                                                     AS relname
     , c.relnamespace                                                                AS relnamespace
     , c.relispartition                                                              AS relispartition
     , t.oid                                                                         AS toast
     , CASE WHEN c.relpages > 0 THEN c.relpages END                                  AS heap_pages
     , CASE WHEN t.relpages > 0 THEN t.relpages + coalesce(i.toast_pages, 0) END     AS toast_pages
     , i.pages                                                                       AS index_pages
     , CASE WHEN c.relpages > 0 THEN 0 ELSE pg_catalog.pg_stat_get_live_tuples(c.oid) + pg_catalog.pg_stat_get_dead_tuples(c.oid) END
       + CASE WHEN t.relpages = 0 THEN pg_catalog.pg_stat_get_live_tuples(t.oid) + pg_catalog.pg_stat_get_dead_tuples(t.oid) ELSE 0 END AS unseen
  FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
  LEFT JOIN index i ON i.relid = c.oid
 WHERE c.relkind IN ('r', 'm')
   AND c.relpersistence <> 't'
   AND NOT c.relisshared
), candidate AS (
(SELECT c.relid FROM relation c
 ORDER BY coalesce(c.heap_pages, 0) + coalesce(c.toast_pages, 0) + coalesce(c.index_pages, 0) DESC, c.relid
 LIMIT 100)
 UNION
(SELECT c.relid FROM relation c
 WHERE c.heap_pages IS NULL OR c.unseen > 0
 ORDER BY c.unseen DESC, c.relid DESC
 LIMIT 100)
), locked AS (
SELECT l.relation                                                                    AS relid
  FROM pg_catalog.pg_locks l
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
), judged AS MATERIALIZED (
SELECT c.relid                                                                       AS relid
     , c.relid IN (SELECT l.relid FROM locked l)
       OR coalesce(c.toast IN (SELECT l.relid FROM locked l), false)
       OR EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid IN (c.relid, c.toast) AND x.indexrelid IN (SELECT l.relid FROM locked l)) AS locked
  FROM candidate k
  JOIN relation c ON c.relid = k.relid
)
SELECT n.nspname::text                                                               AS schemaname
     , CASE WHEN m.small THEN 'other' ELSE coalesce(r.relname, c.relname) END::text  AS relname
     , c.relid::text                                                                 AS relid
     , CASE WHEN m.small THEN 0 ELSE coalesce(s.table_bytes, 0) + coalesce(s.index_bytes, 0) END::double precision AS total_bytes
     , CASE WHEN n.nspname NOT IN ('pg_catalog', 'information_schema') THEN s.table_bytes END::double precision AS pg_stat_user_tables_table_size_bytes
     , CASE WHEN n.nspname NOT IN ('pg_catalog', 'information_schema') THEN s.index_bytes END::double precision AS pg_stat_user_tables_index_size_bytes
     , CASE WHEN n.nspname NOT IN ('pg_catalog', 'information_schema') THEN s.toast_bytes END::double precision AS toast_bytes
     , CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') THEN s.table_bytes + coalesce(s.index_bytes, 0) END::double precision AS catalog_bytes
     , CASE WHEN j.locked IS NOT FALSE THEN coalesce(s.table_bytes, 0) + coalesce(s.index_bytes, 0) END::double precision AS estimated_bytes
     , CASE WHEN j.locked THEN 1 END::double precision                               AS locked_relations
  FROM relation c
  LEFT JOIN judged j ON j.relid = c.relid
 CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::double precision) b (size)
 CROSS JOIN LATERAL (
       SELECT CASE WHEN NOT j.locked THEN pg_catalog.pg_table_size(c.relid) ELSE coalesce(c.heap_pages + c.toast_pages, c.heap_pages, c.toast_pages) * b.size END
            , CASE WHEN NOT j.locked THEN pg_catalog.pg_total_relation_size(c.toast) ELSE c.toast_pages * b.size END
            , CASE WHEN NOT j.locked THEN (SELECT coalesce(sum(pg_catalog.pg_table_size(x.indexrelid)), 0) FROM pg_catalog.pg_index x WHERE x.indrelid = c.relid)
                   ELSE c.index_pages * b.size END) s (table_bytes, toast_bytes, index_bytes)
  LEFT JOIN pg_catalog.pg_class r ON r.relkind = 'p'
   AND r.oid = CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.relid) END
  JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(r.relnamespace, c.relnamespace)
 CROSS JOIN LATERAL (
       SELECT n.nspname IN ('pg_catalog', 'information_schema') AND coalesce(s.table_bytes, 0) + coalesce(s.index_bytes, 0) < 16777216) m (small)`}},
	Labels: []string{"schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "pg_stat_user_tables_table_size_bytes", Type: spec.Gauge, Help: "Bytes of the table with its TOAST data, without its indexes."},
		{Name: "pg_stat_user_tables_index_size_bytes", Type: spec.Gauge, Help: "Bytes of the table's indexes."},
		{Name: "toast_bytes", Type: spec.Gauge, Help: "Bytes of the table's TOAST data, which table_size_bytes has too, absent for a table without."},
		{Name: "catalog_bytes", Type: spec.Gauge, Help: "Bytes of a system catalog with its indexes, of those below 16 MB together."},
		{Name: "estimated_bytes", Type: spec.Gauge, Help: "Part of the other bytes that was not measured but is as of the last vacuum or analyze, absent where all was measured."},
		{Name: "locked_relations", Type: spec.Gauge, Help: "Tables that could not be measured because they are locked exclusively, absent if there are none."},
	},
	Fold: &spec.Fold{
		Key: "relid", Rank: []string{"total_bytes"},
		Limit: 100,
	},
}
