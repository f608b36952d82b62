package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// binary is the program, built once for the tests that run it whole.
var binary string

var servers = pgtest.NewSet(pgtest.Options{})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pgvigil-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "pgvigil")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build pgvigil: %v\n%s", err, out)
		os.Exit(1)
	}
	code := servers.Main(m)
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// process is the program, running.
type process struct {
	cmd  *exec.Cmd
	url  string
	out  *syncBuffer // both outputs
	done chan struct{}
	err  error // how it ended, once done is closed
}

// start runs the program with these variables and no others of ours, until the
// test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{out: &syncBuffer{}, done: make(chan struct{})}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append(args, "--web.listen-address=127.0.0.1:0")
	}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(env, "PATH="+os.Getenv("PATH"))
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.end(t)
		if t.Failed() {
			t.Logf("output:\n%s", p.out)
		}
	})
	return p
}

// listening waits until the program listens, and reports whether it does.
func (p *process) listening() bool {
	for {
		if _, after, ok := strings.Cut(p.out.String(), `msg="Listening on" address=`); ok {
			if address, _, ok := strings.Cut(after, "\n"); ok {
				p.url = "http://" + address
				return true
			}
		}
		select {
		case <-p.done:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end asks the program to end, and waits until it has.
func (p *process) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Error("the program does not end")
		if err := p.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-p.done
	}
}

// get returns the text of a page, and its status in front if that is not 200.
func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status + " " + string(body)
	}
	return string(body)
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestServerComesLater: the program starts without its server, and sees it come
// without a restart.
func TestServerComesLater(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, 18, pgtest.Options{})
	if err := srv.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{
		fmt.Sprintf("DATA_SOURCE_URI=%s:%d/postgres?sslmode=disable", srv.Host(), srv.Port()),
		"DATA_SOURCE_USER=" + pgtest.Monitor, "DATA_SOURCE_PASS=needs no % encoding/",
	})
	if !p.listening() {
		t.Fatal("the program ended")
	}
	eventually(t, "pg_up 0", func() bool { return strings.Contains(p.get(t, "/metrics"), "\npg_up 0\n") })
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pg_up 1", func() bool { return strings.Contains(p.get(t, "/metrics"), "\npg_up 1\n") })
	p.end(t)
	if p.err != nil {
		t.Errorf("told to end, the program says %v", p.err)
	}
}

// TestConfigFile is the whole program with a file, a signal and the flags that
// collectors make.
func TestConfigFile(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, 18)
	dir := t.TempDir()
	path := filepath.Join(dir, "pgvigil.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := fmt.Sprintf("{host: %s, port: %d, user: %s, sslmode: disable, collectors: {disable: [locks]}, name: ", srv.Host(), srv.Port(), pgtest.Monitor)
	write("targets: [" + target + "a}]")
	p := start(t, []string{"PGVIGIL_COLLECTOR_STAT_ARCHIVER=false"}, "--config.file="+path, "--no-collector.stat_wal", "--collector.stat_activity_application")
	if !p.listening() {
		t.Fatal("the program ended")
	}
	page := p.get(t, "/probe?target=a")
	for name, want := range map[string]bool{
		"\npg_up 1\n": true, "\npgvigil_collector_success{collector=\"stat_activity_application\",datname=\"\"} 1\n": true, "\npg_stat_wal_": false, "\npg_stat_archiver_": false, "\npg_locks_": false,
	} {
		if strings.Contains(page, name) != want {
			t.Errorf("%q on the page: %v, want %v", name, !want, want)
		}
	}
	write("targets: [" + target + "b}]")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "target b", func() bool { return strings.Contains(p.get(t, "/probe?target=b"), "\npg_up 1\n") })
	if got := p.get(t, "/probe?target=a"); !strings.HasPrefix(got, "404 ") {
		t.Errorf("the removed target answers %.80s", got)
	}
}

