package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatBgwriter reports what the background writer does, and up to 16 what
// backends had to write themselves; since 16 pg_stat_io says that in more detail.
// Checkpoints are in StatCheckpointer on every major.
var StatBgwriter = spec.Collector{
	Name: "stat_bgwriter", About: "Buffers written by the background writer and allocated by all.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, MaxSeries: 6, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT buffers_clean::double precision                      AS buffers_clean_total
     , maxwritten_clean::double precision                   AS maxwritten_clean_total
     , buffers_alloc::double precision                      AS buffers_alloc_total
     , buffers_backend::double precision                    AS buffers_backend_total          -- until 17
     , buffers_backend_fsync::double precision              AS buffers_backend_fsync_total    -- until 17
     , extract(epoch FROM stats_reset)::double precision    AS stats_reset_timestamp_seconds
  FROM pg_catalog.pg_stat_bgwriter`}},
	Metrics: []spec.Metric{
		{Name: "buffers_clean_total", Type: spec.Counter, Help: "Buffers written by the background writer."},
		{Name: "maxwritten_clean_total", Type: spec.Counter, Help: "Times the background writer stopped a round because it had written bgwriter_lru_maxpages."},
		{Name: "buffers_alloc_total", Type: spec.Counter, Help: "Buffers allocated."},
		{Name: "buffers_backend_total", Type: spec.Counter, Help: "Buffers written by backends themselves, before 17."},
		{Name: "buffers_backend_fsync_total", Type: spec.Counter, Help: "Times a backend had to call fsync itself, before 17."},
		{Name: "stats_reset_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last reset of these statistics."},
	},
}
