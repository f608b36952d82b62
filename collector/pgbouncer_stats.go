package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// PgbouncerStats reports what has passed through. The averages are over
// stats_period, and Prometheus has its own.
var PgbouncerStats = spec.Collector{
	Name: "pgbouncer_stats", Of: "pgbouncer", About: "Traffic of each database since the pooler started.", Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 10_000},
	Queries: []spec.Query{{SQL: "SHOW STATS"}},
	Answer: &spec.Answer{Unused: []string{
		"avg_server_assignment_count", "avg_xact_count", "avg_query_count", "avg_recv", "avg_sent", "avg_xact_time",
		"avg_query_time", "avg_wait_time", "avg_client_parse_count", "avg_server_parse_count", "avg_bind_count",
	}},
	Labels: []string{"database"},
	Metrics: []spec.Metric{
		{Name: "server_assignments_total", Type: spec.Counter, From: "total_server_assignment_count", Help: "Times a server was given to a client."},
		{Name: "sql_transactions_pooled_total", Type: spec.Counter, From: "total_xact_count", Help: "Transactions."},
		{Name: "queries_pooled_total", Type: spec.Counter, From: "total_query_count", Help: "Queries."},
		{Name: "received_bytes_total", Type: spec.Counter, From: "total_received", Help: "Bytes received from clients and servers."},
		{Name: "sent_bytes_total", Type: spec.Counter, From: "total_sent", Help: "Bytes sent to clients and servers."},
		{Name: "server_in_transaction_seconds_total", Type: spec.Counter, From: "total_xact_time * 1e-6", Help: "Time that servers were in a transaction, working or idle."},
		{Name: "queries_duration_seconds_total", Type: spec.Counter, From: "total_query_time * 1e-6", Help: "Time that servers worked on queries."},
		{Name: "client_wait_seconds_total", Type: spec.Counter, From: "total_wait_time * 1e-6", Help: "Time that clients waited for a server."},
		{Name: "client_parses_total", Type: spec.Counter, From: "total_client_parse_count", Help: "Prepared statements that clients made."},
		{Name: "server_parses_total", Type: spec.Counter, From: "total_server_parse_count", Help: "Prepared statements that the pooler made on servers."},
		{Name: "binds_total", Type: spec.Counter, From: "total_bind_count", Help: "Prepared statements readied for a run."},
	},
}
