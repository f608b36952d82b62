package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
	"github.com/pgvigil/pgvigil/test/program"
)

// scale is what the mixin's timeScale is in drills: an hour of the shipped rules is
// two minutes.
const scale = 1.0 / 30

// How often, in the time of drills. The Ruler asks over the network for each rule, so
// it does so more rarely.
const (
	scrapeInterval = time.Second
	rulesInterval  = 2 * time.Second
	rulerInterval  = 4 * time.Second
	lookback       = 10 * time.Second // 5m, scaled
)

// A way is one of the two by which alerts come.
type way int

const (
	byPrometheus way = iota
	byThanos
	ways
)

func (w way) String() string { return [...]string{"Prometheus", "Thanos Ruler"}[w] }

// target is what Prometheus scrapes, with the labels that say whose it is.
type target struct{ address, path, probe, cluster, instance string }

// monitor is all that makes an alert of a page: a pair of Prometheus servers with the
// plain rules, Thanos over both with its flavour of them, and an Alertmanager for each
// of the two ways, with the routes of the documentation.
type monitor struct {
	dir   string
	hooks *hooks

	alertmanagers [ways]*program.Program
	amURLs        [ways]string
	prometheus    [2]*program.Program
	sidecars      [2]*program.Program
	query, ruler  *program.Program

	promURLs [2]string
	queryURL string

	mu      sync.Mutex // held while targets are written
	targets map[string]target
}

// tools are the programs of the monitor.
type tools struct{ prometheus, alertmanager, thanos, jsonnet string }

// findTools names what is missing.
func findTools() (t tools, err error) {
	var errs []error
	for _, p := range []struct {
		into  *string
		names []string
	}{
		{&t.prometheus, []string{"prometheus"}},
		{&t.alertmanager, []string{"prometheus-alertmanager", "alertmanager"}},
		{&t.thanos, []string{"thanos"}},
		{&t.jsonnet, []string{"jsonnet"}},
	} {
		var found error
		for _, name := range p.names {
			if *p.into = os.Getenv(strings.ToUpper(name)); *p.into != "" {
				found = nil
				break
			}
			if *p.into, found = pgtest.FindProgram(name); found == nil {
				break
			}
		}
		if found != nil {
			errs = append(errs, found)
		}
	}
	return t, errors.Join(errs...)
}

// startMonitor starts all of it over no targets yet.
func startMonitor(ctx context.Context, t tools, top, dir string) (_ *monitor, err error) {
	m := &monitor{dir: dir, targets: map[string]target{}}
	if m.hooks, err = startHooks(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start what monitors: %w", err), m.stop())
		}
	}()
	for flavour, interval := range map[string]time.Duration{"prometheus": rulesInterval, "thanos": rulerInterval} {
		config := fmt.Sprintf("(import 'test/drill/mixin.libsonnet') + { _config+:: { interval: '%v' } }", interval)
		cmd := exec.CommandContext(ctx, t.jsonnet, "-S", "-c", "-m", filepath.Join(dir, "rules", flavour), "-J", ".", "--ext-code", "config="+config, "mixin/rendered.jsonnet")
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("render the mixin: %w\n%s", err, out)
		}
	}
	example, err := os.ReadFile(filepath.Join(top, "docs/examples/alertmanager.yml"))
	if err != nil {
		return nil, err
	}
	for w := range ways {
		if err := m.startAlertmanager(ctx, t, w, example); err != nil {
			return nil, err
		}
	}
	if err := m.writeTargets(); err != nil {
		return nil, err
	}
	var stores []string
	for i := range m.prometheus {
		store, err := m.startPrometheus(ctx, t, i)
		if err != nil {
			return nil, err
		}
		stores = append(stores, store)
	}
	return m, m.startThanos(ctx, t, stores)
}

func (m *monitor) file(name string) string { return filepath.Join(m.dir, name) }

func (m *monitor) startAlertmanager(ctx context.Context, t tools, w way, example []byte) error {
	name := fmt.Sprintf("alertmanager-%d", w)
	config, err := scaled(example, m.hooks.url(w))
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.file(name+".yml"), config, 0o600); err != nil {
		return err
	}
	address, err := exporter.FreeAddress()
	if err != nil {
		return err
	}
	m.amURLs[w] = "http://" + address
	m.alertmanagers[w], err = program.Start(ctx, program.Options{
		Name: "Alertmanager", Path: t.alertmanager, Log: m.file(name + ".log"), Ready: m.amURLs[w] + "/-/ready",
		Args: []string{
			"--config.file=" + m.file(name+".yml"), "--storage.path=" + m.file(name),
			"--web.listen-address=" + address, "--cluster.listen-address=",
		},
	})
	return err
}

