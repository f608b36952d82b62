package collector_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgbouncer"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// poolerBefore starts a pooler before a server: two servers for database app, any
// other by its own name.
func poolerBefore(t *testing.T, srv *pgtest.Server) *pgtest.Pooler {
	t.Helper()
	at := fmt.Sprintf("host=%s port=%d user=%s", srv.Host(), srv.Port(), pgtest.Superuser)
	return pgtest.NewPooler(t, pgtest.PoolerOptions{
		Databases: map[string]string{"app": at + " dbname=postgres pool_size=2 reserve_pool=1", "*": at},
		Settings:  map[string]string{"max_user_connections": "40"},
	})
}

// watchPooler scrapes the console with the rights of stats_users.
func watchPooler(t *testing.T, p *pgtest.Pooler) *scrape.Outside {
	t.Helper()
	collectors := spec.From(spec.PgBouncer, collector.All())
	console := pgbouncer.New(postgres.Config{ConnString: p.DSN(pgtest.PoolerStats, "pgbouncer")}, collectors)
	o := scrape.NewPooler(t.Context(), console, scrape.OutsideOptions{Collectors: collectors, Logger: testLogger{t}})
	t.Cleanup(o.Close)
	return o
}

// untilPooler scrapes until ok holds of the page.
func untilPooler(t *testing.T, o *scrape.Outside, what string, ok func(snapshot) bool) snapshot {
	t.Helper()
	var s snapshot
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		fams := o.Scrape(ctx, scrape.Selection{})
		cancel()
		gathered, err := page.Gatherer(func() []page.Family { return fams }).Gather()
		if err != nil {
			t.Fatal(err)
		}
		s = snapshot{}
		for _, f := range gathered {
			s[f.GetName()] = f
		}
		if ok(s) {
			return s
		}
	}
	t.Fatalf("never: %s", what)
	return nil
}

// clients run a query each through the pooler until the test or release ends them.
func clients(t *testing.T, p *pgtest.Pooler, n int, database, sql string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for range n {
		config, err := pgx.ParseConfig(p.DSN(pgtest.PoolerUser, database))
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		working.Go(func() {
			conn, err := pgx.ConnectConfig(ctx, config)
			if err != nil {
				return // the test is over, or will miss the client
			}
			// It may end by being cancelled, which is an error.
			_, _ = conn.Exec(ctx, sql)
			_ = conn.Close(ctx)
		})
	}
	release = sync.OnceFunc(func() {
		cancel()
		working.Wait()
	})
	t.Cleanup(release)
	return release
}

