package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Sequences reports how much of their range sequences have used: the twenty that
// are furthest, and for the row of the whole database, whose labels are empty,
// how many there are of those that were read and of those that were not.
//
// A sequence ends where its own range does or that of the column that owns it, as
// a bigint sequence of an integer column. Where none does, it is the narrowest of
// the columns it is the default of, cast by int4(bigint) or int2(bigint), which
// are 480 and 714, from nextval, 1574, and no more than that. One that cycles never
// runs out, unless its column ends first.
//
// pg_sequence_last_value shows nothing without a privilege on the sequence, and
// until 18 raises an error. It locks the sequence until the statement ends, so
// at most a thousand are read, or a tenth of the lock table: those that should be
// furthest by the rows of their tables. It waits behind whoever has asked for a
// lock that conflicts. In 15 to 17 it raises an error on a standby for an unlogged
// sequence, which has no value there. Temporary sequences are of their sessions.
var Sequences = spec.Collector{
	Name: "sequences", About: "Sequences that run out.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 5 * time.Second, Every: 5 * time.Minute, MaxSeries: 25, Locks: "RowExclusiveLock on sequences nobody has locked against it"},
	Queries: []spec.Query{{SQL: `
WITH locked AS MATERIALIZED (
SELECT DISTINCT l.relation AS seqid
  FROM pg_catalog.pg_locks l
 WHERE l.locktype = 'relation'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
   AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
), owned AS MATERIALIZED (
SELECT s.seqrelid AS seqid, d.refobjid AS relid, d.refobjsubid AS attnum
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.seqrelid
 WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
), preset AS MATERIALIZED (
SELECT d.refobjid AS seqid, a.adrelid AS relid, a.adnum AS attnum, a.adbin::text AS expression
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid
 WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'n'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o
                    WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = d.refobjid AND o.deptype IN ('a', 'i'))
), fed AS (
SELECT o.seqid, o.relid, o.attnum
  FROM owned o
 UNION ALL
SELECT p.seqid, p.relid, p.attnum
  FROM preset p
 WHERE p.expression ~ '^\{FUNCEXPR :funcid (480|714) [^{]*\(\{FUNCEXPR :funcid 1574 '
), feeds AS (
SELECT f.seqid
     , min(CASE coalesce(nullif(t.typbasetype, 0), t.oid) WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647 END)::double precision AS most
     , max(greatest(c.reltuples, pg_catalog.pg_stat_get_tuples_inserted(c.oid)))::double precision AS rows
  FROM fed f
  JOIN pg_catalog.pg_class c ON c.oid = f.relid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = f.relid AND a.attnum = f.attnum
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 GROUP BY f.seqid
), sequence AS (
SELECT c.oid AS seqid, c.relname, c.relnamespace, f.rows
     , abs(s.seqincrement::double precision) AS step
     , sign(s.seqincrement::double precision) AS direction
     , s.seqstart::double precision AS start
     , CASE WHEN s.seqincrement > 0 THEN s.seqmin::double precision ELSE - s.seqmax::double precision END AS first
     , CASE WHEN s.seqincrement > 0 THEN least(s.seqmax::double precision, f.most)
         ELSE - greatest(s.seqmin::double precision, - f.most - 1) END AS last
     , s.seqcycle AND CASE WHEN s.seqincrement > 0 THEN s.seqmax <= coalesce(f.most, s.seqmax)
         ELSE s.seqmin >= coalesce(- f.most - 1, s.seqmin) END AS cycling
     , pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE') AS readable
     , c.oid IN (SELECT l.seqid FROM locked l) AS locked
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  LEFT JOIN feeds f ON f.seqid = c.oid
 WHERE c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_catalog.pg_is_in_recovery()
), chosen AS MATERIALIZED (
SELECT s.seqid, s.relname, s.relnamespace, s.step, s.direction, s.start, s.first, s.last
  FROM sequence s
 WHERE s.readable AND NOT s.locked AND NOT s.cycling
 ORDER BY coalesce(s.rows, 1000000) * s.step / greatest(s.last - s.first, 1) DESC, s.seqid
 LIMIT (SELECT least(1000, pg_catalog.current_setting('max_locks_per_transaction')::integer * pg_catalog.current_setting('max_connections')::integer / 10))
), used AS MATERIALIZED (
SELECT c.relname, c.relnamespace
     , 1 - greatest(coalesce(floor((c.last - v.value * c.direction) / c.step), floor((c.last - c.start * c.direction) / c.step) + 1), 0)
         / greatest(floor((c.last - c.first) / c.step) + 1, 1) AS ratio
  FROM chosen c
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_sequence_last_value(c.seqid)::double precision AS value OFFSET 0) v
), worst AS (
SELECT n.nspname AS schemaname, u.relname AS sequencename, u.ratio
     , pg_catalog.row_number() OVER (ORDER BY u.ratio DESC, n.nspname, u.relname)::integer AS place
  FROM used u
  JOIN pg_catalog.pg_namespace n ON n.oid = u.relnamespace
 ORDER BY place
 LIMIT 20
), total AS (
SELECT 0 AS place
     , (SELECT pg_catalog.count(*) FROM used) AS read
     , pg_catalog.count(*) FILTER (WHERE s.cycling) AS cycling
     , pg_catalog.count(*) FILTER (WHERE NOT s.cycling AND NOT s.readable) AS hidden
     , pg_catalog.count(*) FILTER (WHERE NOT s.cycling AND s.readable AND s.locked) AS locked
     , pg_catalog.count(*) FILTER (WHERE NOT s.cycling AND s.readable AND NOT s.locked) AS open
  FROM sequence s
)
SELECT coalesce(w.schemaname, '')::text              AS schemaname
     , coalesce(w.sequencename, '')::text            AS sequencename
     , w.ratio::double precision                     AS used_ratio
     , t.read::double precision                      AS read
     , t.cycling::double precision                   AS cycling
     , t.hidden::double precision                    AS hidden
     , t.locked::double precision                    AS locked
     , (t.open - t.read)::double precision           AS unread
  FROM total t
  FULL JOIN worst w ON w.place = t.place`}},
	Labels: []string{"schemaname", "sequencename"},
	Metrics: []spec.Metric{
		{Name: "used_ratio", Type: spec.Gauge, Help: "Part of the sequence's range, or of the column's that it feeds, that lies behind its last value; at 1 there is no next value."},
		{Name: "read", Type: spec.Gauge, Help: "Sequences whose last value was read."},
		{Name: "cycling", Type: spec.Gauge, Help: "Sequences that cycle and so never run out; they are not read."},
		{Name: "hidden", Type: spec.Gauge, Help: "Sequences whose last value the role may not read, for which GRANT pg_read_all_data TO pgvigil is the cure since PostgreSQL 14."},
		{Name: "locked", Type: spec.Gauge, Help: "Sequences not read because of somebody's lock."},
		{Name: "unread", Type: spec.Gauge, Help: "Sequences not read because there are too many, those of tables with the fewest rows for their range."},
	},
}
