package scrape_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

var servers = pgtest.NewSet(pgtest.Options{})

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// deadline is the page's deadline in most tests; bound is by when it must have
// come, with room for a busy machine.
const (
	deadline = 5 * time.Second
	bound    = deadline + 2*time.Second
)

// gauge declares a collector of one gauge, v, for tests of the engine.
func gauge(name, sql string) spec.Collector {
	return spec.Collector{
		Name: name, About: "A test.", Default: true,
		Cost:    spec.Cost{Timeout: 500 * time.Millisecond, MaxSeries: 100, Locks: "none"},
		Queries: []spec.Query{{SQL: sql}},
		Metrics: []spec.Metric{{Name: "v", Type: spec.Gauge, Help: "A value."}},
	}
}

func every(c spec.Collector, d time.Duration) spec.Collector {
	c.Cost.Every = d
	return c
}

func perDatabase(c spec.Collector, d time.Duration) spec.Collector {
	c.Scope = spec.PerDatabase
	return every(c, d)
}

// one is a collector that always works.
func one() spec.Collector { return gauge("one", `SELECT 1::double precision AS v`) }

// target is an engine under test and what it logged.
type target struct {
	*scrape.Engine
	server *postgres.Server
	logs   *logs
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// engine watches a server, or whatever change makes of the way in.
func engine(t *testing.T, dsn string, collectors []spec.Collector, change ...func(*postgres.Config, *scrape.Options)) target {
	t.Helper()
	config := postgres.Config{ConnString: dsn, Probe: scrape.Probe(collectors)}
	l := &logs{}
	options := scrape.Options{Collectors: collectors, Logger: log.NewLogfmtLogger(l)}
	for _, f := range change {
		f(&config, &options)
	}
	server, err := postgres.New(config)
	if err != nil {
		t.Fatal(err)
	}
	e := scrape.New(context.WithoutCancel(t.Context()), server, options)
	t.Cleanup(func() {
		e.Close()
		if t.Failed() {
			t.Logf("the engine's log:\n%s", l)
		}
	})
	return target{e, server, l}
}

// text scrapes with a deadline and returns the page. It fails when the page is
// later than the deadline allows.
func (e target) text(t *testing.T, within time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	fams := e.Scrape(ctx, scrape.Selection{})
	if took := time.Since(began); took > within+2*time.Second {
		t.Errorf("the page came after %s, its deadline was %s", took, within)
	}
	var b bytes.Buffer
	if err := page.Write(&b, expfmt.NewFormat(expfmt.TypeTextPlain), fams, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wants fails for each line that the page lacks.
func wants(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the page lacks %q:\n%s", line, grep(text, line))
		}
	}
}

// lacks fails for each part that the page has.
func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("the page has %q", part)
		}
	}
}

// grep shows the samples of the metrics that a wanted line names.
func grep(text, line string) string {
	name, _, _ := strings.Cut(line, "{")
	name, _, _ = strings.Cut(name, " ")
	var found []string
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, name) || strings.HasPrefix(l, "pg_up") {
			found = append(found, strings.TrimSpace(l))
		}
	}
	return strings.Join(found, "\n")
}

// eventually scrapes until the page has the line.
func eventually(t *testing.T, e target, line string) string {
	t.Helper()
	var text string
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if text = e.text(t, deadline); strings.Contains(text, line+"\n") {
			return text
		}
	}
	t.Fatalf("the page never came to have %q:\n%s", line, grep(text, line))
	return ""
}

func success(collector string, v int) string {
	return fmt.Sprintf(`pgvigil_collector_success{collector=%q,datname=""} %d`, collector, v)
}

func failed(collector, reason string, n int) string {
	return fmt.Sprintf(`pgvigil_collector_failures_total{collector=%q,reason=%q} %d`, collector, reason, n)
}
