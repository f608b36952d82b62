package scrape

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// batch is what is due on one database: one session, one pipeline.
type batch struct {
	database string
	role     spec.Role
	units    []*unit
	done     chan struct{}
}

// lane is a queue of batches and how many goroutines work on it. The first lane
// has the maintenance database and its kept session; the second, where the
// budget allows one, goes round the other databases.
type lane struct {
	queue   []*batch
	workers int
}

// jitter is by how much a scrape may come early and still find a result due:
// scrapes are not exact, and a collector as often as the scrape must not run
// every other time.
const jitter = 0.1

// refresh starts what is due and returns the batches the flight should wait
// for: those with something that has nothing to show yet.
func (e *Engine) refresh(f *flight, facts postgres.Facts, state postgres.State) []*batch {
	now := time.Now()
	batches := map[string]*batch{}
	var order, wait []*batch
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	for _, s := range e.background(f.sel) {
		r := e.record(s)
		if !e.due(s, r, now, state.Role) {
			continue
		}
		name := s.database
		if name == "" {
			name = e.place(s.unit, facts)
		}
		b := batches[name]
		if b == nil {
			b = &batch{database: name, role: state.Role, done: make(chan struct{})}
			batches[name] = b
			order = append(order, b)
		}
		b.units = append(b.units, s.unit)
		r.running, r.began = true, now
		if !e.fresh(s.unit, r, now) && !slices.Contains(wait, b) {
			wait = append(wait, b)
		}
	}
	for _, b := range order {
		e.enqueue(b)
	}
	return wait
}

// background lists the slots of the selection that do not run with the scrape;
// the caller holds the lock.
func (e *Engine) background(sel Selection) []slot {
	var slots []slot
	watched := e.watched()
	for _, u := range e.units {
		switch {
		case u.onScrape() || !sel.wants(u):
		case u.c.Scope == spec.PerServer:
			slots = append(slots, slot{unit: u})
		default:
			for _, db := range watched {
				slots = append(slots, slot{unit: u, database: db})
			}
		}
	}
	return slots
}

// due reports whether a slot is to be run now; the caller holds the lock.
func (e *Engine) due(s slot, r *record, now time.Time, role spec.Role) bool {
	if need := s.unit.c.Needs.Role; need != spec.AnyRole && need != role {
		// Known without a session; the others need its facts.
		r.noteSkip(SkipRole, cure{})
		return false
	}
	if r.running || now.Before(r.held) {
		return false
	}
	rhythm := e.rhythm(s.unit)
	return now.Sub(r.began) >= time.Duration(float64(rhythm)*(1-jitter))
}

// fresh reports whether a background result may be shown; the caller holds the
// lock.
func (e *Engine) fresh(u *unit, r *record, now time.Time) bool {
	return r.good != nil && now.Sub(r.last) <= ageLimit*e.rhythm(u)
}

// mostWorkers is how many databases are read at once, however many sessions may be
// kept: more would only make the server's cores wait for each other.
const mostWorkers = 2

// enqueue gives a batch to its lane; the caller holds the lock.
func (e *Engine) enqueue(b *batch) {
	budget := e.server.MaxSessions()
	l, workers := &e.lanes[0], 1
	if b.database != e.maindb && budget > postgres.MinSessions {
		l, workers = &e.lanes[1], min(budget-postgres.MinSessions, mostWorkers)
	}
	l.queue = append(l.queue, b)
	if l.workers < workers {
		l.workers++
		e.wg.Go(func() { e.work(l) })
	}
}

// work runs the batches of a lane until there is none.
func (e *Engine) work(l *lane) {
	for {
		e.mu.Lock()
		if len(l.queue) == 0 || e.closed {
			l.workers--
			e.mu.Unlock()
			return
		}
		b := l.queue[0]
		l.queue = l.queue[1:]
		e.mu.Unlock()
		e.runBatch(b)
		close(b.done)
	}
}

