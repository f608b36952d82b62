package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// IndexHealth reports indexes that cost and do not serve: how many there are of
// each kind, in the rows without names, and the five largest of each.
//
// Invalid is what a CREATE INDEX CONCURRENTLY that failed has left behind, or an
// index of a partitioned table that not all partitions have. While an index of a
// table is built its invalid ones do not count: REINDEX CONCURRENTLY does not tell
// of the new one before it is written. A standby knows nothing of that. Unused is
// what no scan has used since the statistics of this server began. Duplicate is
// what has a twin: same table, access method, columns, operator classes with their
// parameters, collations, order, predicate and expressions; the one to keep is not
// counted. Redundant is a btree whose columns are the first of another's. An index
// that enforces something, or is the replica identity, is neither unused nor
// redundant, and a unique one is duplicate of a unique one only.
//
// Expressions and predicates are compared as the catalog has them, without the
// places in the statement's text they came from, because pg_get_expr opens the
// table. The index of a partitioned table counts once, with those of the
// partitions. Sizes are as of the last vacuum or analyze.
var IndexHealth = spec.Collector{
	Name: "index_health", About: "Indexes that are invalid, unused, duplicate or redundant, and tables that lack one.",
	Default: true, Scope: spec.PerDatabase,
	Needs: spec.Needs{Member: "pg_read_all_stats", Grant: "GRANT pg_monitor TO pgvigil"},
	Cost:  spec.Cost{Timeout: 15 * time.Second, Every: 15 * time.Minute, MaxSeries: 28, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH building AS MATERIALIZED (
SELECT b.relid AS tableid
  FROM pg_catalog.pg_stat_progress_create_index b
 WHERE b.datname = pg_catalog.current_database()
), entry AS MATERIALIZED (
SELECT c.oid AS indexid, c.relname, c.relnamespace, c.relkind, c.relispartition, c.relam, c.relpages, x.indrelid
     , x.indisvalid AS valid
     , NOT x.indisvalid AND NOT pg_catalog.pg_is_in_recovery() AND NOT EXISTS (SELECT FROM building b WHERE b.tableid = x.indrelid) AS invalid
     , x.indisunique, x.indisexclusion, x.indisreplident, x.indnatts, x.indnkeyatts
     , pg_catalog.concat_ws(' ', x.indimmediate
         , x.indnullsnotdistinct -- since 15
       ) AS uniqueness
     , c.relam = 403 AS btree
     , x.indexprs IS NULL AND x.indnatts = x.indnkeyatts AS simple
     , x.indisprimary::integer * 4 + x.indisunique::integer * 2 + x.indisreplident::integer AS strength
     , x.indkey::text || ' ' AS keys
     , x.indclass::text || ' ' AS classes
     , x.indcollation::text || ' ' AS collations
     , x.indoption::text || ' ' AS orders
     , CASE WHEN c.relam <> 403 THEN (SELECT pg_catalog.string_agg(concat_ws(' ', a.attnum, a.attoptions), ' ' ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attoptions IS NOT NULL) END AS parameters
     , pg_catalog.regexp_replace(x.indexprs::text, ' :location -?[0-9]+', '', 'g') AS expressions
     , coalesce(pg_catalog.regexp_replace(x.indpred::text, ' :location -?[0-9]+', '', 'g'), '') AS predicate
  FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   AND c.relpersistence <> 't'
), tree AS MATERIALIZED (
SELECT CASE WHEN e.relispartition THEN pg_catalog.pg_partition_root(e.indexid) ELSE e.indexid END AS indexid
     , sum(e.relpages) * pg_catalog.current_setting('block_size')::double precision AS bytes
     , sum(pg_catalog.pg_stat_get_numscans(e.indexid)) = 0 AND bool_or(e.relkind = 'i') AS unused
     , bool_or(e.invalid) AS invalid
  FROM entry e
 GROUP BY 1
), kind AS MATERIALIZED (
SELECT 'invalid' AS kind, t.indexid
  FROM tree t
 WHERE t.invalid
 UNION ALL
SELECT 'unused', e.indexid
  FROM entry e
  JOIN tree t ON t.indexid = e.indexid AND t.unused
 WHERE e.valid AND NOT (e.indisunique OR e.indisexclusion OR e.indisreplident)
 UNION ALL
SELECT 'duplicate', e.indexid
  FROM entry e
 WHERE e.valid AND NOT (e.indisexclusion OR e.indisreplident OR e.relispartition)
   AND EXISTS (SELECT FROM entry o
                WHERE o.indrelid = e.indrelid AND o.indexid <> e.indexid AND o.valid AND o.relam = e.relam
                  AND o.keys = e.keys AND o.indnkeyatts = e.indnkeyatts
                  AND o.classes = e.classes AND o.collations = e.collations AND o.orders = e.orders
                  AND o.parameters IS NOT DISTINCT FROM e.parameters
                  AND o.expressions IS NOT DISTINCT FROM e.expressions AND o.predicate = e.predicate
                  AND (NOT e.indisunique OR o.indisunique AND o.uniqueness = e.uniqueness)
                  AND (o.strength, e.indexid) > (e.strength, o.indexid))
 UNION ALL
SELECT 'redundant', e.indexid
  FROM entry e
 WHERE e.valid AND e.btree AND e.simple AND NOT (e.indisunique OR e.indisreplident OR e.relispartition)
   AND EXISTS (SELECT FROM entry o
                WHERE o.indrelid = e.indrelid AND o.valid AND o.btree
                  AND o.indnkeyatts >= e.indnkeyatts AND o.indnatts > e.indnatts AND o.predicate = e.predicate
                  AND pg_catalog.starts_with(o.keys, e.keys) AND pg_catalog.starts_with(o.classes, e.classes)
                  AND pg_catalog.starts_with(o.collations, e.collations) AND pg_catalog.starts_with(o.orders, e.orders))
), largest AS (
SELECT n.nspname AS schemaname, c.relname AS relname, e.relname AS indexrelname, k.kind, t.bytes
     , pg_catalog.row_number() OVER (PARTITION BY k.kind ORDER BY t.bytes DESC, k.indexid) AS place
  FROM kind k
  JOIN tree t ON t.indexid = k.indexid
  JOIN entry e ON e.indexid = k.indexid
  JOIN pg_catalog.pg_class c ON c.oid = e.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = e.relnamespace
), total AS (
SELECT v.kind, 0 AS place, pg_catalog.count(k.indexid) AS indexes, coalesce(sum(t.bytes), 0) AS bytes
  FROM (VALUES ('invalid'), ('unused'), ('duplicate'), ('redundant')) AS v (kind)
  LEFT JOIN (kind k JOIN tree t ON t.indexid = k.indexid) ON k.kind = v.kind
 WHERE v.kind <> 'invalid' OR NOT pg_catalog.pg_is_in_recovery()
 GROUP BY v.kind
)
SELECT coalesce(l.schemaname, '')::text              AS schemaname
     , coalesce(l.relname, '')::text                 AS relname
     , coalesce(l.indexrelname, '')::text            AS indexrelname
     , coalesce(t.kind, l.kind)::text                AS kind
     , t.indexes::double precision                   AS indexes
     , t.bytes::double precision                     AS bytes
     , l.bytes::double precision                     AS index_bytes
  FROM total t
  FULL JOIN (SELECT i.schemaname, i.relname, i.indexrelname, i.kind, i.bytes, i.place FROM largest i WHERE i.place <= 5) l
    ON l.kind = t.kind AND l.place = t.place`}},
	Labels: []string{"schemaname", "relname", "indexrelname", "kind"},
	Metrics: []spec.Metric{
		{Name: "indexes", Type: spec.Gauge, Help: "Indexes of the kind; one that is unused on this server may serve on another, and the same index may be of several kinds."},
		{Name: "bytes", Type: spec.Gauge, Help: "Size of the indexes of the kind as of their last vacuum or analyze."},
		{Name: "index_bytes", Type: spec.Gauge, Help: "Size of an index of the kind, one of the five largest, as of its last vacuum or analyze."},
	},
}

// IndexHealthKeys reports tables that lack an index, and since when the scans
// have been counted by which an index is unused.
//
// The check and the cascade of a foreign key look for the rows that refer to one,
// for which a btree or hash index serves whose first columns are those of the key,
// in any order. If it is partial its predicate may be no more than that one of
// them is not null. Partitions are not counted beside their table.
var IndexHealthKeys = spec.Collector{
	Name: "index_health_keys", Of: "index_health", About: "Foreign keys without an index, and tables without a primary key.",
	Scope: spec.PerDatabase,
	Cost:  spec.Cost{Timeout: 15 * time.Second, Every: 15 * time.Minute, MaxSeries: 4, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH keyless AS (
SELECT c.relreplident
     , EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisreplident) AS identified
     , EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS keyed
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
)
SELECT (SELECT pg_catalog.count(*)
          FROM pg_catalog.pg_constraint f
         WHERE f.contype = 'f' AND f.conparentid = 0
           AND NOT EXISTS (SELECT
                             FROM pg_catalog.pg_index x
                             JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
                            WHERE x.indrelid = f.conrelid AND x.indisvalid
                              AND i.relam IN (403, 405)
                              AND x.indnkeyatts >= pg_catalog.cardinality(f.conkey)
                              AND f.conkey <@ (x.indkey::smallint[])[0:pg_catalog.cardinality(f.conkey) - 1]
                              AND (x.indpred IS NULL
                                   OR pg_catalog.substring(x.indpred::text, '^\{NULLTEST :arg \{VAR [^{}]* :varattno ([0-9]+) [^{}]*\} :nulltesttype 1 [^{}]*\}$')::smallint = ANY (f.conkey))))::double precision
                                                               AS foreign_keys_without_index
     , pg_catalog.count(*) FILTER (WHERE NOT k.keyed)::double precision AS tables_without_primary_key
     , pg_catalog.count(*) FILTER (WHERE k.relreplident = 'n' OR k.relreplident = 'd' AND NOT k.keyed
                                      OR k.relreplident = 'i' AND NOT k.identified)::double precision AS tables_without_replica_identity
     , (SELECT extract(epoch FROM pg_catalog.pg_stat_get_db_stat_reset_time(d.oid))::double precision
          FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) AS stats_reset_timestamp_seconds
  FROM keyless k`}},
	Metrics: []spec.Metric{
		{Name: "foreign_keys_without_index", Type: spec.Gauge, Help: "Foreign keys without an index on the referring columns, for which the referring table is read at each delete and update of a referred key."},
		{Name: "tables_without_primary_key", Type: spec.Gauge, Help: "Tables without a primary key."},
		{Name: "tables_without_replica_identity", Type: spec.Gauge, Help: "Tables without a replica identity, so that a publication of their updates and deletes makes these fail."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time since when index scans have been counted, absent if that is since the database was made."},
	},
}
