// Package pgbouncer reads a pooler by its admin console: one session that lasts,
// SHOW commands and nothing else, and rows that are bound by the names of their
// columns.
//
// SHOW FDS is never sent: it shows the secrets of clients, and while it is answered
// the pooler does nothing else. A user of stats_users may send all the rest.
package pgbouncer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// Database is the name under which the console is reached.
const Database = "pgbouncer"

// alive is what each reading begins with: the console alone understands it.
const alive = "SHOW VERSION"

// Console is the admin console of one pooler.
type Console struct {
	config     postgres.Config
	collectors []spec.Collector
	turn       chan struct{}   // holds one token: the right to use session
	session    *postgres.Plain // nil while there is none

	mu     sync.Mutex
	closed bool
	opened uint64
}

// New returns a console that is not connected yet, and asks for what the collectors
// want. A way in that cannot work is told by Read: a file of certificates that is
// gone must not cost the page of the server that the pooler is shown on.
func New(config postgres.Config, collectors []spec.Collector) *Console {
	if config.Database == "" {
		config.Database = Database
	}
	c := &Console{config: config, collectors: collectors, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Address returns where the pooler is, without user or password.
func (c *Console) Address() string { return c.config.Address() }

// Opened counts the sessions ever opened.
func (c *Console) Opened() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// Read asks for everything in one session and returns a reading for each collector.
// The error says that the pooler did not answer, and that there are none.
func (c *Console) Read(ctx context.Context) ([]spec.Reading, error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the session: %w", context.Cause(ctx))
	}
	defer func() { c.turn <- struct{}{} }()
	version, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	answers := map[string]answer{alive: version}
	readings := make([]spec.Reading, len(c.collectors))
	for i, collector := range c.collectors {
		command := collector.Queries[0].SQL
		a, asked := answers[command]
		if !asked {
			a = c.ask(ctx, command)
			answers[command] = a
		}
		readings[i] = a.reading(collector)
	}
	if c.session.Broken() {
		c.hangUp(ctx)
	}
	return readings, nil
}

// look makes sure that there is a session and that it answers. One that turns out
// to be dead, because the pooler was restarted, is replaced at once: the pooler is
// up, and this reading should say so.
func (c *Console) look(ctx context.Context) (answer, error) {
	for {
		lasting := c.session != nil
		if err := c.open(ctx); err != nil {
			return answer{}, err
		}
		a := c.ask(ctx, alive)
		if a.err == nil {
			return a, nil
		}
		again := lasting && c.session.Broken() && ctx.Err() == nil
		if !c.session.Broken() {
			a.err = &NoConsoleError{Database: c.session.Database(), cause: a.err}
		}
		c.hangUp(ctx)
		if !again {
			return answer{}, a.err
		}
	}
}

// open connects if there is no session.
func (c *Console) open(ctx context.Context) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return postgres.ErrClosed
	case c.session != nil:
		return nil
	}
	session, err := c.config.DialPlain(ctx)
	if err != nil {
		return refused(err)
	}
	c.session = session
	c.mu.Lock()
	c.opened++
	c.mu.Unlock()
	return nil
}

// hangUp closes the session; its caller has the turn.
func (c *Console) hangUp(ctx context.Context) {
	if c.session != nil {
		c.session.Close(ctx)
		c.session = nil
	}
}

func (c *Console) ask(ctx context.Context, command string) answer {
	began := time.Now()
	table, err := c.session.Ask(ctx, command)
	now := time.Now()
	return answer{table: table, at: now, elapsed: now.Sub(began), err: err}
}

// Close ends the session once it is not in use, or when ctx ends.
func (c *Console) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case <-c.turn:
		c.hangUp(ctx)
		c.turn <- struct{}{}
	case <-ctx.Done():
	}
}
