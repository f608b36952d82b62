package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toolTimeout bounds a tool that a test waits for.
const toolTimeout = 2 * time.Minute

// ErrNoProgram says that a program is not installed.
var ErrNoProgram = errors.New("not installed: run internal/pgtest/tools.sh as root, or install your system's package")

// FindProgram returns the path of a program that tools.sh installs, or ErrNoProgram. It looks also where Debian puts
// some that is not in everybody's PATH.
func FindProgram(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/sbin", "/usr/lib/postgresql/15/bin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("pgtest: %s: %w", name, ErrNoProgram)
}

// Program returns what FindProgram does. Without it the test is skipped, and in CI it fails.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := FindProgram(name)
	switch {
	case err != nil && os.Getenv("CI") == "":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return path
}

// Run runs a program to its end as the user of the servers, with a text as its standard input and without the variables
// of whoever runs the tests, and returns what it printed.
func Run(t testing.TB, stdin string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolTimeout)
	defer cancel()
	cmd := command(ctx, argv)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run %s: %v:\n%s", filepath.Base(argv[0]), err, out)
	}
	return string(out)
}

// MakeDir makes a directory for a server that a test makes by itself: the user of the servers may write into it. It ends
// with the test.
func MakeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err == nil {
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		err = makeDir(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// BinDir is where the programs of a major are. Without the major the test is skipped, and in CI it fails.
func BinDir(t testing.TB, major int) string {
	t.Helper()
	postgres, err := find(t, major).program(major, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(postgres)
}

// FreePort picks a port that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// command is a program that runs as the user of the servers, in a process group of its own that ends with ctx, whole.
func command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/" // our own may be closed to that user
	cmd.Env = environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(), Setpgid: true}
	cmd.Cancel = func() error { return kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// runTool runs a program to its end and returns what it printed, on standard output and error together.
func runTool(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	out, err := command(ctx, argv).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s: %w: %s", filepath.Base(argv[0]), err, out)
	}
	return string(out), nil
}
