// Package explain shows how PostgreSQL would execute a statement that
// pg_stat_statements knows, without executing it: the plan, what the statement has
// cost, the state of the tables it reads, and what stands out in all of that.
//
// The server parses the text by itself, which takes exactly one statement, in a
// transaction that is read-only and rolled back, and EXPLAIN is told the name of what
// was parsed: no text of ours is put around one of theirs. What planning itself
// evaluates, constant calls of functions among them, it evaluates with the rights of
// our role; see docs/explain.md.
package explain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pgvigil/pgvigil/internal/postgres"
)

// Request says what is to be explained.
type Request struct {
	// QueryID is the entry's, as pg_stat_statements writes it.
	QueryID string
	// Database and User choose among entries of one queryid; empty is any.
	Database, User string
	// SearchPath is that of the statement; empty is what its user has in its database.
	SearchPath string
	// Types are names of the types of parameters, where they cannot be inferred.
	Types map[int]string
}

// Options say how.
type Options struct {
	// LargeTable is from how many bytes on a sequential scan is pointed out; 0 is
	// DefaultLargeTable.
	LargeTable int64
	// Superuser says that our role may be one.
	Superuser bool
	// Watch decides which databases may be connected to; nil is all.
	Watch func(database string) bool
}

// DefaultLargeTable is what is read within tens of milliseconds.
const DefaultLargeTable = 8 << 20

// The statement_timeout of our own statements, and of each step of planning.
const (
	lookTimeout = 10 * time.Second // pg_stat_statements(true) reads the texts of all
	planTimeout = 5 * time.Second
)

// Explain returns what there is to say about a statement, or a Refusal. It lends one
// session at a time of the server's budget, and waits for it until ctx ends.
func Explain(ctx context.Context, server *postgres.Server, req Request, opt Options) (*Report, error) {
	if opt.LargeTable == 0 {
		opt.LargeTable = DefaultLargeTable
	}
	if _, err := strconv.ParseInt(req.QueryID, 10, 64); err != nil {
		return nil, refuse(ReasonRequest, "this is no queryid: write the number that pg_stat_statements shows", "")
	}
	e := &explainer{server: server, req: req, opt: opt}
	report, err := e.explain(ctx)
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) {
		return report, err
	}
	return nil, unexpected(err)
}

// explainer is one call of Explain.
type explainer struct {
	server *postgres.Server
	req    Request
	opt    Options
}

func (e *explainer) explain(ctx context.Context) (*Report, error) {
	entry, err := e.find(ctx)
	if err != nil {
		return nil, err
	}
	st, err := examine(entry.query)
	if err != nil {
		return nil, err
	}
	if !e.watched(entry.Database) {
		return nil, refuse(ReasonPrivilege, "the database of the statement is not one of those that are watched", "--databases.include and --databases.exclude, or the target's own, choose them.")
	}
	session, err := e.borrow(ctx, entry.Database)
	if err != nil {
		return nil, err
	}
	// What planning has evaluated may have left something behind.
	defer e.server.Return(ctx, session, false)
	if err := e.allowed(ctx, session); err != nil {
		return nil, err
	}
	p := &planning{session: session, entry: entry, statement: st}
	if err := p.prepare(ctx, e.req); err != nil {
		return nil, err
	}
	plan, err := p.plan(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := tablesOf(ctx, session, plan)
	if err != nil {
		p.notes = append(p.notes, "What there is to know of the tables is not here: "+err.Error()+".")
	}
	r := &Report{Entry: entry, Query: st.sql, Parameters: p.parameters, Plan: plan, Tables: tables, SearchPath: p.searchPath(), Settings: plan.settings(), Notes: p.notes}
	r.Remarks = remarks(r, e.opt.LargeTable, p.memory())
	return r, nil
}

// budgetWait is how long to wait before the next try to have a session.
const budgetWait = 100 * time.Millisecond

// borrow lends a session on a database; "" is the server's own.
func (e *explainer) borrow(ctx context.Context, database string) (*postgres.Session, error) {
	for {
		session, err := e.server.Borrow(ctx, database)
		if !errors.Is(err, postgres.ErrBudget) {
			return session, err
		}
		select {
		case <-ctx.Done():
			return nil, refuse(ReasonBusy, err.Error(), "Try again, or raise --sessions.max.")
		case <-time.After(budgetWait):
		}
	}
}

// ask runs one query and hands over its rows.
func ask(ctx context.Context, session *postgres.Session, name, sql string, param []string, read func(rows)) error {
	query := postgres.Query{Name: "explain " + name, SQL: sql, Timeout: lookTimeout, Param: param}
	var failed error
	lost := session.Run(ctx, []postgres.Query{query}, func(_ int, r postgres.Result) {
		if failed = r.Err; failed == nil {
			read(rows{r.Rows})
		}
	})
	if failed == nil {
		failed = lost
	}
	if failed != nil {
		return fmt.Errorf("look up %s: %w", name, failed)
	}
	return nil
}
