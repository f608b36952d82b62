package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/readiness"
)

// TestPatroni asks Patroni beside scrapes, which do not wait for it, and within a
// request for a report, which does.
func TestPatroni(t *testing.T) {
	t.Parallel()
	srv := pgtest.New(t, major, pgtest.Options{})
	var hangs, asked atomic.Int64
	hangs.Store(1)
	member := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if hangs.Load() == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write([]byte(`{"role": "primary", "members": [{"name": "a", "role": "leader", "state": "running"}, {"name": "b", "role": "replica", "state": "streaming", "lag": 0}]}`))
	}))
	t.Cleanup(member.Close)
	main := connected("", srv.DSN(pgtest.Monitor, "postgres"))
	shop := connected("shop", srv.DSN(pgtest.Monitor, "postgres"))
	shop.Patroni = patroni.Config{URL: member.URL}
	s := serve(t, Options{Watch: watchAll(), Main: &main, Load: loaded(shop), JudgeEvery: time.Second})
	on := func(path string) string { return verdictsOf(s.page(t, path))["failover_manager"] }
	report := func() readiness.Result {
		t.Helper()
		a := s.ask(t, http.MethodGet, "/readiness?target=shop&format=json")
		var report readiness.Report
		if err := json.Unmarshal([]byte(a.body), &report); err != nil {
			t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		for _, r := range report.Results {
			if r.Name == "failover_manager" {
				return r
			}
		}
		t.Fatalf("%s", a.body)
		return readiness.Result{}
	}

	if verdict := on("/metrics"); verdict != "warn" || asked.Load() > 0 {
		t.Errorf("of a server of which nobody has said where Patroni is the verdict is %q, and Patroni was asked %d times", verdict, asked.Load())
	}
	// The page comes while Patroni is silent, or else the client of the test gives up.
	if verdict := on("/probe?target=shop"); verdict != "unknown" {
		t.Errorf("before Patroni has answered the verdict is %q", verdict)
	}
	eventually(t, "Patroni is asked beside a scrape", func() bool { return asked.Load() > 0 })
	if r := report(); r.Verdict != readiness.Fail || !strings.Contains(r.Says, "does not answer as it should: no answer within 2s") {
		t.Errorf("while Patroni is silent the report says %s: %s", r.Verdict, r.Says)
	}
	eventually(t, "the page says that Patroni does not answer", func() bool { return on("/probe?target=shop") == "fail" })
	hangs.Store(0)
	if r := report(); r.Verdict != readiness.Pass || !strings.HasPrefix(r.Says, `"a" leads by Patroni, and 1 of 1`) {
		t.Errorf("Patroni answers, and the report says %s: %s", r.Verdict, r.Says)
	}
	eventually(t, "the page says that Patroni answers", func() bool { return on("/probe?target=shop") == "pass" })

	// The end does not wait for a member that is silent.
	hangs.Store(1)
	was := asked.Load()
	eventually(t, "Patroni is asked again", func() bool { on("/probe?target=shop"); return asked.Load() > was })
}
