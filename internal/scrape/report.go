package scrape

import (
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Report is what an engine knows at one moment of its server and of what became of
// each collector there. Making it sends nothing.
type Report struct {
	// At is the moment.
	At time.Time
	// Address is where the server is.
	Address string
	// Tried says that a scrape has looked at the server, Up that the last one found it.
	Tried, Up bool
	// Reason is why it did not, and Fault the same for people.
	Reason postgres.Reason
	Fault  string
	// Facts, State and TLS are of the lasting session when it was last used; zero
	// before there was one.
	Facts postgres.Facts
	State postgres.State
	TLS   *spec.TLS
	// Interval is the time between two scrapes, on average; 0 where there were no two.
	Interval time.Duration
	// Stats count what sessions have done.
	Stats postgres.Stats
	// Databases are those that allow connections.
	Databases []DatabaseReport
	// Collectors are those that are switched on, in the order of the options.
	Collectors []CollectorReport
}

// DatabaseReport is a database of a server.
type DatabaseReport struct {
	Name string
	// Watched says that it is not excluded by configuration, Connect that the role may
	// connect to it.
	Watched, Connect bool
	// Extensions are those found there; nil where nobody has looked.
	Extensions map[string]postgres.Extension
}

// CollectorReport is what became of a collector.
type CollectorReport struct {
	Collector spec.Collector
	// Rhythm is the time between two runs that is in force; 0 is with each scrape.
	Rhythm time.Duration
	// MaxSeries is the most series that a run may give.
	MaxSeries int
	// Runs are its last runs: one, or one for each database.
	Runs []RunReport
	// Families are what of its results would be shown, without help texts.
	Families []page.Family
}

// Outcome is what became of a run.
type Outcome string

// What becomes of runs.
const (
	Works   Outcome = "ok"
	Fails   Outcome = "failing" // the last run did; an older result may be shown yet
	Skipped Outcome = "skipped" // it cannot run on this server now
	Waits   Outcome = "waiting" // it has not run yet
	Expired Outcome = "expired" // the last good result is too old to be shown
)

// RunReport is the last run of a collector on one database.
type RunReport struct {
	// Database is empty for a collector that runs once a server.
	Database string
	Outcome  Outcome
	// Skip is why it was skipped, Cure a statement or setting that would change that;
	// empty where it is as it should be. CureIn is the database that was looked at.
	Skip   Skip
	Cure   string
	CureIn string
	// Reason is why it failed.
	Reason postgres.Reason
	// Fault is the last failure for people, and Failed when that was; runs may have
	// been good since.
	Fault  string
	Failed time.Time
	// Last is when the last good run ended.
	Last time.Time
	// Rows and Series are what the last run gave and what is shown of it. Folded are
	// the label sets in what is labelled other, Missing the columns that the server lacks.
	Rows, Series, Folded, Missing int
	// Server is what the last run took there and on the wire, with its share of what
	// opening a session took; Here is what its rows took in this process.
	Server, Here time.Duration
}

// Report returns what is known now.
func (e *Engine) Report() Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := Report{
		At: time.Now(), Address: e.server.Address(), Tried: e.told, Up: e.wasUp,
		Facts: e.facts, State: e.state, TLS: e.tls, Stats: e.server.Stats(),
	}
	if e.told && e.down != nil {
		r.Reason, r.Fault = postgres.ConnectReason(e.down), postgres.Cause(e.down)
	}
	if e.flown > 1 {
		r.Interval = e.latest.Sub(e.first) / time.Duration(e.flown-1)
	}
	for _, db := range e.state.Databases {
		r.Databases = append(r.Databases, DatabaseReport{
			Name: db.Name, Watched: e.opt.Watch(db.Name), Connect: db.Connect, Extensions: e.extensionsOf(db.Name),
		})
	}
	for _, u := range e.units {
		r.Collectors = append(r.Collectors, e.reportUnit(u, r.At))
	}
	return r
}

// extensionsOf are those found in a database, by the lasting session too; the caller
// holds the lock.
func (e *Engine) extensionsOf(database string) map[string]postgres.Extension {
	if found := e.found[database]; found != nil || database != e.facts.Database {
		return found
	}
	return e.facts.Extensions
}

// reportUnit is about one collector; the caller holds the lock.
func (e *Engine) reportUnit(u *unit, now time.Time) CollectorReport {
	c := CollectorReport{Collector: u.c, MaxSeries: u.maxSeries()}
	if !u.onScrape() {
		c.Rhythm = e.rhythm(u)
	}
	databases := []string{""}
	if u.c.Scope == spec.PerDatabase {
		databases = e.watched()
	}
	var shown []*result
	for _, database := range databases {
		r := e.records[slot{unit: u, database: database}]
		if r == nil {
			c.Runs = append(c.Runs, RunReport{Database: database, Outcome: Waits})
			continue
		}
		run, res := r.report(u.onScrape(), u.onScrape() || e.fresh(u, r, now))
		run.Database = database
		c.Runs = append(c.Runs, run)
		if res != nil {
			shown = append(shown, res)
		}
	}
	if len(shown) > 0 {
		c.Families = u.families(shown)
	}
	return c
}

// report is about one slot: what became of it, and the result that is shown of it.
func (r *record) report(onScrape, fresh bool) (RunReport, *result) {
	run := RunReport{
		Outcome: Waits, Skip: r.skip, Cure: r.cure.does, CureIn: r.cure.database, Reason: r.reason, Fault: r.fault, Failed: r.failed,
		Last: r.last, Rows: r.rows, Missing: r.missing, Server: r.cost, Here: r.binding,
	}
	res := r.good
	switch {
	case r.skip != "":
		run.Outcome, res = Skipped, nil
	case r.reason != "":
		run.Outcome = Fails
		if onScrape || !fresh {
			res = nil
		}
	case res != nil && !fresh:
		run.Outcome, res = Expired, nil
	case r.ran && res != nil:
		run.Outcome = Works
	}
	if res != nil {
		run.Series, run.Folded = res.samples, res.folded
	}
	return run, res
}

// Report returns what is known of the collectors of a source beside a server.
func (o *Outside) Report() []CollectorReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []CollectorReport
	for _, u := range o.units {
		t := o.records[u]
		run, res := t.report(true, true)
		run.Server = t.duration
		c := CollectorReport{Collector: u.c, MaxSeries: u.maxSeries(), Runs: []RunReport{run}}
		if res != nil {
			c.Families = u.families([]*result{res})
		}
		all = append(all, c)
	}
	return all
}
