package postgres_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
)

// steps are those of a diagnosis that were done.
func steps(d postgres.Diagnosis) (list []postgres.Step) {
	for _, s := range d.Steps {
		list = append(list, s.Step)
	}
	return list
}

// TestDiagnose follows connects that succeed.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	for _, major := range []int{13, 18} {
		srv := pgtest.New(t, major, pgtest.Options{TLS: true})
		dsn := srv.DSN(pgtest.Monitor, "postgres")
		address := fmt.Sprintf("%s:%d", srv.Host(), srv.Port())
		for name, tt := range map[string]struct {
			dsn      string
			steps    []postgres.Step
			attempts int
		}{
			"TLS":   {dsn, []postgres.Step{"secrets", "connect", "tls", "start-up", "set-up"}, 1},
			"plain": {strings.Replace(dsn, "sslmode=verify-full", "sslmode=disable", 1), []postgres.Step{"secrets", "connect", "start-up", "set-up"}, 1},
			"name":  {strings.Replace(dsn, srv.Host(), "localhost", 1), []postgres.Step{"secrets", "dns", "connect", "tls", "start-up", "set-up"}, 0},
		} {
			s := open(t, postgres.Config{ConnString: tt.dsn})
			d := s.Diagnose(t.Context())
			if d.Failed != "" || d.Err != "" || !slices.Equal(steps(d), tt.steps) {
				t.Errorf("%d %s: %+v", major, name, d)
				continue
			}
			// A name may have an address at which nobody listens.
			if d.Address != address || tt.attempts > 0 && d.Attempts != tt.attempts || d.Server != address || d.Pooler {
				t.Errorf("%d %s: %+v, want %s", major, name, d, address)
			}
			if encrypted := slices.Contains(tt.steps, postgres.StepTLS); (d.TLS != nil) != encrypted {
				t.Errorf("%d %s: TLS is %+v", major, name, d.TLS)
			}
			// There is one clock on this machine.
			if d.RoundTrip <= 0 || d.Doubt != d.RoundTrip/2 || d.Clock.Abs() > d.Doubt+time.Millisecond {
				t.Errorf("%d %s: round trip %s, the clock is off by %s, give or take %s", major, name, d.RoundTrip, d.Clock, d.Doubt)
			}
			if !slices.Contains(d.Roles, "pg_monitor") || !slices.Contains(d.Roles, "pg_read_all_stats") || slices.Contains(d.Roles, "pg_write_server_files") {
				t.Errorf("%d %s: roles are %v", major, name, d.Roles)
			}
			if open := s.Stats().Open; open != 0 {
				t.Errorf("%d %s: %d sessions are left", major, name, open)
			}
		}
		if log := srv.Log(); strings.Contains(log, "ERROR") {
			t.Errorf("%d: there is an error in the server's log:\n%s", major, log)
		}
	}
}

// TestDiagnosePooler sees that another process has answered.
func TestDiagnosePooler(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, 18)
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{Databases: map[string]string{
		"postgres": fmt.Sprintf("host=%s port=%d dbname=postgres user=%s", srv.Host(), srv.Port(), pgtest.Monitor),
	}, Settings: map[string]string{"ignore_startup_parameters": "extra_float_digits"}})
	dsn := strings.Replace(p.DSN(pgtest.PoolerUser, "postgres"), "/pgbouncer", "/postgres", 1)
	d := open(t, postgres.Config{ConnString: dsn}).Diagnose(t.Context())
	if d.Failed != "" || !d.Pooler || d.Server != fmt.Sprintf("%s:%d", srv.Host(), srv.Port()) || d.Address == d.Server {
		t.Errorf("%+v", d)
	}
}

// TestDiagnoseFailures: each step can fail, and the diagnosis names it, its reason, and no secret.
func TestDiagnoseFailures(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-Passw0rd"
	srv := pgtest.New(t, 18, pgtest.Options{HBA: "host all all 127.0.0.1/32 scram-sha-256\n"})
	dsn := strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "//pgvigil", "//pgvigil:"+secret, 1)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for name, tt := range map[string]struct {
		config postgres.Config
		failed postgres.Step
		reason postgres.Reason
		says   string
	}{
		"secret":       {postgres.Config{ConnString: dsn, Password: postgres.File("/nowhere")}, postgres.StepSecrets, postgres.ConnectAuth, "/nowhere"},
		"name":         {postgres.Config{ConnString: "host=no-such-host.invalid user=pgvigil password=" + secret}, postgres.StepDNS, postgres.ConnectDNS, "no-such-host.invalid"},
		"nobody there": {postgres.Config{ConnString: "host=127.0.0.1 port=1 user=pgvigil password=" + secret}, postgres.StepConnect, postgres.ConnectRefused, "127.0.0.1:1"},
		"no TLS there": {postgres.Config{ConnString: strings.Replace(dsn, "sslmode=disable", "sslmode=require", 1)}, postgres.StepTLS, postgres.ConnectTLS, "refused TLS"},
		"silence": {postgres.Config{
			ConnString: fmt.Sprintf("host=127.0.0.1 port=%d user=pgvigil sslmode=disable password=%s", silent.Addr().(*net.TCPAddr).Port, secret), ConnectTimeout: 300 * time.Millisecond,
		}, postgres.StepStartUp, postgres.ConnectTimeout, ""},
		"password": {postgres.Config{ConnString: dsn}, postgres.StepStartUp, postgres.ConnectAuth, "password authentication failed"},
		"database": {postgres.Config{ConnString: srv.DSN(pgtest.Superuser, "nowhere")}, postgres.StepStartUp, postgres.ConnectOther, `database "nowhere" does not exist (SQLSTATE 3D000)`},
		"wrong role": {postgres.Config{ConnString: srv.DSN(pgtest.Superuser, "postgres") + "&target_session_attrs=standby"},
			postgres.StepStartUp, postgres.ConnectOther, ""},
	} {
		d := open(t, tt.config).Diagnose(t.Context())
		if d.Failed != tt.failed || d.Reason != tt.reason || !strings.Contains(d.Err, tt.says) || d.Err == "" || strings.Contains(d.Err, "\n") {
			t.Errorf("%s: %+v, want %s, %s, %q", name, d, tt.failed, tt.reason, tt.says)
		}
		if slices.Contains(steps(d), d.Failed) {
			t.Errorf("%s: the step that failed is among those that were done: %v", name, d.Steps)
		}
		if strings.Contains(d.Err, secret) || strings.Contains(d.Err, "user=") {
			t.Errorf("%s shows too much: %s", name, d.Err)
		}
	}
	if got := postgres.Cause(fmt.Errorf("a:\n\t%w\n", errors.New("b"))); got != "a:; b" {
		t.Errorf("lines are joined to %q", got)
	}
}
