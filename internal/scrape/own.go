package scrape

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// The engine's own metrics. Those with the labels collector and datname have a
// series for each collector, and for each database where it runs per database.
var (
	ownUp              = spec.Series{Name: "pg_up", Type: spec.Gauge, Help: "Whether this scrape's own session on the server answered."}
	ownConnectFailures = spec.Series{Name: "pgvigil_connect_failures_total", Type: spec.Counter, Labels: []string{"reason"}, Help: "Connects to the server that failed, and sessions that were there and did not answer, by reason."}
	ownConnectSeconds  = spec.Series{Name: "pgvigil_connect_seconds", Type: spec.Gauge, Help: "Time the newest session took to open, its set-up included."}
	ownSessions        = spec.Series{Name: "pgvigil_sessions_open", Type: spec.Gauge, Help: "Sessions open on the server now."}
	ownSessionsLimit   = spec.Series{Name: "pgvigil_sessions_limit", Type: spec.Gauge, Help: "Sessions that may be open on the server at once."}
	ownSessionsOpened  = spec.Series{Name: "pgvigil_sessions_opened_total", Type: spec.Counter, Help: "Sessions opened on the server."}
	ownSessionsRefused = spec.Series{Name: "pgvigil_sessions_refused_total", Type: spec.Counter, Help: "Sessions wanted that the budget did not allow."}
	ownQueries         = spec.Series{Name: "pgvigil_queries_total", Type: spec.Counter, Help: "Statements sent to the server."}
	ownQuerySeconds    = spec.Series{Name: "pgvigil_query_seconds_total", Type: spec.Counter, Help: "Time spent waiting for the server to answer statements."}
	ownLate            = spec.Series{Name: "pgvigil_scrapes_late_total", Type: spec.Counter, Help: "Scrapes answered at their deadline with something missing."}
	ownDatabases       = spec.Series{Name: "pgvigil_databases_watched", Type: spec.Gauge, Help: "Databases that collectors per database run in."}
	ownDatabaseSkipped = spec.Series{Name: "pgvigil_database_skipped", Type: spec.Gauge, Labels: []string{"datname", "reason"}, Help: "Databases left out, by reason: excluded by configuration, or denied the CONNECT privilege."}

	ownSuccess     = spec.Series{Name: "pgvigil_collector_success", Type: spec.Gauge, Labels: perCollector, Help: "Whether the collector's last run, or its run in this scrape, succeeded."}
	ownDuration    = spec.Series{Name: "pgvigil_collector_duration_seconds", Type: spec.Gauge, Labels: perCollector, Help: "Time the collector's last run took on the server and the wire."}
	ownLastSuccess = spec.Series{Name: "pgvigil_collector_last_success_timestamp_seconds", Type: spec.Gauge, Labels: perCollector, Help: "Unix time of the collector's last good run."}
	ownSeries      = spec.Series{Name: "pgvigil_collector_series", Type: spec.Gauge, Labels: perCollector, Help: "Series the collector has on this page."}
	ownInterval    = spec.Series{Name: "pgvigil_collector_interval_seconds", Type: spec.Gauge, Labels: []string{"collector"}, Help: "Rhythm in force of a collector that does not run with each scrape."}
	ownFolded      = spec.Series{Name: "pgvigil_collector_folded", Type: spec.Gauge, Labels: perCollector, Help: "Label sets added up in the series labelled other."}
	ownGone        = spec.Series{Name: "pgvigil_collector_evicted_total", Type: spec.Counter, Labels: perCollector, Help: "Entries that the server had when it was last asked, and no longer; what they counted after is lost."}
	ownMissing     = spec.Series{Name: "pgvigil_collector_columns_missing", Type: spec.Gauge, Labels: perCollector, Help: "Columns this server lacks although its version should have them."}
	ownSkipped     = spec.Series{Name: "pgvigil_collector_skipped", Type: spec.Gauge, Labels: []string{"collector", "datname", "reason"}, Help: "Collectors that do not run on this server now, by reason."}
	ownFailures    = spec.Series{Name: "pgvigil_collector_failures_total", Type: spec.Counter, Labels: []string{"collector", "reason"}, Help: "Runs of the collector that failed, by reason."}

	perCollector = []string{"collector", "datname"}
)

