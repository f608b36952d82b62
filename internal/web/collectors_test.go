package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/doctor"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestCollectors: the page tells what a role without grants is denied, and sends nothing
// to the server.
func TestCollectors(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	srv.Exec(t, `CREATE ROLE "a<b>" LOGIN`, `CREATE DATABASE "d<b>"`)
	w := watch()
	w.Collectors = append(w.Collectors, collector.Hba, collector.StatUserTables)
	w.Enabled["hba"], w.Enabled["stat_user_tables"] = true, true
	main := connected("", srv.DSN("a<b>", "postgres"))
	s := serve(t, Options{Watch: w, Main: &main, Load: loaded(
		connected("down", nowhere+"&password=S3cret"), pooled("pooler", "", nowhere), connected("a&b", srv.DSN(pgtest.Monitor, "postgres")),
	)})

	if a := s.ask(t, http.MethodGet, "/collectors"); a.status != 200 || !strings.Contains(a.body, "Nobody has scraped the server yet.") || sessions(t, srv) != "0" {
		t.Errorf("before a scrape: %d %s", a.status, a.body)
	}
	s.page(t, "/metrics")
	opened := s.openSessions()
	a := s.ask(t, http.MethodGet, "/collectors")
	for _, want := range []string{
		`<td><code>GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO &#34;a&lt;b&gt;&#34;;</code></td><td>postgres</td><td>hba`,
		`<span class="skipped">skipped</span>: privilege`, `<span class="ok">ok</span>`, `<span class="off">off</span><br><code>--collector.locks</code>`,
		"d&lt;b&gt;", "<code>pg_stat_wal_records_total</code>", "PostgreSQL " + srv.Version + ", primary", `<a href="?format=json">JSON</a>`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "<b>") || a.header.Get("Content-Type") != "text/html; charset=utf-8" || a.header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v %s", a.header, a.body)
	}
	if got := s.openSessions(); got != opened {
		t.Errorf("the page took a session: %d, before %d", got, opened)
	}
	var report doctor.Report
	if a := s.ask(t, http.MethodGet, "/collectors?format=json"); a.header.Get("Content-Type") != "application/json" || json.Unmarshal([]byte(a.body), &report) != nil ||
		!report.Up || report.Role.Name != "a<b>" || len(report.Grants) == 0 || report.Series.Total == 0 || report.Cost.Interval != UsualInterval.Seconds() {
		t.Errorf("%v %s", a.header, a.body)
	}

	s.page(t, "/probe?target=down")
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/collectors?target=down", 200, "There is no session on the server (refused)"},
		{"/collectors?target=a%26b", 200, `<a href="?format=json&amp;target=a%26b">JSON</a>`},
		{"/collectors?target=pooler", 400, "the target is no PostgreSQL server"},
		{"/collectors?target=postgresql://u:S3cret@h/d", 404, "no server of that name is watched"},
		{"/", 200, `<a href="./collectors?target=a%26b">state, grants, cost</a>`},
		{"/", 200, `<a href="./collectors">state, grants, cost</a>`},
		{"/", 200, `<a href="./readiness?target=a%26b">four factors</a>`},
	} {
		a := s.ask(t, http.MethodGet, tt.path)
		if a.status != tt.status || !strings.Contains(a.body, tt.want) || strings.Contains(a.body, "S3cret") {
			t.Errorf("%s: %d %s", tt.path, a.status, a.body)
		}
	}
	if a := s.ask(t, http.MethodGet, "/"); strings.Contains(a.body, "collectors?target=pooler") {
		t.Errorf("the landing page has collectors of a pooler: %s", a.body)
	}
	if a := s.ask(t, http.MethodPost, "/collectors"); a.status != 405 {
		t.Errorf("POST: %d", a.status)
	}
	if a := serve(t, Options{}).ask(t, http.MethodGet, "/collectors"); a.status != 404 {
		t.Errorf("without a server: %d %s", a.status, a.body)
	}
}

// TestCollectorsBeside: poolers on a server's page have their collectors on the other
// page too.
func TestCollectorsBeside(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	main := connected("", servers.On(t, major).DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Watch: poolersToo(), Main: &main, Load: loaded(pooled("p", config.MainPage, stats(p)))})
	s.page(t, "/metrics")
	var report doctor.Report
	a := s.ask(t, http.MethodGet, "/collectors?format=json")
	if err := json.Unmarshal([]byte(a.body), &report); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range report.Collectors {
		states[c.Name] = c.State
	}
	for _, c := range spec.From(spec.PgBouncer, collector.All()) {
		if states[c.Name] != "ok" {
			t.Errorf("%s is %q on %s", c.Name, states[c.Name], a.body)
		}
	}
}
