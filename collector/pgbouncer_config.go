package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// PgbouncerConfig reports the limits that hold where a database or user has none of
// its own. Of the other settings nothing is counted: each release has some more.
var PgbouncerConfig = spec.Collector{
	Name: "pgbouncer_config", Of: "pgbouncer", About: "Limits set for the whole pooler.", Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 20},
	Queries: []spec.Query{{SQL: "SHOW CONFIG"}},
	Answer:  &spec.Answer{Key: "key", Value: "value", Unused: []string{"default", "changeable", spec.Any}},
	Metrics: []spec.Metric{
		{Name: "max_client_connections", Type: spec.Gauge, From: "max_client_conn", Help: "Most clients, over all databases."},
		{Name: "max_db_connections", Type: spec.Gauge, Help: "Most server connections of each database; 0 is no limit."},
		{Name: "max_user_connections", Type: spec.Gauge, Help: "Most server connections of each user; 0 is no limit."},
		{Name: "max_db_client_connections", Type: spec.Gauge, Help: "Most clients of each database; 0 is no limit."},
		{Name: "max_user_client_connections", Type: spec.Gauge, Help: "Most clients of each user; 0 is no limit."},
		{Name: "default_pool_size", Type: spec.Gauge, Help: "Most server connections of each pool."},
		{Name: "min_pool_size", Type: spec.Gauge, Help: "Server connections that each pool keeps at least."},
		{Name: "reserve_pool_size", Type: spec.Gauge, Help: "Server connections that each pool may have more when clients have waited for long."},
		{Name: "query_wait_timeout_seconds", Type: spec.Gauge, From: "query_wait_timeout", Help: "Time after which a client that waits for a server is cut off; 0 is never."},
	},
}
