package collector

import "github.com/pgvigil/pgvigil/internal/spec"

// Pgbouncer reports how much a pooler holds, by SHOW LISTS. Clients and servers
// are kept in lists, the free ones among them; peers came with 1.19.
var Pgbouncer = spec.Collector{
	Name: "pgbouncer", About: "Pools, waiting clients, databases, traffic and limits of PgBouncer.",
	Default: true, Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 20},
	Queries: []spec.Query{{SQL: "SHOW LISTS"}},
	// dns_pending is not in use.
	Answer: &spec.Answer{Key: "list", Value: "items", Unused: []string{"dns_pending"}},
	Metrics: []spec.Metric{
		{Name: "databases", Type: spec.Gauge, Help: "Databases, those in the configuration file and those made for a client."},
		{Name: "users", Type: spec.Gauge, Help: "Users known."},
		{Name: "peers", Type: spec.Gauge, Help: "Peers that cancel requests are forwarded to."},
		{Name: "pools", Type: spec.Gauge, Help: "Pools of connections, one for each database and user."},
		{Name: "peer_pools", Type: spec.Gauge, Help: "Pools of connections to peers."},
		{Name: "free_clients", Type: spec.Gauge, Help: "Client slots allocated and not in use."},
		{Name: "used_clients", Type: spec.Gauge, Help: "Clients connected, those of the admin console included."},
		{Name: "login_clients", Type: spec.Gauge, Help: "Clients that are logging in."},
		{Name: "free_servers", Type: spec.Gauge, Help: "Server slots allocated and not in use."},
		{Name: "used_servers", Type: spec.Gauge, Help: "Connections to servers."},
		{Name: "cached_dns_names", Type: spec.Gauge, From: "dns_names", Help: "Host names in the DNS cache."},
		{Name: "cached_dns_zones", Type: spec.Gauge, From: "dns_zones", Help: "Zones in the DNS cache."},
		{Name: "in_flight_dns_queries", Type: spec.Gauge, From: "dns_queries", Help: "DNS queries under way."},
	},
}

// PgbouncerVersion names the release.
var PgbouncerVersion = spec.Collector{
	Name: "pgbouncer_version", Of: "pgbouncer", About: "Release of PgBouncer.", Source: spec.PgBouncer,
	Cost:    spec.Cost{MaxSeries: 1},
	Queries: []spec.Query{{SQL: "SHOW VERSION"}},
	Answer:  &spec.Answer{},
	Labels:  []string{"version"},
	Metrics: []spec.Metric{
		{Name: "info", Type: spec.Gauge, From: "1", Help: "The release of the pooler; always 1."},
	},
}
