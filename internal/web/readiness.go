package web

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/patroni"
	"github.com/pgvigil/pgvigil/internal/readiness"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// readinessPath is where the report of a server is.
const readinessPath = "/readiness"

//go:embed readiness.html
var readinessPage string

var (
	ownReadiness = spec.Series{Name: "pg_readiness_check", Type: spec.Gauge, Labels: []string{"factor", "check", "verdict"},
		Help: "Always 1; the label verdict is what the check comes to: pass, warn, fail or unknown, or accepted where somebody lives with it."}
	ownReadinessCount = spec.Series{Name: "pg_readiness_checks", Type: spec.Gauge, Labels: []string{"factor", "verdict"},
		Help: "Checks of the factor that come to the verdict; what is accepted counts as pass."}
)

// DefaultJudgeEvery is how often a server is judged by what scrapes have read:
// collectors run more rarely still.
const DefaultJudgeEvery = time.Minute

// The first reports are made more often, since much has not been read by then: so much,
// for so many of the usual times.
const (
	judgeOftener   = 6
	judgeOftenerOf = 5
)

// judged is the last report on a server, as families of its page.
type judged struct {
	mu          sync.Mutex
	families    []page.Family
	first, next time.Time // the first report, and when to judge again
}

// called is what reports call a server: by its address where it has no name.
func called(t config.Target) string { return cmp.Or(t.Name, t.Conn.Address()) }

// judge judges a server by its page, and by what Patroni says where it is asked.
func (s *Server) judge(t config.Target, families []page.Family, said *patroni.Answer) readiness.Report {
	opt := s.readiness.Load().Options(t.Name)
	opt.Patroni = said
	return readiness.Judge(called(t), readiness.Read(time.Now(), families, s.opt.Watch.Collectors), opt)
}

// addReadiness adds what the server is judged by to its page.
func (s *Server) addReadiness(l *lent, sel scrape.Selection, families []page.Family) []page.Family {
	if len(l.targets) == 0 || l.targets[0].backups != nil || l.targets[0].Kind != config.PostgreSQL || sel.Want != nil {
		return families
	}
	if !isUp(families) {
		return families // and nothing is known of it
	}
	t := l.targets[0]
	every := cmp.Or(s.opt.JudgeEvery, DefaultJudgeEvery)
	// What a scrape is told was asked before: it must not wait for one more program.
	var said *patroni.Answer
	if member := l.member(); member != nil {
		last := member.Last(every)
		said = &last
	}
	t.judged.mu.Lock()
	defer t.judged.mu.Unlock()
	if now := time.Now(); !now.Before(t.judged.next) {
		report := s.judge(t.Target, families, said)
		t.judged.families = reportFamilies(report)
		if t.judged.first.IsZero() {
			t.judged.first = now
		}
		t.judged.next = now.Add(every)
		if now.Sub(t.judged.first) < judgeOftenerOf*every {
			t.judged.next = now.Add(every / judgeOftener)
		}
	}
	return append(families, t.judged.families...)
}

// reportFamilies are the metrics of a report.
func reportFamilies(r readiness.Report) []page.Family {
	checks, counts := newOwnFamily(ownReadiness), newOwnFamily(ownReadinessCount)
	for _, res := range r.Results {
		verdict := string(res.Verdict)
		if res.Accepted != "" {
			verdict = "accepted"
		}
		checks.add(1, string(res.Factor), res.Name, verdict)
	}
	for _, factor := range readiness.Factors() {
		for _, verdict := range readiness.Verdicts() {
			counts.add(float64(r.Count(factor, verdict)), string(factor), string(verdict))
		}
	}
	return []page.Family{checks.Family, counts.Family}
}

// ownFamily is a family in the making.
type ownFamily struct{ page.Family }

func newOwnFamily(s spec.Series) *ownFamily {
	labels, err := page.NewLabels(s.Labels...)
	if err != nil { // the names are constants above
		labels = new(page.Labels)
	}
	return &ownFamily{page.Family{Name: s.Name, Help: s.Help, Type: s.Type, Columns: []page.Column{{Labels: labels}}}}
}

