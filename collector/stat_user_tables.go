package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatUserTables reports how tables are read, changed, vacuumed and analyzed.
// Partitions count for the table at the root of their tree.
//
// It asks the functions behind pg_stat_user_tables, in one pass over pg_class and
// one over pg_index. None of them opens a table, so no lock, not even ACCESS
// EXCLUSIVE, makes it wait or leave a table out. Temporary tables are left out.
// Counters of what few tables have done, such as vacuums by hand, are absent until
// a table does it.
var StatUserTables = spec.Collector{
	Name: "stat_user_tables", About: "Scans, changes, dead rows, vacuum and analyze of tables.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 15 * time.Second, Every: time.Minute, MaxSeries: 25000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                               AS schemaname
     , coalesce(r.relname, c.relname)::text                                          AS relname
     , c.oid::text                                                                   AS relid
     , c.relpages * pg_catalog.current_setting('block_size')::double precision       AS relpages_bytes
     , (pg_catalog.pg_stat_get_tuples_returned(c.oid) + coalesce(i.fetched, 0)
        + pg_catalog.pg_stat_get_tuples_inserted(c.oid) + pg_catalog.pg_stat_get_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_tuples_deleted(c.oid))::double precision            AS activity_total
     , CASE WHEN r.oid IS NOT NULL THEN 1 END::double precision                      AS partitions
     , pg_catalog.pg_stat_get_numscans(c.oid)::double precision                      AS seq_scan_total
     , pg_catalog.pg_stat_get_tuples_returned(c.oid)::double precision               AS seq_tup_read_total
     , i.scans::double precision                                                     AS idx_scan_total
     , (i.fetched + pg_catalog.pg_stat_get_tuples_fetched(c.oid))::double precision  AS idx_tup_fetch_total
     , pg_catalog.pg_stat_get_tuples_inserted(c.oid)::double precision               AS n_tup_ins_total
     , pg_catalog.pg_stat_get_tuples_updated(c.oid)::double precision                AS n_tup_upd_total
     , pg_catalog.pg_stat_get_tuples_deleted(c.oid)::double precision                AS n_tup_del_total
     , nullif(pg_catalog.pg_stat_get_tuples_hot_updated(c.oid), 0)::double precision  AS n_tup_hot_upd_total
     , nullif(pg_catalog.pg_stat_get_tuples_newpage_updated(c.oid), 0)::double precision  AS n_tup_newpage_upd_total   -- since 16
     , pg_catalog.pg_stat_get_live_tuples(c.oid)::double precision                   AS n_live_tup
     , pg_catalog.pg_stat_get_dead_tuples(c.oid)::double precision                   AS n_dead_tup
     , pg_catalog.pg_stat_get_mod_since_analyze(c.oid)::double precision             AS n_mod_since_analyze
     , pg_catalog.pg_stat_get_ins_since_vacuum(c.oid)::double precision              AS n_ins_since_vacuum
     , nullif(pg_catalog.pg_stat_get_vacuum_count(c.oid), 0)::double precision       AS vacuum_count_total
     , nullif(pg_catalog.pg_stat_get_autovacuum_count(c.oid), 0)::double precision   AS autovacuum_count_total
     , nullif(pg_catalog.pg_stat_get_analyze_count(c.oid), 0)::double precision      AS analyze_count_total
     , nullif(pg_catalog.pg_stat_get_autoanalyze_count(c.oid), 0)::double precision  AS autoanalyze_count_total
     , nullif(pg_catalog.pg_stat_get_total_vacuum_time(c.oid), 0) / 1000             AS vacuum_seconds_total      -- since 18
     , nullif(pg_catalog.pg_stat_get_total_autovacuum_time(c.oid), 0) / 1000         AS autovacuum_seconds_total  -- since 18
     , nullif(pg_catalog.pg_stat_get_total_analyze_time(c.oid), 0) / 1000            AS analyze_seconds_total     -- since 18
     , nullif(pg_catalog.pg_stat_get_total_autoanalyze_time(c.oid), 0) / 1000        AS autoanalyze_seconds_total -- since 18
     , extract(epoch FROM pg_catalog.pg_stat_get_last_vacuum_time(c.oid))::double precision      AS last_vacuum_timestamp_seconds
     , extract(epoch FROM pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))::double precision  AS last_autovacuum_timestamp_seconds
     , extract(epoch FROM pg_catalog.pg_stat_get_last_analyze_time(c.oid))::double precision     AS last_analyze_timestamp_seconds
     , extract(epoch FROM pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))::double precision AS last_autoanalyze_timestamp_seconds
     , extract(epoch FROM pg_catalog.pg_stat_get_lastscan(c.oid))::double precision  AS last_seq_scan_timestamp_seconds -- since 16
     , extract(epoch FROM i.last_scan)::double precision                             AS last_idx_scan_timestamp_seconds -- since 16
  FROM pg_catalog.pg_class c
  LEFT JOIN (SELECT x.indrelid
                  , sum(pg_catalog.pg_stat_get_numscans(x.indexrelid))       AS scans
                  , sum(pg_catalog.pg_stat_get_tuples_fetched(x.indexrelid)) AS fetched
                  , max(pg_catalog.pg_stat_get_lastscan(x.indexrelid))       AS last_scan -- since 16
               FROM pg_catalog.pg_index x
              WHERE x.indrelid >= 16384
              GROUP BY x.indrelid) i ON i.indrelid = c.oid
  LEFT JOIN pg_catalog.pg_class r ON r.relkind = 'p'
   AND r.oid = CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) END
  JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(r.relnamespace, c.relnamespace)
 WHERE c.relkind IN ('r', 'm')
   AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')`}},
	Labels: []string{"schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "partitions", Type: spec.Gauge, Help: "Partitions added up in the table, absent for a table without."},
		{Name: "seq_scan_total", Type: spec.Counter, Help: "Sequential scans of the table."},
		{Name: "seq_tup_read_total", Type: spec.Counter, Help: "Live rows read by sequential scans."},
		{Name: "idx_scan_total", Type: spec.Counter, Help: "Scans of the table's indexes."},
		{Name: "idx_tup_fetch_total", Type: spec.Counter, Help: "Live rows fetched by index scans."},
		{Name: "n_tup_ins_total", Type: spec.Counter, Help: "Rows inserted."},
		{Name: "n_tup_upd_total", Type: spec.Counter, Help: "Rows updated."},
		{Name: "n_tup_del_total", Type: spec.Counter, Help: "Rows deleted."},
		{Name: "n_tup_hot_upd_total", Type: spec.Counter, Help: "Rows updated without a new index entry."},
		{Name: "n_tup_newpage_upd_total", Type: spec.Counter, Help: "Rows updated whose new version went to another page."},
		{Name: "n_live_tup", Type: spec.Gauge, Help: "Live rows, as PostgreSQL estimates them."},
		{Name: "n_dead_tup", Type: spec.Gauge, Help: "Dead rows, as PostgreSQL estimates them."},
		{Name: "n_mod_since_analyze", Type: spec.Gauge, Help: "Rows changed since the last analyze."},
		{Name: "n_ins_since_vacuum", Type: spec.Gauge, Help: "Rows inserted since the last vacuum."},
		{Name: "vacuum_count_total", Type: spec.Counter, Help: "Vacuums by hand, not counting VACUUM FULL."},
		{Name: "autovacuum_count_total", Type: spec.Counter, Help: "Vacuums by autovacuum."},
		{Name: "analyze_count_total", Type: spec.Counter, Help: "Analyzes by hand."},
		{Name: "autoanalyze_count_total", Type: spec.Counter, Help: "Analyzes by autovacuum."},
		{Name: "vacuum_seconds_total", Type: spec.Counter, Help: "Time spent in vacuums by hand."},
		{Name: "autovacuum_seconds_total", Type: spec.Counter, Help: "Time spent in vacuums by autovacuum."},
		{Name: "analyze_seconds_total", Type: spec.Counter, Help: "Time spent in analyzes by hand."},
		{Name: "autoanalyze_seconds_total", Type: spec.Counter, Help: "Time spent in analyzes by autovacuum."},
		{Name: "last_vacuum_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last vacuum by hand, absent if there was none."},
		{Name: "last_autovacuum_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last vacuum by autovacuum, absent if there was none."},
		{Name: "last_analyze_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last analyze by hand, absent if there was none."},
		{Name: "last_autoanalyze_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last analyze by autovacuum, absent if there was none."},
		{Name: "last_seq_scan_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last sequential scan, absent if there was none."},
		{Name: "last_idx_scan_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last scan of one of the table's indexes, absent if there was none."},
	},
	Fold: &spec.Fold{
		Key: "relid", Rank: []string{"relpages_bytes", "activity_total"},
		Limit: 500,
	},
}
