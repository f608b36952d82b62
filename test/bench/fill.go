package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// fill makes the workload's databases, roles, slots and sessions.
func (st *stage) fill(ctx context.Context, w workload) error {
	if err := st.fillDatabases(ctx, w); err != nil {
		return err
	}
	var err error
	if st.control, err = pgx.Connect(ctx, st.server.DSN(pgtest.Superuser, mainDatabase)); err != nil {
		return err
	}
	if st.observer, err = pgx.Connect(ctx, st.server.DSN(pgtest.Superuser, mainDatabase)); err != nil {
		return err
	}
	if st.postmaster, err = parent(int(st.control.PgConn().PID())); err != nil {
		return err
	}
	sql := []string{"CREATE EXTENSION pg_stat_statements"}
	if w.roles > 0 {
		sql = append(sql, fmt.Sprintf(rolesSQL, w.roles-1))
	}
	if w.slots > 0 {
		sql = append(sql, fmt.Sprintf(slotsSQL, w.slots))
	}
	sql = append(sql, "SELECT pg_stat_statements_reset()")
	for _, text := range sql {
		if _, err := st.control.Exec(ctx, text); err != nil {
			return err
		}
	}
	if err := st.occupy(ctx, w); err != nil {
		return err
	}
	// What follows should not be disturbed by the writing of what came before.
	if _, err = st.control.Exec(ctx, "CHECKPOINT"); err != nil {
		return err
	}
	st.filesSoFar, err = st.tempFiles(ctx)
	return err
}

// fillDatabases makes the tables once, and a copy for each other database.
func (st *stage) fillDatabases(ctx context.Context, w workload) error {
	if err := st.execIn(ctx, mainDatabase, fmt.Sprintf(tablesSQL, w.tables)); err != nil {
		return err
	}
	var names []string
	for i := range w.databases {
		names = append(names, databaseName(i))
		if i == 0 {
			continue
		}
		// With many small files quicker than the default, which writes all to WAL.
		copied := "CREATE DATABASE " + databaseName(i) + " TEMPLATE " + mainDatabase + " STRATEGY file_copy"
		if err := st.execIn(ctx, "template1", copied); err != nil {
			return err
		}
	}
	queue := make(chan string)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() {
			for name := range queue {
				if errs[i] == nil {
					errs[i] = st.execIn(ctx, name, fmt.Sprintf(useSQL, w.tables))
				}
			}
		})
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	wg.Wait()
	return errors.Join(errs...)
}

// execIn runs SQL over a session of its own.
func (st *stage) execIn(ctx context.Context, database, sql string) error {
	conn, err := pgconn.Connect(ctx, st.server.DSN(pgtest.Superuser, database))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// The table that is locked where sessions wait.
const (
	lockSQL = "BEGIN; LOCK TABLE t2 IN ACCESS EXCLUSIVE MODE"
	waitSQL = "SELECT count(*) FROM t2"
	readSQL = "SELECT count(*) FROM t1"
)

// occupy opens the workload's sessions: of ten, one is active (it sleeps, so that
// the CPU is ours), one is idle in transaction, in some workloads one waits for a
// lock, and the others are idle.
func (st *stage) occupy(ctx context.Context, w workload) error {
	if w.waiting {
		if err := st.open(ctx, pgtest.Superuser, mainDatabase, lockSQL, ""); err != nil {
			return err
		}
	}
	for i := range w.sessions {
		user, database := pgtest.Superuser, databaseName(i%w.databases)
		if w.roles > 0 {
			user = roleName(i % w.roles)
		}
		var texts []string
		for n := range w.statements {
			texts = append(texts, statementText(i*w.statements+n))
		}
		last := ""
		switch {
		case i%10 == 0:
			last = "SELECT pg_sleep(100000)"
		case i%10 == 1:
			texts = append(texts, "BEGIN", readSQL)
		case i%10 == 2 && w.waiting:
			database, last = mainDatabase, waitSQL
		default:
			texts = append(texts, readSQL)
		}
		if err := st.open(ctx, user, database, strings.Join(texts, ";"), last); err != nil {
			return err
		}
	}
	return nil
}

// open opens a session that runs SQL and then, without an answer, last.
func (st *stage) open(ctx context.Context, user, database, sql, last string) error {
	conn, err := pgconn.Connect(ctx, st.server.DSN(user, database))
	if err != nil {
		return err
	}
	st.sessions = append(st.sessions, conn)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil || last == "" {
		return err
	}
	conn.Frontend().SendQuery(&pgproto3.Query{String: last})
	return conn.Frontend().Flush()
}
