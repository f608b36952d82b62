package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patroniScope is what the cluster is called.
const patroniScope = "pgtest"

// A Patroni is a cluster that Patroni runs: etcd, and members with a server of Debian's PostgreSQL each, as those of
// install.sh lack programs that Patroni runs.
type Patroni struct {
	// Members are the first leader, and then its standbys.
	Members []*PatroniMember

	dir, ctl string
	etcd     *process
	store    string // host:port of etcd
}

// A PatroniMember is one Patroni and its server.
type PatroniMember struct {
	// Name is what the cluster calls it.
	Name string
	// URL is that of its REST API.
	URL string

	dir  string
	port int
	proc *process
}

// NewPatroni starts a cluster, and returns when its first member leads and the others follow. All of it ends with the
// test.
func NewPatroni(t testing.TB, members int) *Patroni {
	t.Helper()
	etcd, program := Program(t, "etcd"), Program(t, "patroni")
	bin := filepath.Dir(Program(t, "pg_controldata"))
	p := &Patroni{dir: MakeDir(t), ctl: Program(t, "patronictl")}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	p.startEtcd(ctx, t, etcd)
	for i := range members {
		m := &PatroniMember{Name: fmt.Sprintf("member%d", i+1), port: FreePort(t)}
		m.dir = filepath.Join(p.dir, m.Name)
		api := net.JoinHostPort(host, strconv.Itoa(FreePort(t)))
		m.URL = "http://" + api
		if err := errors.Join(makeDir(m.dir), writeFile(m.file("patroni.yml"), p.conf(m, api, bin))); err != nil {
			t.Fatal(err)
		}
		m.start(t, program)
		p.Members = append(p.Members, m)
		role := "/replica"
		if i == 0 {
			role = "/leader"
		}
		await(ctx, t, m.URL+role, m.proc, m.file("patroni.log"))
	}
	return p
}

func (p *Patroni) startEtcd(ctx context.Context, t testing.TB, program string) {
	t.Helper()
	p.store = net.JoinHostPort(host, strconv.Itoa(FreePort(t)))
	client, peer := "http://"+p.store, "http://"+net.JoinHostPort(host, strconv.Itoa(FreePort(t)))
	log := filepath.Join(p.dir, "etcd.log")
	p.etcd = background(t, lifelong(), log, program, "--name=e1", "--data-dir="+filepath.Join(p.dir, "etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=e1="+peer)
	t.Cleanup(func() {
		if err := p.etcd.signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		<-p.etcd.done
	})
	await(ctx, t, client+"/health", p.etcd, log)
}

// conf is the text of a member's patroni.yml. The lease is as short as Patroni lets it be with room for a slow machine.
func (p *Patroni) conf(m *PatroniMember, api, bin string) string {
	address := net.JoinHostPort(host, strconv.Itoa(m.port))
	return strings.Join([]string{
		"scope: " + patroniScope,
		"name: " + m.Name,
		"restapi: {listen: '" + api + "', connect_address: '" + api + "'}",
		"etcd3: {host: '" + p.store + "'}",
		"bootstrap:",
		"  dcs: {ttl: 20, loop_wait: 1, retry_timeout: 5}",
		"  initdb: [encoding: UTF8, locale: " + locale + "]",
		"  pg_hba: [host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust]",
		"postgresql:",
		"  listen: '" + address + "'",
		"  connect_address: '" + address + "'",
		"  data_dir: " + m.file("data"),
		"  bin_dir: " + bin,
		"  pgpass: " + m.file("pgpass"),
		"  authentication:",
		"    superuser: {username: " + Superuser + ", password: superuser}",
		"    replication: {username: replicator, password: replicator}",
		"  parameters: {unix_socket_directories: '', fsync: 'off', shared_buffers: 16MB}",
		"",
	}, "\n")
}

// start starts a member's Patroni, which starts its server.
func (m *PatroniMember) start(t testing.TB, program string) {
	t.Helper()
	// At a SIGTERM it ends its server first.
	m.proc = background(t, lifelongUntil(syscall.SIGTERM), m.file("patroni.log"), program, m.file("patroni.yml"))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(m.file("patroni.log"))
			t.Logf("end of the log of %s:\n%s", m.Name, tail(string(log), 40))
		}
		m.Stop(t)
		m.endServer(t)
	})
}

// Stop ends the member: Patroni stops its server, unless the cluster is paused.
func (m *PatroniMember) Stop(t testing.TB) {
	t.Helper()
	if err := m.proc.signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-m.proc.done:
	case <-time.After(haltTimeout):
		m.Kill(t)
	}
}

// Kill ends Patroni alone: its server runs on.
func (m *PatroniMember) Kill(t testing.TB) {
	t.Helper()
	if err := m.proc.signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	<-m.proc.done
}

// endServer ends a server that Patroni has left behind.
func (m *PatroniMember) endServer(t testing.TB) {
	t.Helper()
	// The first line of the file is the postmaster's process; the file goes with it.
	for began, sig := time.Now(), syscall.SIGQUIT; ; time.Sleep(poll) {
		text, err := os.ReadFile(m.file("data/postmaster.pid"))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		line, _, _ := strings.Cut(string(text), "\n")
		pid, parsed := strconv.Atoi(line)
		if err = errors.Join(err, parsed); err != nil || pid <= 1 {
			t.Errorf("find the server of %s: process %d: %v", m.Name, pid, err)
			return
		}
		if syscall.Kill(pid, 0) != nil {
			return // it has been killed, and left the file
		}
		if time.Since(began) > haltTimeout {
			sig = syscall.SIGKILL
		}
		if err := kill(pid, sig); err != nil {
			t.Error(err)
			return
		}
	}
}

// Control runs a command of patronictl on the cluster.
func (p *Patroni) Control(t testing.TB, command ...string) {
	t.Helper()
	argv := append([]string{p.ctl, "-c", p.Members[0].file("patroni.yml")}, command...)
	Run(t, "", append(argv, patroniScope)...)
}

// DSN is the URL of a database of the member's server, for a user.
func (m *PatroniMember) DSN(user, database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.User(user), Host: net.JoinHostPort(host, strconv.Itoa(m.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

func (m *PatroniMember) file(name string) string { return filepath.Join(m.dir, name) }

// background starts a program whose output goes to a file.
func background(t testing.TB, attr *syscall.SysProcAttr, log string, argv ...string) *process {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() // the program has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = environ()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attr
	proc, err := startProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return proc
}

// await waits until a program answers a URL with 200.
func await(ctx context.Context, t testing.TB, url string, proc *process, log string) {
	t.Helper()
	for {
		err := answers(ctx, url)
		if err == nil {
			return
		}
		cause := pause(ctx)
		if cause != nil || !proc.running() {
			said, _ := os.ReadFile(log)
			t.Fatalf("wait for %s: %v: %v; end of the log:\n%s", url, cause, err, tail(string(said), 40))
		}
	}
}

func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, haltTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
