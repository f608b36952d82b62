package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// poolersToo is watch with the collectors of poolers.
func poolersToo() Watch {
	w := watch()
	w.Collectors = append(w.Collectors, spec.From(spec.PgBouncer, collector.All())...)
	w.Enabled["pgbouncer"] = true
	return w
}

// pooled is a target that is a pooler.
func pooled(name, page, dsn string) config.Target {
	t := connected(name, dsn)
	t.Kind, t.Page = config.PgBouncer, page
	return t
}

func stats(p *pgtest.Pooler) string { return p.DSN(pgtest.PoolerStats, "pgbouncer") }

// TestPages: a server and its pooler are on one page and share their own metrics'
// families, the pooler has a page of its own, and one session serves both.
func TestPages(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Watch: poolersToo(), Main: &main, Load: loaded(
		connected("a", srv.DSN(pgtest.Monitor, "postgres")),
		pooled("p", "a", stats(p)), pooled("q", config.MainPage, stats(p)),
	)})
	for _, path := range []string{"/probe?target=a", "/metrics"} {
		body := s.ask(t, http.MethodGet, path).body
		both := families(t, body) // which fails where a family comes twice
		if value(both, "pg_up") != "1" || value(both, "pgbouncer_up") != "1" {
			t.Errorf("%s: pg_up is %s, pgbouncer_up is %s", path, value(both, "pg_up"), value(both, "pgbouncer_up"))
		}
		if n := strings.Count(body, "# TYPE pgvigil_collector_success "); n != 1 {
			t.Errorf("%s: pgvigil_collector_success is begun %d times", path, n)
		}
		for _, line := range []string{
			`pgvigil_collector_success{collector="stat_wal",datname=""} 1`, `pgvigil_collector_success{collector="pgbouncer_pools",datname=""} 1`,
		} {
			if !strings.Contains(body, line+"\n") {
				t.Errorf("%s lacks %s", path, line)
			}
		}
	}
	alone := s.page(t, "/probe?target=p")
	if alone["pg_up"] != nil || value(alone, "pgbouncer_up") != "1" {
		t.Error("the pooler's own page has another's part, or not its own")
	}
	if got := value(alone, "pgvigil_pgbouncer_sessions_opened_total"); got != "1" {
		t.Errorf("%s sessions for two pages", got)
	}
	only := s.ask(t, http.MethodGet, "/probe?target=a&collect[]=stat_wal").body
	if strings.Contains(only, "pgbouncer_pools_") || !strings.Contains(only, "pgbouncer_up 1\n") {
		t.Error("collect[]=stat_wal has the pooler's collectors, or does not say that it is up")
	}
	only = s.ask(t, http.MethodGet, "/probe?target=a&collect[]=pgbouncer").body
	if strings.Contains(only, "pg_stat_wal_") || !strings.Contains(only, "pgbouncer_pools_") {
		t.Error("collect[]=pgbouncer has a server's collectors, or not the pooler's")
	}
	landing := s.ask(t, http.MethodGet, "/").body
	for _, want := range []string{"/probe?target=p", "<td>PgBouncer</td>", fmt.Sprintf("127.0.0.1:%d", p.Port())} {
		if !strings.Contains(landing, want) {
			t.Errorf("the page / lacks %s", want)
		}
	}
}

// TestPoolerWithoutServer: /metrics has the pooler where the environment names none.
func TestPoolerWithoutServer(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	s := serve(t, Options{Watch: poolersToo(), Load: loaded(pooled("p", config.MainPage, stats(p)))})
	page := s.page(t, "/metrics")
	if page["pg_up"] != nil || value(page, "pgbouncer_up") != "1" || page["go_goroutines"] == nil {
		t.Errorf("pg_up is there: %v; pgbouncer_up is %s", page["pg_up"] != nil, value(page, "pgbouncer_up"))
	}
}

// TestHangingPart: a pooler that does not answer blanks nothing of its server, and
// the other way round; the page comes in time.
func TestHangingPart(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	s := serve(t, Options{Watch: poolersToo(), Load: loaded(
		connected("a", srv.DSN(pgtest.Monitor, "postgres")), pooled("p", "a", stats(p)))})
	ups := func(server, pooler string) {
		t.Helper()
		began := time.Now()
		page := s.page(t, "/probe?target=a", timeoutHeader, "1.5")
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the page came after %s", took)
		}
		if a, b := value(page, "pg_up"), value(page, "pgbouncer_up"); a != server || b != pooler {
			t.Errorf("pg_up is %s, want %s; pgbouncer_up is %s, want %s", a, server, b, pooler)
		}
		if there := page["pg_stat_archiver_archived_total"] != nil || page["pg_stat_wal_records_total"] != nil; there != (server == "1") {
			t.Errorf("the server's part is there: %v", there)
		}
		if there := page["pgbouncer_used_clients"] != nil; there != (pooler == "1") {
			t.Errorf("the pooler's part is there: %v", there)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ups("1", "1")
	must(p.Freeze())
	ups("1", "0")
	must(p.Thaw())
	ups("1", "1")
	must(srv.Freeze())
	ups("0", "1")
	must(srv.Thaw())
}

// TestPoolerReload: a pooler written as before keeps its session, and moves to
// another page when it is told to.
func TestPoolerReload(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	target := func(page string) string {
		return fmt.Sprintf("targets: [{name: a, dsn: '%s'}, {name: p, kind: pgbouncer, dsn: '%s'%s}]", nowhere, stats(p), page)
	}
	load, change := file(t, target(", page: a"))
	s := serve(t, Options{Watch: poolersToo(), Load: load})
	opened := func(path string) string {
		return value(s.page(t, path), "pgvigil_pgbouncer_sessions_opened_total")
	}
	if got := opened("/probe?target=a"); got != "1" {
		t.Fatalf("%s sessions", got)
	}
	change(target(", page: a") + " # as before")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := opened("/probe?target=p"); got != "1" {
		t.Errorf("a pooler written as before has opened %s sessions", got)
	}
	change(target(""))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if s.page(t, "/probe?target=a")["pgbouncer_up"] != nil {
		t.Error("the pooler is still on the server's page")
	}
	if got := value(s.page(t, "/probe?target=p"), "pgbouncer_up"); got != "1" {
		t.Errorf("pgbouncer_up is %q", got)
	}
}
