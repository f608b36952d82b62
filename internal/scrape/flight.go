package scrape

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Selection says which collectors a scrape wants, by flag. Scrapes with one Key
// share a run. The zero Selection is all.
type Selection struct {
	Key  string
	Want func(flag string) bool
}

func (s Selection) wants(u *unit) bool { return s.Want == nil || s.Want(u.c.Flag()) }

// flight is one run, shared by the scrapes that overlap it. The engine's lock
// guards all but done and ctx.
type flight struct {
	sel      Selection
	ctx      context.Context
	cancel   context.CancelFunc
	deadline time.Time
	waiting  int
	done     chan struct{}

	decided bool // whether the server is up
	up      bool
	results map[*unit]*result
	planned map[*unit]bool // on-scrape collectors that were sent
}

// Scrape runs what is to be run and returns the page's families at the latest
// when ctx ends. ctx must have a deadline: the page's own.
func (e *Engine) Scrape(ctx context.Context, sel Selection) []page.Family {
	f := e.join(ctx, sel)
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	e.leave(f, errors.Is(ctx.Err(), context.DeadlineExceeded))
	return e.page(f)
}

// margin is the most by which a flight ends before its page.
const margin = 50 * time.Millisecond

// join returns the running flight for the selection, or a new one. Nil means
// that the engine is closed.
func (e *Engine) join(ctx context.Context, sel Selection) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Minute)
	}
	if f := e.flights[sel.Key]; f != nil && f.hasTime(deadline) {
		f.waiting++
		return f
	}
	f := &flight{
		sel: sel, waiting: 1, done: make(chan struct{}),
		results: map[*unit]*result{}, planned: map[*unit]bool{},
	}
	// The flight outlives the request that started it, for the others that wait,
	// and ends a little earlier than its page, so that the page tells what it ran
	// out of time for.
	f.deadline = deadline.Add(-min(margin, time.Until(deadline)/10))
	f.ctx, f.cancel = context.WithDeadline(e.ctx, f.deadline)
	e.flights[sel.Key] = f
	e.latest = time.Now()
	if e.flown++; e.flown == 1 {
		e.first = e.latest
	}
	e.wg.Go(func() {
		defer f.cancel()
		e.fly(f)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.flights[sel.Key] == f {
			delete(e.flights, sel.Key)
		}
		close(f.done)
	})
	return f
}

// hasTime reports whether a scrape with this deadline should join the flight. One
// past its own deadline only waits for the server to answer its cancel; one that
// has much less time than the scrape would cost it what it has time for.
func (f *flight) hasTime(deadline time.Time) bool {
	return f.ctx.Err() == nil && time.Until(f.deadline) >= time.Until(deadline)/2
}

// leave ends waiting; a flight that goes on and nobody waits for is cancelled.
func (e *Engine) leave(f *flight, atDeadline bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.waiting--
	select {
	case <-f.done:
	default:
		if atDeadline {
			e.late++
		}
		if f.waiting == 0 {
			f.cancel()
		}
	}
}

// fly is one run.
func (e *Engine) fly(f *flight) {
	// A server that does not answer is down when the flight's time is up, not when
	// the session is given up on: the page goes out between the two.
	stop := context.AfterFunc(f.ctx, func() { e.noteUp(f, f.ctx.Err()) })
	session, state, err := e.look(f.ctx)
	stop()
	e.noteUp(f, err)
	if err != nil {
		return
	}
	e.noteServer(session, state)
	started := e.refresh(f, session.Facts, state)
	e.runOnScrape(f, session, state)
	e.server.Release(f.ctx, session)
	for _, b := range started {
		select {
		case <-b.done:
		case <-f.ctx.Done():
			return
		}
	}
}

// look takes the lasting session and reads the server's state. A session that
// turns out to be dead, because the server was restarted, is replaced at once:
// the server is up, and this scrape should say so.
func (e *Engine) look(ctx context.Context) (*postgres.Session, postgres.State, error) {
	for attempt := 0; ; attempt++ {
		session, err := e.server.Main(ctx)
		if err != nil {
			return nil, postgres.State{}, err
		}
		state, err := session.Look(ctx, e.archived.Load())
		var unknown *postgres.DatabasesError
		if err == nil || errors.As(err, &unknown) {
			return session, e.noteDatabases(state, err), nil
		}
		broken := session.Broken()
		e.server.Release(ctx, session)
		if !broken || attempt > 0 || ctx.Err() != nil {
			return nil, postgres.State{}, err
		}
	}
}

// noteDatabases returns the state with the databases of the scrape before, where
// this one could not read them: pg_database may be locked.
func (e *Engine) noteDatabases(state postgres.State, unknown error) postgres.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	if unknown != nil {
		state.Databases = e.state.Databases
		if !e.blind {
			level.Warn(e.logger).Log("msg", "databases are those known before", "server", e.server.Address(), "err", unknown)
		}
	}
	e.blind = unknown != nil
	return state
}

// noteUp records, once a flight, whether the server answered. It counts why not,
// and logs when that changes. A flight that nobody waits for tells nothing.
func (e *Engine) noteUp(f *flight, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.decided || errors.Is(f.ctx.Err(), context.Canceled) {
		return
	}
	f.decided, f.up = true, err == nil
	e.down = err
	if err != nil {
		e.server.CountFailure(err)
	}
	switch {
	case f.up && !e.wasUp:
		level.Info(e.logger).Log("msg", "server is up", "server", e.server.Address())
	case !f.up && (e.wasUp || !e.told):
		level.Warn(e.logger).Log("msg", "server is down", "server", e.server.Address(), "reason", postgres.ConnectReason(err), "err", err)
	}
	e.wasUp, e.told = f.up, true
}

