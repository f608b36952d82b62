package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

const mainDatabase = "postgres"

// How much is there at a time, and comes and goes in one step.
const (
	standing    = 3  // databases that stay, in which tables come and go
	tables      = 80 // in each database that stays
	fresh       = 8  // of them that are replaced in one step
	passing     = 3  // databases that stay for a while
	databasesIn = 3  // steps, in one of which a database is replaced
)

// churn replaces tables, statements, roles and databases, so that there are always
// as many of them and never the same.
type churn struct {
	server  *pgtest.Server
	upright *sync.RWMutex

	tables, statements, databases atomic.Int64 // made so far

	step int
}

func standingName(i int) string {
	if i == 0 {
		return mainDatabase
	}
	return fmt.Sprintf("standing%d", i)
}

// prepare makes what there is at first.
func (c *churn) prepare(ctx context.Context) error {
	if err := c.exec(ctx, pgtest.Superuser, mainDatabase, "CREATE EXTENSION pg_stat_statements", "CREATE EXTENSION pgstattuple"); err != nil {
		return err
	}
	for i := range standing {
		if i > 0 {
			if err := c.exec(ctx, pgtest.Superuser, mainDatabase, "CREATE DATABASE "+standingName(i)); err != nil {
				return err
			}
		}
		if err := c.exec(ctx, pgtest.Superuser, standingName(i), c.tablesSQL(0, tables)...); err != nil {
			return err
		}
	}
	for range passing * databasesIn {
		if err := c.change(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run changes the server until ctx ends.
func (c *churn) run(ctx context.Context) error {
	for ctx.Err() == nil {
		c.upright.RLock()
		err := c.change(context.WithoutCancel(ctx))
		c.upright.RUnlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// change is one step. Each table has a name and an oid that no other has had, so
// each statement on it is a new one too.
func (c *churn) change(ctx context.Context) error {
	c.step++
	from := tables + (c.step-1)*fresh
	for i := range standing {
		var sql []string
		for n := from - tables; n < from-tables+fresh; n++ {
			sql = append(sql, fmt.Sprintf("DROP TABLE t%d", n))
		}
		sql = append(sql, c.tablesSQL(from, fresh)...)
		if err := c.exec(ctx, pgtest.Superuser, standingName(i), sql...); err != nil {
			return err
		}
	}
	if c.step%databasesIn == 0 {
		return c.changeDatabase(ctx, c.step/databasesIn)
	}
	return nil
}

// changeDatabase makes a database with its role, which works there under a name
// of its own, and drops the oldest.
func (c *churn) changeDatabase(ctx context.Context, n int) error {
	name := fmt.Sprintf("passing%d", n)
	err := errors.Join(
		c.exec(ctx, pgtest.Superuser, mainDatabase, "CREATE ROLE "+name+" LOGIN IN ROLE pg_read_all_data", "CREATE DATABASE "+name+" OWNER "+name),
		c.exec(ctx, name, name, append([]string{"SET application_name = " + name, "CREATE SCHEMA " + name, "SET search_path = " + name}, c.tablesSQL(0, fresh)...)...),
	)
	c.databases.Add(1)
	if err != nil || n <= passing {
		return err
	}
	old := fmt.Sprintf("passing%d", n-passing)
	return c.exec(ctx, pgtest.Superuser, mainDatabase, "DROP DATABASE "+old+" WITH (FORCE)", "DROP ROLE "+old)
}

// tablesSQL makes tables with two indexes and uses them.
func (c *churn) tablesSQL(from, n int) []string {
	var sql []string
	for i := from; i < from+n; i++ {
		t := fmt.Sprintf("t%d", i)
		sql = append(sql,
			"CREATE TABLE "+t+" (id int PRIMARY KEY, v int, note text)",
			"CREATE INDEX ON "+t+" (v)",
			"INSERT INTO "+t+" SELECT g, g, 'note' FROM generate_series(1, 10) g",
			"UPDATE "+t+" SET v = v + 1",
			"SELECT count(*) FROM "+t+" WHERE id = 1",
			"ANALYZE "+t,
		)
	}
	c.tables.Add(int64(n))
	c.statements.Add(int64(3 * n))
	return sql
}

// exec runs statements over a session of its own.
func (c *churn) exec(ctx context.Context, user, database string, sql ...string) error {
	conn, err := pgconn.Connect(ctx, c.server.DSN(user, database))
	if err != nil {
		return err
	}
	// Each by itself: together they would be one transaction.
	for _, text := range sql {
		if _, err = conn.Exec(ctx, text).ReadAll(); err != nil {
			err = fmt.Errorf("%s: %w", strings.TrimSpace(text), err)
			break
		}
	}
	return errors.Join(err, conn.Close(ctx))
}
