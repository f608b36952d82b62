package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// PgbouncerPools reports who waits for whom. Until 1.15 cancel requests were not
// told apart, in 1.16 and 1.17 only those that wait were, under another name.
var PgbouncerPools = spec.Collector{
	Name: "pgbouncer_pools", Of: "pgbouncer", About: "Clients and servers of each pool, by state.", Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 20_000},
	Queries: []spec.Query{{SQL: "SHOW POOLS"}},
	Answer:  &spec.Answer{Unused: []string{"pool_mode", "load_balance_hosts"}},
	Labels:  []string{"database", "user"},
	Metrics: []spec.Metric{
		{Name: "client_active_connections", Type: spec.Gauge, From: "cl_active", Help: "Clients that have a server or need none."},
		{Name: "client_waiting_connections", Type: spec.Gauge, From: "cl_waiting", Help: "Clients that have sent a query and wait for a server connection."},
		{Name: "client_active_cancel_connections", Type: spec.Gauge, From: "cl_active_cancel_req", Help: "Clients whose cancel request is on its way to the server."},
		{Name: "client_waiting_cancel_connections", Type: spec.Gauge, From: "cl_waiting_cancel_req | cl_cancel_req", Help: "Clients whose cancel request has yet to be forwarded."},
		{Name: "server_active_connections", Type: spec.Gauge, From: "sv_active", Help: "Server connections that a client has now."},
		{Name: "server_active_cancel_connections", Type: spec.Gauge, From: "sv_active_cancel", Help: "Connections to servers that forward a cancel request."},
		{Name: "server_being_canceled_connections", Type: spec.Gauge, From: "sv_being_canceled", Help: "Server connections that would be idle but for a cancel request that is on its way to them."},
		{Name: "server_idle_connections", Type: spec.Gauge, From: "sv_idle", Help: "Server connections that a client can have without waiting."},
		{Name: "server_used_connections", Type: spec.Gauge, From: "sv_used", Help: "Server connections idle for longer than server_check_delay, which are checked before a client gets them."},
		{Name: "server_testing_connections", Type: spec.Gauge, From: "sv_tested", Help: "Server connections that are being reset or checked."},
		{Name: "server_login_connections", Type: spec.Gauge, From: "sv_login", Help: "Server connections that are being logged in to."},
		{Name: "client_maxwait_seconds", Type: spec.Gauge, From: "maxwait + maxwait_us * 1e-6", Help: "Time that the first client in the queue has waited for a server; 0 where nobody waits."},
	},
}
