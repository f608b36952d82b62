package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// scriptPatience bounds each wait of a test.
const scriptPatience = 30 * time.Second

// A scriptJob runs the scripts of docs/backups.md against a server, as the user of the servers.
type scriptJob struct {
	dir                   string
	env                   []string
	backupFile, proofFile string
}

func newScriptJob(t *testing.T, srv *pgtest.Server) scriptJob {
	t.Helper()
	programs := filepath.Dir(pgtest.Program(t, "pg_basebackup"))
	clients := filepath.Dir(pgtest.Program(t, "psql"))
	pgtest.Program(t, "flock")
	dir, err := os.MkdirTemp("", "scripts-") // t.TempDir is closed to the user of the servers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, sub := range []string{"", "backups", "facts", "scratch", "space"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, heading := range map[string]string{"base-backup.sh": "## pg_basebackup alone", "restore-test.sh": "## A restore test"} {
		script := documented(t, heading, "sh")[0]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin := srv.Query(t, "postgres", "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
	j := scriptJob{dir: dir, backupFile: filepath.Join(dir, "facts", "backups.json"), proofFile: filepath.Join(dir, "facts", "restore.json")}
	j.env = []string{
		"PATH=" + strings.Join([]string{bin, programs, clients, "/usr/bin", "/bin"}, ":"), "LC_ALL=C.UTF-8", "TZ=UTC",
		"PGHOST=" + srv.Host(), "PGPORT=" + strconv.Itoa(srv.Port()), "PGUSER=" + pgtest.Superuser,
		"BACKUPS=" + filepath.Join(dir, "backups"), "SCRATCH=" + filepath.Join(dir, "scratch"), "KEEP=2",
	}
	return j
}

// start starts a script in a process group of its own, which ends with the test.
func (j scriptJob) start(t *testing.T, name, facts string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/bin/sh", filepath.Join(j.dir, name))
	cmd.Dir = j.dir
	cmd.Env = append(slices.Concat(j.env, env), "FACTS="+facts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // its traps stop what it started
	cmd.WaitDelay = 10 * time.Second
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, said
}

func (j scriptJob) run(t *testing.T, name, facts string, env ...string) error {
	t.Helper()
	cmd, said := j.start(t, name, facts, env...)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return nil
}

// states returns what became of the backups, oldest first.
func (j scriptJob) states(t *testing.T) ([]State, Repository) {
	t.Helper()
	r, err := lookFile(Config{Kind: File, Tool: "pg_basebackup", Stanza: "main", Path: j.backupFile})
	if err != nil {
		t.Fatal(err)
	}
	if r.Tool != "pg_basebackup" || len(r.Repositories) != 1 {
		t.Fatalf("the script has written %+v", r)
	}
	var states []State
	for _, b := range r.Repositories[0].Backups {
		states = append(states, b.State)
	}
	return states, r.Repositories[0]
}

func (j scriptJob) expect(t *testing.T, want ...State) Repository {
	t.Helper()
	got, repo := j.states(t)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("states of backups: %s", diff)
	}
	return repo
}

// nextLabel waits until labels of backups are new.
func nextLabel(t *testing.T) {
	t.Helper()
	for now := time.Now().Unix(); time.Now().Unix() == now; {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func awaitScript(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(scriptPatience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, scriptPatience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// scripted runs a test on every major that the machine's pg_basebackup takes, each on a server of its own.
func scripted(t *testing.T, body func(t *testing.T, srv *pgtest.Server, j scriptJob)) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), pgtest.Program(t, "pg_basebackup"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var newest int // pg_basebackup (PostgreSQL) 15.18 (Debian …)
	if _, err := fmt.Sscanf(string(out), "pg_basebackup (PostgreSQL) %d", &newest); err != nil {
		t.Fatalf("version of pg_basebackup: %v: %s", err, out)
	}
	for _, major := range pgtest.Majors() {
		if major > newest {
			break // pg_basebackup refuses servers newer than itself
		}
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			srv := pgtest.New(t, major, pgtest.Options{})
			body(t, srv, newScriptJob(t, srv))
		})
	}
}

// TestScripts runs the documented scripts from a backup to the proof of its restore.
func TestScripts(t *testing.T) {
	scripted(t, func(t *testing.T, srv *pgtest.Server, j scriptJob) {
		srv.Exec(t, "CREATE TABLESPACE elsewhere LOCATION '"+filepath.Join(j.dir, "space")+"'",
			"CREATE TABLE kept (n int) TABLESPACE elsewhere", "INSERT INTO kept SELECT generate_series(1, 1234)",
			"ALTER SYSTEM SET archive_command = 'touch "+filepath.Join(j.dir, "archived")+"'")
		if err := j.run(t, "restore-test.sh", j.proofFile); err == nil || !strings.Contains(err.Error(), "there is no backup") {
			t.Errorf("a restore of no backup: %v", err)
		}
		if err := j.run(t, "base-backup.sh", j.backupFile); err != nil {
			t.Fatal(err)
		}
		repo := j.expect(t, Done)
		if b := repo.Backups[0]; b.Type != Full || b.Start.IsZero() || b.Stop.Before(b.Start) || b.Stored < 1e6 || repo.Status != StatusOK {
			t.Errorf("the backup is %+v", repo)
		}

		// A query that finds nothing proves nothing.
		for _, query := range []string{"SELECT 1 WHERE false", "SELECT * FROM lost"} {
			if err := j.run(t, "restore-test.sh", j.proofFile, "QUERY="+query); err == nil {
				t.Errorf("%s is taken for a proof", query)
			}
		}
		if _, err := os.Stat(j.proofFile); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a restore that failed has left %v", err)
		}
		before := time.Now().Truncate(time.Second)
		const query = "SELECT 1 FROM kept WHERE (SELECT count(*) FROM kept) = 1234 AND NOT pg_is_in_recovery() LIMIT 1"
		if err := j.run(t, "restore-test.sh", j.proofFile, "QUERY="+query); err != nil {
			t.Fatal(err)
		}
		r, err := lookFile(Config{Kind: File, Tool: "restore-test", Stanza: "main", Path: j.proofFile})
		if err != nil || r.Tool != "restore-test" || len(r.Repositories) != 0 || r.RestoreProven.Before(before) {
			t.Errorf("the proof is %+v: %v", r, err)
		}
		if _, err := os.Stat(filepath.Join(j.dir, "archived")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the restored server has archived: %v", err) // the original was not told to, for want of a reload
		}
		left, err := os.ReadDir(filepath.Join(j.dir, "scratch"))
		if err != nil || len(left) != 0 {
			t.Errorf("restores have left %v: %v", left, err)
		}
		if n := srv.Query(t, "postgres", "SELECT count(*) FROM kept"); n != "1234" {
			t.Errorf("the original has %s rows left", n)
		}
		for _, file := range []string{j.backupFile, j.proofFile} {
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s: %v, not open to all: %v", file, info.Mode(), err)
			}
		}
	})
}

