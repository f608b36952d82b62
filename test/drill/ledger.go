package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

var ofLedger = labels{"instance": "ledger-1"}

// ofSource are the labels of an alert on backups by a tool.
func ofSource(tool string) labels {
	return labels{"instance": "ledger-1", "tool": tool, "stanza": pgtest.Stanza}
}

// ledgerDrills break the archive and the backups of a server.
func ledgerDrills() []drill {
	return []drill{
		{
			name: "archive-failing", lane: ledger, short: true,
			does:   "archive_command fails, each time",
			expect: []expected{{"PostgresArchiveFailing", "critical", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.switchWAL(ctx, s, 2*time.Second)
				return s.archiveBy(ctx, a, "false")
			},
		},
		{
			name: "archive-failing-once", lane: ledger, hold: 20 * time.Second,
			does: "archive_command fails once, and then succeeds",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.switchWAL(ctx, s, 2*time.Second)
				once := s.beside("failed-once")
				a.heal(func(context.Context) error { return os.Remove(once) })
				return s.archiveBy(ctx, a, "if mkdir "+once+" 2>/dev/null; then exit 1; fi; "+s.push())
			},
		},
		{
			name: "archive-slow", lane: ledger,
			does:   "WAL is written faster than archive_command archives it",
			expect: []expected{{"PostgresArchiveBacklog", "warning", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				if err := s.archiveBy(ctx, a, "sleep 3; "+s.push()); err != nil {
					return err
				}
				a.switchWAL(ctx, s, 400*time.Millisecond)
				return nil
			},
		},
		{
			name: "archive-hanging", lane: ledger,
			does:   "archive_command hangs",
			expect: []expected{{"PostgresArchiveStale", "warning", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.switchWAL(ctx, s, 5*time.Second)
				return s.hangArchiver(ctx, a)
			},
		},
		{
			name: "archive-unconfigured", lane: ledger,
			does:   "archive_mode is on, and archive_command is empty",
			expect: []expected{{"PostgresArchiveStale", "warning", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.switchWAL(ctx, s, 5*time.Second)
				return s.archiveBy(ctx, a, "")
			},
		},
		{
			name: "restart-while-archiving", lane: ledger, hold: 20 * time.Second,
			does: "the server is restarted while it archives",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.switchWAL(ctx, s, 3*time.Second)
				if err := pause(ctx, 7*time.Second); err != nil {
					return err
				}
				// It ends when all that waits is archived: more than a segment or two would be an outage.
				return s.ledger.Restart(ctx)
			},
		},
		{
			name: "quiet-hour", lane: ledger, hold: 2 * time.Minute,
			does: "nothing is written for an hour",
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { s.ledger.idle.Store(false); return nil })
				s.ledger.idle.Store(true)
				return nil
			},
		},
		{
			name: "backup-running", lane: ledger, hold: 10 * time.Second,
			does: "a backup is made",
			do: func(ctx context.Context, s *scene, _ *attempt) error {
				return s.backUp(ctx)
			},
		},
		{
			name: "backup-old", lane: ledger,
			does:   "the last good backup is of 30 hours ago",
			expect: []expected{{"PostgresBackupTooOld", "warning", ofSource("dump")}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.tellDump(time.Now()) })
				return s.tellDump(ago(30 * time.Hour))
			},
		},
		{
			name: "backup-very-old", lane: ledger,
			does:   "the last good backup is of three days ago",
			expect: []expected{{"PostgresBackupTooOld", "critical", ofSource("dump")}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.tellDump(time.Now()) })
				return s.tellDump(ago(72 * time.Hour))
			},
		},
		{
			name: "backup-damaged", lane: ledger,
			does:   "a backup finds a page whose checksum is wrong",
			expect: []expected{{"PostgresBackupFailed", "warning", ofSource("pgbackrest")}},
			within: 2 * time.Minute, // with the backup
			do:     spoilAndBackUp,
		},
		{
			name: "backup-hanging", lane: ledger,
			does:   "a backup stops in its tracks",
			expect: []expected{{"PostgresBackupRunningLong", "info", ofSource("pgbackrest")}},
			within: 2 * time.Minute, // with several times the last one's duration
			do:     hangBackup,
		},
		{
			name: "base-backup-stuck", lane: ledger,
			does:   "the client of a base backup stops reading",
			expect: []expected{{"PostgresBaseBackupStuck", "info", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return a.baseBackup(ctx, s.ledger)
			},
		},
		{
			name: "wal-gap", lane: ledger, short: true,
			does:   "a segment vanishes from the archive after the last backup",
			expect: []expected{{"PostgresBackupWalGap", "warning", ofSource("pgbackrest")}},
			within: 2 * time.Minute, // with a backup before
			do:     loseSegment,
		},
		{
			name: "repository-away", lane: ledger,
			does:    "the repository of archive and backups is away",
			expect:  []expected{{"PostgresBackupLookFailing", "warning", ofSource("pgbackrest")}},
			follows: []string{"PostgresArchiveFailing"},
			do: func(_ context.Context, s *scene, a *attempt) error {
				here, away := s.backup.Repository(1), s.backup.Repository(1)+".away"
				a.heal(func(context.Context) error { return os.Rename(away, here) })
				return os.Rename(here, away)
			},
		},
		{
			name: "backups-gone", lane: ledger,
			does:   "all backups are deleted, and the stanza is created anew",
			expect: []expected{{"PostgresBackupsGone", "warning", ofSource("pgbackrest")}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				a.heal(s.backUp)
				for _, args := range [][]string{{"stop"}, {"--force", "stanza-delete"}, {"start"}, {"stanza-create"}} {
					if _, err := s.backup.Do(ctx, args...); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name: "backup-source-removed", lane: ledger,
			does:   "pgvigil's configuration names pgBackRest no more",
			expect: []expected{{"PostgresBackupMetricsMissing", "warning", labels{"tool": "pgbackrest", "stanza": pgtest.Stanza}}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.reconfigure(ctx, a, s.ledger, s.backups(dumpSource, restoreSource), false)
			},
		},
		{
			name: "restore-unproven", lane: ledger,
			does:   "the last restore that was tested is of 40 days ago",
			expect: []expected{{"PostgresBackupRestoreUnproven", "info", ofSource("restore-test")}},
			do: func(_ context.Context, s *scene, a *attempt) error {
				a.heal(func(context.Context) error { return s.tellRestore(time.Now()) })
				return s.tellRestore(ago(40 * 24 * time.Hour))
			},
		},
		{
			name: "configuration-broken", lane: ledger, short: true,
			does:   "pgvigil is told to load a configuration with a mistake in it",
			expect: []expected{{"PostgresExporterConfigReloadFailed", "warning", ofLedger}},
			do: func(ctx context.Context, s *scene, a *attempt) error {
				return s.reconfigure(ctx, a, s.ledger, "backups:\n  - {kind: pgbackwrest}\n", true)
			},
		},
	}
}

// ago is so long ago in the time of the rules.
func ago(d time.Duration) time.Time { return time.Now().Add(-time.Duration(float64(d) * scale)) }

// beside is a path that the ledger's server may use.
func (s *scene) beside(name string) string { return filepath.Join(filepath.Dir(s.ledger.Dir()), name) }

// push is the archive_command that works.
func (s *scene) push() string {
	return strings.Join(s.backup.Command(), " ") + " --stanza=" + pgtest.Stanza + " archive-push %p"
}

// archiveBy has the ledger archive by another command.
func (s *scene) archiveBy(ctx context.Context, a *attempt, command string) error {
	a.heal(func(ctx context.Context) error {
		return s.ledger.sql(ctx, "ALTER SYSTEM RESET archive_command", "SELECT pg_reload_conf()")
	})
	set := "ALTER SYSTEM SET archive_command = '" + strings.ReplaceAll(command, "'", "''") + "'"
	return s.ledger.sql(ctx, set, "SELECT pg_reload_conf()")
}

// hangArchiver has archive_command hang.
func (s *scene) hangArchiver(ctx context.Context, a *attempt) error {
	held := s.beside("hold")
	if err := os.WriteFile(held, nil, 0o644); err != nil {
		return err
	}
	if err := s.archiveBy(ctx, a, "while test -e "+held+"; do sleep 0.2; done; "+s.push()); err != nil {
		return err
	}
	a.heal(func(context.Context) error { return os.Remove(held) })
	return nil
}

// switchWAL has the ledger begin a new segment again and again.
func (a *attempt) switchWAL(ctx context.Context, s *scene, every time.Duration) {
	a.meanwhile(ctx, func(ctx context.Context) {
		for pause(ctx, every) == nil {
			_ = s.ledger.sql(ctx, "SELECT pg_switch_wal()") // a restarting server takes none
		}
	})
}

// backUp makes a full backup, by which the last one of its type is good again.
func (s *scene) backUp(ctx context.Context) error {
	_, err := s.backup.Do(ctx, "--type=full", "backup")
	return err
}

// spoilAndBackUp spoils a page on disk, which the server has in memory, and backs up.
func spoilAndBackUp(ctx context.Context, s *scene, a *attempt) (err error) {
	if err := s.ledger.sql(ctx, "CREATE TABLE spoilt AS SELECT generate_series(1, 1000)", "CHECKPOINT"); err != nil {
		return err
	}
	a.heal(func(ctx context.Context) error { return s.ledger.sql(ctx, "DROP TABLE spoilt") })
	path, err := s.ledger.ask(ctx, "SELECT pg_relation_filepath('spoilt')")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.ledger.Dir(), path), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	const at = 4096
	good := make([]byte, 6)
	if _, err = f.ReadAt(good, at); err == nil {
		_, err = f.WriteAt([]byte("spoilt"), at)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	a.heal(func(ctx context.Context) error {
		_, err := f.WriteAt(good, at)
		return errors.Join(err, f.Close(), s.backUp(ctx))
	})
	return s.backUp(ctx)
}

// hangBackup begins a backup and stops it.
func hangBackup(ctx context.Context, s *scene, a *attempt) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd, err := s.backup.Start(running, "--type=full", "backup")
	if err != nil {
		cancel()
		return err
	}
	a.heal(func(context.Context) error {
		cancel()
		_ = cmd.Wait() // killed
		return nil
	})
	for {
		info, err := s.backup.Do(ctx, "--output=json", "info")
		if err != nil {
			return err
		}
		if strings.Contains(info, `"held":true`) {
			return syscall.Kill(-cmd.Process.Pid, syscall.SIGSTOP)
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// baseBackup begins a base backup and reads nothing of it.
func (a *attempt) baseBackup(ctx context.Context, m *member) error {
	config, err := pgconn.ParseConfig(m.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return err
	}
	config.RuntimeParams["replication"] = "true"
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", m.name, err)
	}
	a.heal(func(context.Context) error { return conn.Conn().Close() })
	conn.Frontend().Send(&pgproto3.Query{String: "BASE_BACKUP (CHECKPOINT 'fast')"})
	return conn.Frontend().Flush()
}

// loseSegment moves away a segment that is neither the newest nor one of a backup.
func loseSegment(ctx context.Context, s *scene, a *attempt) error {
	if err := s.backUp(ctx); err != nil {
		return err
	}
	lost, err := s.ledger.ask(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn())")
	if err != nil {
		return err
	}
	for range 3 { // with some WAL in each
		if err := s.ledger.sql(ctx, "CREATE TABLE switched ()", "DROP TABLE switched", "SELECT pg_switch_wal()"); err != nil {
			return err
		}
	}
	// Not what is still being written, under another end.
	pattern := filepath.Join(s.backup.Repository(1), "archive", pgtest.Stanza, "*", "*", lost+"-*.gz")
	for {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			away := s.beside("lost")
			a.heal(func(context.Context) error { return os.Rename(away, found[0]) })
			return os.Rename(found[0], away)
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// ask returns the one value of a question.
func (m *member) ask(ctx context.Context, question string) (answer string, err error) {
	conn, err := pgx.Connect(ctx, m.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return "", fmt.Errorf("connect to %s: %w", m.name, err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := conn.QueryRow(ctx, question).Scan(&answer); err != nil {
		return "", fmt.Errorf("%s: %s: %w", m.name, question, err)
	}
	return answer, nil
}
