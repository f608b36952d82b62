// Package postgres is a PostgreSQL server as pgvigil sees it: a few sessions
// within a budget, facts about the server, queries that run in bounded time, and
// reasons why they did not. It is the only package that speaks to pgx, so what is
// no server and speaks PostgreSQL's protocol is reached through it too: see Plain.
//
// A server has one lasting session on its maintenance database, which runs what
// belongs to a scrape, and at most MaxSessions-1 more, lent by Borrow, for other
// databases and slow work. Because the first one lasts, a server whose
// connections are exhausted is still watched.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Server is one PostgreSQL server and the sessions open on it.
type Server struct {
	config Config
	turn   chan struct{} // holds one token: the right to use main
	main   *Session      // owned by who holds the token

	mu     sync.Mutex
	lent   int        // sessions lent, or being opened to be lent
	idle   []*Session // that may be lent, longest idle first
	closed bool
	stats  Stats
}

// Stats counts what a server's sessions have done since the exporter started.
type Stats struct {
	// Open is the number of sessions open now, Limit their budget.
	Open, Limit int
	// Opened counts the sessions ever opened, Refused the wishes for one that
	// the budget did not allow.
	Opened, Refused uint64
	// Queries counts statements sent; Busy is the time spent waiting for them.
	Queries uint64
	Busy    time.Duration
	// Connect is how long the newest session took to open, set up included.
	Connect time.Duration
	// ConnectFailures counts connects that failed, and sessions that were there
	// and did not answer, by reason.
	ConnectFailures map[Reason]uint64
}

// ErrBudget says that every session of the budget is in use.
var ErrBudget = errors.New("all sessions of the budget are in use")

// ErrClosed says that the server is no longer watched.
var ErrClosed = errors.New("the server is no longer watched")

// New returns a server that is not connected yet. It fails only on a Config
// that could never work.
func New(config Config) (*Server, error) {
	if config.MaxSessions == 0 {
		config.MaxSessions = DefaultSessions
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = DefaultConnectTimeout
	}
	if config.MaxAge == 0 {
		config.MaxAge = DefaultMaxAge
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{config: config, turn: make(chan struct{}, 1)}
	s.stats.ConnectFailures = map[Reason]uint64{}
	s.turn <- struct{}{}
	return s, nil
}

// Main lends the lasting session, opening it if there is none. It waits for
// whoever has it. Every session that is lent must be given back by Release.
func (s *Server) Main(ctx context.Context) (*Session, error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the session: %w", context.Cause(ctx))
	}
	if s.isClosed() {
		s.turn <- struct{}{}
		return nil, ErrClosed
	}
	if s.main != nil && s.main.Broken() {
		s.main.close(ctx)
		s.setMain(nil)
	}
	if s.main == nil {
		opened, err := s.open(ctx, "")
		if err != nil {
			s.turn <- struct{}{}
			return nil, err
		}
		s.setMain(opened)
	} else if time.Since(s.main.opened) > s.config.MaxAge {
		s.renewMain(ctx)
	}
	return s.main, nil
}

