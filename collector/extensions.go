package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Extensions reports which extensions are installed, and their versions.
var Extensions = spec.Collector{
	Name: "extensions", About: "Extensions installed in each database, and whether an update is available.",
	Default: true, Scope: spec.PerDatabase,
	Cost: spec.Cost{Timeout: 2 * time.Second, Every: time.Hour, MaxSeries: 500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT e.extname::text        AS extname
     , e.extversion           AS extversion
     , 1::double precision    AS info
  FROM pg_catalog.pg_extension AS e`}},
	Labels: []string{"extname", "extversion"},
	Metrics: []spec.Metric{
		{Name: "info", Type: spec.Gauge, Help: "Always 1; extversion is the version installed in the database."},
	},
}

// ExtensionsUpdate answers which extensions wait for ALTER EXTENSION UPDATE, as they
// do after pg_upgrade and after a new package was installed. The server reads
// every control file of its extension directory for that, and one that is broken
// fails the whole, so it is a collector apart.
//
// The default version is no update where it is older, which versions made of
// numbers tell: 1.10 is newer than 1.9. An extension whose files are gone from the
// server has no sample.
var ExtensionsUpdate = spec.Collector{
	Name: "extensions_update", Of: "extensions", About: "Extensions whose files on the server are of another version than what is installed.",
	Scope: spec.PerDatabase,
	Cost:  spec.Cost{Timeout: 5 * time.Second, Every: time.Hour, MaxSeries: 500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT e.extname::text        AS extname
     , a.default_version      AS default_version
     , CASE WHEN e.extversion ~ '^[0-9]+([.][0-9]+)*$' AND a.default_version ~ '^[0-9]+([.][0-9]+)*$'
            THEN pg_catalog.string_to_array(e.extversion, '.')::numeric[] < pg_catalog.string_to_array(a.default_version, '.')::numeric[]
            ELSE e.extversion <> a.default_version END::int::double precision
                              AS update_available
  FROM pg_catalog.pg_extension AS e
  JOIN pg_catalog.pg_available_extensions() AS a ON a.name = e.extname
 WHERE a.default_version IS NOT NULL`}},
	Labels: []string{"extname", "default_version"},
	Metrics: []spec.Metric{
		{Name: "update_available", Type: spec.Gauge, Help: "Whether the files on the server are newer than the extension in the database."},
	},
}