// Own returns the engine's own metrics, for METRICS.md.
func Own() []spec.Series {
	return []spec.Series{
		ownUp, ownConnectFailures, ownConnectSeconds, ownSessions, ownSessionsLimit, ownSessionsOpened,
		ownSessionsRefused, ownQueries, ownQuerySeconds, ownLate, ownDatabases, ownDatabaseSkipped,
		ownSuccess, ownDuration, ownLastSuccess, ownSeries, ownInterval, ownFolded, ownGone, ownMissing,
		ownSkipped, ownFailures, ownUnknown, ownPoolerUp, ownPoolerFailures, ownPoolerOpened,
	}
}

// page returns what can be shown of the flight now. A result that was withdrawn is
// about to be replaced, which takes milliseconds; a page waits for that, briefly.
func (e *Engine) page(f *flight) []page.Family {
	for range 50 {
		if fams, ok := e.tryPage(f, false); ok {
			return fams
		}
		time.Sleep(2 * time.Millisecond)
	}
	fams, _ := e.tryPage(f, true)
	return fams
}

// tryPage reports whether every result may be shown; without is with those that
// may not left out.
func (e *Engine) tryPage(f *flight, without bool) ([]page.Family, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !without && e.replacing(f) {
		return nil, false
	}
	o := newOwn()
	o.add(ownUp, flag(f.up))
	fams := append(make([]page.Family, 0, usualFamilies), o.take(ownUp)...)
	now := time.Now()
	bySlot := e.bySlot()
	for _, u := range e.units {
		if !f.sel.wants(u) {
			continue
		}
		var results []*result
		for _, s := range bySlot[u] {
			res := e.tell(o, f, s, now)
			switch {
			case res == nil:
			case res.serve():
				results = append(results, res)
			case !without:
				return nil, false
			}
		}
		if !u.onScrape() && len(bySlot[u]) > 0 {
			o.add(ownInterval, e.rhythm(u).Seconds(), u.c.Name)
		}
		if len(results) > 0 {
			fams = e.appended(fams, u.families(results))
		}
	}
	e.tellServer(o)
	return append(fams, o.families()...), true
}

// appended returns the families with more; those that several collectors declare
// get the columns of each.
func (e *Engine) appended(fams, more []page.Family) []page.Family {
	for _, f := range more {
		i := -1
		if e.declared[f.Name] > 1 {
			i = slices.IndexFunc(fams, func(known page.Family) bool { return known.Name == f.Name })
		}
		if i < 0 {
			fams = append(fams, f)
			continue
		}
		fams[i].Columns = slices.Concat(fams[i].Columns, f.Columns)
	}
	return fams
}

// replacing reports whether a result that the page would show was withdrawn.
func (e *Engine) replacing(f *flight) bool {
	for s, r := range e.records {
		if r.good != nil && r.good.isWithdrawn() && f.sel.wants(s.unit) {
			return true
		}
	}
	return false
}

// usualFamilies is room for the families of most pages.
const usualFamilies = 600

// bySlot lists the slots of each unit, by database.
func (e *Engine) bySlot() map[*unit][]slot {
	m := map[*unit][]slot{}
	for s := range e.records {
		m[s.unit] = append(m[s.unit], s)
	}
	for _, slots := range m {
		slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.database, b.database) })
	}
	return m
}

