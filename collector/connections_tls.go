package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// ConnectionsTLS answers who comes without encryption, and from how far. Clients
// and walsenders count. The shared address space of RFC 6598 counts as private:
// clouds number pods from it. Sessions whose address is hidden from the role have
// both labels empty.
var ConnectionsTLS = spec.Collector{
	Name: "connections_tls", Of: "connections",
	About: "Sessions with and without TLS by the kind of their address.", Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 10, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT CASE WHEN client_port IS NULL THEN ''
            WHEN client_addr IS NULL
              OR client_addr <<= '127.0.0.0/8'
              OR client_addr = '::1' THEN 'local'
            WHEN client_addr <<= '10.0.0.0/8'
              OR client_addr <<= '172.16.0.0/12'
              OR client_addr <<= '192.168.0.0/16'
              OR client_addr <<= '169.254.0.0/16'
              OR client_addr <<= '100.64.0.0/10'
              OR client_addr <<= 'fc00::/7'
              OR client_addr <<= 'fe80::/10' THEN 'private'
            ELSE 'public' END                   AS address_class
     , CASE WHEN client_port IS NULL THEN ''
            ELSE coalesce(ssl, false)::text END AS ssl
     , pg_catalog.count(*)::double precision    AS sessions
  FROM pg_catalog.pg_stat_get_activity(NULL::integer)
 WHERE coalesce(application_name, '') <> 'pgvigil'
   AND (client_port IS NOT NULL
    OR (backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL AND leader_pid IS NULL))
 GROUP BY 1, 2`}},
	Labels: []string{"address_class", "ssl"},
	Metrics: []spec.Metric{
		{Name: "sessions", Type: spec.Gauge, Help: "Sessions of clients and walsenders, without pgvigil's own."},
	},
}
