package web

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/backup"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// backupsToo is watch with the collectors of backups.
func backupsToo() Watch {
	w := watch()
	w.Collectors = append(w.Collectors, spec.From(spec.Backup, collector.All())...)
	w.Enabled["backup"] = true
	return w
}

// filed is a source that is a file with a proven restore.
func filed(t *testing.T, page, stanza string) config.Backup {
	t.Helper()
	path := filepath.Join(t.TempDir(), stanza+".json")
	if err := os.WriteFile(path, []byte(`{"format": 1, "restore_proven": 1769418000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Backup{Page: page, Config: backup.Config{
		Kind: backup.File, Stanza: stanza, Path: path, Interval: time.Hour, Timeout: time.Minute,
	}}
}

// askUntil asks for a page until it is as wanted.
func (s *served) askUntil(t *testing.T, path string, wanted func(body string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		body := s.ask(t, http.MethodGet, path).body
		if wanted(body) {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never became as wanted:\n%s", path, body)
		}
	}
}

func has(line string) func(string) bool {
	return func(body string) bool { return strings.Contains(body, line+"\n") }
}

// TestBackupsOfServer: what pgBackRest holds is beside its server, and that server's
// archiver proves the newest moment, within a second.
func TestBackupsOfServer(t *testing.T) {
	t.Parallel()
	tool := pgtest.NewPgBackRest(t, 15, 1)
	tool.Run(t, "--type=full", "backup")
	s := serve(t, Options{Watch: backupsToo(), Load: func() (config.File, error) {
		return config.File{
			Targets: []config.Target{connected("a", tool.Server.DSN(pgtest.Superuser, "postgres")), connected("b", nowhere)},
			Backups: []config.Backup{{Page: "a", Config: backup.Config{
				Kind: backup.PgBackRest, Stanza: pgtest.Stanza, Command: tool.Command(), Interval: 100 * time.Millisecond, Timeout: 30 * time.Second,
			}}},
		}, nil
	}})
	const newest = `pg_backup_repository_newest_recoverable_timestamp_seconds`
	s.askUntil(t, "/probe?target=a", func(body string) bool { return strings.Contains(body, newest) })
	tool.Server.Exec(t, "SELECT pg_switch_wal()")
	s.askUntil(t, "/probe?target=a", func(body string) bool {
		if !has("pg_up 1")(body) || !has(`pg_backup_look_success{tool="pgbackrest",stanza="main"} 1`)(body) {
			return false
		}
		archived, err := strconv.ParseFloat(tool.Server.Query(t, "postgres", "SELECT extract(epoch FROM last_archived_time)::float8 FROM pg_stat_archiver"), 64)
		if err != nil {
			t.Fatal(err)
		}
		proven, err := strconv.ParseFloat(value(families(t, body), newest), 64)
		return err == nil && math.Abs(proven-archived) < 1
	})
	if body := s.ask(t, http.MethodGet, "/probe?target=b").body; strings.Contains(body, "pg_backup_") {
		t.Errorf("backups of one server are on the page of another:\n%s", body)
	}
}

// TestBackupsAlone: backups are on /metrics without any server, and are chosen like
// collectors.
func TestBackupsAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{Watch: backupsToo(), Load: func() (config.File, error) {
		return config.File{Backups: []config.Backup{filed(t, "", "one"), filed(t, "", "two")}}, nil
	}})
	const proven = `pg_backup_restore_proven_timestamp_seconds{tool="file",stanza="%s"} 1.769418e+09`
	s.askUntil(t, "/metrics", has(fmt.Sprintf(proven, "one")))
	body := s.askUntil(t, "/metrics", has(fmt.Sprintf(proven, "two")))
	families(t, body) // which fails where a family comes twice
	if body := s.ask(t, http.MethodGet, "/metrics?exclude%5B%5D=backup").body; strings.Contains(body, "pg_backup_") {
		t.Error("backups are on a page that is to be without them")
	}
	if code := s.ask(t, http.MethodGet, "/probe?target=one").status; code != http.StatusNotFound {
		t.Errorf("a stanza is asked for as a target: %d", code)
	}
}

// TestBackupsHang: a tool that hangs costs the page of its server nothing.
func TestBackupsHang(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	s := serve(t, Options{Watch: backupsToo(), Load: func() (config.File, error) {
		return config.File{
			Targets: []config.Target{connected("a", srv.DSN(pgtest.Monitor, "postgres"))},
			Backups: []config.Backup{{Page: "a", Config: backup.Config{
				Kind: backup.PgBackRest, Stanza: "main", Command: []string{"/bin/sh", "-c", "sleep 600; exit 1"},
				Interval: 100 * time.Millisecond, Timeout: 50 * time.Millisecond,
			}}},
		}, nil
	}})
	s.askUntil(t, "/probe?target=a", func(body string) bool {
		return has("pg_up 1")(body) && has(`pg_backup_look_success{tool="pgbackrest",stanza="main"} 0`)(body) &&
			!has(`pg_backup_look_failures_total{tool="pgbackrest",stanza="main",reason="timeout"} 0`)(body)
	})
}

// TestBackupsReload: sources written as before go on with what they have seen, and
// those that are gone are no longer shown.
func TestBackupsReload(t *testing.T) {
	t.Parallel()
	kept, gone := filed(t, "", "kept"), filed(t, "a", "gone")
	sources := []config.Backup{kept, gone}
	s := serve(t, Options{Watch: backupsToo(), Load: func() (config.File, error) {
		return config.File{Targets: []config.Target{connected("a", nowhere)}, Backups: sources}, nil
	}})
	const looked = `pg_backup_restore_proven_timestamp_seconds{tool="file",stanza="kept"} 1.769418e+09`
	s.askUntil(t, "/metrics", has(looked))
	s.askUntil(t, "/probe?target=a", has(strings.Replace(looked, "kept", "gone", 1)))
	if err := os.Remove(kept.Config.Path); err != nil {
		t.Fatal(err)
	}
	sources = sources[:1]
	if code := s.ask(t, http.MethodPost, "/-/reload").status; code != http.StatusOK {
		t.Fatalf("not reloaded: %d", code)
	}
	if body := s.ask(t, http.MethodGet, "/metrics").body; !has(looked)(body) {
		t.Errorf("a source has forgotten what it saw:\n%s", body)
	}
	if body := s.ask(t, http.MethodGet, "/probe?target=a").body; strings.Contains(body, "gone") {
		t.Errorf("a source that is gone is still shown:\n%s", body)
	}
}
