package scrape

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// unit is a collector on one target, with what it keeps there between runs. mu
// guards what is kept: two databases may be read at once.
type unit struct {
	c     spec.Collector
	heads []page.Family // of the metrics, without columns
	limit int           // label sets a Fold shows; 0 is all
	most  int           // series a run may give; 0 is as declared
	of    *unit         // that it follows, nil where that is off
	alone bool          // it is tried without the one it follows

	// took is what the last runs took, over all databases. The engine's lock
	// guards it.
	took time.Duration

	mu      sync.Mutex
	emitter spec.Emitter
	fold    *fold
	follow  *follow
	made    uint64 // results
	plans   map[spec.Env]*plan
}

func newUnit(c spec.Collector, limit int) *unit {
	u := &unit{c: c, limit: limit}
	for _, m := range c.Metrics {
		u.heads = append(u.heads, page.Family{Name: c.FullName(m.Name), Help: m.Help, Type: m.Type})
	}
	u.reset()
	return u
}

// reset forgets what was kept: the target is another server now.
func (u *unit) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.plans = map[spec.Env]*plan{}
	if u.c.Emit != nil {
		u.emitter = u.c.Emit()
	}
	if u.c.Fold != nil {
		u.fold = newFold(u.c, u.limit)
	}
	if u.c.Follow != nil {
		u.follow = newFollow(u.c, u.of)
	}
}

// maxSeries is the most samples a run may give. Who asks for more label sets of a
// Fold than declared has asked for their series too.
func (u *unit) maxSeries() int {
	switch {
	case u.most > 0:
		return u.most
	case u.fold == nil:
		return u.c.Cost.MaxSeries
	case u.limit <= 0:
		return math.MaxInt
	}
	return max(u.c.Cost.MaxSeries, (u.limit+1)*len(u.c.Metrics))
}

// onScrape reports whether the collector runs with the scrape.
func (u *unit) onScrape() bool { return u.c.Cost.Every == 0 }

// database is under which name the unit keeps what it has of a database: what
// belongs to the server may be read from one today and from another tomorrow.
func (u *unit) database(name string) string {
	if u.c.Scope == spec.PerServer {
		return ""
	}
	return name
}

// next numbers the results; the caller holds the unit's lock.
func (u *unit) next() uint64 {
	u.made++
	return u.made
}

// ask returns what a following unit should ask a database for.
func (u *unit) ask(database string, now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.follow.ask(u.database(database), now)
}

// answered returns the result of a following unit that had nothing to ask.
func (u *unit) answered(database string, now time.Time) (*result, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &result{at: now, made: u.next()}
	if err := u.follow.show(u.database(database), r); err != nil {
		return nil, err
	}
	return r, r.check(u.maxSeries())
}

// slow reports whether the collector's rhythm is one of minutes, which may as well
// be longer.
func (u *unit) slow() bool { return u.c.Cost.Every >= time.Minute }

// slot is one collector on one database; the database is "" for a collector
// that runs once a server.
type slot struct {
	unit     *unit
	database string
}

// record is what is known of a slot. The engine's lock guards it.
type record struct {
	skip     Skip            // why the last attempt did not run
	cure     cure            // what can be done about that
	reason   postgres.Reason // why the last run failed; "" if it did not
	fault    string          // the text of the last failure, also when runs are good again
	failed   time.Time       // when that was
	ran      bool            // there has been a run
	rows     int             // of the last run that was answered
	duration time.Duration   // of the last run, on the server and the wire
	binding  time.Duration   // that its rows took here
	cost     time.Duration   // of the last run, with its share of opening the session and preparing
	missing  int             // columns this server lacks
	running  bool
	began    time.Time // when the last run was started
	last     time.Time // when the last good run ended
	held     time.Time // no run before this, whatever the rhythm says
	good     *result   // of the last good run
}

// holdOff is how long a collector rests after a failure that will not pass by
// itself: each try would be one more line in the server's log.
const holdOff = time.Hour

// noteFailure records a failed run.
func (r *record) noteFailure(now time.Time, reason postgres.Reason, err error) {
	r.ran, r.reason, r.skip, r.cure = true, reason, "", cure{}
	r.fault, r.failed = postgres.Cause(err), now
	switch reason {
	case postgres.ReasonPermission, postgres.ReasonUndefined, postgres.ReasonMismatch:
		r.held = now.Add(holdOff)
	}
}

// noteSuccess records a good run.
func (r *record) noteSuccess(res *result) {
	r.ran, r.reason, r.skip, r.cure = true, "", "", cure{}
	r.last = res.at
	r.publish(res)
	r.held = time.Time{}
}

// publish puts a result in the place of an older one. Of two databases that are
// read at once, one may have been told already what the other's run changed.
func (r *record) publish(res *result) {
	if r.good == nil || r.good.made < res.made {
		r.good = res
	}
}

// noteSkip records that the collector does not run on this server now. What an
// earlier run showed is no longer true.
func (r *record) noteSkip(s Skip, c cure) {
	r.skip, r.cure, r.reason, r.ran, r.good = s, c, "", false, nil
}

// Probe returns what the collectors need looked up when a session opens, for
// postgres.Config.
func Probe(collectors []spec.Collector) postgres.Probe {
	var p postgres.Probe
	for _, c := range collectors {
		p.Functions = append(p.Functions, c.Needs.Execute...)
		p.Relations = append(p.Relations, c.Needs.Select...)
		if c.Needs.Member != "" {
			p.Roles = append(p.Roles, c.Needs.Member)
		}
		if c.Needs.Setting != "" {
			p.Settings = append(p.Settings, c.Needs.Setting)
		}
	}
	for _, list := range []*[]string{&p.Functions, &p.Relations, &p.Roles, &p.Settings} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return p
}

// forget drops what is kept of databases that are no longer watched.
func (u *unit) forget(watched func(string) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fold != nil {
		u.fold.forget(watched)
	}
	if u.follow != nil {
		u.follow.forget(watched)
	}
}
