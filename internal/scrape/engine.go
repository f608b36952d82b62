// Package scrape is the engine: it chooses which collectors run on a server,
// runs them within the scrape's deadline, binds their rows to samples, checks
// them, keeps what is slow to read, and gives the page that can be given now.
//
// Its contract:
//   - A scrape answers at its deadline with whatever is known; what is late costs
//     only itself. Scrapes that overlap share one run.
//   - Collectors with Every 0 run with the scrape, pipelined on the lasting
//     session. The others are refreshed beside it, when a scrape finds them older
//     than Every; the scrape serves the last good result meanwhile. Only a scrape
//     that would have nothing to serve waits for the refresh it started itself.
//   - A result is published whole or not at all, and dropped when it is older
//     than three times its rhythm.
//   - After a run that took t on the server, a background collector rests 100 t,
//     and longer where all slow ones would take more than that together.
package scrape

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Options say what an engine watches and how.
type Options struct {
	// Collectors are those switched on.
	Collectors []spec.Collector
	// Watch decides which databases PerDatabase collectors run in; nil is all.
	Watch func(database string) bool
	// Limits are the label sets shown of collectors with a Fold, by flag, where
	// they differ from the declared one.
	Limits map[string]int
	// MaxSeries replaces the budgets of all collectors: the most series each may
	// give, or without bound where negative. 0 leaves each its own.
	MaxSeries int
	// Share is the part of one core that a background collector's statements may
	// take; 0 is DefaultShare.
	Share float64
	// Logger takes what operators should know: state changes, not each failure.
	Logger log.Logger
}

// DefaultShare is 1 % of one core.
const DefaultShare = 0.01

// ageLimit is how many times its rhythm a background result may be old before
// it is dropped.
const ageLimit = 3

// Engine scrapes one server. Its methods may be called by any number of
// goroutines.
type Engine struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights and lanes
	server *postgres.Server
	opt    Options
	units  []*unit
	logger log.Logger

	declared map[string]int // how many collectors declare a metric

	archived atomic.Bool // whether somebody wants to know the archiver's last success

	mu       sync.Mutex
	closed   bool
	flights  map[string]*flight // that can still be joined, by selection
	records  map[slot]*record
	failures map[tally]uint64
	identity identity
	lanes    [2]lane
	found    extensions
	stretch  float64 // of the rhythms of slow collectors, above 1
	state    postgres.State
	facts    postgres.Facts // of the lasting session
	tls      *spec.TLS      // of the same
	maindb   string         // name of the maintenance database
	late     uint64         // scrapes answered at their deadline, with something missing
	blind    bool           // the last scrape could not read pg_database
	wasUp    bool           // in the last scrape
	told     bool           // the log has said whether the server is up
	down     error          // why it was not, in the last scrape
	flown    int            // flights so far
	first    time.Time      // when the first of them began
	latest   time.Time      // and the last
}

// tally is what failures are counted by.
type tally struct {
	collector string
	reason    postgres.Reason
}

// identity is what makes a server the same between two scrapes.
type identity struct {
	system string
	major  spec.Version
	role   spec.Role
	start  time.Time
}

// New returns an engine for the server, which it closes with itself. Nothing is
// read before the first scrape.
func New(ctx context.Context, server *postgres.Server, opt Options) *Engine {
	if opt.Share == 0 {
		opt.Share = DefaultShare
	}
	if opt.Watch == nil {
		opt.Watch = func(string) bool { return true }
	}
	if opt.Logger == nil {
		opt.Logger = log.NewNopLogger()
	}
	e := &Engine{
		server: server, opt: opt, logger: opt.Logger, declared: map[string]int{},
		flights: map[string]*flight{}, records: map[slot]*record{}, failures: map[tally]uint64{}, found: extensions{},
	}
	e.ctx, e.cancel = context.WithCancel(ctx)
	for _, c := range opt.Collectors {
		u := e.newUnit(c)
		e.units = append(e.units, u)
		for _, f := range u.heads {
			e.declared[f.Name]++
		}
	}
	for _, u := range e.units {
		if u.c.Follow == nil {
			continue
		}
		if i := slices.IndexFunc(e.units, func(of *unit) bool { return of.c.Name == u.c.Follow.Of }); i >= 0 {
			u.of = e.units[i]
			u.reset()
		}
	}
	return e
}

// newUnit returns the unit of a collector, with the budget the options give it.
func (e *Engine) newUnit(c spec.Collector) *unit {
	u := newUnit(c, e.opt.limit(c))
	switch {
	case e.opt.MaxSeries < 0:
		u.most = math.MaxInt
	case e.opt.MaxSeries > 0:
		u.most = e.opt.MaxSeries
	}
	return u
}

