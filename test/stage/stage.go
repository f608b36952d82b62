// Package stage is what the demo and the check of the mixin show pgvigil at work on: a
// primary and its standby with a small workload, a pooler between where PgBouncer is
// installed, and a server with backups where pgBackRest is.
package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// Stage is a primary and its standby, with a shop at work on the primary.
type Stage struct {
	primary, standby *pgtest.Server
	pooler           *pgtest.Pooler // that the shop works through; nil where PgBouncer is not installed

	ledger    *pgtest.PgBackRest // a server with backups; nil where pgBackRest is not installed
	backupDir string             // where the primary was copied to instead

	failed chan error
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Start starts servers of a major, 0 for the newest, and the workload. ctx bounds the
// start and the workload.
func Start(ctx context.Context, major int) (_ *Stage, err error) {
	bin, err := pgtest.Find()
	if err != nil {
		return nil, err
	}
	if major == 0 {
		major = slices.Max(bin.Majors())
	}
	st := &Stage{failed: make(chan error, 1)}
	var work context.Context
	work, st.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Stop())
		}
	}()
	if st.primary, err = pgtest.Start(ctx, bin, major, pgtest.Options{}); err != nil {
		return nil, err
	}
	if st.standby, err = pgtest.Start(ctx, bin, major, pgtest.Options{StandbyOf: st.primary}); err != nil {
		return nil, err
	}
	if err := st.open(ctx); err != nil {
		return nil, fmt.Errorf("set up the workload: %w", err)
	}
	if err := st.openPooler(ctx); err != nil {
		return nil, err
	}
	if err := st.openBackup(ctx, bin); err != nil {
		return nil, err
	}
	for _, r := range routines() {
		st.wg.Go(func() {
			if err := r.run(work, st.clientDSN()); err != nil && work.Err() == nil {
				select {
				case st.failed <- fmt.Errorf("workload: %s: %w", r.name, err):
				default: // one is enough
				}
			}
		})
	}
	return st, nil
}

// Stop ends the workload, the pooler and then the servers, the standby first.
func (st *Stage) Stop() error {
	st.cancel()
	st.wg.Wait()
	var err error
	if st.pooler != nil {
		err = st.pooler.Stop()
	}
	if st.ledger != nil {
		err = errors.Join(err, st.ledger.Stop())
	}
	if st.backupDir != "" {
		err = errors.Join(err, os.RemoveAll(st.backupDir))
	}
	for _, srv := range []*pgtest.Server{st.standby, st.primary} {
		if srv != nil {
			err = errors.Join(err, srv.Stop())
		}
	}
	return err
}

// Version is the servers' release.
func (st *Stage) Version() string { return st.primary.Version }

// PrimaryPID is the process that a signal goes to, to stop the primary: the stage goes
// on without it.
func (st *Stage) PrimaryPID() int { return st.primary.PID() }

// Failed has the first error of the workload that is not a lost session.
func (st *Stage) Failed() <-chan error { return st.failed }

// HasPooler reports whether there is a pooler: target pooler of the configuration.
func (st *Stage) HasPooler() bool { return st.pooler != nil }

// HasLedger reports whether there is a server with backups: target ledger. Where not,
// a file tells of a backup, on the primary's page.
func (st *Stage) HasLedger() bool { return st.ledger != nil }

// ExporterDSN is what the exporter is given: a role with pg_monitor and no more.
func (st *Stage) ExporterDSN() string { return st.primary.DSN(pgtest.Monitor, "postgres") }

// DSN is the shop's database, for its owner.
func (st *Stage) DSN() string { return st.primary.DSN(owner, database) }

// openPooler starts the pooler before the primary. It has one server connection
// less than the shop has sessions, so that somebody waits now and then.
func (st *Stage) openPooler(ctx context.Context) (err error) {
	st.pooler, err = pgtest.StartPooler(ctx, pgtest.PoolerOptions{Databases: map[string]string{
		database: fmt.Sprintf("host=%s port=%d dbname=%s user=%s pool_size=3", st.primary.Host(), st.primary.Port(), database, owner),
	}})
	if errors.Is(err, pgtest.ErrNoProgram) {
		return nil
	}
	return err
}

// clientDSN is how the shop reaches its database.
func (st *Stage) clientDSN() string {
	if st.pooler != nil {
		return st.pooler.DSN(pgtest.PoolerUser, database)
	}
	return st.DSN()
}

// WriteConfig writes the exporter's configuration, which names the standby, the
// pooler and the backups.
func (st *Stage) WriteConfig(path string) error {
	text := fmt.Sprintf("targets:\n  - name: standby\n    dsn: %q\n", st.standby.DSN(pgtest.Monitor, "postgres"))
	if st.pooler != nil {
		text += fmt.Sprintf("  - name: pooler\n    kind: pgbouncer\n    dsn: %q\n    page: /metrics\n", st.pooler.DSN(pgtest.PoolerStats, "pgbouncer"))
	}
	if st.ledger != nil {
		text += fmt.Sprintf("  - name: ledger\n    dsn: %q\n", st.ledger.Server.DSN(pgtest.Monitor, "postgres"))
		text += fmt.Sprintf("backups:\n  - {kind: pgbackrest, stanza: %s, page: ledger, command: [%q, %q]}\n", pgtest.Stanza, st.ledger.Command()[0], st.ledger.Command()[1])
	} else if st.backupDir != "" {
		text += fmt.Sprintf("backups:\n  - {kind: file, stanza: shop, path: %q}\n", st.backupFile())
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the exporter's configuration: %w", err)
	}
	return nil
}

// open makes the shop's database.
func (st *Stage) open(ctx context.Context) error {
	for _, step := range []struct{ dsn, sql string }{
		{st.primary.DSN(pgtest.Superuser, "postgres"), "CREATE ROLE " + owner + " LOGIN"},
		{st.primary.DSN(pgtest.Superuser, "postgres"), "CREATE DATABASE " + database + " OWNER " + owner},
		{st.primary.DSN(pgtest.Superuser, database), "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgstattuple"},
		{st.DSN(), schema},
	} {
		conn, err := pgx.Connect(ctx, step.dsn)
		if err != nil {
			return err
		}
		_, err = conn.PgConn().Exec(ctx, step.sql).ReadAll()
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return err
		}
	}
	return nil
}
