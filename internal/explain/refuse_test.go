package explain

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// TestRefusals: each says why and what to do.
func TestRefusals(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TABLE t (id int PRIMARY KEY, a int)", "CREATE TABLE hidden (id int)", `CREATE SCHEMA "Closed"`, `CREATE TABLE "Closed".t (id int)`,
			"CREATE FUNCTION ours(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'", "REVOKE EXECUTE ON FUNCTION ours FROM public",
			"CREATE TABLE changed (a int)", "CREATE TABLE dropped (a int)")
		srv.ExecIn(t, l.database, "REVOKE SELECT ON hidden FROM "+pgtest.Monitor)
		for _, tt := range []struct {
			name   string
			sql    []string
			like   string
			reason Reason
			want   string
		}{
			{"create", []string{"CREATE TABLE made (id int)"}, "CREATE TABLE made%", ReasonUtility, "CREATE is a utility statement"},
			{"cursor", []string{"BEGIN", "DECLARE c CURSOR FOR SELECT a FROM t", "COMMIT"}, "DECLARE%", ReasonUtility, "cursor_tuple_fraction"},
			{"copy", []string{"COPY (SELECT a FROM t) TO STDOUT"}, "COPY%", ReasonUtility, "COPY is a utility statement"},
			{"explain", []string{"EXPLAIN SELECT a FROM t"}, "EXPLAIN%", ReasonUtility, "EXPLAIN is a utility statement"},
			{"set", []string{"SET statement_timeout = '1min'"}, "SET%", ReasonUtility, "SET is a utility statement, which has no plan"},
			{"password", []string{"CREATE ROLE " + l.database + " PASSWORD 'S3cret'", "DROP ROLE " + l.database}, "CREATE ROLE " + l.database + "%", ReasonUtility, "CREATE is a utility statement"},
			{"select into", []string{"SELECT a INTO TEMP made2 FROM t"}, "SELECT a INTO%", ReasonUtility, "SELECT INTO is a utility statement"},
			{"privilege", []string{"SELECT id FROM hidden WHERE id > 1"}, "SELECT id FROM hidden%", ReasonPrivilege, "GRANT SELECT ON public.hidden TO pgvigil"},
			{"privilege to write", []string{"UPDATE t SET a = 5 WHERE id = 3"}, "UPDATE t%", ReasonPrivilege, "GRANT UPDATE ON public.t TO pgvigil. To plan a statement that writes"},
			{"both privileges", []string{"DELETE FROM hidden WHERE id = 3"}, "DELETE FROM hidden%", ReasonPrivilege, "GRANT SELECT, DELETE ON public.hidden TO pgvigil"},
			{"privilege to lock", []string{"SELECT a FROM t WHERE id = 3 FOR UPDATE"}, "SELECT a FROM t%FOR UPDATE", ReasonPrivilege, "GRANT UPDATE ON public.t TO pgvigil"},
			{"privilege on a schema", []string{`SELECT id FROM "Closed".t`}, `SELECT id FROM "Closed"%`, ReasonPrivilege, `GRANT USAGE ON SCHEMA "Closed"`},
			{"privilege on a function", []string{"SELECT ours(id) FROM t"}, "SELECT ours%", ReasonPrivilege, "GRANT EXECUTE ON FUNCTION ours"},
			{"dropped", []string{"SELECT a FROM dropped", "DROP TABLE dropped"}, "SELECT a FROM dropped", ReasonMissing, "It has been dropped or renamed since, was a temporary table"},
			{"temporary", []string{"CREATE TEMP TABLE brief (a int)", "SELECT a FROM brief"}, "SELECT a FROM brief", ReasonMissing, "was a temporary table of its session"},
			{"column", []string{"SELECT a FROM changed", "ALTER TABLE changed RENAME a TO b"}, "SELECT a FROM changed", ReasonMissing, "The table may have been changed since"},
			{"part of the syntax", []string{`SELECT U&'d!0061t' UESCAPE '!', id FROM t`}, "%UESCAPE%", ReasonText, "A constant may stand for part of the syntax there"},
		} {
			for _, sql := range tt.sql {
				l.run(t, sql, pgx.QueryExecModeSimpleProtocol)
			}
			r := l.refused(t, l.entry(t, tt.like))
			if r.Reason != tt.reason || !strings.Contains(r.Error(), tt.want) {
				t.Errorf("%s: %s: %v, want %s: %s", tt.name, r.Reason, r, tt.reason, tt.want)
			}
		}
		for id, want := range map[string]Reason{"": ReasonRequest, "one": ReasonRequest, "1; DROP TABLE t": ReasonRequest, "99999999999999999999": ReasonRequest, "1": ReasonUnknown, "-3": ReasonUnknown} {
			if r := l.refused(t, Request{QueryID: id}); r.Reason != want {
				t.Errorf("%q: %+v", id, r)
			}
		}
		l.run(t, "SELECT a FROM t WHERE a > 3", pgx.QueryExecModeSimpleProtocol)
		id := l.id(t, "SELECT a FROM t WHERE a > $1")
		for _, wrong := range []string{"no_such_type", "int); DROP TABLE t; --", "", "'"} {
			if r := l.refused(t, Request{QueryID: id, Database: l.database, Types: map[int]string{1: wrong}}); r.Reason != ReasonRequest {
				t.Errorf("type %q: %+v", wrong, r)
			}
		}
		// A role that sees nothing of others, and one that may too much.
		_, err := Explain(t.Context(), l.as(t, pgtest.Nobody), Request{QueryID: id, Database: l.database}, Options{})
		if r := refusal(t, err); r.Reason != ReasonPrivilege || !strings.Contains(r.Advice, "GRANT pg_read_all_stats TO pgvigil_nothing") {
			t.Errorf("%+v", r)
		}
		_, err = Explain(t.Context(), l.as(t, pgtest.Superuser), Request{QueryID: id, Database: l.database}, Options{})
		if r := refusal(t, err); r.Reason != ReasonPrivilege || !strings.Contains(r.Why, "superuser") {
			t.Errorf("%+v", r)
		}
		if _, err := Explain(t.Context(), l.as(t, pgtest.Superuser), Request{QueryID: id, Database: l.database}, Options{Superuser: true}); err != nil {
			t.Error(err)
		}
		if got := srv.Query(t, l.database, "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'made')"); got != "3" {
			t.Errorf("%s of the tables are there", got)
		}
	})
}