// tell adds the own metrics of a slot and returns the result to show, if any.
func (e *Engine) tell(o *own, f *flight, s slot, now time.Time) *result {
	r := e.records[s]
	c := s.unit.c
	if r.skip != "" {
		o.add(ownSkipped, 1, c.Name, s.database, string(r.skip))
		return nil
	}
	res, success := e.shown(f, s, r, now)
	if !r.ran && !success && s.unit.onScrape() && !f.planned[s.unit] && f.up {
		return nil
	}
	o.add(ownSuccess, flag(success), c.Name, s.database)
	if r.ran {
		o.add(ownDuration, r.duration.Seconds(), c.Name, s.database)
	}
	if !r.last.IsZero() {
		o.add(ownLastSuccess, float64(r.last.UnixMilli())/1000, c.Name, s.database)
	}
	if r.missing > 0 {
		o.add(ownMissing, float64(r.missing), c.Name, s.database)
	}
	series := 0
	if res != nil {
		series = res.samples
		if c.Fold != nil {
			o.add(ownFolded, float64(res.folded), c.Name, s.database)
			if c.Fold.Evicts {
				o.add(ownGone, float64(res.gone), c.Name, s.database)
			}
		}
	}
	o.add(ownSeries, float64(series), c.Name, s.database)
	return res
}

// shown returns the result of a slot that this page shows, and whether that is a
// success: with the scrape, only what came in this flight; beside it, the last
// good one while it is not too old.
func (e *Engine) shown(f *flight, s slot, r *record, now time.Time) (*result, bool) {
	if s.unit.onScrape() {
		res := f.results[s.unit]
		return res, res != nil
	}
	if !f.up && r.good == nil || !e.fresh(s.unit, r, now) {
		return nil, false
	}
	return r.good, r.reason == ""
}

// tellServer adds what is known of the server's sessions and databases.
func (e *Engine) tellServer(o *own) {
	stats := e.server.Stats()
	for _, reason := range postgres.ConnectReasons() {
		o.add(ownConnectFailures, float64(stats.ConnectFailures[reason]), string(reason))
	}
	if stats.Opened > 0 {
		o.add(ownConnectSeconds, stats.Connect.Seconds())
	}
	o.add(ownSessions, float64(stats.Open))
	o.add(ownSessionsLimit, float64(stats.Limit))
	o.add(ownSessionsOpened, float64(stats.Opened))
	o.add(ownSessionsRefused, float64(stats.Refused))
	o.add(ownQueries, float64(stats.Queries))
	o.add(ownQuerySeconds, stats.Busy.Seconds())
	o.add(ownLate, float64(e.late))
	o.add(ownDatabases, float64(len(e.watched())))
	for _, db := range e.state.Databases {
		switch {
		case !e.opt.Watch(db.Name):
			o.add(ownDatabaseSkipped, 1, db.Name, "excluded")
		case !db.Connect:
			o.add(ownDatabaseSkipped, 1, db.Name, "permission")
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(e.failures), func(a, b tally) int {
		return cmp.Or(cmp.Compare(a.collector, b.collector), cmp.Compare(a.reason, b.reason))
	}) {
		o.add(ownFailures, float64(e.failures[t]), t.collector, string(t.reason))
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// own gathers samples of the own metrics.
type own struct {
	labels map[string]*page.Labels
	values map[string][]float64
}

func newOwn() *own {
	return &own{labels: map[string]*page.Labels{}, values: map[string][]float64{}}
}

// add adds a sample. Its series are declared above, so labels always fit.
func (o *own) add(s spec.Series, v float64, labels ...string) {
	l := o.labels[s.Name]
	if l == nil {
		l, _ = page.NewLabels(s.Labels...)
		o.labels[s.Name] = l
	}
	cells := make([][]byte, len(labels))
	for i := range labels {
		cells[i] = []byte(labels[i])
	}
	if err := l.Append(cells...); err == nil {
		o.values[s.Name] = append(o.values[s.Name], v)
	}
}

// take returns the family of one metric and forgets it.
func (o *own) take(s spec.Series) []page.Family {
	if o.labels[s.Name] == nil {
		return nil
	}
	f := page.Family{Name: s.Name, Help: s.Help, Type: s.Type,
		Columns: []page.Column{{Labels: o.labels[s.Name], Values: o.values[s.Name]}}}
	delete(o.labels, s.Name)
	return []page.Family{f}
}

// families returns all that was added, in the order of Own.
func (o *own) families() []page.Family {
	var fams []page.Family
	for _, s := range Own() {
		fams = append(fams, o.take(s)...)
	}
	return fams
}