// onScrapeRun is a collector that was chosen for this flight.
type onScrapeRun struct {
	unit *unit
	plan *plan
}

// runOnScrape runs the collectors that belong to the scrape, in one pipeline.
func (e *Engine) runOnScrape(f *flight, session *postgres.Session, state postgres.State) {
	runs := e.chooseOnScrape(f, session.Facts, state)
	queries := make([]postgres.Query, len(runs))
	for i, r := range runs {
		queries[i] = postgres.Query{Name: r.unit.c.Name, SQL: r.plan.sql, Timeout: r.unit.c.Cost.Timeout}
	}
	run := spec.Run{Database: session.Database(), Role: state.Role, TLS: session.TLS()}
	// A lost session has been handed over as the failure of each collector.
	_ = session.Run(f.ctx, queries, func(i int, r postgres.Result) {
		run.Now = time.Now()
		res := e.finish(slot{unit: runs[i].unit}, runs[i].plan, run, r, r.Elapsed)
		if res != nil {
			e.mu.Lock()
			f.results[runs[i].unit] = res
			e.mu.Unlock()
		}
	})
}

// chooseOnScrape returns the collectors to run, those with equal timeouts side by
// side: each change of statement_timeout is a statement.
func (e *Engine) chooseOnScrape(f *flight, facts postgres.Facts, state postgres.State) []onScrapeRun {
	var runs []onScrapeRun
	for _, u := range e.units {
		if !u.onScrape() || !f.sel.wants(u) {
			continue
		}
		if p := e.choose(slot{unit: u}, facts, state.Role); p != nil {
			runs = append(runs, onScrapeRun{unit: u, plan: p})
		}
	}
	slices.SortStableFunc(runs, func(a, b onScrapeRun) int {
		return cmp.Compare(a.unit.c.Cost.Timeout, b.unit.c.Cost.Timeout)
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range runs {
		f.planned[r.unit] = true
	}
	return runs
}

// choose returns the slot's plan, or nil where it does not run: its needs are
// not met, or it rests after a failure that does not pass by itself.
func (e *Engine) choose(s slot, facts postgres.Facts, role spec.Role) *plan {
	p, skip, err := s.unit.plan(facts, role)
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record(s)
	switch {
	case err != nil:
		e.noteFailure(s, r, postgres.ReasonMismatch, err)
		return nil
	case skip != "":
		cure := s.unit.cure(skip, facts)
		if r.skip != skip {
			level.Debug(e.logger).Log("msg", "collector skipped", "server", e.server.Address(), "collector", s.unit.c.Name, "datname", s.database, "reason", string(skip), "cure", cure.does)
		}
		r.noteSkip(skip, cure)
		return nil
	case time.Now().Before(r.held):
		return nil
	}
	return p
}

// finish binds a run's rows and records what became of it, and what it cost the
// server with its share of the session. It returns nil where
// nothing can be shown.
func (e *Engine) finish(s slot, p *plan, run spec.Run, r postgres.Result, cost time.Duration) *result {
	var res *result
	var others map[string]*result
	err := r.Err
	rows, began := 0, time.Now()
	if err == nil {
		rows = r.Rows.Len()
		res, err = s.unit.bind(run, r.Rows, p, r.Dropped)
	}
	if err == nil {
		others, err = s.unit.refolded(run.Database)
	}
	binding := time.Since(began)
	e.mu.Lock()
	defer e.mu.Unlock()
	rec := e.record(s)
	e.noteTook(s.unit, cost-rec.cost)
	rec.duration, rec.cost, rec.missing = r.Elapsed, cost, len(r.Dropped)
	rec.rows, rec.binding = rows, binding
	if err != nil {
		e.noteFailure(s, rec, postgres.QueryReason(err), err)
		e.dropWithdrawn(s.unit)
		return nil
	}
	if rec.reason != "" {
		level.Info(e.logger).Log("msg", "collector works again", "server", e.server.Address(), "collector", s.unit.c.Name, "datname", s.database)
	}
	rec.noteSuccess(res)
	for database, other := range others {
		if known := e.records[slot{unit: s.unit, database: database}]; known != nil && known.good != nil {
			known.publish(other)
		}
	}
	return res
}

// dropWithdrawn forgets the results of a unit that were to be replaced by those of
// a run that came to nothing; the caller holds the lock.
func (e *Engine) dropWithdrawn(u *unit) {
	for s, r := range e.records {
		if s.unit == u && r.good != nil && r.good.isWithdrawn() {
			r.good = nil
		}
	}
}

// noteFailure counts a failure and logs it, once until it changes; the caller
// holds the lock.
func (e *Engine) noteFailure(s slot, r *record, reason postgres.Reason, err error) {
	if r.reason != reason {
		level.Warn(e.logger).Log("msg", "collector failed", "server", e.server.Address(), "collector", s.unit.c.Name, "datname", s.database, "reason", string(reason), "err", err)
	}
	e.failures[tally{s.unit.c.Name, reason}]++
	r.noteFailure(time.Now(), reason, err)
}
