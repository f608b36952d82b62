package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// sessionDrills are of connections, transactions and locks.
func sessionDrills() []solo {
	return []solo{
		{drill{
			name: "connections-exhausted", lane: shop, short: true,
			does:   "clients take all connections there are",
			expect: []expected{{"PostgresConnectionsHigh", "critical", labels{"instance": "shop-1"}}},
		}, exhaustConnections},
		{drill{
			name: "role-limit", lane: stock,
			does:   "a user takes all connections it may have",
			expect: []expected{{"PostgresRoleConnectionLimit", "warning", labels{"rolname": "clerk"}}},
		}, exhaustRole},
		{drill{
			name: "idle-in-transaction", lane: shop,
			does: "a session writes and forgets to commit",
			expect: []expected{
				{"PostgresIdleInTransaction", "warning", labels{"datname": "postgres"}},
				{"PostgresLongTransaction", "warning", labels{"datname": "postgres"}},
			},
		}, func(ctx context.Context, m *member, a *attempt) error {
			return a.transaction(ctx, m, "SELECT pg_current_xact_id()")
		}},
		{drill{
			name: "long-query", lane: stock,
			does:   "a query does not end",
			expect: []expected{{"PostgresLongQuery", "info", labels{"datname": "postgres"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.running(ctx, m, time.Second, "SELECT pg_sleep(600)")
			return nil
		}},
		{drill{
			name: "lock-queue", lane: shop,
			does:   "a table is locked, and who writes to it waits",
			expect: []expected{{"PostgresLockWaitLong", "warning", labels{"instance": "shop-1"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			for range 5 {
				a.running(ctx, m, time.Second, "UPDATE accounts SET balance = 0 WHERE id = 1")
			}
			return a.transaction(ctx, m, "LOCK TABLE accounts")
		}},
		{drill{
			name: "deadlocks", lane: stock, lingers: true,
			does:   "transactions take the same two locks in different order, eight times",
			expect: []expected{{"PostgresDeadlocks", "warning", labels{"datname": "postgres"}}},
		}, deadlock},
		{drill{
			name: "rollbacks", lane: shop,
			does:   "an application rolls back what it writes, all the time",
			expect: []expected{{"PostgresRollbackRatioHigh", "warning", labels{"datname": "postgres"}}},
		}, func(ctx context.Context, m *member, a *attempt) error {
			// A session that touches no table reports its transactions at its end only.
			a.running(ctx, m, 5*time.Millisecond, "BEGIN; UPDATE accounts SET balance = 0 WHERE id = 500; ROLLBACK")
			return nil
		}},
		{drill{
			name: "lock-table-full", lane: stock,
			does:   "a session takes nine tenths of the places for locks",
			expect: []expected{{"PostgresLockTableFull", "warning", labels{"instance": "stock-1"}}},
		}, fillLockTable},
		{drill{
			name: "buffer-pins", lane: stock,
			does:   "eight VACUUM wait for pages that a cursor holds",
			expect: []expected{{"PostgresSlruOrBufferPinWaits", "info", labels{"instance": "stock-1"}}},
		}, pinBuffers},
	}
}

func exhaustConnections(ctx context.Context, m *member, a *attempt) error {
	for {
		_, err := a.session(ctx, m, pgtest.Nobody)
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "53300" { // too_many_connections
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func exhaustRole(ctx context.Context, m *member, a *attempt) error {
	a.healBy(m, "DROP ROLE clerk")
	if err := m.sql(ctx, "CREATE ROLE clerk LOGIN CONNECTION LIMIT 10"); err != nil {
		return err
	}
	for range 10 {
		if _, err := a.session(ctx, m, "clerk"); err != nil {
			return err
		}
	}
	return nil
}

// deadlock has two sessions wait for each other until the server ends one.
func deadlock(ctx context.Context, m *member, a *attempt) error {
	var pair [2]*pgx.Conn
	for i := range pair {
		conn, err := a.session(ctx, m, pgtest.Superuser)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "SET deadlock_timeout = '50ms'"); err != nil {
			return err
		}
		pair[i] = conn
	}
	lock := func(i, key int) error {
		_, err := pair[i].Exec(ctx, "SELECT pg_advisory_xact_lock($1)", key)
		return err
	}
	for range 8 {
		for i, conn := range pair {
			if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
				return err
			}
			if err := lock(i, i); err != nil {
				return err
			}
		}
		first := make(chan error)
		go func() { first <- lock(0, 1) }()
		err := errors.Join(lock(1, 0), <-first)
		var ended *pgconn.PgError
		if !errors.As(err, &ended) || ended.Code != "40P01" { // deadlock_detected
			return fmt.Errorf("make a deadlock: %w", err)
		}
		for _, conn := range pair {
			if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
				return err
			}
		}
	}
	return nil
}

func fillLockTable(ctx context.Context, m *member, a *attempt) error {
	var places int
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	const sql = `SELECT current_setting('max_locks_per_transaction')::int * (SELECT sum(setting::int) FROM pg_settings
		WHERE name IN ('max_connections', 'max_prepared_transactions', 'max_worker_processes', 'max_wal_senders', 'autovacuum_max_workers'))`
	if err := conn.QueryRow(ctx, sql).Scan(&places); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT count(pg_advisory_lock(1, g)) FROM generate_series(1, $1::int) AS g", places*9/10)
	return err
}

func pinBuffers(ctx context.Context, m *member, a *attempt) error {
	const tables = 8
	var cursors []string
	for i := range tables {
		a.healBy(m, fmt.Sprintf("DROP TABLE IF EXISTS pinned%d", i))
		if err := m.sql(ctx, fmt.Sprintf("CREATE TABLE pinned%d AS SELECT 1 AS a", i)); err != nil {
			return err
		}
		cursors = append(cursors, fmt.Sprintf("DECLARE c%[1]d CURSOR FOR SELECT * FROM pinned%[1]d", i), fmt.Sprintf("FETCH c%d", i))
	}
	if err := a.transaction(ctx, m, cursors...); err != nil {
		return err
	}
	for i := range tables {
		a.running(ctx, m, time.Second, fmt.Sprintf("VACUUM (FREEZE) pinned%d", i))
	}
	return nil
}
