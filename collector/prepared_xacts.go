package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// PreparedXacts answers whether somebody has forgotten a prepared transaction. It
// keeps its locks and holds back vacuum until it is ended by hand, also over a
// restart, and belongs to no session. Databases without have no sample.
var PreparedXacts = spec.Collector{
	Name: "prepared_xacts", About: "Transactions prepared for two-phase commit and not ended.",
	Default: true, Scope: spec.PerServer,
	Needs: spec.Needs{Setting: "max_prepared_transactions"},
	Cost:  spec.Cost{Timeout: time.Second, MaxSeries: 20000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT p.database::text                                AS datname
     , pg_catalog.count(*)::double precision           AS transactions
     , extract(epoch FROM pg_catalog.max(greatest(pg_catalog.clock_timestamp(), p.prepared) - p.prepared))::double precision
                                                       AS max_age_seconds
  FROM pg_catalog.pg_prepared_xacts AS p
 WHERE p.database IS NOT NULL
 GROUP BY p.database`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "transactions", Type: spec.Gauge, Help: "Prepared transactions that were neither committed nor rolled back."},
		{Name: "max_age_seconds", Type: spec.Gauge, Help: "Time since the oldest of them was prepared."},
	},
}
