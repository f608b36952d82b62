package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Step is a part of the way to a session.
type Step string

// The steps, in their order. Not each connect has all of them.
const (
	StepSecrets Step = "secrets"  // connection string, user and password are got
	StepDNS     Step = "dns"      // the host's name is looked up
	StepConnect Step = "connect"  // a TCP connection, or one to a socket
	StepTLS     Step = "tls"      // its handshake
	StepStartUp Step = "start-up" // the server starts a session and lets us in
	StepSetUp   Step = "set-up"   // the session is made read-only, and facts are looked up
)

// Timed is a step and how long it took.
type Timed struct {
	Step Step
	Took time.Duration
}

// Diagnosis is how a connect went, and what only a session of its own can tell.
type Diagnosis struct {
	// Address is what was dialled last: an IP address and a port, or a socket. It is
	// empty where it never came to that.
	Address string
	// Attempts counts what was dialled: a host may have several addresses, and each is
	// tried with TLS and without where sslmode leaves that open.
	Attempts int
	// Steps are those that were done, of the last attempt.
	Steps []Timed
	// Failed is the step at which it ended; empty where there was a session.
	Failed Step
	// Reason is why.
	Reason Reason
	// Err is the same for people, without secrets.
	Err string

	// TLS is what the handshake agreed on; nil where the session is not encrypted.
	TLS *spec.TLS
	// RoundTrip is the least time that a statement took.
	RoundTrip time.Duration
	// Clock is by how much the server's clock is ahead of ours, give or take Doubt.
	Clock, Doubt time.Duration
	// Pooler says that the backend is not the process that answered the start-up.
	Pooler bool
	// Server is the address by which the server itself was reached; empty by a socket.
	Server string
	// Roles are the predefined roles whose rights the role has.
	Roles []string
}

// clockSamples is how often the clock is read. The reading with the shortest round
// trip counts, since nothing has held that one up.
const clockSamples = 5

const clockSQL = `
SELECT extract(epoch FROM pg_catalog.clock_timestamp())::double precision AS now`

const backendSQL = `
SELECT pg_catalog.pg_backend_pid()::double precision                            AS pid
     , coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '')             AS address
     , coalesce(pg_catalog.inet_server_port()::text, '')                        AS port`

const memberSQL = `
SELECT r.rolname::text AS rolname
  FROM pg_catalog.pg_roles AS r
 WHERE pg_catalog.starts_with(r.rolname::text, 'pg_')
   AND pg_catalog.pg_has_role(r.oid, 'USAGE')
 ORDER BY r.rolname::text COLLATE pg_catalog."C"`

// Diagnose opens a session beside the budget, says how that went, and closes it.
func (s *Server) Diagnose(ctx context.Context) Diagnosis {
	t := &trace{}
	t.begin(StepSecrets)
	session, err := s.connect(ctx, "", t.follow)
	d := t.diagnosis(err)
	if err != nil {
		return d
	}
	defer session.close(ctx)
	d.TLS = session.TLS()
	d.ask(ctx, session)
	return d
}

// ask asks the session. What is not answered stays unknown: there was a session, and
// that is what counts.
func (d *Diagnosis) ask(ctx context.Context, session *Session) {
	pid := session.conn.PID()
	queries := []Query{
		{Name: "backend", SQL: backendSQL, Timeout: setupTimeout},
		{Name: "members", SQL: memberSQL, Timeout: setupTimeout},
		{Name: "clock", SQL: clockSQL, Timeout: setupTimeout},
	}
	lost := session.Run(ctx, queries, func(i int, r Result) {
		switch {
		case r.Err != nil:
		case i == 0 && r.Rows.Len() == 1:
			// A pooler gives out keys of its own for cancel requests.
			d.Pooler = r.Rows.Value(0, "pid") != float64(pid)
			if address := r.Rows.Text(0, "address"); address != "" {
				d.Server = net.JoinHostPort(address, r.Rows.Text(0, "port"))
			}
		case i == 1:
			for row := range r.Rows.Len() {
				d.Roles = append(d.Roles, r.Rows.Text(row, "rolname"))
			}
		}
	})
	for range clockSamples {
		if lost != nil {
			return
		}
		began := time.Now()
		lost = session.Run(ctx, queries[2:], func(_ int, r Result) {
			ended := time.Now()
			took := ended.Sub(began)
			if r.Err != nil || r.Rows.Len() != 1 || d.RoundTrip > 0 && took >= d.RoundTrip {
				return
			}
			d.RoundTrip, d.Doubt = took, took/2
			d.Clock = timeOf(r.Rows.Value(0, "now")).Sub(began.Add(took / 2))
		})
	}
}

// trace follows a connect. Cancel requests dial too, in goroutines of their own.
type trace struct {
	mu       sync.Mutex
	step     Step // under way
	since    time.Time
	steps    []Timed
	address  string
	attempts int
	over     bool
}

func (t *trace) begin(step Step) { t.step, t.since = step, time.Now() }

// end ends the step under way. A host is looked up once with TLS and once without.
func (t *trace) end() {
	took := time.Since(t.since)
	if last := len(t.steps) - 1; last >= 0 && t.steps[last].Step == t.step {
		t.steps[last].Took += took
		return
	}
	t.steps = append(t.steps, Timed{t.step, took})
}

// follow hangs itself into a connect, whose secrets have been read by now.
func (t *trace) follow(config *pgconn.Config) {
	t.end()
	t.begin(StepDNS)
	lookup, dial, validate := config.LookupFunc, config.DialFunc, config.ValidateConnect
	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		t.begin(StepDNS)
		found, err := lookup(ctx, host)
		if err == nil && net.ParseIP(host) == nil {
			t.end()
		}
		return found, err
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		t.dialling(address)
		conn, err := dial(ctx, network, address)
		if err == nil {
			t.dialled()
		}
		return conn, err
	}
	config.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		if _, encrypted := conn.(*tls.Conn); encrypted {
			t.end()
		}
		t.begin(StepStartUp)
		return conn, nil
	}
	config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if validate != nil {
			if err := validate(ctx, conn); err != nil {
				return err
			}
		}
		t.letIn()
		return nil
	}
}

// dialling begins an attempt. What an earlier one did is forgotten.
func (t *trace) dialling(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	var kept []Timed
	for _, done := range t.steps {
		if done.Step == StepSecrets || done.Step == StepDNS {
			kept = append(kept, done)
		}
	}
	t.steps, t.address = kept, address
	t.attempts++
	t.begin(StepConnect)
}

// dialled ends the first step of an attempt. What comes next is TLS, or nothing is
// done before the start-up.
func (t *trace) dialled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.end()
		t.begin(StepTLS)
	}
}

// letIn ends the connect itself.
func (t *trace) letIn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	t.begin(StepSetUp)
	t.over = true
}

// diagnosis is what was followed, once the connect has ended.
func (t *trace) diagnosis(err error) Diagnosis {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := Diagnosis{Address: t.address, Attempts: t.attempts}
	if err == nil {
		t.end()
	} else {
		d.Failed, d.Reason, d.Err = t.step, ConnectReason(err), Cause(err)
	}
	d.Steps = t.steps
	return d
}

// Cause is an error for people, in one line. Of one that pgconn made it leaves out the
// user and the database.
func Cause(err error) string {
	text := err.Error()
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &connect) && errors.As(err, &pg):
		text = fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	case errors.As(err, &connect):
		text = connect.Unwrap().Error()
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
