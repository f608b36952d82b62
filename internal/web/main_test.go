package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/config"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

var servers = pgtest.NewSet(pgtest.Options{})

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// major is the one the tests of this package run on: what differs between majors
// is tested below this floor.
const major = 18

// nowhere is a server that refuses connections.
const nowhere = "postgresql://pgvigil@127.0.0.1:1/postgres?sslmode=disable"

// watch has a collector that is on and two that are off.
func watch() Watch {
	return Watch{
		Collectors: []spec.Collector{collector.StatWAL, collector.StatArchiver, collector.Locks},
		Enabled:    map[string]bool{"stat_wal": true, "stat_archiver": true, "locks": false},
		Sessions:   config.Sessions{Max: 3, MaxAge: time.Hour},
	}
}

// syncBuffer is a log that tests read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// served is a Server that answers on a port.
type served struct {
	*Server
	url string
	log *syncBuffer
}

// serve starts a server with what opt leaves open set for tests.
func serve(t *testing.T, opt Options) *served {
	t.Helper()
	buf := &syncBuffer{}
	if opt.Watch.Collectors == nil {
		opt.Watch = watch()
	}
	opt.Logger = log.NewLogfmtLogger(buf)
	s, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		s.Close()
		if t.Failed() {
			t.Logf("log:\n%s", buf.String())
		}
	})
	return &served{Server: s, url: h.URL, log: buf}
}

// connected is a target with this connection string.
func connected(name, connString string) config.Target {
	return config.Target{Name: name, Conn: config.Conn{String: config.Hidden(connString)}}
}

// loaded is a configuration file that names the targets.
func loaded(targets ...config.Target) func() (config.File, error) {
	return func() (config.File, error) { return config.File{Targets: targets}, nil }
}

// file is a configuration file whose text a test may change.
func file(t *testing.T, text string) (load func() (config.File, error), change func(text string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgvigil.yml")
	change = func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change(text)
	return func() (config.File, error) { return config.Load(path, []string{"stat_wal", "stat_archiver", "locks"}) }, change
}

// answer is an answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; header holds keys and values in turn.
func (s *served) ask(t *testing.T, method, path string, header ...string) answer {
	t.Helper()
	a, err := request(t.Context(), method, s.url+path, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(ctx context.Context, method, url string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	// With a header of ours the client does not decompress behind our back.
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// page asks for a page and returns its families.
func (s *served) page(t *testing.T, path string, header ...string) map[string]*dto.MetricFamily {
	t.Helper()
	a := s.ask(t, http.MethodGet, path, header...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return families(t, a.body)
}

func families(t *testing.T, body string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return families
}

// value returns the only sample of a metric, as text; "" is none.
func value(families map[string]*dto.MetricFamily, name string) string {
	f := families[name]
	if len(f.GetMetric()) != 1 {
		return ""
	}
	m := f.GetMetric()[0]
	v := m.GetGauge().GetValue()
	if m.Counter != nil {
		v = m.GetCounter().GetValue()
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// sessions counts our sessions on a server.
func sessions(t *testing.T, srv *pgtest.Server) string {
	t.Helper()
	return srv.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+postgres.ApplicationName+"'")
}
