package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// serverDrills are of settings, statistics, subscriptions, and the server itself.
func serverDrills() []solo {
	return []solo{
		{drill{
			name: "settings-edited", lane: stock,
			does: "two settings are changed, one of which wants a restart",
			expect: []expected{
				{"PostgresSettingsChanged", "info", labels{"instance": "stock-1"}},
				{"PostgresRestartPending", "info", labels{"instance": "stock-1"}},
			},
		}, func(ctx context.Context, m *member, a *attempt) error {
			return a.change(ctx, m, "work_mem = '5MB'", "max_connections = 120")
		}},
		{drill{
			name: "certificate-expires", lane: shop,
			does:   "the server's certificate is valid for too short a time",
			expect: []expected{{"PostgresTlsCertExpiring", "critical", labels{"instance": "shop-1"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.heal(func(ctx context.Context) error { return certify(ctx, m, time.Now().AddDate(1, 0, 0)) })
			return certify(ctx, m, time.Now().AddDate(0, 0, 1))
		}},
		{drill{
			name: "less-ready", lane: shop,
			does:   "new passwords are kept as MD5 from now on",
			expect: []expected{{"PostgresReadinessWorse", "info", labels{"instance": "shop-1", "check": "password_encryption"}}},
			within: 2 * time.Minute,
		}, func(ctx context.Context, m *member, a *attempt) error {
			return a.change(ctx, m, "password_encryption = 'md5'")
		}},
		{drill{
			name: "subscription-conflict", lane: stock,
			does: "a subscription gets a row whose key is there already",
			expect: []expected{
				{"PostgresSubscriptionDown", "warning", labels{"datname": "subscriber"}},
				{"PostgresSubscriptionErrors", "warning", labels{"datname": "subscriber"}},
			},
			within: 2 * time.Minute,
		}, conflict},
		{drill{
			name: "statements-evicted", lane: shop, lingers: true,
			does:   "statements are so many that pg_stat_statements evicts them",
			expect: []expected{{"PostgresStatStatementsEvictions", "info", labels{"instance": "shop-1"}}},
		}, evictStatements},
		{drill{
			name: "restarted", lane: stock,
			does:   "the server is restarted",
			expect: []expected{{"PostgresRestarted", "info", labels{"instance": "stock-1"}}},
		}, func(ctx context.Context, m *member, _ *attempt) error { return m.Restart(ctx) }},
		{drill{
			name: "crash-loop", lane: shop, short: true, lingers: true,
			does:    "a session is killed by SIGKILL, five times",
			expect:  []expected{{"PostgresCrashRestart", "critical", labels{"instance": "shop-1"}}},
			follows: []string{"PostgresDown", "PostgresClusterDown"}, // on a slow machine recovery takes a while
		}, func(ctx context.Context, m *member, _ *attempt) error {
			return fiveTimes(ctx, func() error { return crash(ctx, m) })
		}},
		{drill{
			name: "restart-loop", lane: stock, lingers: true,
			does:    "the server is restarted five times",
			expect:  []expected{{"PostgresCrashRestart", "critical", labels{"instance": "stock-1"}}},
			follows: []string{"PostgresDown", "PostgresClusterDown"},
		}, func(ctx context.Context, m *member, _ *attempt) error {
			return fiveTimes(ctx, func() error { return m.Restart(ctx) })
		}},
	}
}

// fiveTimes does something each few seconds, so that each is seen by scrapes.
func fiveTimes(ctx context.Context, do func() error) error {
	for range 5 {
		if err := do(); err != nil {
			return err
		}
		if err := pause(ctx, 6*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// certify gives the server another certificate. The exporter sees it in its next session.
func certify(ctx context.Context, m *member, until time.Time) error {
	if err := m.Certify(until); err != nil {
		return err
	}
	if err := m.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	return m.sql(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgvigil'")
}

// conflict makes a subscription between two databases of the server.
func conflict(ctx context.Context, m *member, a *attempt) error {
	a.healBy(m, "DROP DATABASE IF EXISTS subscriber WITH (FORCE)", "DROP PUBLICATION IF EXISTS feed", "DROP TABLE IF EXISTS feed",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'feed'")
	if err := m.sql(ctx, "CREATE DATABASE subscriber", "CREATE TABLE feed (id int PRIMARY KEY)", "CREATE PUBLICATION feed FOR TABLE feed",
		"SELECT pg_create_logical_replication_slot('feed', 'pgoutput')"); err != nil {
		return err
	}
	conninfo := fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", m.Host(), m.Port(), pgtest.Superuser)
	a.heal(func(ctx context.Context) error {
		err := m.sqlIn(ctx, "subscriber", "ALTER SUBSCRIPTION feed DISABLE", "ALTER SUBSCRIPTION feed SET (slot_name = NONE)", "DROP SUBSCRIPTION feed")
		if err != nil {
			return err
		}
		return pause(ctx, time.Second) // for its worker to leave the slot
	})
	if err := m.sqlIn(ctx, "subscriber", "CREATE TABLE feed (id int PRIMARY KEY)", "INSERT INTO feed VALUES (1)",
		"CREATE SUBSCRIPTION feed CONNECTION '"+conninfo+"' PUBLICATION feed WITH (create_slot = false, copy_data = false)"); err != nil {
		return err
	}
	return m.sql(ctx, "INSERT INTO feed VALUES (1)")
}

// evictStatements runs statements that differ in their operators: constants would not
// tell them apart.
func evictStatements(ctx context.Context, m *member, a *attempt) error {
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	a.meanwhile(ctx, func(ctx context.Context) {
		for ctx.Err() == nil {
			var batch strings.Builder
			for range 100 {
				batch.WriteString("SELECT 1")
				for bits := rand.Uint32(); bits > 0; bits >>= 1 {
					batch.WriteString([]string{" + 1", " - 1"}[bits&1])
				}
				batch.WriteString(";")
			}
			if _, err := conn.PgConn().Exec(ctx, batch.String()).ReadAll(); err != nil {
				return
			}
			_ = pause(ctx, 200*time.Millisecond)
		}
	})
	return nil
}

// crash kills a session; the server ends all others and recovers.
func crash(ctx context.Context, m *member) error {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it is dead
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill a session: %w", err)
	}
	for {
		if m.sql(ctx, "SELECT 1") == nil {
			return nil
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// stopProcess stops the process of a kind until the fault is healed.
func stopProcess(ctx context.Context, a *attempt, conn *pgx.Conn, kind string) error {
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = $1", kind).Scan(&pid); err != nil {
		return err
	}
	a.heal(func(context.Context) error { return syscall.Kill(pid, syscall.SIGCONT) })
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the %s: %w", kind, err)
	}
	return nil
}
