package web

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/pgvigil/pgvigil/internal/spec"
)

var (
	ownBuildInfo = spec.Series{Name: "pgvigil_build_info", Type: spec.Gauge,
		Labels: []string{"branch", "goarch", "goos", "goversion", "revision", "tags", "version"},
		Help:   "A metric with a constant '1' value labeled by version, revision, branch, goversion from which pgvigil was built, and the goos and goarch for the build."}
	ownReload     = spec.Series{Name: "pgvigil_config_last_reload_successful", Type: spec.Gauge, Help: "Whether the last load of the configuration succeeded; the first is at start."}
	ownReloadTime = spec.Series{Name: "pgvigil_config_last_reload_success_timestamp_seconds", Type: spec.Gauge, Help: "Unix time of the last load of the configuration that succeeded."}
)

// Own returns the process's own metrics that are pgvigil's, for METRICS.md;
// beside them /metrics shows go_* and process_* of client_golang.
func Own() []spec.Series {
	return []spec.Series{ownBuildInfo, ownReload, ownReloadTime, ownReadiness, ownReadinessCount}
}

// process are the process's own metrics, appended to /metrics.
type process struct {
	registry *prometheus.Registry

	mu      sync.Mutex
	failed  bool      // the last load
	success time.Time // the last good one
}

func newProcess() (*process, error) {
	p := &process{registry: prometheus.NewRegistry()}
	reload := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: ownReload.Name, Help: ownReload.Help}, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.failed {
			return 0
		}
		return 1
	})
	reloadTime := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: ownReloadTime.Name, Help: ownReloadTime.Help}, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.success.UnixMilli()) / 1000
	})
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		version.NewCollector("pgvigil"),
		reload, reloadTime,
	} {
		if err := p.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the process's metrics: %w", err)
		}
	}
	return p, nil
}

// loaded notes a load of the configuration.
func (p *process) loaded(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = err != nil
	if err == nil {
		p.success = time.Now()
	}
}