// renewMain replaces a session that has grown old, since a backend's memory
// grows with all it has ever seen. The old one stays until the new one is there
// and within the budget: on an exhausted server it is all we have.
func (s *Server) renewMain(ctx context.Context) {
	s.mu.Lock()
	free := s.lent+len(s.idle) < s.config.MaxSessions-1
	if free {
		s.lent++
	}
	s.mu.Unlock()
	if !free {
		return
	}
	fresh, err := s.open(ctx, "")
	s.mu.Lock()
	s.lent--
	s.mu.Unlock()
	if err == nil {
		s.main.close(ctx)
		s.setMain(fresh)
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// setMain changes the lasting session; its caller has the turn.
func (s *Server) setMain(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.main = session
}

// Borrow lends a session on the given database, from those that are idle or
// newly opened. It fails with ErrBudget rather than wait: the work can be done
// at a later time. The longest idle session of another database gives way.
func (s *Server) Borrow(ctx context.Context, database string) (*Session, error) {
	session, evicted, err := s.reserve(database)
	if evicted != nil {
		evicted.close(ctx)
	}
	if session != nil || err != nil {
		return session, err
	}
	session, err = s.open(ctx, database)
	if err != nil {
		s.mu.Lock()
		s.lent--
		s.mu.Unlock()
		return nil, err
	}
	return session, nil
}

// reserve takes an idle session, or the right to open one, for which another
// may have to be closed first.
func (s *Server) reserve(database string) (session, evicted *Session, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	for i, candidate := range s.idle {
		if candidate.database == database {
			s.idle = append(s.idle[:i:i], s.idle[i+1:]...)
			s.lent++
			if !candidate.Broken() && time.Since(candidate.opened) <= s.config.MaxAge {
				return candidate, nil, nil
			}
			return nil, candidate, nil
		}
	}
	if s.lent+len(s.idle) < s.config.MaxSessions-1 {
		s.lent++
		return nil, nil, nil
	}
	if len(s.idle) > 0 {
		evicted = s.idle[0]
		s.idle = s.idle[1:]
		s.lent++
		return nil, evicted, nil
	}
	s.stats.Refused++
	return nil, nil, ErrBudget
}

// Release takes back a session that was lent by Main.
func (s *Server) Release(ctx context.Context, session *Session) {
	if session.Broken() {
		session.close(ctx)
		s.setMain(nil)
	}
	s.turn <- struct{}{}
}

// Return takes back a session that was lent by Borrow, and keeps it open if
// keep says so: an open session spares the next connect, but stands in the way
// of DROP DATABASE.
func (s *Server) Return(ctx context.Context, session *Session, keep bool) {
	s.mu.Lock()
	keep = keep && !s.closed && !session.Broken()
	if keep {
		s.lent--
		s.idle = append(s.idle, session)
	}
	s.mu.Unlock()
	if !keep {
		s.end(ctx, session)
	}
}

// end closes a session that counts as lent, and counts it until the server has
// ended it: the next must not be opened beside it.
func (s *Server) end(ctx context.Context, session *Session) {
	session.close(ctx)
	s.mu.Lock()
	s.lent--
	s.mu.Unlock()
}

// CloseIdle closes the idle sessions on databases that wanted does not want.
func (s *Server) CloseIdle(ctx context.Context, wanted func(database string) bool) {
	s.mu.Lock()
	var kept, unwanted []*Session
	for _, session := range s.idle {
		if wanted(session.database) && !session.Broken() {
			kept = append(kept, session)
		} else {
			unwanted = append(unwanted, session)
		}
	}
	s.idle = kept
	s.lent += len(unwanted)
	s.mu.Unlock()
	for _, session := range unwanted {
		s.end(ctx, session)
	}
}

// open connects and counts; see CountFailure for the lasting session.
func (s *Server) open(ctx context.Context, database string) (*Session, error) {
	began := time.Now()
	session, err := s.connect(ctx, database, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if database != "" {
			s.stats.ConnectFailures[ConnectReason(err)]++
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.stats.Connect = time.Since(began)
	s.stats.Opened++
	return session, nil
}

// CountFailure counts, among the connects that failed, that the lasting session
// could not be had or did not answer. Main leaves that to its caller, who may know
// before Main returns.
func (s *Server) CountFailure(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.ConnectFailures[ConnectReason(err)]++
}

func (s *Server) count(queries int, busy time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Queries += uint64(queries)
	s.stats.Busy += busy
}

// Stats returns a copy of the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Limit = s.config.MaxSessions
	stats.Open = s.lent + len(s.idle)
	if s.main != nil {
		stats.Open++
	}
	stats.ConnectFailures = map[Reason]uint64{}
	for reason, n := range s.stats.ConnectFailures {
		stats.ConnectFailures[reason] = n
	}
	return stats
}

// MaxSessions is the budget of sessions.
func (s *Server) MaxSessions() int { return s.config.MaxSessions }

// Address returns where the server is, without user or password.
func (s *Server) Address() string { return s.config.Address() }

// Close ends every session that is idle, and the lasting one once it is given
// back or ctx ends. Sessions still lent are closed when they are returned.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.CloseIdle(ctx, func(string) bool { return false })
	select {
	case <-s.turn:
		if s.main != nil {
			s.main.close(ctx)
			s.setMain(nil)
		}
		s.turn <- struct{}{}
	case <-ctx.Done():
	}
}
