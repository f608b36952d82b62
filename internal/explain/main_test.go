package explain

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

var servers = pgtest.NewSet(pgtest.Options{})

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// lab is a database of its own, an application that executes there, and us.
type lab struct {
	srv      *pgtest.Server
	database string
	app      *pgx.Conn // as the superuser
	us       *postgres.Server
}

// newLab makes what the statements say in a new database, in which our role may read
// everything. Password is what no text may show.
func newLab(t *testing.T, srv *pgtest.Server, statements ...string) *lab {
	t.Helper()
	l := &lab{srv: srv, database: srv.Database(t)}
	srv.ExecIn(t, l.database, "CREATE EXTENSION pg_stat_statements")
	srv.ExecIn(t, l.database, statements...)
	srv.ExecIn(t, l.database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+pgtest.Monitor)
	l.app = srv.Conn(t, pgtest.Superuser, l.database)
	l.us = l.as(t, pgtest.Monitor)
	return l
}

// as is the server for a user of ours.
func (l *lab) as(t *testing.T, user string) *postgres.Server {
	t.Helper()
	s, err := postgres.New(postgres.Config{ConnString: l.srv.DSN(user, l.database), Password: postgres.Text("S3cret")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.WithoutCancel(t.Context())) })
	return s
}

// run executes a statement as the application does: without arguments as a text with
// constants.
func (l *lab) run(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := l.app.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
}

// id returns the queryid of the only entry of the application whose text is like a pattern.
func (l *lab) id(t *testing.T, like string) string {
	t.Helper()
	const of = ` FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = current_database() AND userid = 10 AND query NOT LIKE '%pg_stat_statements%'`
	if !strings.HasPrefix(like, "CREATE") {
		like += "' AND query NOT LIKE 'CREATE%"
	}
	id := l.srv.Query(t, l.database, "SELECT min(queryid)::text"+of+" AND query LIKE '"+like+"' HAVING count(DISTINCT queryid) = 1")
	if id == "" {
		t.Fatalf("not one entry is like %s:\n%s", like, l.srv.Query(t, l.database, `SELECT string_agg(query, E'\n')`+of))
	}
	return id
}

// explain explains the entry like a pattern, as our role.
func (l *lab) explain(t *testing.T, like string) *Report {
	t.Helper()
	return l.explained(t, l.entry(t, like))
}

// entry asks for that of the application: since 18, equal statements of other databases
// have the same queryid.
func (l *lab) entry(t *testing.T, like string) Request {
	t.Helper()
	return Request{QueryID: l.id(t, like), Database: l.database, User: pgtest.Superuser}
}

func (l *lab) explained(t *testing.T, req Request) *Report {
	t.Helper()
	r, err := Explain(t.Context(), l.us, req, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refused is why a request is refused.
func (l *lab) refused(t *testing.T, req Request) *Refusal {
	t.Helper()
	_, err := Explain(t.Context(), l.us, req, Options{})
	return refusal(t, err)
}

func refusal(t *testing.T, err error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("it is not refused: %v", err)
	}
	if strings.Contains(err.Error(), "S3cret") {
		t.Errorf("a secret shows: %v", err)
	}
	return r
}

// treeOf is the plan as text.
func treeOf(r *Report) string {
	var b strings.Builder
	r.Plan.tree(&b)
	return b.String()
}

// textOf is the whole report.
func textOf(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// await waits until a query is true.
func (l *lab) await(t *testing.T, sql string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); l.srv.Query(t, l.database, "SELECT ("+sql+")::text") != "true"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", sql)
		}
	}
}
