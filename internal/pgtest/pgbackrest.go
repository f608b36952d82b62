package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Stanza is the name of the stanza of a PgBackRest.
const Stanza = "main"

// A PgBackRest is pgBackRest with a configuration and repositories of its own, which archives and backs up one server.
type PgBackRest struct {
	// Server is what it backs up, with data checksums and a socket.
	Server *Server

	dir, program string
}

// PgBackRestMajor is the newest major that Debian's pgBackRest 2.45 works with.
const PgBackRestMajor = 15

// NewPgBackRest starts a server that archives with pgBackRest and creates its stanza in each of so many repositories.
// All of it ends with the test. It works with PostgreSQL 10 to PgBackRestMajor.
func NewPgBackRest(t testing.TB, major, repositories int) *PgBackRest {
	t.Helper()
	Program(t, "pgbackrest")
	b, err := StartPgBackRest(t.Context(), find(t, major), major, repositories)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", tail(b.Server.Log(), 40))
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// StartPgBackRest is NewPgBackRest without a test: Stop ends it. ctx bounds the start only. The error is ErrNoProgram
// where pgBackRest is not installed.
func StartPgBackRest(ctx context.Context, bin Binaries, major, repositories int) (_ *PgBackRest, err error) {
	b := new(PgBackRest)
	if b.program, err = FindProgram("pgbackrest"); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("pgtest: start pgBackRest: %w", err), b.Stop())
		}
	}()
	if err := makeDir(b.dir); err != nil {
		return nil, err
	}
	b.Server, err = Start(ctx, bin, major, Options{
		InitDB:   []string{"-E", "UTF8", "--locale=" + locale, "--data-checksums"},
		Settings: map[string]string{"archive_command": strings.Join(b.Command(), " ") + " --stanza=" + Stanza + " archive-push %p"},
		Socket:   true,
	})
	if err != nil {
		return nil, err
	}
	if err := writeFile(b.file("pgbackrest.conf"), b.conf(repositories)); err != nil {
		return nil, err
	}
	_, err = b.Do(ctx, "stanza-create")
	return b, err
}

// Stop ends the server and removes the repositories.
func (b *PgBackRest) Stop() error {
	var err error
	if b.Server != nil {
		err = b.Server.Stop()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *PgBackRest) conf(repositories int) string {
	var text strings.Builder
	text.WriteString("[global]\nstart-fast=y\nlog-level-file=off\n")
	fmt.Fprintf(&text, "lock-path=%s\nspool-path=%[2]s\nlog-path=%[3]s\n", b.file("lock"), b.file("spool"), b.file("log"))
	for i := range repositories {
		fmt.Fprintf(&text, "repo%d-path=%s\nrepo%[1]d-retention-full=20\n", i+1, b.Repository(i+1))
	}
	fmt.Fprintf(&text, "[%s]\npg1-path=%s\npg1-port=%d\npg1-socket-path=%s\npg1-user=%s\n",
		Stanza, b.Server.file(""), b.Server.port, b.Server.socketDir(), Superuser)
	return text.String()
}

func (b *PgBackRest) file(name string) string { return filepath.Join(b.dir, name) }

// Repository is the path of a repository, by its key.
func (b *PgBackRest) Repository(key int) string { return b.file(fmt.Sprintf("repo%d", key)) }

// Command is pgBackRest with its configuration, without a command of its own.
func (b *PgBackRest) Command() []string {
	return []string{b.program, "--config=" + b.file("pgbackrest.conf")}
}

// Run runs a command for the stanza and returns what it printed.
func (b *PgBackRest) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.Do(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Do is Run without a test.
func (b *PgBackRest) Do(ctx context.Context, args ...string) (string, error) {
	argv := append(b.Command(), "--stanza="+Stanza)
	return runTool(ctx, append(argv, args...)...)
}

// Begin begins a command for the stanza. end kills it with all its processes and waits; the test's end does so too.
func (b *PgBackRest) Begin(t testing.TB, args ...string) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd, err := b.Start(ctx, args...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		cancel()
		cmd.Wait() // its error is the kill
	})
	t.Cleanup(end)
	return end
}

// Start is Begin without a test: when ctx ends the command is killed with all its processes, which are a group. Who
// starts it waits for it.
func (b *PgBackRest) Start(ctx context.Context, args ...string) (*exec.Cmd, error) {
	cmd := command(ctx, append(append(b.Command(), "--stanza="+Stanza), args...))
	return cmd, cmd.Start()
}

// Corrupt spoils a page of a table on disk, so that its checksum no longer fits.
func (b *PgBackRest) Corrupt(t testing.TB, table string) {
	t.Helper()
	b.Server.Exec(t, "CHECKPOINT")
	f, err := os.OpenFile(b.Server.file(b.Server.Query(t, "postgres", "SELECT pg_relation_filepath('"+table+"')")), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoilt"), 4096); err != nil {
		t.Fatal(err)
	}
}
