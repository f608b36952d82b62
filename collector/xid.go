package collector

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Xid reports how far each database is from the wraparound of transaction and
// multixact ids, templates and databases without connections included: they hold
// back the whole server like any other. A database left half-dropped does not
// (datconnlimit -2; PostgreSQL 16, back-patched), and its age only grows. Ages are
// counts of ids.
var Xid = spec.Collector{
	Name: "xid", About: "Age of the oldest unfrozen transaction and multixact id of each database.",
	Default: true, Scope: spec.PerServer,
	Cost: spec.Cost{Timeout: time.Second, Every: time.Minute, MaxSeries: 20000, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT d.datname::text                                                     AS datname
     , pg_catalog.age(d.datfrozenxid)::double precision                    AS datfrozenxid_age
     , pg_catalog.mxid_age(d.datminmxid)::double precision                 AS datminmxid_age
  FROM pg_catalog.pg_database d
 WHERE d.datconnlimit <> -2`}},
	Labels: []string{"datname"},
	Metrics: []spec.Metric{
		{Name: "datfrozenxid_age", Type: spec.Gauge, Help: "Transaction ids assigned since the oldest that is not frozen in the database."},
		{Name: "datminmxid_age", Type: spec.Gauge, Help: "Multixact ids assigned since the oldest that may be in the database."},
	},
}

// XidLimits reports the ages at which something happens, how fast ids are used
// up, and when that will have happened if it goes on like this.
//
// Where SetTransactionIdLimit and SetMultiXactIdLimit refuse new ids and begin to
// warn changed in PostgreSQL 14. The next id is the oldest plus its age: the control
// file has it only as of the last checkpoint, and a snapshot without what running
// transactions took for their subtransactions. Its epoch is the snapshot's.
var XidLimits = spec.Collector{
	Name: "xid_limits", Of: "xid", About: "Limits of the age of transaction and multixact ids, their use, and the time left.",
	Scope: spec.PerServer,
	Cost:  spec.Cost{Timeout: time.Second, Every: time.Minute, MaxSeries: 16, Locks: "none"},
	Queries: []spec.Query{{SQL: `
SELECT max(s.xmax + greatest(0, ((d.datfrozenxid::text::bigint + pg_catalog.age(d.datfrozenxid) - s.xmax + 2147483648)
                                 & 4294967295) - 2147483648))::double precision
                                                                           AS transaction_ids_total
     , max((d.datminmxid::text::bigint + pg_catalog.mxid_age(d.datminmxid)) % 4294967296)::double precision
                                                                           AS multixact_ids_total
     , max(pg_catalog.age(d.datfrozenxid))::double precision               AS transaction_id_age
     , max(pg_catalog.mxid_age(d.datminmxid))::double precision            AS multixact_id_age
     , pg_catalog.current_setting('autovacuum_freeze_max_age')::double precision
                                                                           AS freeze_max_age
     , pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::double precision
                                                                           AS multixact_freeze_max_age
     , pg_catalog.current_setting('vacuum_failsafe_age')::double precision           AS failsafe_age           -- since 14
     , pg_catalog.current_setting('vacuum_multixact_failsafe_age')::double precision AS multixact_failsafe_age -- since 14
     , (2147483647 - 40000000)::double precision                           AS warn_age                         -- since 14
     , (2147483647 - 3000000)::double precision                            AS stop_age                         -- since 14
     , (2147483647 - 40000000)::double precision                           AS multixact_warn_age               -- since 14
     , (2147483647 - 3000000)::double precision                            AS multixact_stop_age               -- since 14
     , (2147483647 - 11000000)::double precision                           AS warn_age                         -- until 14
     , (2147483647 - 1000000)::double precision                            AS stop_age                         -- until 14
     , (2147483647 - 10000100)::double precision                           AS multixact_warn_age               -- until 14
     , (2147483647 - 100)::double precision                                AS multixact_stop_age               -- until 14
  FROM pg_catalog.pg_database d
 CROSS JOIN (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS xmax) AS s
 WHERE d.datconnlimit <> -2`}},
	Metrics: []spec.Metric{
		{Name: "transaction_ids_total", Type: spec.Counter, Help: "Transaction ids assigned, counted over all wraparounds."},
		{Name: "multixact_ids_total", Type: spec.Counter, Help: "Multixact ids assigned; begins again at 4294967296."},
		{Name: "transaction_ids_per_second", Type: spec.Gauge, Help: "Transaction ids assigned per second over the last hour, or as long as the exporter has looked."},
		{Name: "multixact_ids_per_second", Type: spec.Gauge, Help: "Multixact ids assigned per second over the last hour, or as long as the exporter has looked."},
		{Name: "freeze_max_age", Type: spec.Gauge, Help: "Age of a table's oldest transaction id at which autovacuum is forced (autovacuum_freeze_max_age)."},
		{Name: "multixact_freeze_max_age", Type: spec.Gauge, Help: "Age of a table's oldest multixact id at which autovacuum is forced (autovacuum_multixact_freeze_max_age)."},
		{Name: "failsafe_age", Type: spec.Gauge, Help: "Age of a table's oldest transaction id at which vacuum drops everything but freezing (vacuum_failsafe_age)."},
		{Name: "multixact_failsafe_age", Type: spec.Gauge, Help: "Age of a table's oldest multixact id at which vacuum drops everything but freezing (vacuum_multixact_failsafe_age)."},
		{Name: "warn_age", Type: spec.Gauge, Help: "Age of the oldest transaction id from which each new transaction id brings a warning."},
		{Name: "multixact_warn_age", Type: spec.Gauge, Help: "Age of the oldest multixact id from which each new multixact id brings a warning."},
		{Name: "stop_age", Type: spec.Gauge, Help: "Age of the oldest transaction id at which the server refuses to assign transaction ids, so all writing stops."},
		{Name: "multixact_stop_age", Type: spec.Gauge, Help: "Age of the oldest multixact id at which the server refuses to assign multixact ids."},
		{Name: "until_forced_vacuum_seconds", Type: spec.Gauge, Help: "Time until the oldest transaction id reaches freeze_max_age at the present rate, 0 if it has."},
		{Name: "multixact_until_forced_vacuum_seconds", Type: spec.Gauge, Help: "Time until the oldest multixact id reaches multixact_freeze_max_age at the present rate, 0 if it has."},
		{Name: "until_stop_seconds", Type: spec.Gauge, Help: "Time until the oldest transaction id reaches stop_age at the present rate, if nothing is frozen before."},
		{Name: "multixact_until_stop_seconds", Type: spec.Gauge, Help: "Time until the oldest multixact id reaches multixact_stop_age at the present rate, if nothing is frozen before."},
	},
	Emit: func() spec.Emitter { return &xidForecast{} },
}

// xidForecast adds rates and the time left to the row of XidLimits.
type xidForecast struct{ transactions, multixacts growth }

// Emit passes the row on and adds what follows from those before it.
func (f *xidForecast) Emit(run spec.Run, in *spec.Rows, out *spec.Sink) error {
	for row := range in.Len() {
		out.Row()
		for _, name := range []string{
			"transaction_ids_total", "multixact_ids_total", "freeze_max_age", "multixact_freeze_max_age",
			"failsafe_age", "multixact_failsafe_age", "warn_age", "multixact_warn_age", "stop_age", "multixact_stop_age",
		} {
			out.Set(name, in.Value(row, name))
		}
		rate := f.transactions.rate(run.Now, in.Value(row, "transaction_ids_total"))
		age := in.Value(row, "transaction_id_age")
		out.Set("transaction_ids_per_second", rate)
		out.Set("until_forced_vacuum_seconds", timeLeft(age, in.Value(row, "freeze_max_age"), rate))
		out.Set("until_stop_seconds", timeLeft(age, in.Value(row, "stop_age"), rate))

		rate = f.multixacts.rate(run.Now, in.Value(row, "multixact_ids_total"))
		age = in.Value(row, "multixact_id_age")
		out.Set("multixact_ids_per_second", rate)
		out.Set("multixact_until_forced_vacuum_seconds", timeLeft(age, in.Value(row, "multixact_freeze_max_age"), rate))
		out.Set("multixact_until_stop_seconds", timeLeft(age, in.Value(row, "multixact_stop_age"), rate))
	}
	return nil
}

// timeLeft is when age will reach limit: 0 where it has, absent where nothing is
// known or nothing moves.
func timeLeft(age, limit, rate float64) float64 {
	switch {
	case spec.IsAbsent(age) || spec.IsAbsent(limit):
		return spec.Absent()
	case age >= limit:
		return 0
	case spec.IsAbsent(rate) || rate <= 0:
		return spec.Absent()
	}
	return (limit - age) / rate
}

// growth remembers a counter's values, not more often than spacing, to know its
// rate over the window.
type growth struct{ points []point }

type point struct {
	at    time.Time
	total float64
}

const (
	growthWindow  = time.Hour
	growthSpacing = time.Minute / 2
	growthMinimum = 5 * time.Minute // a rate over less says nothing about days to come
)

// rate takes the counter's value now and returns its growth per second since the
// window's first point. A counter that stepped back begins anew.
func (g *growth) rate(now time.Time, total float64) float64 {
	if spec.IsAbsent(total) {
		return spec.Absent()
	}
	for len(g.points) > 0 && (now.Sub(g.points[0].at) > growthWindow || total < g.points[len(g.points)-1].total) {
		g.points = g.points[1:]
	}
	if n := len(g.points); n == 0 || now.Sub(g.points[n-1].at) >= growthSpacing {
		g.points = append(g.points, point{now, total})
	}
	elapsed := now.Sub(g.points[0].at)
	if elapsed < growthMinimum {
		return spec.Absent()
	}
	return (total - g.points[0].total) / elapsed.Seconds()
}
