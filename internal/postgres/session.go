package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Session is one connection to one database, for one user at a time.
type Session struct {
	// Facts are what was looked up when the session opened; State at each Look.
	Facts Facts

	conn     *pgconn.PgConn
	database string
	opened   time.Time
	timeout  time.Duration // the statement_timeout in force
	next     int           // number of the next prepared statement
	texts    map[text]*statement
	count    func(queries int, busy time.Duration)
}

// statement is a prepared text.
type statement struct {
	description *pgconn.StatementDescription
	columns     []spec.Column
	dropped     []string
	rows        *spec.Rows
	err         error
}

// Database is the database the session is connected to.
func (s *Session) Database() string { return s.database }

// TLS is what the session's handshake agreed on, nil where it has no encryption.
func (s *Session) TLS() *spec.TLS {
	conn, ok := s.conn.Conn().(*tls.Conn)
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	agreed := &spec.TLS{
		Version: strings.Replace(tls.VersionName(state.Version), " ", "v", 1),
		Cipher:  tls.CipherSuiteName(state.CipherSuite),
	}
	if certs := state.PeerCertificates; len(certs) > 0 {
		agreed.NotAfter = certs[0].NotAfter
	}
	return agreed
}

// Broken reports whether the connection is gone.
func (s *Session) Broken() bool { return s.conn.IsClosed() }

// binaryFormat asks for every column in binary form: a double precision is 8 bytes
// and costs the server no conversion to decimal, a text is the same in both.
var binaryFormat = []int16{1}

// Run sends the queries in one pipeline, each in a transaction of its own, and
// hands over each result as it comes, in order, exactly once. A query that fails
// costs only itself. The error says that the session is lost; what it had not
// answered yet has been handed over as failed with that error.
//
// When ctx ends, the running query is cancelled on the server; a session that
// does not answer to that within cancelGrace is closed.
func (s *Session) Run(ctx context.Context, queries []Query, each func(i int, r Result)) error {
	if err := s.prepare(ctx, queries); err != nil {
		for i := range queries {
			each(i, Result{Err: err})
		}
		return err
	}
	p := s.conn.StartPipeline(ctx)
	sent := s.send(p, queries)
	err := s.receive(p, sent, each)
	if err = errors.Join(err, closePipeline(p, s.conn)); err != nil {
		return fmt.Errorf("run queries: %w", err)
	}
	return nil
}

// step is one request in the pipeline: a query, or a change of statement_timeout.
type step struct {
	query     int // -1: a change of timeout
	statement *statement
	timeout   time.Duration
}

// send writes the requests, with a sync after each.
func (s *Session) send(p *pgconn.Pipeline, queries []Query) []step {
	sent := make([]step, 0, len(queries)+4)
	timeout := s.timeout
	for i, q := range queries {
		st := s.texts[text{q.Name, q.SQL}]
		if st.err == nil {
			if q.Timeout != timeout {
				timeout = q.Timeout
				p.SendQueryParams(fmt.Sprintf("SET statement_timeout = %d", timeout.Milliseconds()), nil, nil, nil, nil)
				p.SendPipelineSync()
				sent = append(sent, step{query: -1, timeout: timeout})
			}
			p.SendQueryStatement(st.description, q.params(), nil, binaryFormat)
			p.SendPipelineSync()
		}
		sent = append(sent, step{query: i, statement: st})
	}
	// Flush reports a broken connection, and so will the first read.
	_ = p.Flush()
	return sent
}

// receive reads the answers to sent. The error says that the session was lost.
func (s *Session) receive(p *pgconn.Pipeline, sent []step, each func(int, Result)) (lost error) {
	var busy time.Duration
	queries := 0
	last := time.Now()
	for _, st := range sent {
		var r Result
		switch {
		case st.statement != nil && st.statement.err != nil:
			r.Err = st.statement.err
			queries-- // it was not sent
		case lost != nil:
			r.Err = lost
		default:
			r.Rows, r.Err = s.answer(p, st.statement)
			if r.Err != nil && s.conn.IsClosed() {
				lost = r.Err
			}
		}
		now := time.Now()
		if st.statement == nil {
			if r.Err == nil {
				s.timeout = st.timeout
			}
			last = now
			continue
		}
		r.Elapsed, r.Dropped = now.Sub(last), st.statement.dropped
		busy += r.Elapsed
		queries++
		s.forgetStale(st.statement, r.Err)
		each(st.query, r)
		// What each does with the rows is not the server's time.
		last = time.Now()
	}
	s.count(queries, busy)
	return lost
}

// answer reads one result and its sync; without a statement there are no rows.
func (s *Session) answer(p *pgconn.Pipeline, st *statement) (*spec.Rows, error) {
	var rows *spec.Rows
	res, err := p.GetResults()
	if reader, ok := res.(*pgconn.ResultReader); ok && err == nil {
		if st != nil {
			rows, err = st.read(reader)
		}
		if _, closeErr := reader.Close(); err == nil {
			err = closeErr
		}
	}
	if s.conn.IsClosed() {
		return nil, err
	}
	// The sync after the query; an error consumed nothing of it.
	if _, syncErr := p.GetResults(); syncErr != nil && err == nil {
		err = syncErr
	}
	return rows, err
}

