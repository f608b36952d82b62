package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
)

// TestFrozenServer: a server that does not answer holds nobody.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	t.Run("deadline", func(t *testing.T) { testDeadline(t, srv) })
	t.Run("client hangs up", func(t *testing.T) { testClientHangsUp(t, srv) })
	t.Run("end", func(t *testing.T) { testServeEnds(t, srv) })
}

// testDeadline: the page comes, whatever the server does and however little time
// there is.
func testDeadline(t *testing.T, srv *pgtest.Server) {
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main, TimeoutOffset: 500 * time.Millisecond})
	s.page(t, "/metrics", timeoutHeader, "0.501")
	s.page(t, "/metrics")
	if err := srv.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer srv.Thaw()
	began := time.Now()
	if got := value(s.page(t, "/metrics", timeoutHeader, "1"), "pg_up"); got != "0" {
		t.Errorf("pg_up is %q on a frozen server", got)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the page took %s of the 1s that Prometheus waits", took)
	}
}

// testClientHangsUp: nobody goes on waiting for a client that is gone.
func testClientHangsUp(t *testing.T, srv *pgtest.Server) {
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main})
	s.page(t, "/metrics")
	if err := srv.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer srv.Thaw()

	arrived, done := make(chan struct{}), make(chan time.Time, 1)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		s.Handler().ServeHTTP(w, r)
		done <- time.Now()
	}))
	defer h.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	var left time.Time
	go func() {
		<-arrived
		left = time.Now()
		hangUp()
	}()
	if _, err := request(ctx, http.MethodGet, h.URL+"/metrics", timeoutHeader, "60"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if waited := (<-done).Sub(left); waited > 2*time.Second {
		t.Errorf("the handler waited %s for nobody", waited)
	}
}

// testServeEnds: with a scrape under way on a server that does not answer, the
// end comes within its bound, and the page before it.
func testServeEnds(t *testing.T, srv *pgtest.Server) {
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main})
	s.leave = 500 * time.Millisecond
	end := s.listen(t, nil)
	s.page(t, "/metrics")
	if err := srv.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer srv.Thaw()
	answers := make(chan answer, 1)
	go func() {
		a, err := request(t.Context(), http.MethodGet, s.url+"/metrics", timeoutHeader, "60")
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	end()
	if took := time.Since(began); took > s.leave+answerTimeout+5*time.Second {
		t.Errorf("the end took %s", took)
	}
	if a := <-answers; value(families(t, a.body), "pg_up") != "0" {
		t.Errorf("the scrape under way got %v", a)
	}
	ready := httptest.NewRecorder()
	s.Handler().ServeHTTP(ready, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/-/ready", nil))
	if ready.Code != http.StatusServiceUnavailable {
		t.Errorf("still ready: %d", ready.Code)
	}
}

// TestPasswords is about a server that wants a password.
func TestPasswords(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{HBA: "host all all 127.0.0.1/32 scram-sha-256"})
	srv.Exec(t, "ALTER ROLE "+pgtest.Monitor+" PASSWORD 'new'")
	t.Run("hidden", func(t *testing.T) { testSecretsHidden(t, srv) })
	t.Run("rotated", func(t *testing.T) { testRotatedFile(t, srv) })
}

// testSecretsHidden: what goes wrong with a password shows it nowhere.
func testSecretsHidden(t *testing.T, srv *pgtest.Server) {
	dsn := strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "@", ":S3cret@", 1)
	s := serve(t, Options{Load: loaded(connected("a", dsn), connected("b", nowhere+"&password=S3cret"))})
	for path, reason := range map[string]string{"/probe?target=a": "auth", "/probe?target=b": "refused"} {
		a := s.ask(t, "GET", path)
		if want := `pgvigil_connect_failures_total{reason="` + reason + `"} 1`; !strings.Contains(a.body, want) {
			t.Errorf("%s is missing on\n%s", want, a.body)
		}
		if strings.Contains(a.body, "S3cret") {
			t.Errorf("a secret stands on\n%s", a.body)
		}
	}
	if strings.Contains(s.log.String(), "S3cret") {
		t.Error("a secret stands in the log")
	}
}

// testRotatedFile: a connection string from a file is read again at each connect.
func testRotatedFile(t *testing.T, srv *pgtest.Server) {
	path := t.TempDir() + "/dsn"
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(srv.DSN(pgtest.Monitor, "postgres"), "@", ":"+password+"@", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	load, _ := file(t, "targets: [{name: a, dsn_file: "+path+"}]")
	s := serve(t, Options{Load: load})
	for _, tt := range []struct{ password, up string }{{"old", "0"}, {"new", "1"}} {
		write(tt.password)
		if got := value(s.page(t, "/probe?target=a"), "pg_up"); got != tt.up {
			t.Errorf("with the %s password: pg_up is %q, want %s", tt.password, got, tt.up)
		}
	}
}
