package scrape_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgbouncer"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// scraper is an engine or what is scraped beside one.
type scraper interface {
	Scrape(ctx context.Context, sel scrape.Selection) []page.Family
}

// textOf scrapes with a deadline and returns the page, which must come in time.
func textOf(t *testing.T, s scraper, within time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	fams := s.Scrape(ctx, scrape.Selection{})
	if took := time.Since(began); took > within+2*time.Second {
		t.Errorf("the page came after %s, its deadline was %s", took, within)
	}
	var b bytes.Buffer
	if err := page.Write(&b, expfmt.NewFormat(expfmt.TypeTextPlain), fams, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pooler scrapes a console, whatever the way in.
func pooler(t *testing.T, dsn string) *scrape.Outside {
	t.Helper()
	collectors := spec.From(spec.PgBouncer, collector.All())
	console := pgbouncer.New(postgres.Config{ConnString: dsn}, collectors)
	l := &logs{}
	o := scrape.NewPooler(context.WithoutCancel(t.Context()), console, scrape.OutsideOptions{
		Collectors: collectors, Logger: log.NewLogfmtLogger(l),
	})
	t.Cleanup(func() {
		o.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", l)
		}
	})
	return o
}

func unmet(reason string, n int) string {
	return fmt.Sprintf("pgvigil_pgbouncer_connect_failures_total{reason=%q} %d", reason, n)
}

const opened = "pgvigil_pgbouncer_sessions_opened_total"

// TestPoolerSession: one session serves all scrapes, and one that died with its
// pooler is replaced within the scrape that finds it dead.
func TestPoolerSession(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	o := pooler(t, p.DSN(pgtest.PoolerStats, "pgbouncer"))
	for range 3 {
		wants(t, textOf(t, o, deadline), "pgbouncer_up 1", opened+" 1", success("pgbouncer", 1), success("pgbouncer_pools", 1))
	}
	var at sync.WaitGroup
	for range 8 {
		at.Go(func() { wants(t, textOf(t, o, deadline), "pgbouncer_up 1") })
	}
	at.Wait()
	wants(t, textOf(t, o, deadline), opened+" 1")
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, textOf(t, o, deadline), "pgbouncer_up 1", opened+" 2", unmet("other", 0), success("pgbouncer_stats", 1))
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	text := textOf(t, o, deadline)
	wants(t, text, "pgbouncer_up 0", unmet("refused", 1), success("pgbouncer_pools", 0))
	lacks(t, text, "pgbouncer_pools_", "pgvigil_collector_failures_total", "\npg_up")
}

// TestPoolerFrozen: a pooler that does not answer costs a page its deadline, no
// more, and is up again when it answers.
func TestPoolerFrozen(t *testing.T) {
	t.Parallel()
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{})
	o := pooler(t, p.DSN(pgtest.PoolerStats, "pgbouncer"))
	wants(t, textOf(t, o, deadline), "pgbouncer_up 1")
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the session that was there, and a new one
		wants(t, textOf(t, o, time.Second), "pgbouncer_up 0", unmet("timeout", i+1), success("pgbouncer", 0))
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	wants(t, textOf(t, o, deadline), "pgbouncer_up 1", success("pgbouncer", 1))
}

// TestPoolerRefused: whom the console does not let in, and what is no console.
func TestPoolerRefused(t *testing.T) {
	t.Parallel()
	srv := servers.On(t, 18)
	p := pgtest.NewPooler(t, pgtest.PoolerOptions{Databases: map[string]string{
		"app": fmt.Sprintf("host=%s port=%d dbname=postgres user=%s", srv.Host(), srv.Port(), pgtest.Monitor),
	}})
	for dsn, reason := range map[string]string{
		strings.Replace(p.DSN(pgtest.PoolerStats, "pgbouncer"), ":"+pgtest.PoolerStats, ":wrong", 1): "auth",
		p.DSN(pgtest.PoolerUser, "pgbouncer"):                                                        "auth",
		p.DSN(pgtest.PoolerStats, "nowhere"):                                                         "other",
		p.DSN(pgtest.PoolerStats, "app"):                                                             "other",
		"postgresql://u@127.0.0.1:1/pgbouncer?sslmode=disable":                                       "refused",
		p.DSN(pgtest.PoolerStats, "pgbouncer") + "&sslmode=require":                                  "tls",
	} {
		t.Run(reason, func(t *testing.T) {
			text := textOf(t, pooler(t, strings.Replace(dsn, "sslmode=disable&", "", 1)), deadline)
			wants(t, text, "pgbouncer_up 0", unmet(reason, 1))
			lacks(t, text, "wrong")
		})
	}
	// A file of the way in that is not there is a fault of the connect, too.
	wants(t, textOf(t, pooler(t, "postgresql://u@127.0.0.1:1/?sslmode=verify-ca&sslrootcert=/no/such/file"), deadline), "pgbouncer_up 0", unmet("other", 1))
	// No database in the way in is the console.
	wants(t, textOf(t, pooler(t, p.DSN(pgtest.PoolerStats, "")), deadline), "pgbouncer_up 1")
}

