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
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/pgvigil/pgvigil/internal/doctor"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// collectorsPath is where people see what became of the collectors of a server.
const collectorsPath = "/collectors"

//go:embed collectors.html
var collectorsPage string

// UsualInterval is the time between two scrapes where nobody knows better.
const UsualInterval = 15 * time.Second

// errNoServer says that a target is something else.
var errNoServer = errors.New("the target is no PostgreSQL server")

// Findings connects to the server of a name, "" for that of /metrics, scrapes it until
// nothing is left to be run, and returns what came of that. A server that cannot be
// connected to is not scraped. ctx must have a deadline.
func (s *Server) Findings(ctx context.Context, name string, sel scrape.Selection) (doctor.Findings, error) {
	l, o, err := s.examined(name)
	if err != nil {
		return doctor.Findings{}, err
	}
	defer s.pool.giveBack(l)
	diagnosis := o.server.Diagnose(ctx)
	if diagnosis.Failed == "" {
		l.settle(ctx, o, sel)
	}
	f := s.findings(l, o)
	f.Diagnosis = &diagnosis
	return f, nil
}

// mostRounds bounds the scrapes of settle.
const mostRounds = 5

// settle scrapes at least twice: what follows another collector has something to ask for
// by then, an extension is found that only one of the databases has, and what runs with
// each scrape no longer pays for the first time.
func (l *lent) settle(ctx context.Context, o *observed, sel scrape.Selection) {
	for round := range mostRounds {
		l.scrape(ctx, sel)
		r := o.Report()
		if !r.Up || ctx.Err() != nil || round > 0 && !waits(r, sel) {
			return
		}
	}
}

// waits reports whether a collector of the selection has yet to run.
func waits(r scrape.Report, sel scrape.Selection) bool {
	return slices.ContainsFunc(r.Collectors, func(c scrape.CollectorReport) bool {
		return (sel.Want == nil || sel.Want(c.Collector.Flag())) &&
			slices.ContainsFunc(c.Runs, func(run scrape.RunReport) bool { return run.Outcome == scrape.Waits })
	})
}

// examined returns what the page of a server is made of, which is to be given back, and
// what watches the server itself.
func (s *Server) examined(name string) (*lent, *observed, error) {
	l, err := s.pool.borrow(name)
	if err != nil {
		return nil, nil, err
	}
	o, ok := l.asked(name).(*observed)
	switch {
	case ok:
		return l, o, nil
	case l.asked(name) == nil:
		err = errUnknown
	default:
		err = errNoServer
	}
	s.pool.giveBack(l)
	return nil, nil, err
}

// findings is what is known of a server now.
func (s *Server) findings(l *lent, o *observed) doctor.Findings {
	f := doctor.Findings{Server: called(l.targets[0].Target), Engine: o.Report()}
	f.Interval = cmp.Or(f.Engine.Interval, UsualInterval)
	for _, beside := range l.sources {
		switch beside := beside.(type) {
		case *scrape.Outside:
			f.Beside = append(f.Beside, beside.Report()...)
		case *backups:
			f.Beside = append(f.Beside, beside.outside.Report()...)
		}
	}
	for _, c := range spec.From(spec.PostgreSQL, s.opt.Watch.Collectors) {
		if !l.enabled[c.Flag()] {
			f.Off = append(f.Off, c)
		}
	}
	return f
}

// collectors answers /collectors with what is known, for which nothing is sent to the
// server. It works without JavaScript, and prints.
func (s *Server) collectors(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	query := r.URL.Query()
	name := query.Get("target")
	l, o, err := s.examined(name)
	switch {
	case errors.Is(err, errUnknown):
		http.Error(w, "no server of that name is watched; the page / lists the names", http.StatusNotFound)
		return
	case errors.Is(err, errNoServer):
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case errors.Is(err, errClosed):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case err != nil:
		level.Error(s.opt.Logger).Log("msg", "target cannot be watched", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer s.pool.giveBack(l)
	found := s.findings(l, o)
	report := doctor.Examine(found)
	var b bytes.Buffer
	if query.Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		err = report.JSON(&b)
	} else {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		err = s.doctor.Execute(&b, shownCollectors{report, name, found.Engine.Tried})
	}
	if err != nil {
		level.Error(s.opt.Logger).Log("msg", "page of collectors not made", "err", err)
		http.Error(w, "the page could not be made: see the log", http.StatusInternalServerError)
		return
	}
	// A client that is gone needs no answer.
	_, _ = w.Write(b.Bytes())
}

// newCollectorsTemplate reads the page of collectors.
func newCollectorsTemplate() (*template.Template, error) {
	return template.New("collectors").Funcs(template.FuncMap{"seconds": doctor.Seconds, "duration": doctor.Duration}).Parse(collectorsPage)
}

// shownCollectors is a report as its page shows it.
type shownCollectors struct {
	doctor.Report
	target string
	Tried  bool
}

// JSONLink is the same report for programs.
func (r shownCollectors) JSONLink() string {
	query := url.Values{"format": {"json"}}
	if r.target != "" {
		query.Set("target", r.target)
	}
	return "?" + query.Encode()
}

// queryOf asks for a target by its name; the server of the environment has none.
func queryOf(name string) string {
	if name == "" {
		return ""
	}
	return "?target=" + url.QueryEscape(name)
}
