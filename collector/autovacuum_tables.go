package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// AutovacuumTables reports which tables autovacuum would take, by the arithmetic
// of relation_needs_vacanalyze, whether it is on or not. The row of the whole
// database has empty labels; the others are the ten tables furthest past one of
// their triggers. A ratio is what there is over the least that is past the
// trigger, so 1 is due.
//
// A table and its TOAST table are one. A TOAST table without options of its own
// has those of its table. The option of a table may lower the age at which
// vacuum is forced and never raises it. That many multixact members lower it
// further cannot be seen. Since 14 reltuples is -1 where the number of rows is not
// known, which counts as none. Since 18 only the part of a table that is not
// frozen counts for the trigger of inserted rows. Partitioned tables are never
// taken, their partitions are. Temporary tables are left to their sessions, and
// shared catalogs are left out, which are in all databases at once.
var AutovacuumTables = spec.Collector{
	Name: "autovacuum_tables", Of: "autovacuum",
	About: "Tables past autovacuum's triggers, those furthest past them, and tables it is told to leave alone.",
	Scope: spec.PerDatabase,
	Needs: spec.Needs{Role: spec.Primary},
	Cost:  spec.Cost{Timeout: 15 * time.Second, Every: 5 * time.Minute, MaxSeries: 58, Locks: "none"},
	Queries: []spec.Query{{SQL: `
WITH setting AS MATERIALIZED (
SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::double precision           AS vacuum_threshold
     , pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::double precision        AS vacuum_scale_factor
     , pg_catalog.current_setting('autovacuum_vacuum_max_threshold')::double precision       AS vacuum_max_threshold -- since 18
     , pg_catalog.current_setting('autovacuum_vacuum_insert_threshold')::double precision    AS insert_threshold
     , pg_catalog.current_setting('autovacuum_vacuum_insert_scale_factor')::double precision AS insert_scale_factor
     , pg_catalog.current_setting('autovacuum_analyze_threshold')::double precision          AS analyze_threshold
     , pg_catalog.current_setting('autovacuum_analyze_scale_factor')::double precision       AS analyze_scale_factor
     , pg_catalog.current_setting('autovacuum_freeze_max_age')::double precision             AS freeze_max_age
     , pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::double precision   AS multixact_freeze_max_age
), option AS (
SELECT c.oid AS relid
     , bool_and(o.option_value::boolean) FILTER (WHERE o.option_name = 'autovacuum_enabled') AS enabled
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_vacuum_threshold') AS vacuum_threshold
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_vacuum_scale_factor') AS vacuum_scale_factor
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_vacuum_max_threshold') AS vacuum_max_threshold -- since 18
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_vacuum_insert_threshold') AS insert_threshold
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_vacuum_insert_scale_factor') AS insert_scale_factor
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_analyze_threshold') AS analyze_threshold
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_analyze_scale_factor') AS analyze_scale_factor
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_freeze_max_age') AS freeze_max_age
     , max(o.option_value::double precision) FILTER (WHERE o.option_name = 'autovacuum_multixact_freeze_max_age') AS multixact_freeze_max_age
  FROM pg_catalog.pg_class c
 CROSS JOIN pg_catalog.pg_options_to_table(c.reloptions) o
 WHERE c.relkind IN ('r', 'm', 't') AND c.reloptions IS NOT NULL
 GROUP BY c.oid
), relation AS (
SELECT coalesce(m.oid, c.oid) AS tableid
     , c.relpages * pg_catalog.current_setting('block_size')::double precision AS bytes
     , coalesce(o.enabled, true) AS enabled
     , pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead
     , pg_catalog.pg_stat_get_ins_since_vacuum(c.oid) AS inserted
     , CASE WHEN c.relkind <> 't' AND c.oid <> 'pg_catalog.pg_statistic'::regclass
         THEN pg_catalog.pg_stat_get_mod_since_analyze(c.oid) END AS modified
     , nullif(pg_catalog.age(c.relfrozenxid), 2147483647) AS xid_age
     , nullif(pg_catalog.mxid_age(c.relminmxid), 2147483647) AS multixact_age
     , least(coalesce(o.vacuum_threshold, s.vacuum_threshold)
           + coalesce(o.vacuum_scale_factor, s.vacuum_scale_factor) * greatest(c.reltuples, 0)
           , nullif(coalesce(o.vacuum_max_threshold, s.vacuum_max_threshold), -1) -- since 18
       ) AS vacuum_trigger
     , nullif(coalesce(o.insert_threshold, s.insert_threshold), -1)
       + coalesce(o.insert_scale_factor, s.insert_scale_factor) * greatest(c.reltuples, 0)
       * CASE WHEN c.relpages > 0 THEN 1 - least(c.relallfrozen, c.relpages)::double precision / c.relpages ELSE 1 END -- since 18
       AS insert_trigger
     , coalesce(o.analyze_threshold, s.analyze_threshold)
       + coalesce(o.analyze_scale_factor, s.analyze_scale_factor) * greatest(c.reltuples, 0) AS analyze_trigger
     , least(o.freeze_max_age, s.freeze_max_age) AS freeze_trigger
     , least(o.multixact_freeze_max_age, s.multixact_freeze_max_age) AS multixact_trigger
  FROM pg_catalog.pg_class c
 CROSS JOIN setting s
  LEFT JOIN pg_catalog.pg_class m ON m.reltoastrelid = c.oid AND c.relkind = 't'
  LEFT JOIN option o ON o.relid = CASE WHEN c.relkind = 't' AND c.reloptions IS NULL THEN m.oid ELSE c.oid END
 WHERE c.relkind IN ('r', 'm', 't')
   AND c.relpersistence <> 't'
   AND NOT c.relisshared
), ratio AS (
SELECT tableid
     , sum(bytes) AS bytes
     , bool_and(enabled) AS enabled
     , max(dead / (floor(vacuum_trigger) + 1)) FILTER (WHERE enabled) AS vacuum
     , max(inserted / (floor(insert_trigger) + 1)) FILTER (WHERE enabled) AS inserts
     , max(modified / (floor(analyze_trigger) + 1)) FILTER (WHERE enabled) AS analysis
     , max(xid_age / (freeze_trigger + 1)) AS xids
     , max(multixact_age / (multixact_trigger + 1)) AS multixacts
     , max(greatest(dead / (floor(vacuum_trigger) + 1), inserted / (floor(insert_trigger) + 1)
                  , modified / (floor(analyze_trigger) + 1))) FILTER (WHERE NOT enabled) AS disabled
  FROM relation
 GROUP BY tableid
), worst AS (
SELECT n.nspname AS schemaname
     , c.relname AS relname
     , r.vacuum, r.inserts, r.analysis, r.xids, r.multixacts
     , pg_catalog.row_number() OVER (ORDER BY greatest(r.vacuum, r.inserts, r.analysis, r.xids, r.multixacts) DESC, c.oid)::integer AS place
  FROM ratio r
  JOIN pg_catalog.pg_class c ON c.oid = r.tableid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE greatest(r.vacuum, r.inserts, r.analysis, r.xids, r.multixacts) >= 1
 ORDER BY place
 LIMIT 10
), total AS (
SELECT 0 AS place
     , pg_catalog.count(*) FILTER (WHERE vacuum >= 1) AS vacuum_due
     , pg_catalog.count(*) FILTER (WHERE inserts >= 1) AS insert_due
     , pg_catalog.count(*) FILTER (WHERE analysis >= 1) AS analyze_due
     , pg_catalog.count(*) FILTER (WHERE xids >= 1) AS freeze_due
     , pg_catalog.count(*) FILTER (WHERE multixacts >= 1) AS multixact_due
     , coalesce(sum(bytes) FILTER (WHERE greatest(vacuum, inserts, xids, multixacts) >= 1), 0) AS due_bytes
     , pg_catalog.count(*) FILTER (WHERE NOT enabled) AS disabled
     , pg_catalog.count(*) FILTER (WHERE disabled >= 1) AS disabled_due
  FROM ratio
)
SELECT coalesce(w.schemaname, '')::text              AS schemaname
     , coalesce(w.relname, '')::text                 AS relname
     , t.vacuum_due::double precision                AS vacuum_due_tables
     , t.insert_due::double precision                AS insert_due_tables
     , t.analyze_due::double precision               AS analyze_due_tables
     , t.freeze_due::double precision                AS freeze_due_tables
     , t.multixact_due::double precision             AS multixact_due_tables
     , t.due_bytes::double precision                 AS vacuum_due_bytes
     , t.disabled::double precision                  AS disabled_tables
     , t.disabled_due::double precision              AS disabled_due_tables
     , w.vacuum::double precision                    AS table_vacuum_ratio
     , w.inserts::double precision                   AS table_insert_ratio
     , w.analysis::double precision                  AS table_analyze_ratio
     , w.xids::double precision                      AS table_freeze_ratio
     , w.multixacts::double precision                AS table_multixact_ratio
  FROM total t
  FULL JOIN worst w ON w.place = t.place`}},
	Labels: []string{"schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "vacuum_due_tables", Type: spec.Gauge, Help: "Tables with more dead rows than autovacuum waits for."},
		{Name: "insert_due_tables", Type: spec.Gauge, Help: "Tables with more rows inserted since the last vacuum than autovacuum waits for."},
		{Name: "analyze_due_tables", Type: spec.Gauge, Help: "Tables with more rows changed since the last analyze than autovacuum waits for."},
		{Name: "freeze_due_tables", Type: spec.Gauge, Help: "Tables that autovacuum is forced to take for the age of their transaction ids, on or off."},
		{Name: "multixact_due_tables", Type: spec.Gauge, Help: "Tables that autovacuum is forced to take for the age of their multixact ids, on or off."},
		{Name: "vacuum_due_bytes", Type: spec.Gauge, Help: "Size, as of their last vacuum or analyze and without indexes, of the tables due for vacuum for whichever reason."},
		{Name: "disabled_tables", Type: spec.Gauge, Help: "Tables that autovacuum is told to leave alone, themselves or their TOAST table (autovacuum_enabled)."},
		{Name: "disabled_due_tables", Type: spec.Gauge, Help: "Tables that autovacuum would take if it were not told to leave them alone."},
		{Name: "table_vacuum_ratio", Type: spec.Gauge, Help: "Dead rows of a table that is due, over those that make it due."},
		{Name: "table_insert_ratio", Type: spec.Gauge, Help: "Rows inserted since the last vacuum into a table that is due, over those that make it due."},
		{Name: "table_analyze_ratio", Type: spec.Gauge, Help: "Rows changed since the last analyze in a table that is due, over those that make it due."},
		{Name: "table_freeze_ratio", Type: spec.Gauge, Help: "Age of the oldest transaction id of a table that is due, over the age that forces a vacuum."},
		{Name: "table_multixact_ratio", Type: spec.Gauge, Help: "Age of the oldest multixact id of a table that is due, over the age that forces a vacuum."},
	},
}
