package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// PgbouncerDatabases reports the limits of each database and what is used of them.
// Where a limit is 0 there is none.
var PgbouncerDatabases = spec.Collector{
	Name: "pgbouncer_databases", Of: "pgbouncer", About: "Limits and state of each database.", Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 10_000},
	Queries: []spec.Query{{SQL: "SHOW DATABASES"}},
	Answer:  &spec.Answer{Unused: []string{"host", "port", "force_user", "pool_mode", "load_balance_hosts", "server_lifetime"}},
	Labels:  []string{"name", "database"},
	Metrics: []spec.Metric{
		{Name: "pool_size", Type: spec.Gauge, Help: "Most server connections of each of the database's pools."},
		{Name: "min_pool_size", Type: spec.Gauge, Help: "Server connections that each pool keeps at least."},
		{Name: "reserve_pool", Type: spec.Gauge, From: "reserve_pool_size | reserve_pool", Help: "Server connections that each pool may have more when clients have waited for long."},
		{Name: "max_connections", Type: spec.Gauge, Help: "Most server connections of the database, over all pools; 0 is no limit."},
		{Name: "current_connections", Type: spec.Gauge, Help: "Server connections of the database, over all pools."},
		{Name: "max_client_connections", Type: spec.Gauge, Help: "Most clients of the database; 0 is no limit."},
		{Name: "current_client_connections", Type: spec.Gauge, Help: "Clients of the database."},
		{Name: "paused", Type: spec.Gauge, Help: "Whether the database is paused: clients wait."},
		{Name: "disabled", Type: spec.Gauge, Help: "Whether the database is disabled: clients are refused."},
	},
}
