package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// StatUserFunctions reports how often functions are called and how long they
// take. PostgreSQL counts the calls of sessions with track_functions on only, and
// none of a SQL function that was inlined. Whether it is on is what our session
// has: where it is set for some roles, ours must be among them. Functions of one
// name that differ in their arguments are added up.
var StatUserFunctions = spec.Collector{
	Name: "stat_user_functions", About: "Calls of functions and the time they took, where track_functions is on.",
	Default: true, Scope: spec.PerDatabase,
	Needs: spec.Needs{Setting: "track_functions"},
	Cost:  spec.Cost{Timeout: 5 * time.Second, Every: time.Minute, MaxSeries: 500, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT n.nspname::text                                                AS schemaname
     , p.proname::text                                                AS funcname
     , p.oid::text                                                    AS funcid
     , pg_catalog.pg_stat_get_function_calls(p.oid)::double precision AS calls_total
     , pg_catalog.pg_stat_get_function_total_time(p.oid) / 1000       AS total_time_seconds_total
     , pg_catalog.pg_stat_get_function_self_time(p.oid) / 1000        AS self_time_seconds_total
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.prolang <> 12
   AND pg_catalog.pg_stat_get_function_calls(p.oid) IS NOT NULL`}},
	Labels: []string{"schemaname", "funcname"},
	Metrics: []spec.Metric{
		{Name: "calls_total", Type: spec.Counter, Help: "Calls of the function, of all functions of this name."},
		{Name: "total_time_seconds_total", Type: spec.Counter, Help: "Time spent in the function and in those it called."},
		{Name: "self_time_seconds_total", Type: spec.Counter, Help: "Time spent in the function itself."},
	},
	Fold: &spec.Fold{
		Key: "funcid", Rank: []string{"self_time_seconds_total", "calls_total"},
		Limit: 100,
	},
}