// TestTexts: a long text is there in full, one that is too long is not read, and one
// that is lost is missed.
func TestTexts(t *testing.T) {
	for _, major := range []int{13, 18} {
		srv := pgtest.New(t, major, pgtest.Options{})
		l := newLab(t, srv, "CREATE TABLE t (id int, a text)")
		long := strings.Repeat("id, ", 1500)
		l.run(t, "SELECT "+long+"a FROM t")
		l.run(t, "SELECT id+id, a /*"+strings.Repeat("x", maxText)+"*/ FROM t")
		if r := l.explain(t, "SELECT id, id, %"); len(r.Query) != len(long)+len("SELECT a FROM t") {
			t.Errorf("the text has %d bytes", len(r.Query))
		}
		if r := l.refused(t, l.entry(t, "SELECT id+id%")); r.Reason != ReasonText || !strings.Contains(r.Why, "the text has 1024 kB") {
			t.Errorf("%+v", r)
		}
		lost := l.entry(t, "SELECT id, id, %")
		if err := os.Remove(srv.Dir() + "/pg_stat_tmp/pgss_query_texts.stat"); err != nil {
			t.Fatal(err)
		}
		if r := l.refused(t, lost); r.Reason != ReasonText || !strings.Contains(r.Why, "has lost the text") {
			t.Errorf("%+v", r)
		}
	}
}

// TestWithinFunction: variables of PL/pgSQL stand in the text by their names.
func TestWithinFunction(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TABLE t (id int)", `CREATE FUNCTION f(given int) RETURNS bigint LANGUAGE plpgsql AS
			'DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM t WHERE id > given AND id < 7; RETURN (SELECT count(*) FROM t AS u WHERE u.id <> 8); END'`)
		l.run(t, "SET pg_stat_statements.track = 'all'")
		l.run(t, "SELECT f(3)", pgx.QueryExecModeSimpleProtocol)
		r := l.refused(t, l.entry(t, "%given%"))
		within := srv.Major >= 14 // the columns of 13 do not tell
		if r.Reason != ReasonMissing || strings.Contains(r.Advice, "variables of PL/pgSQL") != within {
			t.Errorf("%+v", r)
		}
		if r := l.explain(t, "%u.id <> %"); r.Entry.Within != within || strings.Contains(fmt.Sprint(r.Notes), "within functions only") != within {
			t.Errorf("%+v, %q", r.Entry, r.Notes)
		}
	})
}

// TestBusy: a locked table, a slow function at planning, and a budget that is used up
// each end in time.
func TestBusy(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		l := newLab(t, srv, "CREATE TABLE t (id int)",
			"CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN IF current_user = ''"+pgtest.Monitor+"'' THEN PERFORM pg_sleep(60); END IF; RETURN 1; END'")
		l.run(t, "SELECT id FROM t")
		l.run(t, "SELECT slow()")
		id, slow := l.entry(t, "SELECT id FROM t"), l.entry(t, "SELECT slow()")
		l.run(t, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
		if r := l.refused(t, id); r.Reason != ReasonBusy || !strings.Contains(r.Advice, "is locked") {
			t.Errorf("%+v", r)
		}
		l.run(t, "ROLLBACK")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := Explain(ctx, l.us, slow, Options{})
		if r := refusal(t, err); r.Reason != ReasonBusy || time.Since(began) > 10*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), r)
		}
		var borrowed []*postgres.Session
		for range postgres.DefaultSessions - 1 {
			session, err := l.us.Borrow(t.Context(), l.database)
			if err != nil {
				t.Fatal(err)
			}
			borrowed = append(borrowed, session)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Explain(ctx, l.us, id, Options{})
		if r := refusal(t, err); r.Reason != ReasonBusy || !strings.Contains(r.Why, "budget") {
			t.Errorf("%+v", r)
		}
		for _, session := range borrowed {
			l.us.Return(t.Context(), session, false)
		}
		l.explained(t, id)
		if open := l.us.Stats().Open; open != 0 {
			t.Errorf("%d sessions are left", open)
		}
	})
}
