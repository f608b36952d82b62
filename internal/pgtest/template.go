package pgtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Roles of every server. Monitor has what the README asks a DBA to grant; Nobody has nothing but LOGIN.
const (
	Superuser = "postgres"
	Monitor   = "pgvigil"
	Nobody    = "pgvigil_nothing"
)

const (
	rolesSQL = "CREATE ROLE " + Monitor + " LOGIN IN ROLE pg_monitor;\n" +
		"CREATE ROLE " + Nobody + " LOGIN;\n"
	confName = "pgtest.conf"
)

// template returns a data directory fresh from initdb, and makes it if it is the first to ask. Servers run on copies:
// copying is ten times faster than initdb, and copies of one initdb share the system identifier, so that any can be
// the standby of any other.
func (b Binaries) template(ctx context.Context, major int, args []string) (string, error) {
	work, err := b.workDir()
	if err != nil {
		return "", err
	}
	initdb, err := b.program(major, "initdb")
	if err != nil {
		return "", err
	}
	args = append([]string{"-U", Superuser, "-A", "trust", "--no-sync"}, args...)
	// The path tells versions apart, since it has the hash of the lock file in it.
	sum := sha256.Sum256([]byte(strings.Join(append(args, initdb, rolesSQL, confName), "\x00")))
	dir := filepath.Join(work, fmt.Sprintf("%d-%x", major, sum[:6]))

	unlock, err := lockAny(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unfinished := dir + ".new" // ours alone, under the lock; there may be one of a run that was killed
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := b.makeTemplate(ctx, major, unfinished, initdb, args); err != nil {
		return "", err
	}
	return dir, os.Rename(unfinished, dir)
}

func (b Binaries) makeTemplate(ctx context.Context, major int, dir, initdb string, args []string) error {
	if _, err := run(ctx, "", initdb, append(args, "-D", dir)...); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "include '%s'\n", confName)
	if err := errors.Join(err, conf.Close()); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, confName), ""); err != nil {
		return err
	}
	postgres, err := b.program(major, "postgres")
	if err != nil {
		return err
	}
	// The single-user server needs no port and no client; it answers an error with a line, not with its exit status.
	out, err := run(ctx, rolesSQL, postgres, "--single", "-D", dir, "-c", "log_min_messages=error", "postgres")
	if err == nil && strings.Contains(out, "ERROR") {
		err = errors.New(out)
	}
	if err != nil {
		return fmt.Errorf("create roles: %w", err)
	}
	return nil
}

// run runs a program as the user of the servers and returns what it printed.
func run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/" // our own may be closed to that user
	cmd.Env = environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// environ is the whole environment of the servers: none of the PG variables of whoever runs the tests.
func environ() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=" + locale, "TZ=UTC"}
}

// makeDir makes a directory that the user of the servers may write into.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := give(dir); err != nil {
		return err
	}
	const writable = 2 // W_OK
	if err := syscall.Access(dir, writable); err != nil {
		return &fs.PathError{Op: "write into", Path: dir, Err: err}
	}
	return nil
}

// writeFile writes a file that only the user of the servers may read, as the server wants of a private key.
func writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return give(path)
}

// give makes the user of the servers the owner of a file.
func give(path string) error {
	if c := credential(); c != nil {
		return os.Chown(path, int(c.Uid), int(c.Gid))
	}
	return nil
}