// TestPgbouncerWaiting has five clients on two servers, so three wait.
func TestPgbouncerWaiting(t *testing.T) {
	t.Parallel()
	p := poolerBefore(t, servers.On(t, 18))
	o := watchPooler(t, p)
	began := time.Now()
	release := clients(t, p, 5, "app", "SELECT pg_sleep(120)")
	pool := []string{"database", "app", "user", pgtest.Superuser}
	s := untilPooler(t, o, "three clients wait", func(s snapshot) bool {
		return s.sum("pgbouncer_pools_client_waiting_connections", pool...) == 3 && s.sum("pgbouncer_pools_client_maxwait_seconds", pool...) > 1
	})
	if waited := s.value(t, "pgbouncer_pools_client_maxwait_seconds", pool...); waited > time.Since(began).Seconds() || waited == float64(int(waited)) {
		t.Errorf("the first has waited for %v s of %v: microseconds are to be seen", waited, time.Since(began))
	}
	for name, want := range map[string]float64{
		"pgbouncer_pools_client_active_connections":         2,
		"pgbouncer_pools_server_active_connections":         2,
		"pgbouncer_pools_server_idle_connections":           0,
		"pgbouncer_pools_client_waiting_cancel_connections": 0,
	} {
		if got := s.value(t, name, pool...); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	app := []string{"name", "app", "database", "postgres"}
	for name, want := range map[string]float64{
		"pgbouncer_databases_pool_size": 2, "pgbouncer_databases_reserve_pool": 1, "pgbouncer_databases_current_connections": 2,
		"pgbouncer_databases_max_connections": 0, "pgbouncer_databases_paused": 0, "pgbouncer_databases_disabled": 0,
	} {
		if got := s.value(t, name, app...); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]float64{
		"pgbouncer_up": 1, "pgbouncer_used_servers": 2, "pgbouncer_used_clients": 6, "pgbouncer_version_info": 1,
		"pgbouncer_config_max_client_connections": 100, "pgbouncer_config_max_user_connections": 40,
		"pgbouncer_config_default_pool_size": 20, "pgbouncer_config_query_wait_timeout_seconds": 120,
		"pgvigil_pgbouncer_sessions_opened_total": 1,
	} {
		if got := s.value(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, c := range spec.From(spec.PgBouncer, collector.All()) {
		if unknown := s.value(t, "pgvigil_collector_columns_unknown", "collector", c.Name); unknown != 0 {
			t.Errorf("%s has %v columns that nobody knows", c.Name, unknown)
		}
	}
	release()
	s = untilPooler(t, o, "nobody waits", func(s snapshot) bool {
		return s.sum("pgbouncer_pools_client_waiting_connections", pool...) == 0
	})
	if waited := s.value(t, "pgbouncer_pools_client_maxwait_seconds", pool...); waited != 0 {
		t.Errorf("nobody waits, for %v s", waited)
	}
}

// TestPgbouncerPaused pauses a database and resumes it, and counts what has passed.
func TestPgbouncerPaused(t *testing.T) {
	t.Parallel()
	p := poolerBefore(t, servers.On(t, 18))
	o := watchPooler(t, p)
	app := []string{"name", "app", "database", "postgres"}
	paused := func(want float64) {
		t.Helper()
		untilPooler(t, o, fmt.Sprintf("paused is %v", want), func(s snapshot) bool {
			return slices.Equal(s.values("pgbouncer_databases_paused", app...), []float64{want})
		})
	}
	paused(0)
	p.Admin(t, "PAUSE app")
	paused(1)
	clients(t, p, 1, "app", "SELECT pg_sleep(0.2)")
	untilPooler(t, o, "the client waits", func(s snapshot) bool {
		return s.sum("pgbouncer_pools_client_waiting_connections", "database", "app") == 1
	})
	p.Admin(t, "RESUME app")
	paused(0)
	s := untilPooler(t, o, "the query of 0.2 s is counted", func(s snapshot) bool {
		return s.sum("pgbouncer_stats_queries_duration_seconds_total", "database", "app") >= 0.2
	})
	for name, bounds := range map[string][2]float64{
		"pgbouncer_stats_queries_pooled_total":           {1, 1},
		"pgbouncer_stats_sql_transactions_pooled_total":  {1, 1},
		"pgbouncer_stats_queries_duration_seconds_total": {0.2, 30},
		"pgbouncer_stats_client_wait_seconds_total":      {1e-6, 30},
		"pgbouncer_stats_sent_bytes_total":               {10, 1e5},
	} {
		if got := s.value(t, name, "database", "app"); got < bounds[0] || got > bounds[1] {
			t.Errorf("%s is %v, want %v", name, got, bounds)
		}
	}
}

// TestPgbouncerNames has a database whose name has quotes, which clients may make up.
func TestPgbouncerNames(t *testing.T) {
	t.Parallel()
	const name = `we"ird \ name`
	srv := servers.On(t, 18)
	srv.Exec(t, `DROP DATABASE IF EXISTS "we""ird \ name" WITH (FORCE)`, `CREATE DATABASE "we""ird \ name"`)
	p := poolerBefore(t, srv)
	clients(t, p, 1, name, "SELECT pg_sleep(120)")
	s := untilPooler(t, watchPooler(t, p), "the database has a pool", func(s snapshot) bool {
		return s.sum("pgbouncer_pools_server_active_connections", "database", name) == 1
	})
	if got := s.value(t, "pgbouncer_databases_current_connections", "name", name); got != 1 {
		t.Errorf("%v connections to %s", got, name)
	}
}

// TestWholePooler runs the binary over a server and its pooler: promtool is content
// with the page of both and of the pooler alone, all names are in METRICS.md, and
// all that 1.18 and its successors give is there.
func TestWholePooler(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, 18)
	p := poolerBefore(t, srv)
	clients(t, p, 1, "app", "SELECT pg_sleep(120)")
	dir := t.TempDir()
	binary, err := exporter.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pgvigil.yml")
	yaml := "targets: [{name: pooler, kind: pgbouncer, page: /metrics, dsn: " + strconv.Quote(p.DSN(pgtest.PoolerStats, "pgbouncer")) + "}]\n"
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := exporter.Start(t.Context(), binary, freeAddress(t), srv.DSN(pgtest.Monitor, "postgres"), "--config.file="+config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	documented := documentedNames(t)
	both, alone := fetch(t, e, "/metrics"), fetch(t, e, "/probe?target=pooler")
	for name := range both {
		if !documented.has(name, 18) {
			t.Errorf("%s is on the page and not in METRICS.md", name)
		}
	}
	later := map[string]bool{ // than 1.18
		"pgbouncer_peers": true, "pgbouncer_peer_pools": true, "pgbouncer_databases_max_client_connections": true,
		"pgbouncer_databases_current_client_connections": true, "pgbouncer_stats_server_assignments_total": true,
		"pgbouncer_stats_client_parses_total": true, "pgbouncer_stats_server_parses_total": true, "pgbouncer_stats_binds_total": true,
		"pgbouncer_config_max_db_client_connections": true, "pgbouncer_config_max_user_client_connections": true,
	}
	for name := range documented {
		if !ofPooler(name) || later[name] {
			continue
		}
		if both[name] == nil || alone[name] == nil {
			t.Errorf("%s is on both pages: %v, on the pooler's own: %v", name, both[name] != nil, alone[name] != nil)
		}
	}
	if both["pg_up"] == nil || alone["pg_up"] != nil {
		t.Errorf("pg_up on the page of both: %v, on the pooler's own: %v", both["pg_up"] != nil, alone["pg_up"] != nil)
	}
}
