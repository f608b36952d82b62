package web

import (
	"context"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-kit/log"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

func TestIdleTargetIsLetGo(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	s := serve(t, Options{Load: loaded(connected("a", srv.DSN(pgtest.Monitor, "postgres"))), Idle: 300 * time.Millisecond})
	end := s.listen(t, nil)
	s.page(t, "/probe?target=a")
	if got := sessions(t, srv); got != "1" {
		t.Errorf("%s sessions after a probe", got)
	}
	eventually(t, "the session is closed", func() bool { return sessions(t, srv) == "0" })
	if got := value(s.page(t, "/probe?target=a"), "pg_up"); got != "1" {
		t.Errorf("pg_up is %q after the target was let go", got)
	}
	end()
}

// TestPool: an engine lives as long as somebody uses it.
func TestPool(t *testing.T) {
	t.Parallel()
	main := connected("", nowhere)
	p := newPool(t.Context(), watch(), log.NewNopLogger(), &main)
	p.set(loadedTargets("a", "b"), nil)
	later := func() time.Time { return time.Now().Add(time.Hour) }
	borrow := func(name string) *lent {
		t.Helper()
		got, err := p.borrow(name)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	lentA := borrow("a")
	a := lentA.targets[0]
	first := a.source
	p.letGo(later())
	if a.source != first {
		t.Error("an engine in use was let go")
	}
	p.set(loadedTargets("b", "a"), nil)
	if again := borrow("a"); again.targets[0] != a {
		t.Error("a reload made a new target of one written as before")
	} else {
		p.giveBack(again)
	}
	p.set(loadedTargets("b"), nil)
	if _, err := p.borrow("a"); err != errUnknown {
		t.Errorf("a removed target: %v", err)
	}
	if a.source != first {
		t.Error("a reload closed an engine in use")
	}
	p.giveBack(lentA)
	if a.source != nil {
		t.Error("the last user of a removed target left its engine open")
	}
	server := borrow("")
	p.giveBack(server)
	b := borrow("b")
	p.giveBack(b)
	p.letGo(later())
	if b.targets[0].source != nil || server.targets[0].source == nil {
		t.Errorf("let go: b %v, the server of /metrics %v", b.targets[0].source == nil, server.targets[0].source == nil)
	}
	p.close()
	if _, err := p.borrow("b"); err != errClosed {
		t.Errorf("after close: %v", err)
	}
}

func loadedTargets(names ...string) []config.Target {
	var targets []config.Target
	for _, name := range names {
		targets = append(targets, connected(name, nowhere))
	}
	return targets
}

func TestReload(t *testing.T) {
	t.Parallel()
	one, two := pgtest.New(t, major, pgtest.Options{}), servers.On(t, major)
	text := func(name, dsn string) string { return "targets: [{name: " + name + ", dsn: '" + dsn + "'}]" }
	oneDSN, twoDSN := one.DSN(pgtest.Monitor, "postgres"), two.DSN(pgtest.Monitor, "postgres")
	load, change := file(t, text("a", oneDSN))
	s := serve(t, Options{Load: load})
	hangup := make(chan os.Signal)
	end := s.listen(t, hangup)
	opened := func(path string) string { return value(s.page(t, path), "pgvigil_sessions_opened_total") }
	state := func() string { return value(s.page(t, "/metrics"), ownReload.Name) }

	s.page(t, "/probe?target=a")
	before := value(s.page(t, "/metrics"), ownReloadTime.Name)
	change(text("a", oneDSN) + " # as before")
	if a := s.ask(t, http.MethodPost, "/-/reload"); a.status != 200 {
		t.Fatal(a)
	}
	if got := opened("/probe?target=a"); got != "1" {
		t.Errorf("a target written as before opened %s sessions", got)
	}
	after := value(s.page(t, "/metrics"), ownReloadTime.Name)
	if after == before {
		t.Error("the time of the reload stands still")
	}

	change("targets: [{name: a, host: h, password: S3cret, hots: h}]")
	a := s.ask(t, http.MethodPut, "/-/reload")
	if a.status != 500 || !strings.Contains(a.body, `pgvigil.yml:1: unknown key "hots"`) || strings.Contains(a.body, "S3cret") {
		t.Errorf("a bad reload: %v", a)
	}
	if state() != "0" || value(s.page(t, "/metrics"), ownReloadTime.Name) != after || opened("/probe?target=a") != "1" {
		t.Error("a bad reload changed something, or did not tell")
	}

	change(text("b", twoDSN))
	hangup <- syscall.SIGHUP
	eventually(t, "the target has its new name", func() bool { return s.ask(t, http.MethodGet, "/probe?target=b").status == 200 })
	if a := s.ask(t, http.MethodGet, "/probe?target=a"); a.status != 404 || state() != "1" {
		t.Errorf("the removed target: %v, last reload good: %s", a, state())
	}
	eventually(t, "the sessions of the removed target are closed", func() bool { return sessions(t, one) == "0" })

	change(text("b", oneDSN))
	s.ask(t, http.MethodPost, "/-/reload")
	s.page(t, "/probe?target=b")
	if got := sessions(t, one); got != "1" {
		t.Errorf("a changed target has %s sessions on its new server", got)
	}
	end()
}

func TestReloadWithoutFile(t *testing.T) {
	t.Parallel()
	if a := serve(t, Options{}).ask(t, http.MethodPost, "/-/reload"); a.status != 404 || a.body != errNoFile.Error()+"\n" {
		t.Error(a)
	}
}

// listen lets the server answer on a port of its own, as in the program, until
// the function it returns is called.
func (s *served) listen(t *testing.T, hangup <-chan os.Signal) (end func()) {
	t.Helper()
	none, no := "", false
	flags := &toolkit.FlagConfig{WebListenAddresses: &[]string{"127.0.0.1:0"}, WebConfigFile: &none, WebSystemdSocket: &no}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, flags, hangup) }()
	const before = `msg="Listening on" address=`
	eventually(t, "listening", func() bool { return strings.Contains(s.log.String(), before) })
	_, after, _ := strings.Cut(s.log.String(), before)
	address, _, _ := strings.Cut(after, "\n")
	s.url = "http://" + address
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	}
}