// runBatch reads one database.
func (e *Engine) runBatch(b *batch) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(e.ctx, b.patience())
	defer cancel()
	session, err := e.server.Borrow(ctx, b.database)
	if err != nil {
		e.noteUnread(b, err)
		return
	}
	e.noteExtensions(b.database, session.Facts.Extensions)
	units, plans, queries := e.compose(b, session.Facts)
	run := spec.Run{Database: b.database, Role: b.role, TLS: session.TLS()}
	// A lost session has been handed over as the failure of each collector.
	var share time.Duration // of what opening the session and preparing took
	_ = session.Run(ctx, queries, func(i int, r postgres.Result) {
		run.Now = time.Now()
		if i == 0 {
			share = (run.Now.Sub(began) - r.Elapsed) / time.Duration(len(units))
		}
		e.finish(b.slot(units[i]), plans[i], run, r, r.Elapsed+share)
		e.stopped(b.slot(units[i]))
	})
	if session.Broken() {
		e.dueAgain(b, units)
	}
	e.server.Return(ctx, session, e.keeps(b.database))
}

// compose returns the batch's collectors that have something to send, and what.
func (e *Engine) compose(b *batch, facts postgres.Facts) (units []*unit, plans []*plan, queries []postgres.Query) {
	for _, u := range b.units {
		p := e.choose(b.slot(u), facts, b.role)
		if p == nil {
			e.searchOn(b.slot(u))
			e.stopped(b.slot(u))
			continue
		}
		q := postgres.Query{Name: u.c.Name, SQL: p.sql, Timeout: u.c.Cost.Timeout}
		if u.follow != nil {
			if q.Param = u.ask(b.database, time.Now()); len(q.Param) == 0 {
				e.nothingToAsk(b, u)
				e.stopped(b.slot(u))
				continue
			}
		}
		units, plans, queries = append(units, u), append(plans, p), append(queries, q)
	}
	return units, plans, queries
}

// nothingToAsk publishes what a following collector has. While that is nothing,
// because the one it follows has yet to run, it is due again at once.
func (e *Engine) nothingToAsk(b *batch, u *unit) {
	res, err := u.answered(b.database, time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	s := b.slot(u)
	r := e.record(s)
	if err != nil {
		e.noteFailure(s, r, postgres.QueryReason(err), err)
		return
	}
	r.noteSuccess(res)
	if res.samples == 0 {
		r.began = time.Time{}
	}
}

// patience is how long a batch may take at most: every statement its timeout,
// and the session its opening. Only a server that does not answer takes so long.
func (b *batch) patience() time.Duration {
	sum := postgres.DefaultConnectTimeout
	for _, u := range b.units {
		sum += u.c.Cost.Timeout
	}
	return sum
}

// slot is that of one of the batch's collectors.
func (b *batch) slot(u *unit) slot {
	if u.c.Scope == spec.PerServer {
		return slot{unit: u}
	}
	return slot{unit: u, database: b.database}
}

// keeps reports whether a session on the database stays open after use: always
// on the maintenance database, and on all when the budget has a session for each.
func (e *Engine) keeps(database string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return database == e.maindb || len(e.state.Databases)+1 <= e.server.MaxSessions()
}

// dueAgain makes collectors that failed with their session due in the next
// scrape: a kept session may have been ended long before they came to use it.
func (e *Engine) dueAgain(b *batch, units []*unit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range units {
		if r := e.record(b.slot(u)); r.reason == postgres.ReasonConnection {
			r.began = time.Time{}
		}
	}
}

// stopped ends the run of a slot.
func (e *Engine) stopped(s slot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record(s).running = false
}

// retryConnect is how long a database that could not be connected to rests.
const retryConnect = time.Minute

// noteUnread records that a batch had no session. For want of budget, or at the
// end, that is no failure: the next scrape finds it due.
func (e *Engine) noteUnread(b *batch, err error) {
	if !errors.Is(err, postgres.ErrBudget) {
		e.noteExtensions(b.database, nil)
	}
	postponed := errors.Is(err, postgres.ErrBudget) || errors.Is(err, postgres.ErrClosed) || e.ctx.Err() != nil
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range b.units {
		s := b.slot(u)
		r := e.record(s)
		r.running = false
		if postponed {
			r.began = time.Time{}
			continue
		}
		e.noteFailure(s, r, postgres.ReasonConnection, err)
		r.held = time.Now().Add(min(retryConnect, u.c.Cost.Every))
	}
}
