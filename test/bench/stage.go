package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// stage is a server with a workload.
type stage struct {
	server     *pgtest.Server
	control    *pgx.Conn // ours, as superuser
	observer   *pgx.Conn // the same, to watch sessions beside
	postmaster int
	sessions   []*pgconn.PgConn
	filesSoFar int // temporary files that filling it took
}

// newStage starts a server of the newest major and fills it.
func newStage(ctx context.Context, w workload) (_ *stage, err error) {
	bin, err := pgtest.Find()
	if err != nil {
		return nil, err
	}
	srv, err := pgtest.Start(ctx, bin, slices.Max(bin.Majors()), pgtest.Options{Settings: map[string]string{
		"autovacuum":             "off", // it would come and go between two scrapes
		"full_page_writes":       "off", // the copies of a database are read from their files
		"max_connections":        fmt.Sprint(w.sessions + 100),
		"max_replication_slots":  "20",
		"pg_stat_statements.max": "5000",
		"shared_buffers":         "256MB",
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

// stop ends the server and with it all sessions.
func (st *stage) stop() error {
	err := st.server.Stop()
	for _, conn := range st.sessions {
		conn.Conn().Close() // the server has hung up already
	}
	for _, conn := range []*pgx.Conn{st.control, st.observer} {
		if conn != nil {
			conn.PgConn().Conn().Close()
		}
	}
	return err
}

// Names that sessions go by in pg_stat_activity.
const (
	exporterName = "pgvigil"
	bareName     = "bare"
)

// backend is a session as the server sees it.
type backend struct {
	pid      int
	database string
}

// backends lists the sessions of that name, the oldest on the maintenance
// database first.
func (st *stage) backends(ctx context.Context, name string) ([]backend, error) {
	return backendsOf(ctx, st.control, name)
}

func backendsOf(ctx context.Context, conn *pgx.Conn, name string) ([]backend, error) {
	rows, err := conn.Query(ctx, `
SELECT pid, datname FROM pg_catalog.pg_stat_activity
 WHERE application_name = $2 AND datname IS NOT NULL ORDER BY datname <> $1, backend_start`, mainDatabase, name)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b backend, err error) {
		return b, row.Scan(&b.pid, &b.database)
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

// awaitGone waits until the server has seen the exporter's sessions end.
func (st *stage) awaitGone(ctx context.Context) error {
	for {
		open, err := st.backends(ctx, exporterName)
		if err != nil || len(open) == 0 {
			return err
		}
		if err := sleep(ctx, watch); err != nil {
			return err
		}
	}
}

// timeOf is the server's CPU time for the sessions of that name, since the server
// started: of those that are open, and of all that have ended as the postmaster
// adds it up. So nobody else's session may end during a measurement.
func (st *stage) timeOf(ctx context.Context, name string) (time.Duration, error) {
	open, err := st.backends(ctx, name)
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

// still is how long the exporter's sessions must have done nothing to be taken
// for idle, and patience how long that is waited for.
const (
	still    = time.Second
	patience = 10 * time.Minute
)

// quiet waits until the exporter's sessions do nothing: until what a scrape has
// started beside itself has been read.
func (st *stage) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the exporter's sessions are never idle"))
	defer cancel()
	last, since := time.Duration(-1), time.Now()
	for time.Since(since) < still {
		now, err := st.timeOf(context.WithoutCancel(ctx), exporterName)
		if err != nil {
			return err
		}
		// An idle session has a timer now and then.
		if now-last > time.Millisecond || last < 0 {
			last, since = now, time.Now()
		}
		if err := sleep(ctx, watch); err != nil {
			return err
		}
	}
	return nil
}

// number reads one number as superuser.
func (st *stage) number(ctx context.Context, sql string, args ...any) (n int, err error) {
	if err := st.control.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("ask the server: %w", err)
	}
	return n, nil
}

// sessionsOpened is how many sessions there have been on a database.
func (st *stage) sessionsOpened(ctx context.Context, database string) (int, error) {
	return st.number(ctx, "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = $1", database)
}

// tempFiles is how many temporary files sessions have written since the stage was
// filled.
func (st *stage) tempFiles(ctx context.Context) (int, error) {
	n, err := st.number(ctx, "SELECT sum(temp_files)::int FROM pg_catalog.pg_stat_database")
	return n - st.filesSoFar, err
}

// statements is how many entries pg_stat_statements has.
func (st *stage) statements(ctx context.Context) (int, error) {
	return st.number(ctx, "SELECT count(*) FROM pg_stat_statements(false)")
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