// startPrometheus starts one of the pair with its sidecar, and returns the sidecar's
// address.
func (m *monitor) startPrometheus(ctx context.Context, t tools, i int) (store string, err error) {
	addresses, err := freeAddresses(3)
	if err != nil {
		return "", err
	}
	web, grpc, http := addresses[0], addresses[1], addresses[2]
	name := fmt.Sprintf("prometheus-%d", i)
	config := fmt.Sprintf(`global:
  scrape_interval: %[1]v
  scrape_timeout: %[1]v
  evaluation_interval: %[2]v
  external_labels: {cluster: drill, replica: %[3]q}
rule_files: [%[4]q]
alerting:
  alert_relabel_configs:
    - {action: labeldrop, regex: replica}
  alertmanagers:
    - static_configs: [{targets: [%[5]q]}]
scrape_configs:
  - job_name: postgres
    file_sd_configs: [{files: [%[6]q], refresh_interval: 1s}]
`, scrapeInterval, rulesInterval, string(rune('a'+i)), m.file("rules/prometheus/alerts/prometheus/*.yaml"),
		strings.TrimPrefix(m.amURLs[byPrometheus], "http://"), m.file("targets.json"))
	if err := os.WriteFile(m.file(name+".yml"), []byte(config), 0o600); err != nil {
		return "", err
	}
	m.promURLs[i] = "http://" + web
	m.prometheus[i], err = program.Start(ctx, program.Options{
		Name: "Prometheus", Path: t.prometheus, Log: m.file(name + ".log"), Ready: m.promURLs[i] + "/-/ready",
		Args: []string{
			"--config.file=" + m.file(name+".yml"), "--storage.tsdb.path=" + m.file(name), "--web.listen-address=" + web,
			"--query.lookback-delta=" + lookback.String(), "--log.level=warn",
		},
	})
	if err != nil {
		return "", err
	}
	m.sidecars[i], err = program.Start(ctx, program.Options{
		Name: "Thanos sidecar", Path: t.thanos, Log: m.file(name + "-sidecar.log"), Ready: "http://" + http + "/-/ready",
		Args: []string{
			"sidecar", "--tsdb.path=" + m.file(name), "--prometheus.url=" + m.promURLs[i], "--prometheus.get_config_interval=2s",
			"--grpc-address=" + grpc, "--http-address=" + http, "--log.level=warn",
		},
	})
	return grpc, err
}

// startThanos starts Query over the stores, and a Ruler that asks it and whose own
// series it has too.
func (m *monitor) startThanos(ctx context.Context, t tools, stores []string) (err error) {
	addresses, err := freeAddresses(4)
	if err != nil {
		return err
	}
	queryHTTP, queryGRPC, rulerHTTP, rulerGRPC := addresses[0], addresses[1], addresses[2], addresses[3]
	m.queryURL = "http://" + queryHTTP
	args := []string{
		"query", "--http-address=" + queryHTTP, "--grpc-address=" + queryGRPC, "--query.replica-label=replica",
		"--query.replica-label=ruler_replica", "--query.lookback-delta=" + lookback.String(), "--log.level=warn",
	}
	for _, store := range append(stores, rulerGRPC) {
		args = append(args, "--endpoint="+store)
	}
	m.query, err = program.Start(ctx, program.Options{
		Name: "Thanos Query", Path: t.thanos, Args: args, Log: m.file("query.log"), Ready: m.queryURL + "/-/ready",
	})
	if err != nil {
		return err
	}
	m.ruler, err = program.Start(ctx, program.Options{
		Name: "Thanos Ruler", Path: t.thanos, Log: m.file("ruler.log"), Ready: "http://" + rulerHTTP + "/-/ready",
		Args: []string{
			"rule", "--http-address=" + rulerHTTP, "--grpc-address=" + rulerGRPC, "--data-dir=" + m.file("ruler"),
			"--rule-file=" + m.file("rules/thanos/alerts/thanos/*.yaml"), "--eval-interval=" + rulerInterval.String(),
			"--query=" + m.queryURL, `--label=ruler_replica="a"`, "--alert.label-drop=ruler_replica",
			"--alertmanagers.url=" + m.amURLs[byThanos], "--log.level=warn",
		},
	})
	return err
}

func freeAddresses(n int) (list []string, err error) {
	for range n {
		address, err := exporter.FreeAddress()
		if err != nil {
			return nil, err
		}
		list = append(list, address)
	}
	return list, nil
}

// stop ends all of it, whoever asks first.
func (m *monitor) stop() error {
	var err error
	for _, p := range []*program.Program{
		m.ruler, m.query, m.sidecars[0], m.sidecars[1], m.prometheus[0], m.prometheus[1], m.alertmanagers[0], m.alertmanagers[1],
	} {
		if p != nil {
			err = errors.Join(err, p.Stop())
		}
	}
	return errors.Join(err, m.hooks.stop())
}

// watch adds targets, or replaces those of their instances.
func (m *monitor) watch(list ...target) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range list {
		m.targets[t.instance] = t
	}
	return m.writeTargets()
}

// forget removes a target, and returns it.
func (m *monitor) forget(instance string) (target, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.targets[instance]
	delete(m.targets, instance)
	return t, m.writeTargets()
}

// writeTargets writes the file that both Prometheus servers read.
func (m *monitor) writeTargets() error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, t := range m.targets {
		labels := map[string]string{"pg_cluster": t.cluster, "instance": t.instance, "__metrics_path__": t.path}
		if t.probe != "" {
			labels["__param_target"] = t.probe
		}
		groups = append(groups, group{[]string{t.address}, labels})
	}
	text, err := json.Marshal(groups)
	if err != nil {
		return err
	}
	file := m.file("targets.json")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// active are the alerts that an Alertmanager holds for firing, inhibited ones too.
func (m *monitor) active(ctx context.Context, w way) (list []labels, err error) {
	var alerts []struct{ Labels labels }
	if err := getJSON(ctx, m.amURLs[w]+"/api/v2/alerts?active=true&inhibited=true&silenced=true", &alerts); err != nil {
		return nil, fmt.Errorf("ask the Alertmanager of the %v: %w", w, err)
	}
	for _, a := range alerts {
		list = append(list, a.Labels)
	}
	return list, nil
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