// TestScriptStates looks while the backup script runs, and after it has failed, was killed, or died.
func TestScriptStates(t *testing.T) {
	scripted(t, func(t *testing.T, srv *pgtest.Server, j scriptJob) {
		if err := j.run(t, "base-backup.sh", j.backupFile); err != nil {
			t.Fatal(err)
		}
		first := j.expect(t, Done).Backups[0].Label
		nextLabel(t)
		if err := j.run(t, "base-backup.sh", j.backupFile, "PGUSER=stranger"); err == nil {
			t.Error("a backup without a role has succeeded")
		}
		j.expect(t, Done, Failed)

		// A server that does not answer holds pg_basebackup up.
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			nextLabel(t)
			if err := srv.Freeze(); err != nil {
				t.Fatal(err)
			}
			cmd, said := j.start(t, "base-backup.sh", j.backupFile)
			awaitScript(t, "running backup", func() bool { _, repo := j.states(t); return repo.Running && !repo.RunningSince.IsZero() })
			if err := j.run(t, "base-backup.sh", j.backupFile); err == nil || !strings.Contains(err.Error(), "another one is running") {
				t.Errorf("a second backup beside: %v", err)
			}
			if err := syscall.Kill(-cmd.Process.Pid, sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("killed, the script has succeeded: %s", said)
			}
			if err := srv.Thaw(); err != nil {
				t.Fatal(err)
			}
		}
		j.expect(t, Done, Failed, Failed, Running) // nobody could tell that it died

		// What died is noticed, and of three good backups the oldest goes.
		for range 2 {
			nextLabel(t)
			if err := j.run(t, "base-backup.sh", j.backupFile); err != nil {
				t.Fatal(err)
			}
		}
		repo := j.expect(t, Failed, Failed, Failed, Done, Done)
		for _, b := range repo.Backups {
			_, err := os.Stat(filepath.Join(j.dir, "backups", b.Label))
			if (err == nil) != (b.State == Done) || b.Label == first {
				t.Errorf("backup %s in state %d: %v", b.Label, b.State, err)
			}
		}
		text, err := os.ReadFile(j.backupFile)
		if err != nil || !json.Valid(text) {
			t.Errorf("%s: %v", text, err)
		}
	})
}
