package postgres_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

var servers = pgtest.NewSet(pgtest.Options{})

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

func open(t *testing.T, config postgres.Config) *postgres.Server {
	t.Helper()
	s, err := postgres.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.WithoutCancel(t.Context())) })
	return s
}

func lend(t *testing.T, s *postgres.Server) *postgres.Session {
	t.Helper()
	session, err := s.Main(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestFacts(t *testing.T) {
	probe := postgres.Probe{
		Functions: []string{"pg_catalog.pg_ls_waldir()", "pg_catalog.pg_hba_file_rules()", "pg_catalog.no_such_function(int)"},
		Relations: []string{"pg_catalog.pg_class", "pg_catalog.pg_authid", "pg_catalog.no_such_view"},
		Settings:  []string{"max_prepared_transactions", "no.such_setting"},
	}
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		database := srv.Database(t)
		srv.ExecIn(t, database, `CREATE SCHEMA "odd ""schema"`, `CREATE EXTENSION pgstattuple SCHEMA "odd ""schema"`)
		s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Monitor, database), Probe: probe})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		f := session.Facts
		if f.Major != spec.Version(srv.Major) || f.Version != srv.Version || f.Database != database || len(f.SystemIdentifier) < 15 {
			t.Errorf("facts are %+v", f)
		}
		if ext := f.Extensions["pgstattuple"]; ext.Schema != `odd "schema` || !ext.Version.IsExtension() {
			t.Errorf("the extension is %+v", ext)
		}
		for name, want := range map[string]postgres.Access{
			probe.Functions[0]: postgres.Allowed, probe.Functions[1]: postgres.Denied, probe.Functions[2]: postgres.Missing,
		} {
			if f.Functions[name] != want {
				t.Errorf("%s: %v, want %v", name, f.Functions[name], want)
			}
		}
		for name, want := range map[string]postgres.Access{
			probe.Relations[0]: postgres.Allowed, probe.Relations[1]: postgres.Denied, probe.Relations[2]: postgres.Missing,
		} {
			if f.Relations[name] != want {
				t.Errorf("%s: %v, want %v", name, f.Relations[name], want)
			}
		}
		if f.Settings["max_prepared_transactions"] != "10" || f.Settings["no.such_setting"] != "" {
			t.Errorf("settings are %v", f.Settings)
		}
		state, err := session.Look(t.Context(), false)
		if err != nil || state.Role != spec.Primary || !has(state, "postgres") || has(state, "template1") || time.Since(state.StartTime) > time.Hour {
			t.Errorf("state is %+v, %v", state, err)
		}
		if log := srv.Log(); strings.Contains(log, "ERROR") {
			t.Errorf("opening a session made an error in the server's log:\n%s", log)
		}
	})
}

func has(state postgres.State, database string) bool {
	return slices.ContainsFunc(state.Databases, func(d postgres.Database) bool { return d.Name == database })
}

