package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// openBackup takes backups that the exporter can tell of: with pgBackRest, of a
// server of its own since it does not know the newest majors, or, where that is not
// installed, by hand, with a file that tells of it.
func (st *Stage) openBackup(ctx context.Context, bin pgtest.Binaries) (err error) {
	if !slices.Contains(bin.Majors(), pgtest.PgBackRestMajor) {
		return st.copyPrimary(ctx)
	}
	st.ledger, err = pgtest.StartPgBackRest(ctx, bin, pgtest.PgBackRestMajor, 1)
	if errors.Is(err, pgtest.ErrNoProgram) {
		return st.copyPrimary(ctx)
	}
	if err != nil {
		return err
	}
	for _, kind := range []string{"full", "incr"} {
		if _, err := st.ledger.Do(ctx, "--type="+kind, "backup"); err != nil {
			return err
		}
	}
	return nil
}

// copyPrimary takes a base backup of the primary as any job may, and writes what
// became of it as docs/backups.md says. Servers before PostgreSQL 15, which call this
// otherwise, stay without.
func (st *Stage) copyPrimary(ctx context.Context) (err error) {
	if st.primary.Major < 15 {
		return nil
	}
	if st.backupDir, err = os.MkdirTemp("", "pgvigil-demo-backup-"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, st.primary.DSN(pgtest.Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	start := time.Now()
	if _, err := conn.Exec(ctx, "SELECT pg_backup_start('demo', true)"); err != nil {
		return fmt.Errorf("begin a base backup: %w", err)
	}
	size, err := copyDir(st.primary.Dir(), filepath.Join(st.backupDir, "base"))
	if err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label); err != nil {
		return fmt.Errorf("end a base backup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(st.backupDir, "base", "backup_label"), []byte(label), 0o600); err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"format": 1, "backups": []any{map[string]any{
		"label": "demo", "type": "full", "state": "done", "start": start.Unix(), "stop": time.Now().Unix(), "database_bytes": size,
	}}})
	if err != nil {
		return err
	}
	return os.WriteFile(st.backupFile(), text, 0o600)
}

func (st *Stage) backupFile() string { return filepath.Join(st.backupDir, "backups.json") }

// copyDir copies a data directory without what a backup leaves out, and returns how
// many bytes that were. Files may vanish meanwhile.
func copyDir(from, to string) (size int64, err error) {
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, from)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case !entry.Type().IsRegular() || entry.Name() == "postmaster.pid" || strings.HasPrefix(rel, "/pg_wal/"):
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		size += int64(len(data))
		return errors.Join(err, os.WriteFile(filepath.Join(to, rel), data, 0o600))
	})
	if err != nil {
		return 0, fmt.Errorf("copy the data directory: %w", err)
	}
	return size, nil
}
