package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/internal/page"
)

const (
	probePath    = "/probe"
	healthPrefix = "/-/"
)

// Handler returns what answers requests. GET stands for HEAD too, and the mux
// answers 405 where a path has another method.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+probePath, s.probe)
	mux.HandleFunc("GET "+explainPath, s.explain)
	mux.HandleFunc("GET "+readinessPath, s.readinessReport)
	mux.HandleFunc("GET "+collectorsPath, s.collectors)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	mux.HandleFunc("GET /-/ready", s.ready)
	mux.HandleFunc("POST /-/reload", s.reload)
	mux.HandleFunc("PUT /-/reload", s.reload)
	if s.opt.MetricsPath == "/" {
		mux.HandleFunc("GET /{$}", s.metrics)
		return mux
	}
	mux.HandleFunc("GET "+s.opt.MetricsPath, s.metrics)
	mux.HandleFunc("GET /{$}", s.landingPage)
	return mux
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.leaving.Load() {
		http.Error(w, "ending", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// metrics answers /metrics: the server without a name, if there is one, and the
// process's own metrics.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("target") {
		http.Error(w, "this is the page of the server given by the environment: ask "+probePath+"?target= for another", http.StatusBadRequest)
		return
	}
	families, ok := s.scrape(w, r, "")
	if !ok {
		return
	}
	own, err := s.process.registry.Gather()
	if err != nil {
		// What could be gathered is there beside the error.
		level.Warn(s.opt.Logger).Log("msg", "some of the process's own metrics are missing", "err", err)
	}
	s.write(w, r, families, own)
}

// probe answers /probe for the targets of the configuration file.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	names := query["target"]
	switch {
	case query.Has("auth_module"):
		http.Error(w, "auth_module is not supported: the configuration file says how to log in to a target", http.StatusBadRequest)
		return
	case len(names) == 0 || len(names) == 1 && names[0] == "":
		http.Error(w, "the name of a target is missing: ask "+probePath+"?target=NAME; the page / lists the names", http.StatusBadRequest)
		return
	case len(names) > 1:
		http.Error(w, "there are several targets: ask for one at a time", http.StatusBadRequest)
		return
	}
	if families, ok := s.scrape(w, r, names[0]); ok {
		s.write(w, r, families, nil)
	}
}

// scrape returns the families of a target, or answers why there are none. Answers
// do not repeat the name that was asked for: people put passwords there.
func (s *Server) scrape(w http.ResponseWriter, r *http.Request, name string) ([]page.Family, bool) {
	l, err := s.pool.borrow(name)
	switch {
	case errors.Is(err, errUnknown) && name == "":
		// Without a server, the page is the process's own metrics.
		l = &lent{enabled: s.opt.Watch.Enabled}
	case errors.Is(err, errUnknown):
		http.Error(w, "no target of that name is in the configuration file; the page / lists the names", http.StatusNotFound)
		return nil, false
	case errors.Is(err, errClosed):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return nil, false
	case err != nil:
		level.Error(s.opt.Logger).Log("msg", "target cannot be watched", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, false
	default:
		defer s.pool.giveBack(l)
	}
	selection, err := s.selection(r.URL.Query(), l.enabled)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, false
	}
	if len(l.sources) == 0 || r.Method == http.MethodHead {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout(r.Header))
	defer cancel()
	return s.addReadiness(l, selection, l.scrape(ctx, selection)), true
}

// The deadline of a scrape.
const (
	timeoutHeader  = "X-Prometheus-Scrape-Timeout-Seconds"
	usualTimeout   = 10 * time.Second // without the header; Prometheus' own default
	longestTimeout = time.Hour        // more is no timeout
)

// timeout returns how long a scrape may take.
func (s *Server) timeout(header http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(header.Get(timeoutHeader), 64)
	// Written so that NaN is refused too.
	if err != nil || !(seconds > 0 && seconds <= longestTimeout.Seconds()) {
		return usualTimeout
	}
	return max(time.Duration(seconds*float64(time.Second))-s.opt.TimeoutOffset, time.Millisecond)
}

// buffer returns a buffer that page.Write takes for its own.
func (s *Server) buffer(out io.Writer) *bufio.Writer {
	buffer, ok := s.buffers.Get().(*bufio.Writer)
	if !ok {
		return bufio.NewWriterSize(out, page.BufferSize)
	}
	buffer.Reset(out)
	return buffer
}

// write writes a page as the request likes it.
func (s *Server) write(w http.ResponseWriter, r *http.Request, families []page.Family, own []*dto.MetricFamily) {
	format := page.Negotiate(r.Header)
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Add("Vary", "Accept, Accept-Encoding")
	// A reader that stalls must not keep the page in memory for ever. A writer
	// that knows no deadline is a test's.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if r.Method == http.MethodHead {
		return
	}
	out, end := s.compress(w, r)
	buffer := s.buffer(out)
	err := page.Write(buffer, format, families, own)
	buffer.Reset(io.Discard)
	s.buffers.Put(buffer)
	if err = errors.Join(err, end()); err == nil {
		return
	}
	if r.Context().Err() != nil {
		level.Debug(s.opt.Logger).Log("msg", "page not written: the client is gone", "err", err)
		return
	}
	level.Warn(s.opt.Logger).Log("msg", "page not written in full", "err", err)
}
