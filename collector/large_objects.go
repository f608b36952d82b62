package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// LargeObjects reports how much a database keeps in large objects. Who reads
// their contents must own them or be granted each, so what is looked at is the
// size of pg_largeobject and the number of rows that the last vacuum or analyze
// left in pg_largeobject_metadata, brought up to its present size as the planner
// does it.
//
// The size functions open the two catalogues, which only VACUUM FULL and the like
// lock against it: then there are no values.
var LargeObjects = spec.Collector{
	Name: "large_objects", About: "Number and size of the large objects of each database.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: 15 * time.Minute, MaxSeries: 2, Locks: "AccessShareLock on pg_largeobject, its metadata and their indexes"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN s.pages = 0 THEN 0
            WHEN m.relpages > 0 AND m.reltuples >= 0 THEN m.reltuples / m.relpages * s.pages
       END::double precision      AS objects
     , s.bytes::double precision  AS size_bytes
  FROM pg_catalog.pg_class m
  LEFT JOIN LATERAL (
       SELECT pg_catalog.pg_relation_size(m.oid) / pg_catalog.current_setting('block_size')::double precision AS pages
            , pg_catalog.pg_total_relation_size('pg_catalog.pg_largeobject') AS bytes
        WHERE NOT EXISTS (
              SELECT FROM pg_catalog.pg_locks l
                JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database()
               WHERE l.mode = 'AccessExclusiveLock'
                 AND l.relation IN ('pg_catalog.pg_largeobject'::pg_catalog.regclass, 'pg_catalog.pg_largeobject_loid_pn_index'::pg_catalog.regclass,
                     m.oid, 'pg_catalog.pg_largeobject_metadata_oid_index'::pg_catalog.regclass))) s ON true
 WHERE m.oid = 'pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass`}},
	Metrics: []spec.Metric{
		{Name: "objects", Type: spec.Gauge, Help: "Large objects, as PostgreSQL estimates them; absent until a vacuum or analyze has counted."},
		{Name: "size_bytes", Type: spec.Gauge, Help: "Disk space that the contents of large objects take with their index."},
	},
}
