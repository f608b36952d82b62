package main

import (
	"context"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// calmDrills are what administrators do on a good day.
func calmDrills() []solo {
	return []solo{
		{drill{
			name: "dump", lane: shop,
			does: "all tables are copied out in one transaction, as pg_dump does",
		}, dump},
		{drill{
			name: "table-rewritten", lane: shop,
			does: "300,000 rows are loaded, an index is made CONCURRENTLY, and the table is written anew by VACUUM FULL", hold: 15 * time.Second,
		}, func(ctx context.Context, m *member, a *attempt) error {
			a.healBy(m, "DROP TABLE IF EXISTS big")
			return m.sql(ctx, "CREATE TABLE big (a int, b text)", "INSERT INTO big SELECT g, md5(g::text) FROM generate_series(1, 300000) AS g",
				"CREATE INDEX CONCURRENTLY ON big (b)", "DELETE FROM big WHERE a % 2 = 0", "VACUUM FULL big", "ANALYZE big")
		}},
		{drill{
			name: "statistics-reset", lane: stock,
			does: "all statistics that commands reset are, five times", hold: 20 * time.Second,
		}, func(ctx context.Context, m *member, _ *attempt) error {
			return fiveTimes(ctx, func() error {
				return m.sql(ctx, "SELECT pg_stat_reset()", "SELECT pg_stat_reset_shared('bgwriter'), pg_stat_reset_shared('archiver'), pg_stat_reset_shared('wal')",
					"SELECT pg_stat_statements_reset()")
			})
		}},
		{drill{
			name: "database-dropped", lane: stock,
			does: "a database is made, used, and dropped", hold: 20 * time.Second,
		}, func(ctx context.Context, m *member, _ *attempt) error {
			if err := m.sql(ctx, "CREATE DATABASE passing"); err != nil {
				return err
			}
			if err := m.sqlIn(ctx, "passing", "CREATE TABLE a AS SELECT g FROM generate_series(1, 100000) AS g"); err != nil {
				return err
			}
			if err := pause(ctx, 15*time.Second); err != nil {
				return err
			}
			return m.sql(ctx, "DROP DATABASE passing WITH (FORCE)")
		}},
		{drill{
			name: "idle-hour", lane: shop,
			does: "nobody does anything for an hour", hold: 2 * time.Minute,
		}, func(_ context.Context, m *member, a *attempt) error {
			m.idle.Store(true)
			a.heal(func(context.Context) error { m.idle.Store(false); return nil })
			return nil
		}},
	}
}

// dump reads all there is, and takes its time.
func dump(ctx context.Context, m *member, a *attempt) error {
	conn, err := a.session(ctx, m, pgtest.Superuser)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND NOT relisshared")
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := conn.Exec(ctx, "LOCK TABLE "+table+" IN ACCESS SHARE MODE"); err != nil {
			return err
		}
		if _, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY "+table+" TO STDOUT"); err != nil {
			return err
		}
		if err := pause(ctx, 12*time.Second/time.Duration(len(tables))); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, "COMMIT")
	return err
}
