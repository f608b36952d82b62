package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script writes a shell script and returns a runner of it.
func script(t *testing.T, text string, environment ...string) *runner {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return newRunner(Config{Kind: PgBackRest, Command: []string{path, "--fixed"}, Environment: environment}, []string{
		"PATH=/usr/bin:/bin", "DATA_SOURCE_NAME=S3cret", "PGPASSWORD=S3cret", "PGVIGIL_X=S3cret", "PGBACKREST_STANZA=x",
	})
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("30 seconds and not yet: %s", what)
		}
	}
}

func TestAsk(t *testing.T) {
	r := script(t, `echo "$*"; env | grep -E '^(DATA|PG|MY)' | sort; echo "one"; echo two >&2; exit 3`, "MY=value")
	got, err := r.ask(t.Context(), "a b", "$c")
	if err != nil {
		t.Fatal(err)
	}
	want := "--fixed a b $c\nMY=value\nPGBACKREST_STANZA=x\none\n"
	if diff := cmp.Diff(want, string(got.out)); diff != "" || got.status != 3 {
		t.Errorf("status %d\n%s", got.status, diff)
	}
}

// TestStderr holds that the log gets the last lines, and no value of the environment.
func TestStderr(t *testing.T) {
	r := script(t, `i=0; while [ $i -lt 2000 ]; do echo "line $i" >&2; i=$((i+1)); done; echo "token $TOKEN is wrong" >&2`, "TOKEN=S3cret")
	if _, err := r.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "line 1996; line 1997; line 1998; line 1999; token **** is wrong"; r.lines() != want {
		t.Errorf("got %q", r.lines())
	}
	if len(r.said.kept) > maxStderr {
		t.Errorf("%d bytes are kept", len(r.said.kept))
	}
	r = script(t, `i=0; while [ $i -lt 1000 ]; do printf '%s ' "$KEY" >&2; i=$((i+1)); done; printf '\n%s\nis $COUNT wrong' "$KEY" >&2`, "KEY=line one\nS3cret", "COUNT=1")
	if _, err := r.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.lines(), "3cret") || !strings.HasSuffix(r.lines(), "****; is $COUNT wrong") {
		t.Errorf("a secret of two lines, cut: %q", r.lines())
	}
	r.forget()
	if r.lines() != "" {
		t.Error("what was said before a look is still there")
	}
}

func TestAskFails(t *testing.T) {
	missing := script(t, "")
	missing.argv[0] += "-not-there"
	closed := script(t, "")
	if err := os.Chmod(closed.argv[0], 0o644); err != nil {
		t.Fatal(err)
	}
	huge := script(t, `trap '' PIPE; while :; do echo 0123456789012345678901234567890123456789; done`)
	huge.limit = 1 << 16
	for name, c := range map[string]struct {
		r    *runner
		want Reason
	}{
		"not there":       {missing, ReasonStart},
		"not executable":  {closed, ReasonStart},
		"too much output": {huge, ReasonSize},
		"killed":          {script(t, `kill -9 $$`), ReasonExit},
		"hangs":           {script(t, `sleep 600`), ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			limit := 30 * time.Second
			if c.want == ReasonTimeout {
				limit = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := c.r.ask(ctx)
			if got := reasonOf(err); got != c.want {
				t.Errorf("got %q: %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "S3cret") {
				t.Error(err)
			}
		})
	}
}

// TestNothingIsLeft asks a tool that ignores signals and has a grandchild which
// holds its pipes, until its time is over, its caller gives up, or it ends itself.
func TestNothingIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		then  string
		cause error
		want  Reason
	}{
		"its time is over": {`wait`, context.DeadlineExceeded, ReasonTimeout},
		"given up":         {`wait`, context.Canceled, ReasonFormat},
		"ends by itself":   {`exit 0`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			r := script(t, `trap '' TERM INT HUP
(trap '' TERM INT HUP; sleep 600 & echo $! >>`+pids+`; wait) &
echo $$ $! >>`+pids+`
while [ "$(wc -w <`+pids+`)" -lt 3 ]; do :; done
`+c.then)
			list := func() []string {
				text, _ := os.ReadFile(pids) // not there yet is none
				return strings.Fields(string(text))
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.cause != nil {
				go func() {
					for ctx.Err() == nil && len(list()) < 3 {
						time.Sleep(time.Millisecond)
					}
					cancel(c.cause)
				}()
			}
			if _, err := r.ask(ctx); reasonOf(err) != c.want {
				t.Errorf("got %v", err)
			}
			if len(list()) != 3 {
				t.Fatalf("the script has noted %q", list())
			}
			for _, text := range list() {
				pid, err := strconv.Atoi(text)
				if err != nil {
					t.Fatal(err)
				}
				until(t, "process "+text+" is gone", func() bool { return dead(t, pid) })
			}
		})
	}
}

// dead reports whether a process has ended. One whose parent has yet to notice
// counts: orphans wait for process 1.
func dead(t *testing.T, pid int) bool {
	t.Helper()
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// TestStuck holds that nothing is begun beside a command that cannot be killed.
func TestStuck(t *testing.T) {
	r := script(t, "echo yes")
	gone := make(chan struct{})
	r.left = gone
	if _, err := r.ask(t.Context()); reasonOf(err) != ReasonTimeout {
		t.Errorf("beside a stuck command: %v", err)
	}
	close(gone)
	if got, err := r.ask(t.Context()); err != nil || string(got.out) != "yes\n" {
		t.Errorf("after it is gone: %q, %v", got.out, err)
	}
}
