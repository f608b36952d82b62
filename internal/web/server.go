// Package web answers over HTTP: /metrics for the server given by flags and
// environment, /probe for the targets of the configuration file, a landing page
// that lists them, pages for people about each, health and reload.
package web

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/pgvigil/pgvigil/internal/config"
)

// Options say what is served and how.
type Options struct {
	// Watch says how servers are watched.
	Watch Watch
	// Main is the server of /metrics; nil is none.
	Main *config.Target
	// Load reads the configuration file, at start and at each reload; nil is none.
	Load func() (config.File, error)
	// MetricsPath is where the page of Main is; "" is /metrics.
	MetricsPath string
	// TimeoutOffset is taken off Prometheus' own deadline, for the way there and back.
	TimeoutOffset time.Duration
	// Explain says that /explain shows plans of statements.
	Explain bool
	// JudgeEvery is how often the readiness of a server that is scraped is judged; 0 is DefaultJudgeEvery.
	JudgeEvery time.Duration
	// Idle is how long a target that nobody asks for keeps its sessions; 0 is DefaultIdle.
	Idle time.Duration
	// Logger takes what operators should know.
	Logger log.Logger
}

// The defaults of what Options leave open, where zero would be of no use.
const (
	DefaultIdle        = 10 * time.Minute
	DefaultMetricsPath = "/metrics"
)

// The bounds of a connection and of the end.
const (
	headerTimeout = 10 * time.Second
	writeTimeout  = 30 * time.Second // of a page that is ready
	idleTimeout   = 5 * time.Minute  // longer than most scrape intervals
	leaveTimeout  = 5 * time.Second  // for requests under way when the process is told to end
	answerTimeout = time.Second      // for their answers after that
)

//go:embed landing.html
var landingPage string

// Server answers requests.
type Server struct {
	opt     Options
	leave   time.Duration // leaveTimeout
	pool    *pool
	process *process
	landing *template.Template
	report  *template.Template // of readiness
	doctor  *template.Template // of collectors
	gzips   sync.Pool          // of *gzip.Writer
	buffers sync.Pool          // of *bufio.Writer
	loading sync.Mutex         // one reload at a time
	leaving atomic.Bool

	readiness atomic.Pointer[config.Readiness] // of the configuration that runs
}

// New returns a server that has read its configuration and not yet connected to
// anything. Close ends it.
func New(ctx context.Context, opt Options) (*Server, error) {
	if opt.MetricsPath == "" {
		opt.MetricsPath = DefaultMetricsPath
	}
	if opt.Idle == 0 {
		opt.Idle = DefaultIdle
	}
	if opt.Logger == nil {
		opt.Logger = log.NewNopLogger()
	}
	if err := CheckMetricsPath(opt.MetricsPath); err != nil {
		return nil, err
	}
	landing, err := template.New("landing").Parse(landingPage)
	if err != nil {
		return nil, fmt.Errorf("read the landing page: %w", err)
	}
	report, err := newReportTemplate()
	if err != nil {
		return nil, fmt.Errorf("read the page of readiness: %w", err)
	}
	doctor, err := newCollectorsTemplate()
	if err != nil {
		return nil, fmt.Errorf("read the page of collectors: %w", err)
	}
	process, err := newProcess()
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt, leave: leaveTimeout, process: process, landing: landing, report: report, doctor: doctor}
	// Engines outlive ctx until Close, so that requests under way can end.
	s.pool = newPool(context.WithoutCancel(ctx), opt.Watch, opt.Logger, opt.Main)
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends all sessions and waits for them.
func (s *Server) Close() { s.pool.close() }

// CheckMetricsPath checks where the page of /metrics is wanted.
func CheckMetricsPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsAny(p, "{}?#% \t\n"):
		return fmt.Errorf("%q is not a path: write it like %s", p, DefaultMetricsPath)
	case p == probePath || p == explainPath || p == readinessPath || p == collectorsPath || strings.HasPrefix(p, healthPrefix) || p+"/" == healthPrefix:
		return fmt.Errorf("%q is taken: choose a path other than %s, %s, %s, %s and those below %s", p, probePath, explainPath, readinessPath, collectorsPath, healthPrefix)
	}
	return nil
}

// Serve answers requests on the toolkit's listeners until ctx ends, and then lets
// those under way finish. hangup asks for a reload.
func (s *Server) Serve(ctx context.Context, flags *toolkit.FlagConfig, hangup <-chan os.Signal) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return requests },
		// Handshakes that fail and the like: of use only to who looks for them.
		ErrorLog: newErrorLog(s.opt.Logger),
	}
	ended := make(chan error, 1)
	var listening, caring sync.WaitGroup
	listening.Go(func() { ended <- toolkit.ListenAndServe(server, flags, newSlog(s.opt.Logger)) })
	care, endCare := context.WithCancel(ctx)
	caring.Go(func() { s.care(care, hangup) })
	defer caring.Wait()
	defer endCare()

	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	level.Info(s.opt.Logger).Log("msg", "ending")
	s.leaving.Store(true)
	defer listening.Wait()
	leave, cancel := context.WithTimeout(requests, s.leave)
	defer cancel()
	if server.Shutdown(leave) == nil {
		return nil
	}
	// Scrapes whose context ends answer at once, with what they have.
	cut()
	answer, cancel := context.WithTimeout(context.WithoutCancel(requests), answerTimeout)
	defer cancel()
	if server.Shutdown(answer) == nil {
		return nil
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("close connections: %w", err)
	}
	return nil
}

// care lets idle targets go, and reloads when asked by a signal.
func (s *Server) care(ctx context.Context, hangup <-chan os.Signal) {
	tick := time.NewTicker(max(s.opt.Idle/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.pool.letGo(now.Add(-s.opt.Idle))
		case <-hangup:
			// The error is logged where it arises; nobody else could hear it.
			_ = s.Reload()
		}
	}
}
