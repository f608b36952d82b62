package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main})
	page := s.page(t, "/metrics")
	for name, want := range map[string]string{
		"pg_up": "1", "pgvigil_config_last_reload_successful": "1", "pgvigil_sessions_limit": "3",
	} {
		if got := value(page, name); got != want {
			t.Errorf("%s: got %q, want %s", name, got, want)
		}
	}
	for _, name := range []string{"pg_stat_wal_records_total", "go_goroutines", "process_start_time_seconds"} {
		if page[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, own := range Own() {
		f := page[own.Name]
		if f == nil {
			t.Errorf("%s is declared and not there", own.Name)
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if diff := cmp.Diff([]any{own.Help, own.Labels}, []any{f.GetHelp(), labels}); diff != "" {
			t.Errorf("%s: %s", own.Name, diff)
		}
	}
}

// TestMetricsWithoutServer: there is no pg_up where there is no server.
func TestMetricsWithoutServer(t *testing.T) {
	t.Parallel()
	page := serve(t, Options{}).page(t, "/metrics")
	for name := range page {
		if strings.HasPrefix(name, "pg_") {
			t.Errorf("%s is there without a server", name)
		}
	}
	if page["go_goroutines"] == nil {
		t.Error("go_goroutines is missing")
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	primary := pgtest.New(t, major, pgtest.Options{})
	standby := pgtest.New(t, major, pgtest.Options{StandbyOf: primary})
	s := serve(t, Options{Load: loaded(
		connected("primary", primary.DSN(pgtest.Monitor, "postgres")),
		connected("standby", standby.DSN(pgtest.Monitor, "postgres")),
		connected("down", nowhere),
	)})
	for name, up := range map[string]string{"primary": "1", "standby": "1", "down": "0"} {
		page := s.page(t, "/probe?target="+name)
		if got := value(page, "pg_up"); got != up {
			t.Errorf("%s: pg_up is %q, want %s", name, got, up)
		}
		if page["go_goroutines"] != nil {
			t.Errorf("%s: the process's own metrics are on the page", name)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	main := connected("", nowhere)
	other := connected("other", nowhere)
	other.Collectors = config.Collectors{Enable: []string{"locks"}, Disable: []string{"stat_wal"}}
	s := serve(t, Options{Main: &main, Load: loaded(other)})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string // "" is any
	}{
		{"GET", "/", 200, ""},
		{"GET", "/metrics", 200, ""},
		{"HEAD", "/metrics", 200, ""},
		{"POST", "/metrics", 405, "Method Not Allowed\n"},
		{"GET", "/metrics/", 404, ""},
		{"GET", "/metrics?target=other", 400, "this is the page of the server given by the environment: ask /probe?target= for another\n"},
		{"GET", "/probe?target=other", 200, ""},
		{"HEAD", "/probe?target=other", 200, ""},
		{"DELETE", "/probe?target=other", 405, "Method Not Allowed\n"},
		{"GET", "/probe", 400, "the name of a target is missing: ask /probe?target=NAME; the page / lists the names\n"},
		{"GET", "/probe?target=", 400, "the name of a target is missing: ask /probe?target=NAME; the page / lists the names\n"},
		{"GET", "/probe?target=other&target=other", 400, "there are several targets: ask for one at a time\n"},
		{"GET", "/probe?target=postgresql://u:S3cret@h/d", 404, "no target of that name is in the configuration file; the page / lists the names\n"},
		{"GET", "/probe?target=other&auth_module=x", 400, "auth_module is not supported: the configuration file says how to log in to a target\n"},
		{"GET", "/metrics?collect[]=stat_wal", 200, ""},
		{"GET", "/metrics?collect[]=stat_wal&exclude[]=stat_wal", 400, "collect[] and exclude[] cannot be combined: use one of them\n"},
		{"GET", "/metrics?collect[]=nothing", 400, "unknown collector \"nothing\"\n"},
		{"GET", "/metrics?exclude[]=nothing", 400, "unknown collector \"nothing\"\n"},
		{"GET", "/metrics?collect[]=locks", 400, "collector \"locks\" is switched off: --collector.locks switches it on\n"},
		{"GET", "/probe?target=other&collect[]=locks", 200, ""},
		{"GET", "/probe?target=other&collect[]=stat_wal", 400, "collector \"stat_wal\" is switched off: --collector.stat_wal switches it on\n"},
		{"GET", "/-/healthy", 200, "healthy\n"},
		{"GET", "/-/ready", 200, "ready\n"},
		{"GET", "/-/reload", 405, "Method Not Allowed\n"},
		{"POST", "/-/reload", 200, "configuration reloaded\n"},
		{"PUT", "/-/reload", 200, "configuration reloaded\n"},
		{"GET", "/debug/pprof/", 404, ""},
	} {
		a := s.ask(t, tt.method, tt.path)
		if a.status != tt.status || tt.body != "" && a.body != tt.body {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.path, a.status, a.body, tt.status, tt.body)
		}
		if tt.method == "HEAD" && !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Errorf("%s %s: got %q", tt.method, tt.path, a.header)
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main})
	for query, want := range map[string][]string{
		"":                    {"pg_stat_archiver", "pg_stat_wal"},
		"?collect[]=stat_wal": {"pg_stat_wal"},
		"?exclude[]=stat_wal": {"pg_stat_archiver"},
		"?exclude[]=locks":    {"pg_stat_archiver", "pg_stat_wal"},
		"?collect[]=stat_wal&collect[]=stat_archiver": {"pg_stat_archiver", "pg_stat_wal"},
	} {
		var got []string
		for name := range s.page(t, "/metrics"+query) {
			for _, prefix := range []string{"pg_stat_archiver", "pg_stat_wal", "pg_locks"} {
				if strings.HasPrefix(name, prefix) {
					got = append(got, prefix)
				}
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("%q: %s", query, diff)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s := &Server{opt: Options{TimeoutOffset: 500 * time.Millisecond}}
	for text, want := range map[string]time.Duration{
		"":      10 * time.Second,
		"10":    9500 * time.Millisecond,
		"0.6":   100 * time.Millisecond,
		"0.5":   time.Millisecond,
		"0.001": time.Millisecond,
		"0":     10 * time.Second,
		"-1":    10 * time.Second,
		"NaN":   10 * time.Second,
		"+Inf":  10 * time.Second,
		"1e300": 10 * time.Second,
		"soon":  10 * time.Second,
	} {
		if got := s.timeout(http.Header{timeoutHeader: {text}}); got.Round(time.Microsecond) != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// TestConcurrentScrapes: twenty scrapes at once share runs and sessions.
func TestConcurrentScrapes(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, major)
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	s := serve(t, Options{Main: &main})
	var wg sync.WaitGroup
	answers := make([]answer, 20)
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = request(t.Context(), http.MethodGet, s.url+"/metrics"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if got := value(families(t, a.body), "pg_up"); got != "1" {
			t.Errorf("pg_up is %q", got)
		}
	}
	if got := value(s.page(t, "/metrics"), "pgvigil_sessions_opened_total"); got != "1" {
		t.Errorf("%s sessions were opened", got)
	}
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	main := connected("", nowhere)
	s := serve(t, Options{Main: &main})
	text := s.ask(t, "GET", "/metrics")
	if got := text.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4; charset=utf-8") {
		t.Errorf("text: got %q", got)
	}
	open := s.ask(t, "GET", "/metrics", "Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	if got := open.header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("OpenMetrics: got %q", got)
	}
	if !strings.HasSuffix(open.body, "# EOF\n") {
		t.Errorf("OpenMetrics does not end: %q", open.body[max(0, len(open.body)-80):])
	}
	for range 2 { // the second time with a writer from the pool
		zipped := s.ask(t, "GET", "/metrics", "Accept-Encoding", "br;q=1, gzip;q=0.8")
		if got := zipped.header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("Content-Encoding: got %q", got)
		}
		r, err := gzip.NewReader(strings.NewReader(zipped.body))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if families(t, string(body))["pg_up"] == nil {
			t.Error("pg_up is missing")
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "gzip": true, "deflate, gzip;q=1.0": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.000": false,
		"gzip;q=x": false, "br": false, "identity": false, "xgzip": false, "*": false,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {text}}); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestLandingPage(t *testing.T) {
	t.Parallel()
	main := connected("", "postgresql://pgvigil:S3cret@10.0.0.1:5433/postgres")
	other := connected("a.b:c-d", "host=10.0.0.2 user=u password=S3cret")
	other.Conn.Password = "S3cret"
	s := serve(t, Options{Main: &main, Load: loaded(other)})
	a := s.ask(t, "GET", "/")
	for _, want := range []string{`href="./metrics"`, `href="./probe?target=a.b%3Ac-d"`, "10.0.0.1:5433", "10.0.0.2:5432", "./-/healthy", "./-/ready"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is missing on\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "S3cret") {
		t.Errorf("a secret stands on\n%s", a.body)
	}
	if s := serve(t, Options{MetricsPath: "/"}); !strings.HasPrefix(s.ask(t, "GET", "/").header.Get("Content-Type"), "text/plain") {
		t.Error("with --web.telemetry-path=/ the page / is not that of metrics")
	}
}