func (f *ownFamily) add(v float64, labels ...string) {
	values := make([][]byte, len(labels))
	for i, label := range labels {
		values[i] = []byte(label)
	}
	c := &f.Columns[0]
	if c.Labels.Append(values...) == nil {
		c.Values = append(c.Values, v)
	}
}

// DownError says that a server does not answer, so that there is nothing to judge.
type DownError struct{}

// Error says so.
func (DownError) Error() string { return "the server does not answer: pgvigil doctor says why" }

// Readiness judges the server of a name, "" for that of /metrics, by a scrape of its
// own. ctx must have a deadline.
func (s *Server) Readiness(ctx context.Context, name string) (readiness.Report, error) {
	l, err := s.pool.borrow(name)
	if err != nil {
		return readiness.Report{}, err
	}
	defer s.pool.giveBack(l)
	if l.asked(name) == nil || l.targets[0].Kind != config.PostgreSQL {
		return readiness.Report{}, errUnknown
	}
	selection, err := s.selection(nil, l.enabled)
	if err != nil {
		return readiness.Report{}, err
	}
	var said *patroni.Answer
	var asking sync.WaitGroup
	defer asking.Wait()
	if member := l.member(); member != nil {
		said = new(patroni.Answer)
		asking.Go(func() { *said = member.Ask(ctx) })
	}
	looks := l.firstLooks()
	families := l.scrape(ctx, selection)
	if !isUp(families) {
		return readiness.Report{}, DownError{}
	}
	if len(looks) > 0 {
		for _, b := range looks {
			b.group.Await(ctx)
		}
		families = l.scrape(ctx, selection) // which tells the backups of the server's archiver
	}
	asking.Wait()
	return s.judge(l.targets[0].Target, families, said), nil
}

// isUp reports whether the server of a page answered.
func isUp(families []page.Family) (up bool) {
	for _, f := range families {
		if f.Name == "pg_up" {
			f.Each(func(_ map[string]string, v float64) { up = v == 1 })
		}
	}
	return up
}

// readinessReport answers /readiness. It works without JavaScript, and prints.
func (s *Server) readinessReport(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	ctx, cancel := context.WithTimeout(r.Context(), usualTimeout)
	defer cancel()
	report, err := s.Readiness(ctx, query.Get("target"))
	switch {
	case errors.As(err, new(DownError)) || errors.Is(err, errClosed):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case errors.Is(err, errUnknown):
		http.Error(w, "no server of that name is watched; the page / lists the names", http.StatusNotFound)
		return
	case err != nil:
		level.Error(s.opt.Logger).Log("msg", "server not judged", "err", err)
		http.Error(w, "the server cannot be judged: see the log", http.StatusInternalServerError)
		return
	}
	if query.Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		_ = report.JSON(w) // a client that is gone needs no answer
		return
	}
	var b bytes.Buffer
	if err := s.report.Execute(&b, shownReport{report, query.Get("target")}); err != nil {
		level.Error(s.opt.Logger).Log("msg", "page of readiness not made", "err", err)
		http.Error(w, "the page could not be made: see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(b.Bytes())
}

// newReportTemplate reads the page of readiness.
func newReportTemplate() (*template.Template, error) {
	return template.New("readiness").Funcs(template.FuncMap{"factors": readiness.Factors}).Parse(readinessPage)
}

// shownReport is a report as its page shows it.
type shownReport struct {
	readiness.Report
	target string
}

// count is how often a verdict came.
type count struct {
	Verdict readiness.Verdict
	N       int
}

// Counts are the verdicts of a factor that came, "" of all.
func (r shownReport) Counts(factor readiness.Factor) (list []count) {
	for _, v := range readiness.Verdicts() {
		if n := r.Count(factor, v); n > 0 {
			list = append(list, count{v, n})
		}
	}
	return list
}

// JSONLink is the same report for programs.
func (r shownReport) JSONLink() string {
	query := url.Values{"format": {"json"}}
	if r.target != "" {
		query.Set("target", r.target)
	}
	return "?" + query.Encode()
}