// read decodes the rows into the statement's own arrays, which every run reuses.
func (st *statement) read(reader *pgconn.ResultReader) (*spec.Rows, error) {
	st.rows.Reset()
	for reader.NextRow() {
		for i, cell := range reader.Values() {
			if st.columns[i].Kind == spec.Text {
				st.rows.AppendText(cell)
				continue
			}
			switch len(cell) {
			case 0:
				st.rows.AppendValue(spec.Absent())
			case 8:
				st.rows.AppendValue(math.Float64frombits(binary.BigEndian.Uint64(cell)))
			default:
				return nil, fmt.Errorf("column %q holds %d bytes where a double precision has 8", st.columns[i].Name, len(cell))
			}
		}
		if err := st.rows.EndRow(); err != nil {
			return nil, err
		}
	}
	return st.rows, nil
}

// forgetStale drops a prepared statement that the server no longer has or no
// longer trusts, so that the next run prepares it anew.
func (s *Session) forgetStale(st *statement, err error) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && isStale(pg) {
		maps.DeleteFunc(s.texts, func(_ text, known *statement) bool { return known == st })
	}
}

// text is what a prepared statement was made of.
type text struct{ name, sql string }

// prepare makes sure that every query is prepared, in one round trip for all
// that are new, and one more for each line a text has to lose.
func (s *Session) prepare(ctx context.Context, queries []Query) error {
	type attempt struct {
		query   Query
		sql     string
		dropped []string
		name    string
	}
	var todo []attempt
	for _, q := range queries {
		// What could not be prepared is tried anew: a lock on a catalogue passes.
		if st := s.texts[text{q.Name, q.SQL}]; st == nil || st.err != nil {
			todo = append(todo, attempt{query: q, sql: q.SQL})
		}
	}
	for len(todo) > 0 {
		p := s.conn.StartPipeline(ctx)
		for i := range todo {
			s.next++
			todo[i].name = fmt.Sprintf("pgvigil_%d", s.next)
			p.SendPrepare(todo[i].name, marked(todo[i].query.Name, todo[i].sql), nil)
			p.SendPipelineSync()
		}
		_ = p.Flush()
		var again []attempt
		for _, a := range todo {
			description, err := prepared(p, a.name)
			if s.conn.IsClosed() {
				break
			}
			if rest, column, ok := without(a.query.Name, a.sql, err); ok {
				again = append(again, attempt{query: a.query, sql: rest, dropped: append(a.dropped, column)})
				continue
			}
			s.texts[text{a.query.Name, a.query.SQL}] = newStatement(description, a.dropped, err)
		}
		if err := p.Close(); s.conn.IsClosed() {
			return fmt.Errorf("prepare queries: %w", errors.Join(err, context.Cause(ctx)))
		}
		todo = again
	}
	return nil
}

// prepared reads the answer to one SendPrepare and its sync.
func prepared(p *pgconn.Pipeline, name string) (*pgconn.StatementDescription, error) {
	res, err := p.GetResults()
	if _, syncErr := p.GetResults(); syncErr != nil && err == nil {
		err = syncErr
	}
	description, _ := res.(*pgconn.StatementDescription)
	if description != nil {
		// In a pipeline the description does not know what it was asked for.
		description.Name = name
	}
	return description, err
}

// newStatement binds the columns of a prepared text to the two kinds.
func newStatement(description *pgconn.StatementDescription, dropped []string, err error) *statement {
	st := &statement{description: description, dropped: dropped, err: err}
	if err != nil {
		return st
	}
	for _, f := range description.Fields {
		kind := spec.Text
		switch f.DataTypeOID {
		case textOID:
		case float8OID:
			kind = spec.Value
		default:
			st.err = &ColumnError{Column: f.Name, OID: f.DataTypeOID}
			return st
		}
		st.columns = append(st.columns, spec.Column{Name: f.Name, Kind: kind})
	}
	st.rows = spec.NewRows(st.columns)
	return st
}

// The types a column may have (pg_type.dat, fixed since PostgreSQL 7).
const (
	textOID   = 25
	float8OID = 701
)

// ColumnError says that a column has a type the engine does not read.
type ColumnError struct {
	Column string
	OID    uint32
}

// Error names the column and the two types it may be cast to.
func (e *ColumnError) Error() string {
	return fmt.Sprintf("column %q has the type with oid %d; cast it to double precision or to text", e.Column, e.OID)
}

// Reason is that of all mismatches.
func (e *ColumnError) Reason() Reason { return ReasonMismatch }

// sayGoodbye ends an idle session and waits until the server has, which then hangs
// up: pgconn does not, and the backend outlives its goodbye by milliseconds.
func (s *Session) sayGoodbye(ctx context.Context) {
	if s.conn.IsClosed() || s.conn.IsBusy() {
		return
	}
	deadline, _ := ctx.Deadline()
	wire := s.conn.Conn()
	s.conn.Frontend().Send(&pgproto3.Terminate{})
	if wire.SetDeadline(deadline) != nil || s.conn.Frontend().Flush() != nil {
		return
	}
	// Nothing is to come but the end, and nobody could act on an error.
	_, _ = io.Copy(io.Discard, wire)
}

// close ends the session, also when ctx has ended. It waits no longer than
// closeGrace for the goodbye, and for a cancel that is still on its way.
func (s *Session) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	s.sayGoodbye(ctx)
	// The session is over whatever the answer; nobody could act on the error.
	_ = s.conn.Close(ctx)
	select {
	case <-s.conn.CleanupDone():
	case <-ctx.Done():
	}
}
