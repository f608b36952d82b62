package web

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/backup"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/readiness"
)

// watchAll has the collectors that are on by default.
func watchAll() Watch {
	w := Watch{Collectors: collector.All(), Enabled: map[string]bool{}, Sessions: config.Sessions{Max: 3, MaxAge: time.Hour}, Share: 1}
	for _, c := range w.Collectors {
		if c.Of == "" {
			w.Enabled[c.Flag()] = c.Default
		}
	}
	return w
}

// verdictsOf are the verdicts on a page, by check.
func verdictsOf(families map[string]*dto.MetricFamily) map[string]string {
	verdicts := map[string]string{}
	for _, m := range families["pg_readiness_check"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		verdicts[labels["check"]] = labels["verdict"]
	}
	return verdicts
}

// TestReadiness judges a server on its page of readiness and on that of Prometheus,
// which agree, and what is no server on neither.
func TestReadiness(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	pooler := connected("pooler", nowhere)
	pooler.Kind = config.PgBouncer
	facts := filepath.Join(t.TempDir(), "facts.prom")
	if err := os.WriteFile(facts, []byte("restore_proven_timestamp_seconds 1000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Watch: watchAll(), Main: &main, Load: func() (config.File, error) {
		return config.File{
			Targets: []config.Target{connected("down", nowhere), pooler},
			Backups: []config.Backup{{Config: backup.Config{Kind: backup.File, Stanza: "shop", Path: facts, Interval: time.Hour, Timeout: time.Minute}}},
			Readiness: config.Readiness{
				Limits: map[string]float64{"cache_blocks": 1e12}, // so that it stays unknown
				Accept: []config.Accept{{Check: "tls_on", Reason: "a tunnel", Until: time.Now().AddDate(0, 0, 1)}},
			},
		}, nil
	}})
	a := s.ask(t, http.MethodGet, "/readiness?format=json")
	var report readiness.Report
	if err := json.Unmarshal([]byte(a.body), &report); err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	want := map[string]string{}
	for _, r := range report.Results {
		want[r.Name] = string(r.Verdict)
	}
	// The first look at backups is waited for.
	if len(want) < 40 || want["tls_on"] != "fail" || want["restore_proven"] != "warn" || want["minor"] == "" {
		t.Errorf("%d checks: %v", len(want), want)
	}
	want["tls_on"] = "accepted"
	families := s.page(t, "/metrics")
	got := verdictsOf(families)
	for check, verdict := range want {
		if got[check] != verdict {
			t.Errorf("%s is %s, and on the page of Prometheus %s", check, verdict, got[check])
		}
	}
	sum, series := 0.0, 0
	for _, m := range families["pg_readiness_checks"].GetMetric() {
		sum += m.GetGauge().GetValue()
	}
	for _, f := range families {
		series += len(f.GetMetric())
	}
	if int(sum) != len(want) || len(got) != len(want) {
		t.Errorf("%v checks are counted and %d shown of %d", sum, len(got), len(want))
	}
	if series > 3000 {
		t.Errorf("the page of a small server has %d series", series)
	}
	t.Logf("%d series", series)

	html := s.ask(t, http.MethodGet, "/readiness")
	if html.status != http.StatusOK || !strings.Contains(html.body, "Does the server accept TLS?") || !strings.Contains(html.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %.200s", html.status, html.body)
	}
	if got := verdictsOf(s.page(t, "/metrics?collect[]=locks")); len(got) > 0 {
		t.Errorf("a page of one collector judges %v", got)
	}
	if got := verdictsOf(s.page(t, "/probe?target=down")); len(got) > 0 {
		t.Errorf("a server that is down is judged %v", got)
	}
	for target, status := range map[string]int{"down": 503, "pooler": 404, "nobody": 404} {
		a := s.ask(t, http.MethodGet, "/readiness?target="+target)
		if a.status != status || strings.Contains(a.body, target) && target == "nobody" {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
}