// TestWebConfig: exporter-toolkit guards every page.
func TestWebConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.yml")
	// The hash is of alice123, from the toolkit's own tests.
	if err := os.WriteFile(path, []byte("basic_auth_users:\n  alice: $2y$12$1DpfPeqF9HzHJt.EWswy1exHluGfbhnn3yXhR7Xes6m3WJqFg0Wby\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, "--web.config.file="+path, "--web.enable-explain")
	if !p.listening() {
		t.Fatal("the program ended")
	}
	for _, path := range []string{"/metrics", "/explain?queryid=1", "/collectors"} {
		if got := p.get(t, path); !strings.HasPrefix(got, "401 ") {
			t.Errorf("%s without a password: %.80s", path, got)
		}
	}
	p.url = strings.Replace(p.url, "://", "://alice:alice123@", 1)
	if got := p.get(t, "/metrics"); !strings.Contains(got, "\npgvigil_build_info") {
		t.Errorf("with the password: %.80s", got)
	}
}

// TestSecretsAreNotPrinted gives connection strings of many wrong shapes.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	const secret = "S3cret"
	env := func(vars ...string) []string { return vars }
	for _, tt := range []struct{ env, args []string }{
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres?sslmode=maybe")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:p@S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:12/S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:12#S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:12?S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:%S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:S3cret")},
		{env: env("DATA_SOURCE_NAME=pgvigil:S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=mysql://pgvigil:S3cret@127.0.0.1:1/postgres")},
		{env: env("DATA_SOURCE_NAME=host=127.0.0.1 port=1 user=pgvigil password=S3cret")},
		{env: env("DATA_SOURCE_NAME=host=127.0.0.1 port=1 user=pgvigil password=a S3cret")},
		{env: env("DATA_SOURCE_NAME=host=127.0.0.1 port=S3cret user=pgvigil")},
		{env: env("DATA_SOURCE_NAME=S3cret")},
		{env: env("DATA_SOURCE_NAME=postgresql://u:S3cret@127.0.0.1:1/a,postgresql://u:S3cret@127.0.0.1:1/b")},
		{env: env("DATA_SOURCE_URI=127.0.0.1:1/postgres?sslmode=disable", "DATA_SOURCE_USER=pgvigil", "DATA_SOURCE_PASS=S3cret")},
		{env: env("DATA_SOURCE_URI=pgvigil:S3cret@127.0.0.1:1/postgres?sslmode=disable")},
		{env: env("DATA_SOURCE_URI=pgvigil:9/S3cret@127.0.0.1:1/postgres?sslmode=disable")},
		{env: env("DATA_SOURCE_PASS=S3cret")},
		{args: []string{"postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"}},
		{args: []string{"--dsn=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"}},
		{args: []string{"explain", "postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"}},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"), args: []string{"explain", "1"}},
		{env: env("DATA_SOURCE_NAME=postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"), args: []string{"doctor"}},
		{args: []string{"--config.check", "postgresql://pgvigil:S3cret@127.0.0.1:1/postgres"}},
	} {
		p := start(t, append(tt.env, "PGVIGIL_LOG_LEVEL=debug"), tt.args...)
		if p.listening() {
			for _, path := range []string{"/", "/metrics", "/collectors"} {
				if page := p.get(t, path); strings.Contains(page, secret) {
					t.Errorf("%q: %s shows the secret", tt, path)
				}
			}
		}
		p.end(t)
		if strings.Contains(p.out.String(), secret) {
			t.Errorf("%q:\n%s", tt, p.out)
		}
	}
}

// runs calls run with these arguments until it returns or says that it listens.
func runs(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return runsWith(t, commands(), env, args...)
}

// runsWith is runs with other commands.
func runsWith(t *testing.T, all []command, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out, log syncBuffer
	err = run(ctx, nil, all, args, outside{func(name string) string { return env[name] }, &out, &log})
	return out.String(), log.String(), err
}
