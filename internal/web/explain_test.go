package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// statement executes a statement in a database of its own, which our role may read, and
// returns the database and the queryid.
func statement(t *testing.T, srv *pgtest.Server, sql, like string) (database, id string) {
	t.Helper()
	database = srv.Database(t)
	srv.ExecIn(t, database, "CREATE EXTENSION pg_stat_statements", "CREATE TABLE t (id int PRIMARY KEY, b text)", "INSERT INTO t VALUES (1, '<b>')", "GRANT SELECT ON t TO "+pgtest.Monitor,
		"CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN IF current_user = '"+pgtest.Monitor+"' THEN PERFORM pg_sleep(3); END IF; RETURN 1; END$$")
	conn := srv.Conn(t, pgtest.Superuser, database)
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	id = srv.Query(t, database, "SELECT s.queryid::text FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() AND query LIKE '"+like+"' AND query NOT LIKE '%pg_stat%' AND userid = 10")
	if id == "" {
		t.Fatalf("no entry is like %s", like)
	}
	return database, id
}

func TestExplain(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	database, id := statement(t, srv, "SELECT b FROM t WHERE id = 3", "SELECT b FROM t%")
	main := connected("", srv.DSN(pgtest.Monitor, database))
	pooler := connected("pooler", nowhere)
	pooler.Kind = config.PgBouncer
	s := serve(t, Options{Main: &main, Explain: true, Load: loaded(connected("other", srv.DSN(pgtest.Monitor, database)), connected("down", nowhere), pooler)})
	ask := "/explain?database=" + database + "&queryid=" + id
	for _, tt := range []struct {
		path, accept string
		status       int
		kind, want   string
	}{
		{ask, "", 200, "text/plain; charset=utf-8", "Index Scan using t_pkey on public.t"},
		{ask, "text/html,*/*", 200, "text/plain; charset=utf-8", "Index Cond: (t.id = $1)"},
		{ask, "application/json", 200, "application/json", `"Index Name": "t_pkey"`},
		{ask + "&format=json", "text/plain", 200, "application/json", `"remarks"`},
		{ask + "&format=text", "application/json", 200, "text/plain; charset=utf-8", "Remarks"},
		{ask + "&target=other&user=postgres", "", 200, "text/plain; charset=utf-8", "of user postgres in database " + database},
		{ask + "&user=nobody", "", 404, "text/plain; charset=utf-8", "the statement has no entry in that database for that user"},
		{"/explain", "", 400, "text/plain; charset=utf-8", "this is no queryid"},
		{"/explain?queryid=" + url.QueryEscape("1; DROP TABLE t"), "application/json", 400, "application/json", `{"error":"this is no queryid`},
		{"/explain?queryid=1", "", 404, "text/plain; charset=utf-8", "no entry of this queryid"},
		{ask + "&queryid=2", "", 400, "text/plain; charset=utf-8", "queryid is there several times"},
		{ask + "&format=html", "", 400, "text/plain; charset=utf-8", "format is neither text nor json"},
		{ask + "&search_path=x", "", 400, "text/plain; charset=utf-8", "only queryid, target, database, user and format"},
		{ask + "&target=postgresql://u:S3cret@h/d", "", 404, "text/plain; charset=utf-8", "no target of that name"},
		{ask + "&target=pooler", "", 400, "text/plain; charset=utf-8", "the target is no PostgreSQL server"},
		{ask + "&target=down", "", 502, "text/plain; charset=utf-8", "connect"},
	} {
		a := s.ask(t, http.MethodGet, tt.path, "Accept", tt.accept)
		if a.status != tt.status || a.header.Get("Content-Type") != tt.kind || !strings.Contains(a.body, tt.want) {
			t.Errorf("%s (%s): %d %s %s", tt.path, tt.accept, a.status, a.header.Get("Content-Type"), a.body)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers are %v", tt.path, a.header)
		}
		if strings.Contains(a.body, "S3cret") || strings.Contains(s.log.String(), "S3cret") {
			t.Errorf("%s: a secret shows", tt.path)
		}
		if strings.HasPrefix(a.body, "{") && !json.Valid([]byte(a.body)) {
			t.Errorf("%s: no JSON: %s", tt.path, a.body)
		}
	}
	if a := s.ask(t, http.MethodHead, ask); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %s", a.status, a.body)
	}
	if a := s.ask(t, http.MethodPost, ask); a.status != 405 {
		t.Errorf("POST: %d %s", a.status, a.body)
	}
	if a := s.ask(t, http.MethodGet, "/"); !strings.Contains(a.body, `<form action="./explain">`) || !strings.Contains(a.body, `<option value="other">other</option>`) || strings.Contains(a.body, `<option value="pooler">`) {
		t.Errorf("the landing page: %s", a.body)
	}
	eventually(t, "sessions are closed", func() bool { return s.openSessions() == 0 })
}

// openSessions counts the sessions that all targets have open.
func (s *served) openSessions() int {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	open := 0
	for _, t := range s.pool.targets {
		if o, ok := t.source.(*observed); ok {
			open += o.server.Stats().Open
		}
	}
	return open
}

// TestExplainOff: without the flag nothing is shown, and the answer says so.
func TestExplainOff(t *testing.T) {
	t.Parallel()
	main := connected("", nowhere)
	s := serve(t, Options{Main: &main})
	if a := s.ask(t, http.MethodGet, "/explain?queryid=1"); a.status != 404 || a.body != "plans are not shown: start pgvigil with --web.enable-explain\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.ask(t, http.MethodGet, "/"); strings.Contains(a.body, "explain") {
		t.Errorf("the landing page: %s", a.body)
	}
	without := serve(t, Options{Explain: true})
	if a := without.ask(t, http.MethodGet, "/explain?queryid=1"); a.status != 404 || !strings.Contains(a.body, "no server is given by the environment") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestExplainOneAtATime: of many requests for one server one is served, beside its scrapes.
func TestExplainOneAtATime(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	database, id := statement(t, srv, "SELECT slow()", "SELECT slow()")
	main := connected("", srv.DSN(pgtest.Monitor, database))
	s := serve(t, Options{Main: &main, Explain: true})
	var mu sync.Mutex
	statuses := map[int]int{}
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			a, err := request(t.Context(), http.MethodGet, fmt.Sprintf("%s/explain?database=%s&queryid=%s", s.url, database, id))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			statuses[a.status]++
			if a.status == 429 && a.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		})
	}
	if page := s.page(t, "/metrics"); value(page, "pg_up") != "1" {
		t.Error("the server is not scraped meanwhile")
	}
	asking.Wait()
	if statuses[200] == 0 || statuses[429] == 0 || statuses[200]+statuses[429] != 10 || statuses[200] > 3 {
		t.Errorf("statuses are %v", statuses)
	}
}