// memory is a watcher that tells what a test puts into it.
type memory struct{ readings []spec.Reading }

func (m *memory) Read(context.Context) []spec.Reading { return m.readings }

// TestWatched: what is told again counts once, and a series that comes twice, or
// too many of them, are failures of one collector.
func TestWatched(t *testing.T) {
	t.Parallel()
	c := func(name string) spec.Collector {
		return spec.Collector{
			Name: name, About: "A test.", Source: spec.Backup, Cost: spec.Cost{MaxSeries: 2}, Labels: []string{"stanza"},
			Metrics: []spec.Metric{
				{Name: "size_bytes", Type: spec.Gauge, Help: "A value."}, {Name: "never", Type: spec.Gauge, Help: "Not told."},
			},
		}
	}
	rows := func(stanzas ...string) *spec.Rows {
		r := spec.NewRows([]spec.Column{{Name: "stanza", Kind: spec.Text}, {Name: "size_bytes", Kind: spec.Value}})
		for _, s := range stanzas {
			r.AppendText([]byte(s))
			r.AppendValue(7)
			if err := r.EndRow(); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	at := time.Unix(1700000000, 0)
	m := &memory{[]spec.Reading{
		{Collector: "backup", Rows: rows(`a"b`, "c"), At: at, Elapsed: 2 * time.Second},
		{Collector: "backup_twice", Rows: rows("a", "a"), At: at},
		{Collector: "backup_many", Rows: rows("a", "b", "c"), At: at},
		{Collector: "backup_failed", Err: errors.New("no answer"), At: at},
		{Collector: "backup_bare", Rows: spec.NewRows(nil), At: at},
		{Collector: "backup_unheard_of", Rows: rows("a")},
	}}
	var collectors []spec.Collector
	for _, name := range []string{"backup", "backup_twice", "backup_many", "backup_failed", "backup_bare", "backup_silent"} {
		collectors = append(collectors, c(name))
	}
	o := scrape.NewWatched(t.Context(), m, scrape.OutsideOptions{Collectors: collectors})
	t.Cleanup(o.Close)
	for range 2 {
		text := textOf(t, o, deadline)
		wants(t, text,
			`pg_backup_size_bytes{stanza="a\"b"} 7`, success("backup", 1),
			`pgvigil_collector_last_success_timestamp_seconds{collector="backup",datname=""} 1.7e+09`,
			`pgvigil_collector_duration_seconds{collector="backup",datname=""} 2`,
			`pgvigil_collector_series{collector="backup",datname=""} 2`,
			failed("backup_twice", "duplicate", 1), failed("backup_many", "limit", 1),
			failed("backup_failed", "connection", 1), failed("backup_bare", "undefined", 1), success("backup_silent", 0))
		lacks(t, text, "pgbouncer", "unheard_of", "columns_missing", "pg_backup_many")
	}
	m.readings[3].At = at.Add(time.Minute)
	wants(t, textOf(t, o, deadline), failed("backup_failed", "connection", 2))
}

func TestJoin(t *testing.T) {
	t.Parallel()
	family := func(name string, rows int) page.Family {
		l := &page.Labels{}
		return page.Family{Name: name, Columns: []page.Column{{Labels: l, Values: make([]float64, rows)}}}
	}
	one := []page.Family{family("a", 1), family("b", 1)}
	joined := scrape.Join(one, nil, []page.Family{family("c", 1), family("b", 2)}, []page.Family{family("c", 3)})
	var got []string
	for _, f := range joined {
		got = append(got, fmt.Sprint(f.Name, len(f.Columns), f.Samples()))
	}
	if want := "a1 1 b2 3 c2 4"; strings.Join(got, " ") != want && fmt.Sprint(got) != "["+want+"]" {
		t.Errorf("joined %v", got)
	}
	if len(scrape.Join(nil, one)) != 2 || scrape.Join() != nil {
		t.Error("of one part, or none, something else came")
	}
}
