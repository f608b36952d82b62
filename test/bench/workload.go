package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// workload is what a server under measurement holds.
type workload struct {
	name      string
	databases int // the first is the maintenance database
	tables    int // in each database, with two indexes each
	sessions  int
	paced     time.Duration // how long it is scraped twice a second
}

func workloads(quick bool) []workload {
	list := []workload{
		{name: "S", databases: 1, tables: 50, sessions: 20, paced: 20 * time.Second},
		// Longer than a minute, so that collectors with that rhythm are refreshed meanwhile.
		{name: "M", databases: 10, tables: 500, sessions: 200, paced: 75 * time.Second},
	}
	if quick {
		for i := range list {
			list[i].paced = 5 * time.Second
		}
	}
	return list
}

// stage is a server with a workload.
type stage struct {
	server     *pgtest.Server
	control    *pgx.Conn // ours, as superuser
	postmaster int
	sessions   []*pgconn.PgConn
}

const mainDatabase = "postgres"

func databaseName(i int) string {
	if i == 0 {
		return mainDatabase
	}
	return fmt.Sprintf("app%d", i)
}

const tablesSQL = `
DO $$
BEGIN
	FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, v int, note text)', i);
		EXECUTE format('CREATE INDEX ON t%%s (v)', i);
		EXECUTE format('INSERT INTO t%%s SELECT g, g, ''note'' FROM generate_series(1, 10) g', i);
	END LOOP;
END
$$;
ANALYZE`

// newStage starts a server of the newest major and fills it.
func newStage(ctx context.Context, w workload) (_ *stage, err error) {
	bin, err := pgtest.Find()
	if err != nil {
		return nil, err
	}
	srv, err := pgtest.Start(ctx, bin, slices.Max(bin.Majors()), pgtest.Options{Settings: map[string]string{
		"autovacuum":      "off", // it would come and go between two scrapes
		"max_connections": fmt.Sprint(w.sessions + 50),
		"shared_buffers":  "256MB",
	}})
	if err != nil {
		return nil, err
	}
	st := &stage{server: srv}
	if err := st.fill(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("build workload %s: %w", w.name, err), st.stop())
	}
	return st, nil
}

func (st *stage) fill(ctx context.Context, w workload) (err error) {
	if st.control, err = pgx.Connect(ctx, st.server.DSN(pgtest.Superuser, mainDatabase)); err != nil {
		return err
	}
	if st.postmaster, err = parent(int(st.control.PgConn().PID())); err != nil {
		return err
	}
	for i := range w.databases {
		name := databaseName(i)
		if i > 0 {
			if _, err := st.control.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				return err
			}
		}
		conn, err := pgconn.Connect(ctx, st.server.DSN(pgtest.Superuser, name))
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, fmt.Sprintf(tablesSQL, w.tables)).ReadAll()
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return err
		}
	}
	if err := st.occupy(ctx, w); err != nil {
		return err
	}
	// What follows should not be disturbed by the writing of what came before.
	_, err = st.control.Exec(ctx, "CHECKPOINT")
	return err
}

// occupy opens the workload's sessions: of ten, one is active (it sleeps, so that
// the CPU is ours), one is idle in transaction, and the others are idle.
func (st *stage) occupy(ctx context.Context, w workload) error {
	for i := range w.sessions {
		conn, err := pgconn.Connect(ctx, st.server.DSN(pgtest.Superuser, databaseName(i%w.databases)))
		if err != nil {
			return err
		}
		st.sessions = append(st.sessions, conn)
		switch i % 10 {
		case 0:
			conn.Frontend().SendQuery(&pgproto3.Query{String: "SELECT pg_sleep(100000)"})
			err = conn.Frontend().Flush()
		case 1:
			_, err = conn.Exec(ctx, "BEGIN; SELECT count(*) FROM t1").ReadAll()
		default:
			_, err = conn.Exec(ctx, "SELECT count(*) FROM t1").ReadAll()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stop ends the server and with it all sessions.
func (st *stage) stop() error {
	err := st.server.Stop()
	for _, conn := range st.sessions {
		conn.Conn().Close() // the server has hung up already
	}
	if st.control != nil {
		st.control.PgConn().Conn().Close()
	}
	return err
}

// backend is one of the exporter's sessions as the server sees it.
type backend struct {
	pid      int
	database string
}

// backends lists the exporter's sessions, the oldest on the maintenance database
// first.
func (st *stage) backends(ctx context.Context) ([]backend, error) {
	rows, err := st.control.Query(ctx, `
SELECT pid, datname FROM pg_catalog.pg_stat_activity
 WHERE application_name = 'pgvigil' AND datname IS NOT NULL ORDER BY datname <> $1, backend_start`, mainDatabase)
	if err != nil {
		return nil, fmt.Errorf("list the exporter's sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b backend, err error) {
		return b, row.Scan(&b.pid, &b.database)
	})
	if err != nil {
		return nil, fmt.Errorf("list the exporter's sessions: %w", err)
	}
	return list, nil
}

// awaitGone waits until the server has seen the exporter's sessions end.
func (st *stage) awaitGone(ctx context.Context) error {
	for {
		open, err := st.backends(ctx)
		if err != nil || len(open) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watch):
		}
	}
}

// exporterTime is the server's CPU time for the exporter's sessions, since the
// server started: of those that are open, and of those that have ended as the
// postmaster adds it up. The only sessions that end during a measurement are the
// exporter's.
func (st *stage) exporterTime(ctx context.Context) (time.Duration, error) {
	open, err := st.backends(ctx)
	if err != nil {
		return 0, err
	}
	sum, err := endedTime(st.postmaster)
	if err != nil {
		return 0, err
	}
	for _, b := range open {
		t, err := cpuTime(b.pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// sessionsOpened is how many sessions there have been on a database.
func (st *stage) sessionsOpened(ctx context.Context, database string) (n int, err error) {
	err = st.control.QueryRow(ctx, "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = $1", database).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count sessions opened: %w", err)
	}
	return n, nil
}