// TestRunRepeats runs more queries than fit in any buffer, again and again, and
// with rows of the next run in the memory of the last.
// TestParam sends values that an array's text form has to quote.
func TestParam(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres")})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		values := []string{"", "a,b", `"quoted"`, `back\slash`, "{}", "NULL", "two\nlines", "ä"}
		query := postgres.Query{
			Name: "param", Timeout: time.Second, Param: values,
			SQL: "SELECT v AS v FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS u (v, n) ORDER BY n",
		}
		if err := session.Run(t.Context(), []postgres.Query{query, query}, func(_ int, r postgres.Result) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			var got []string
			for i := range r.Rows.Len() {
				got = append(got, r.Rows.Text(i, "v"))
			}
			if !slices.Equal(got, values) {
				t.Errorf("got %q, want %q", got, values)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRunRepeats(t *testing.T) {
	s := open(t, postgres.Config{ConnString: servers.On(t, 18).DSN(pgtest.Monitor, "postgres")})
	session := lend(t, s)
	defer s.Release(t.Context(), session)
	var queries []postgres.Query
	for i := range 40 {
		queries = append(queries, postgres.Query{
			Name: fmt.Sprint("q", i), Timeout: time.Duration(1+i%3) * time.Second,
			SQL: fmt.Sprintf("SELECT repeat('x', 1000)::text AS t, g::double precision AS v FROM generate_series(1, %d) g", i*10),
		})
	}
	for range 3 {
		next := 0
		if err := session.Run(t.Context(), queries, func(i int, r postgres.Result) {
			if r.Err != nil || i != next || r.Rows.Len() != i*10 {
				t.Errorf("query %d as number %d: %v", i, next, r.Err)
			} else if i > 0 && r.Rows.Value(i*10-1, "v") != float64(i*10) {
				t.Errorf("query %d: the last value is %v", i, r.Rows.Value(i*10-1, "v"))
			}
			next++
		}); err != nil {
			t.Fatal(err)
		}
		if next != len(queries) {
			t.Errorf("%d of %d results were handed over", next, len(queries))
		}
	}
}

// TestStaleStatement prepares anew what has other columns than before, which is
// not called a relation that is missing: that would rest for an hour.
func TestStaleStatement(t *testing.T) {
	servers.Each(t, func(t *testing.T, srv *pgtest.Server) {
		database := srv.Database(t)
		srv.ExecIn(t, database, "CREATE TABLE stale AS SELECT 1::double precision AS x")
		s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Superuser, database)})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		run := func(sql string) (reason postgres.Reason) {
			t.Helper()
			query := postgres.Query{Name: "stale", SQL: sql, Timeout: time.Second}
			if err := session.Run(t.Context(), []postgres.Query{query}, func(_ int, r postgres.Result) {
				if r.Err != nil {
					reason = postgres.QueryReason(r.Err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			return reason
		}
		const read = "SELECT x FROM public.stale"
		if reason := run(read); reason != "" {
			t.Fatalf("the first run failed: %s", reason)
		}
		srv.ExecIn(t, database, "ALTER TABLE stale ALTER x TYPE text")
		if reason := run(read); reason != postgres.ReasonOther {
			t.Errorf("the run after the change failed for %q, want %q", reason, postgres.ReasonOther)
		}
		if reason := run(read); reason != "" {
			t.Errorf("the statement was not prepared anew: %s", reason)
		}
	})
}

// TestLostSession hands over every result exactly once, also when the server
// ends the session in the middle.
func TestLostSession(t *testing.T) {
	srv := servers.On(t, 16)
	s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Superuser, "postgres")})
	session := lend(t, s)
	queries := []postgres.Query{
		{Name: "first", SQL: "SELECT 1::double precision AS v", Timeout: time.Second},
		{Name: "last", SQL: "SELECT 1::double precision AS v FROM pg_terminate_backend(pg_backend_pid())", Timeout: time.Second},
		{Name: "late", SQL: "SELECT 2::double precision AS v", Timeout: time.Second},
	}
	reasons := map[int]postgres.Reason{}
	err := session.Run(t.Context(), queries, func(i int, r postgres.Result) {
		if r.Err != nil {
			reasons[i] = postgres.QueryReason(r.Err)
		}
	})
	if err == nil || !session.Broken() {
		t.Errorf("the session is not called lost: %v", err)
	}
	if len(reasons) != 2 || reasons[1] != postgres.ReasonConnection || reasons[2] != postgres.ReasonConnection {
		t.Errorf("the results failed for %v", reasons)
	}
	s.Release(t.Context(), session)
	again := lend(t, s)
	defer s.Release(t.Context(), again)
	if again.Broken() || s.Stats().Open != 1 {
		t.Errorf("after a lost session %d are open", s.Stats().Open)
	}
}

// fill takes n connections, waiting for the backends of sessions that were just
// closed to go.
func fill(t *testing.T, srv *pgtest.Server, n int) {
	t.Helper()
	var err error
	for range 500 {
		var conn *pgconn.PgConn
		if conn, err = pgconn.Connect(t.Context(), srv.DSN(pgtest.Nobody, "postgres")); err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
		if n--; n == 0 {
			return
		}
	}
	t.Fatal(err)
}

// TestRenewal replaces a session that has grown old, and keeps it where the
// server has no room for a new one.
func TestRenewal(t *testing.T) {
	srv := pgtest.New(t, 17, pgtest.Options{Settings: map[string]string{
		"max_connections": "7", "superuser_reserved_connections": "3", "max_wal_senders": "1", "reserved_connections": "0",
	}})
	s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres"), MaxAge: time.Millisecond})
	first := lend(t, s)
	s.Release(t.Context(), first)
	time.Sleep(5 * time.Millisecond)
	second := lend(t, s)
	s.Release(t.Context(), second)
	if first == second || s.Stats().Open != 1 {
		t.Errorf("an old session was not replaced, %d are open", s.Stats().Open)
	}
	fill(t, srv, 3) // the session has the fourth
	third := lend(t, s)
	s.Release(t.Context(), third)
	if third != second || third.Broken() {
		t.Error("the only session was given up on a full server")
	}
}

// TestBudget lends no session above the budget, and closes the idle ones first.
func TestBudget(t *testing.T) {
	srv := servers.On(t, 18)
	a, b := srv.Database(t), srv.Database(t)
	s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres")})
	ctx := t.Context()
	s.Release(ctx, lend(t, s))
	borrow := func(database string) *postgres.Session {
		t.Helper()
		session, err := s.Borrow(ctx, database)
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	one, two := borrow(a), borrow(b)
	if _, err := s.Borrow(ctx, "postgres"); !errors.Is(err, postgres.ErrBudget) {
		t.Errorf("a fourth session: %v", err)
	}
	s.Return(ctx, one, true)
	s.Return(ctx, two, true)
	if again := borrow(a); again != one {
		t.Error("an idle session was not used again")
	} else {
		s.Return(ctx, again, true)
	}
	third := borrow("postgres")
	if stats := s.Stats(); stats.Open != 3 || stats.Refused != 1 || stats.Opened != 4 {
		t.Errorf("stats are %+v", stats)
	}
	s.Return(ctx, third, false)
	if open := s.Stats().Open; open != 2 {
		t.Errorf("%d sessions open after one was returned not to be kept", open)
	}
}

// TestReturn: a session that is not kept is gone on the server, not only here, when
// the next may be opened.
func TestReturn(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{TLS: true})
	s := open(t, postgres.Config{ConnString: srv.DSN(pgtest.Monitor, "postgres")})
	for range 20 {
		session, err := s.Borrow(t.Context(), "postgres")
		if err != nil {
			t.Fatal(err)
		}
		s.Return(t.Context(), session, false)
		if n := srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgvigil'"); n != "0" {
			t.Fatalf("%s sessions are left on the server", n)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	const secret = "hunter2%zz"
	for _, dsn := range []string{
		"postgres://pgvigil:" + secret + "@host:99999/db",
		"postgres://pgvigil:" + secret + "@ho st/db",
		"postgresql://pgvigil:" + secret + "@[::1/db",
		"host=h password='" + secret,
		"host=h password=" + secret + " sslmode=perhaps",
		"host=h password=" + secret + " connect_timeout=soon",
		"host=h password=" + secret + " sslmode=verify-full sslrootcert=/no/such/file",
		secret + "://x", "=" + secret, "host=h port=" + secret, "host=h target_session_attrs=" + secret,
	} {
		_, err := postgres.New(postgres.Config{ConnString: dsn})
		if err == nil {
			t.Errorf("%q was taken", dsn)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the secret: %v", err)
		} else if !strings.Contains(err.Error(), "the connection string cannot be read: ") {
			t.Errorf("the error says not what to do: %v", err)
		}
	}
	if _, err := postgres.New(postgres.Config{ConnString: "host=h", MaxSessions: 1}); err == nil || !strings.Contains(err.Error(), "at least 2") {
		t.Errorf("one session: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("commands are of unix")
	}
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "password")
	for _, text := range []string{"first", "se cond\r\nignored\n", "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(strings.ReplaceAll(text, "\r", ""), "\n")
		for name, s := range map[string]postgres.Secret{"file": postgres.File(path), "command": postgres.Command([]string{"cat", path})} {
			if got, err := s(ctx); err != nil || got != want {
				t.Errorf("%s of %q: %q, %v", name, text, got, err)
			}
		}
	}
	if _, err := postgres.File(path + "x")(ctx); err == nil || !strings.Contains(err.Error(), path+"x") {
		t.Errorf("a missing file: %v", err)
	}
	_, err := postgres.Command([]string{"sh", "-c", "echo s3cret; exit 3"})(ctx)
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a command that fails: %v", err)
	}
	if _, err := postgres.Command([]string{"sh", "-c", "yes | head -c 100000"})(ctx); err == nil {
		t.Error("a command that prints without end was believed")
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	mark := filepath.Join(t.TempDir(), "alive")
	began := time.Now()
	_, err = postgres.Command([]string{"sh", "-c", "(sleep 2; touch " + mark + ") & sleep 30"})(short)
	if err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("a command that hangs: %v after %s", err, time.Since(began))
	}
	time.Sleep(2500*time.Millisecond - time.Since(began))
	if _, err := os.Stat(mark); err == nil {
		t.Error("a child of the killed command lives on")
	}
}

func TestReasons(t *testing.T) {
	pg := func(code string) error { return fmt.Errorf("run: %w", &pgconn.PgError{Code: code}) }
	for code, want := range map[string]postgres.Reason{
		"57014": postgres.ReasonTimeout, "55P03": postgres.ReasonLockTimeout, "42501": postgres.ReasonPermission,
		"42P01": postgres.ReasonUndefined, "42703": postgres.ReasonUndefined, "0A000": postgres.ReasonUndefined,
		"42883": postgres.ReasonUndefined, "42704": postgres.ReasonUndefined, "42803": postgres.ReasonUndefined, "42P05": postgres.ReasonOther,
		"57P01": postgres.ReasonConnection, "53300": postgres.ReasonConnection, "53200": postgres.ReasonOther, "40001": postgres.ReasonConflict, "22012": postgres.ReasonOther, "26000": postgres.ReasonOther, "": postgres.ReasonOther,
	} {
		if got := postgres.QueryReason(pg(code)); got != want {
			t.Errorf("a query that failed with %q: %s, want %s", code, got, want)
		}
	}
	for code, want := range map[string]postgres.Reason{
		"28P01": postgres.ConnectAuth, "28000": postgres.ConnectAuth, "53300": postgres.ConnectTooMany,
		"57P03": postgres.ConnectStartingUp, "3D000": postgres.ConnectOther,
	} {
		if got := postgres.ConnectReason(pg(code)); got != want {
			t.Errorf("a connect that failed with %q: %s, want %s", code, got, want)
		}
	}
	if got := postgres.QueryReason(context.DeadlineExceeded); got != postgres.ReasonTimeout {
		t.Errorf("a deadline: %s", got)
	}
}

// FuzzConnString holds that no connection string, good or bad, gets a word of
// itself into an error.
func FuzzConnString(f *testing.F) {
	f.Add("postgres://u:", "@h/db")
	f.Add("host=h password=", " port=x")
	f.Add("", "://")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "Zq7TopSecretZq7"
		_, err := postgres.New(postgres.Config{ConnString: before + secret + after})
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	})
}

// TestTLS reads what the handshake agreed on, with TLS and without.
func TestTLS(t *testing.T) {
	srv := pgtest.New(t, 18, pgtest.Options{TLS: true})
	file, err := os.ReadFile(srv.CertFile())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	agreed := func(dsn string) *spec.TLS {
		s := open(t, postgres.Config{ConnString: dsn})
		session := lend(t, s)
		defer s.Release(t.Context(), session)
		return session.TLS()
	}
	encrypted := srv.DSN(pgtest.Monitor, "postgres")
	got := agreed(encrypted)
	if got == nil || !got.NotAfter.Equal(cert.NotAfter) || got.Version != "TLSv1.3" || !strings.HasPrefix(got.Cipher, "TLS_") {
		t.Errorf("the handshake agreed on %+v, and the certificate ends %s", got, cert.NotAfter)
	}
	if got := agreed(strings.Replace(encrypted, "sslmode=verify-full", "sslmode=disable", 1)); got != nil {
		t.Errorf("without TLS the handshake agreed on %+v", got)
	}
}
