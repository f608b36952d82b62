package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The users of a pooler. The password of each is its name.
const (
	PoolerAdmin = "pooler_admin" // may do anything at the admin console
	PoolerStats = "pooler_stats" // may look, and no more
	PoolerUser  = "pooler_user"  // may not enter the console
)

// PoolerOptions say what a pooler stands before and in what it differs from the ordinary.
type PoolerOptions struct {
	// Databases are connection strings by the name clients ask for; * is any other. PgBouncer 1.18 knows no way to quote
	// a name, whatever its manual says.
	Databases map[string]string
	// Settings override those of the section [pgbouncer].
	Settings map[string]string
}

// A Pooler is a running PgBouncer. Its methods may be called concurrently.
type Pooler struct {
	program string
	opt     PoolerOptions
	dir     string
	port    int

	mu   sync.Mutex // held while the process is started, signalled or ended
	proc *process
}

// NewPooler starts a pooler for one test. Where PgBouncer is not installed the test is skipped, and in CI it fails.
func NewPooler(t testing.TB, opt PoolerOptions) *Pooler {
	t.Helper()
	Program(t, "pgbouncer")
	p, err := StartPooler(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the pooler's log:\n%s", tail(p.Log(), 40))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// StartPooler starts a pooler and returns when it answers. ctx bounds the start only. The error is ErrNoProgram where
// PgBouncer is not installed.
func StartPooler(ctx context.Context, opt PoolerOptions) (*Pooler, error) {
	program, err := FindProgram("pgbouncer")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p := &Pooler{program: program, opt: opt}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: start pgbouncer: %w; its log:\n%s", err, tail(p.Log(), 40)), p.Stop())
	}
	return p, nil
}

func (p *Pooler) start(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp("", "pgtest-pooler-"); err != nil {
		return err
	}
	if err := makeDir(p.dir); err != nil {
		return err
	}
	var users strings.Builder
	for _, user := range []string{PoolerAdmin, PoolerStats, PoolerUser} {
		fmt.Fprintf(&users, "%q %q\n", user, user)
	}
	if err := writeFile(p.file("users.txt"), users.String()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err := writeFile(p.file("pgbouncer.ini"), p.conf()); err != nil {
			return err
		}
		offset := len(p.Log())
		err := p.launch(ctx)
		// Somebody else may have taken the port.
		if err == nil || !strings.Contains(p.Log()[offset:], "already in use") || ctx.Err() != nil {
			return err
		}
	}
}

// conf is the text of pgbouncer.ini.
func (p *Pooler) conf() string {
	set := map[string]string{
		"listen_addr": host, "listen_port": strconv.Itoa(p.port), "unix_socket_dir": "",
		"auth_type": "md5", "auth_file": p.file("users.txt"),
		"admin_users": PoolerAdmin, "stats_users": PoolerStats,
		"pool_mode": "transaction", "server_login_retry": "1",
		"ignore_startup_parameters": "extra_float_digits",
	}
	maps.Copy(set, p.opt.Settings)
	var text strings.Builder
	text.WriteString("[databases]\n")
	for _, name := range slices.Sorted(maps.Keys(p.opt.Databases)) {
		fmt.Fprintf(&text, "%s = %s\n", name, p.opt.Databases[name])
	}
	text.WriteString("[pgbouncer]\n")
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&text, "%s = %s\n", name, set[name])
	}
	return text.String()
}

// launch runs pgbouncer until it answers; its caller holds the lock.
func (p *Pooler) launch(ctx context.Context) error {
	log, err := os.OpenFile(p.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // pgbouncer has its own
	cmd := exec.Command(p.program, p.file("pgbouncer.ini"))
	cmd.Dir = p.dir
	cmd.Env = environ()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = lifelong()
	if p.proc, err = startProcess(cmd); err != nil {
		return err
	}
	for {
		err := p.Do(ctx, "SHOW VERSION")
		if err == nil {
			return nil
		}
		if !p.proc.running() {
			return fmt.Errorf("pgbouncer ended: %w", p.proc.err)
		}
		if cause := pause(ctx); cause != nil {
			return fmt.Errorf("wait for an answer: %w: %w", cause, err)
		}
	}
}

// Stop ends the pooler and removes its directory. It may be called again.
func (p *Pooler) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.halt(), os.RemoveAll(p.dir))
}

// halt kills: what the gentler signals mean differs between releases, and a pooler has nothing to lose.
func (p *Pooler) halt() error {
	if p.proc == nil || !p.proc.running() {
		return nil
	}
	if err := p.proc.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.proc.done
	return nil
}

// Restart ends the pooler, and starts it again on the same port.
func (p *Pooler) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.halt(); err != nil {
		return err
	}
	return p.launch(ctx)
}

// Freeze stops the pooler in its tracks: connections stay, and get no answer.
func (p *Pooler) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (p *Pooler) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Pooler) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.signal(sig)
}

// Admin sends a command to the admin console, as who may do anything.
func (p *Pooler) Admin(t testing.TB, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sqlTimeout)
	defer cancel()
	if err := p.Do(ctx, command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// Do is Admin without a test.
func (p *Pooler) Do(ctx context.Context, command string) error {
	conn, err := pgx.Connect(ctx, p.DSN(PoolerAdmin, "pgbouncer"))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, command).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// Port is the pooler's port, which it keeps across Restart.
func (p *Pooler) Port() int { return p.port }

// DSN is the URL of a database for a user, with the password. The console is database pgbouncer.
func (p *Pooler) DSN(user, database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, user), Host: net.JoinHostPort(host, strconv.Itoa(p.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

// Log is what the pooler has written to its log.
func (p *Pooler) Log() string {
	log, err := os.ReadFile(p.file("log"))
	if err != nil {
		return ""
	}
	return string(log)
}

func (p *Pooler) file(name string) string { return filepath.Join(p.dir, name) }