// limit is how many label sets a collector's Fold shows.
func (o Options) limit(c spec.Collector) int {
	if c.Fold == nil {
		return 0
	}
	limit, chosen := o.Limits[c.Flag()]
	switch {
	case chosen:
	case o.MaxSeries < 0:
		return 0
	default:
		limit = c.Fold.Limit
	}
	if o.MaxSeries > 0 {
		// A place is left for the rest, of one database at least.
		if most := max(1, o.MaxSeries/len(c.Metrics)-1); limit <= 0 || limit > most {
			return most
		}
	}
	return limit
}

// closeGrace is how long Close waits for goodbyes to the server.
const closeGrace = 2 * time.Second

// Close ends all runs and sessions and waits for them.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), closeGrace)
	defer cancel()
	e.server.Close(ctx)
}

// record returns the slot's record; the caller holds the lock.
func (e *Engine) record(s slot) *record {
	r := e.records[s]
	if r == nil {
		r = &record{}
		e.records[s] = r
	}
	return r
}

// Archived returns the last success of the server's archiver, as of the last scrape.
// Scrapes look it up from the first call on.
func (e *Engine) Archived() postgres.Archived {
	e.archived.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.Archived
}

// noteServer takes in what a scrape found of the server.
func (e *Engine) noteServer(session *postgres.Session, state postgres.State) {
	e.mu.Lock()
	e.facts, e.tls = session.Facts, session.TLS()
	e.mu.Unlock()
	if e.noteIdentity(session.Facts, state) {
		// Sessions kept from before are dead, and the next to use one would fail.
		e.server.CloseIdle(e.ctx, func(string) bool { return false })
	}
	// The folds have a lock of their own, which a long run may hold.
	e.forgetDatabases()
}

// noteIdentity reports whether the server has changed since the scrape before.
// Another server behind the same address, or another major, makes all that was
// kept worthless; a restart or a promotion makes it due.
func (e *Engine) noteIdentity(facts postgres.Facts, state postgres.State) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.identity
	now := identity{system: facts.SystemIdentifier, major: facts.Major, role: state.Role, start: state.StartTime}
	e.identity, e.state, e.maindb = now, state, facts.Database
	defer e.dropUnwatched()
	switch {
	case before == (identity{}) || before == now:
		return false
	case before.system != now.system || before.major != now.major:
		level.Warn(e.logger).Log("msg", "another server answers at this address", "server", e.server.Address(), "version", facts.Version)
		clear(e.records)
		clear(e.found)
		for _, u := range e.units {
			u.took = 0
			u.reset()
		}
	default:
		level.Info(e.logger).Log("msg", "server was restarted or changed its role", "server", e.server.Address(), "role", now.role, "started", now.start)
		for _, r := range e.records {
			r.began, r.held = time.Time{}, time.Time{}
		}
	}
	return true
}

// dropUnwatched forgets the records of databases that are gone or no longer to
// be watched; the caller holds the lock.
func (e *Engine) dropUnwatched() {
	watched := set(e.watched())
	for s, r := range e.records {
		if s.database != "" && !watched[s.database] {
			e.noteTook(s.unit, -r.cost)
			delete(e.records, s)
		}
	}
	for database := range e.found {
		if !watched[database] && database != e.maindb {
			delete(e.found, database)
		}
	}
}

// forgetDatabases drops what the folds keep of such databases, and idle sessions
// on them.
func (e *Engine) forgetDatabases() {
	e.mu.Lock()
	watched, maindb := set(e.watched()), e.maindb
	e.mu.Unlock()
	for _, u := range e.units {
		u.forget(func(db string) bool { return watched[db] })
	}
	e.server.CloseIdle(e.ctx, func(db string) bool { return db == maindb || watched[db] })
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// watched lists the databases PerDatabase collectors run in; the caller holds
// the lock.
func (e *Engine) watched() []string {
	var names []string
	for _, db := range e.state.Databases {
		if db.Connect && e.opt.Watch(db.Name) {
			names = append(names, db.Name)
		}
	}
	return names
}

// rhythm is how often a background collector runs: its Every, or more rarely
// where its share of the server's time would be too large, or that of all slow
// ones together. The caller holds the lock.
func (e *Engine) rhythm(u *unit) time.Duration {
	alone := e.alone(u)
	if u.slow() {
		return time.Duration(float64(alone) * max(1, e.stretch))
	}
	return alone
}

// alone is the rhythm of a collector if there were no others.
func (e *Engine) alone(u *unit) time.Duration {
	return max(u.c.Cost.Every, time.Duration(float64(u.took)/e.opt.Share))
}

// noteTook records what a run took and what that means for the rhythms. All slow
// collectors together take no more than one may. Their rhythms are stretched
// alike, so that what is due on one database stays due at one time and shares a
// session. The caller holds the lock.
func (e *Engine) noteTook(u *unit, more time.Duration) {
	u.took += more
	if !u.slow() {
		return
	}
	sum := 0.0
	for _, other := range e.units {
		if other.slow() && other.took > 0 {
			sum += float64(other.took) / float64(e.alone(other))
		}
	}
	e.stretch = sum / e.opt.Share
}
