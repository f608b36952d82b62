package collector_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-kit/log"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

var (
	update  = flag.Bool("update", false, "record the pages in testdata anew from live servers")
	servers = pgtest.NewSet(pgtest.Options{})
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// eachMajor runs a parallel subtest for each major that starts its own servers.
func eachMajor(t *testing.T, body func(t *testing.T, major int)) {
	for _, major := range pgtest.Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			body(t, major)
		})
	}
}

// serverCollectors are those that read PostgreSQL.
func serverCollectors() []spec.Collector { return spec.From(spec.PostgreSQL, collector.All()) }

// watch returns an engine for the named collectors (by flag; none is all) on a
// server, connected as the user.
func watch(t *testing.T, srv *pgtest.Server, user string, flags ...string) *scrape.Engine {
	t.Helper()
	var chosen []spec.Collector
	for _, c := range serverCollectors() {
		if len(flags) == 0 || slices.Contains(flags, c.Flag()) {
			chosen = append(chosen, c)
		}
	}
	server, err := postgres.New(postgres.Config{
		ConnString: srv.DSN(user, "postgres"), Probe: scrape.Probe(chosen),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := scrape.New(t.Context(), server, scrape.Options{Collectors: chosen, Logger: testLogger{t}})
	t.Cleanup(e.Close)
	return e
}

// testLogger shows what the engine logs beside the test it happens in.
type testLogger struct{ t *testing.T }

func (l testLogger) Log(keyvals ...any) error {
	var b bytes.Buffer
	err := log.NewLogfmtLogger(&b).Log(keyvals...)
	l.t.Logf("%s", bytes.TrimSpace(b.Bytes()))
	return err
}

// snapshot is a page, by metric.
type snapshot map[string]*dto.MetricFamily

// scrapePage scrapes once, as Prometheus would with its ten seconds.
func scrapePage(t *testing.T, e *scrape.Engine) snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
	defer cancel()
	fams := e.Scrape(ctx, scrape.Selection{})
	gathered, err := page.Gatherer(func() []page.Family { return fams }).Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot{}
	for _, f := range gathered {
		s[f.GetName()] = f
	}
	return s
}

// values returns the samples of a metric that have the given labels (name,
// value, name, value, …) among theirs.
func (s snapshot) values(metric string, labels ...string) []float64 {
	var found []float64
	for _, m := range s[metric].GetMetric() {
		if hasLabels(m, labels) {
			found = append(found, number(m))
		}
	}
	return found
}

// value returns the only such sample and fails where there is none or another.
func (s snapshot) value(t *testing.T, metric string, labels ...string) float64 {
	t.Helper()
	found := s.values(metric, labels...)
	if len(found) != 1 {
		t.Fatalf("%s%v has %d samples, want 1:\n%s", metric, labels, len(found), s.text(metric))
	}
	return found[0]
}

// sum adds up such samples.
func (s snapshot) sum(metric string, labels ...string) float64 {
	sum := 0.0
	for _, v := range s.values(metric, labels...) {
		sum += v
	}
	return sum
}

// text shows a metric for a message.
func (s snapshot) text(metric string) string {
	if s[metric] == nil {
		return metric + " is not on the page"
	}
	var b bytes.Buffer
	if _, err := expfmt.MetricFamilyToText(&b, s[metric]); err != nil {
		return err.Error()
	}
	return b.String()
}

func hasLabels(m *dto.Metric, want []string) bool {
	for i := 0; i+1 < len(want); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == want[i] && l.GetValue() == want[i+1]
		}) {
			return false
		}
	}
	return true
}

func number(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

// eventually scrapes until ok holds of the page: for what the server does in its
// own time. It gives up after half a minute and shows the metric.
func eventually(t *testing.T, e *scrape.Engine, metric string, ok func(snapshot) bool) snapshot {
	t.Helper()
	var s snapshot
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if s = scrapePage(t, e); ok(s) {
			return s
		}
	}
	t.Fatalf("the page never came to show it:\n%s", s.text(metric))
	return nil
}
