package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// NotifyQueue reports how full the queue of notifications is. A session that
// listens and stays in a transaction keeps it from being emptied; once it is
// full, a transaction that has notified fails at its commit.
var NotifyQueue = spec.Collector{
	Name: "notify_queue", About: "Room taken in the queue of notifications.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 1, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT pg_catalog.pg_notification_queue_usage()  AS usage_ratio`}},
	Metrics: []spec.Metric{
		{Name: "usage_ratio", Type: spec.Gauge, Help: "Part of the queue that holds notifications somebody has yet to read."},
	},
}
