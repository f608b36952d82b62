package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// TableXid names the tables that hold back the database: of each, the 10 nearest
// to the age at which autovacuum is forced on them, by transaction or by multixact
// id. System catalogs, materialized views and partitions are each vacuumed on
// their own; a TOAST table counts for its table, by the older of both. Among
// tables as old as each other the larger comes first, since it takes longer.
//
// It reads pg_class only, so no lock makes it wait.
var TableXid = spec.Collector{
	Name: "table_xid", About: "Tables with the oldest unfrozen transaction and multixact ids.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 15 * time.Second, Every: 15 * time.Minute, MaxSeries: 20, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                     AS schemaname
     , c.relname::text                                                     AS relname
     , a.relfrozenxid_age::double precision                                AS relfrozenxid_age
     , a.relminmxid_age::double precision                                  AS relminmxid_age
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
 CROSS JOIN LATERAL (
       SELECT greatest(pg_catalog.age(nullif(c.relfrozenxid, '0')), pg_catalog.age(nullif(t.relfrozenxid, '0')))
            , greatest(pg_catalog.mxid_age(nullif(c.relminmxid, '0')), pg_catalog.mxid_age(nullif(t.relminmxid, '0')))) a (relfrozenxid_age, relminmxid_age)
 WHERE c.relkind IN ('r', 'm')
   AND c.relpersistence <> 't'
   AND a.relfrozenxid_age IS NOT NULL
 ORDER BY greatest(a.relfrozenxid_age / pg_catalog.current_setting('autovacuum_freeze_max_age')::double precision
                 , a.relminmxid_age / pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::double precision) DESC
        , c.relpages DESC, c.oid
 LIMIT 10`}},
	Labels: []string{"schemaname", "relname"},
	Metrics: []spec.Metric{
		{Name: "relfrozenxid_age", Type: spec.Gauge, Help: "Transaction ids assigned since the oldest that is not frozen in the table or its TOAST table."},
		{Name: "relminmxid_age", Type: spec.Gauge, Help: "Multixact ids assigned since the oldest that may be in the table or its TOAST table."},
	},
}

// TableXidTemporary reports the temporary tables of a database: they hold it back
// like any other, and only the session that made one can vacuum it. One whose
// session is gone waits for autovacuum to drop it. A temporary schema is named
// after the number of its session, by which sessions can be told since 16.
var TableXidTemporary = spec.Collector{
	Name: "table_xid_temporary", Of: "table_xid",
	About: "Temporary tables of all sessions, and the oldest unfrozen ids in them.", Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 15 * time.Second, Every: 15 * time.Minute, MaxSeries: 4, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT (count(*) FILTER (WHERE c.relkind = 'r'))::double precision         AS temporary_tables
     , (count(*) FILTER (WHERE c.relkind = 'r' AND b.id IS NULL))::double precision AS orphaned_temporary_tables -- since 16
     , max(pg_catalog.age(c.relfrozenxid))::double precision               AS temporary_relfrozenxid_age
     , max(pg_catalog.mxid_age(c.relminmxid))::double precision            AS temporary_relminmxid_age
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN (pg_catalog.pg_stat_get_backend_idset() b (id) JOIN pg_catalog.pg_database d ON d.oid = pg_catalog.pg_stat_get_backend_dbid(b.id)) ON n.nspname = 'pg_temp_' || b.id AND d.datname = pg_catalog.current_database() -- since 16
 WHERE c.relkind IN ('r', 't')
   AND c.relpersistence = 't'`}},
	Metrics: []spec.Metric{
		{Name: "temporary_tables", Type: spec.Gauge, Help: "Temporary tables of all sessions."},
		{Name: "orphaned_temporary_tables", Type: spec.Gauge, Help: "Temporary tables whose session is gone."},
		{Name: "temporary_relfrozenxid_age", Type: spec.Gauge, Help: "Transaction ids assigned since the oldest that is not frozen in a temporary table, absent if there is none."},
		{Name: "temporary_relminmxid_age", Type: spec.Gauge, Help: "Multixact ids assigned since the oldest that may be in a temporary table, absent if there is none."},
	},
}
