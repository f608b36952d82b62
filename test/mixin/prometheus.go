package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgvigil/pgvigil/test/exporter"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	poll         = 200 * time.Millisecond
)

// prometheus is a Prometheus that runs.
type prometheus struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // how; read it after done
}

// configuration scrapes the targets often, so that there are rates soon. Labels are as
// docs say: a job, a cluster of Prometheus and one of PostgreSQL, an instance.
func configuration(dir string, targets []target) string {
	var text strings.Builder
	fmt.Fprintf(&text, "global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}\nrule_files: [%q]\nscrape_configs:\n",
		filepath.Join(dir, "alerts/prometheus/*.yaml"))
	for i, t := range targets {
		fmt.Fprintf(&text, "  - job_name: target%d\n    metrics_path: %s\n", i, t.path)
		if t.name != "" {
			fmt.Fprintf(&text, "    params: {target: [%s]}\n", t.name)
		}
		fmt.Fprintf(&text, "    static_configs:\n      - targets: [%q]\n        labels: {job: postgres, cluster: live, pg_cluster: %s, instance: %s}\n",
			t.address, t.cluster, t.instance)
	}
	return text.String()
}

// startPrometheus runs the program over the targets and returns when it answers.
func startPrometheus(ctx context.Context, program, dir string, targets []target) (*prometheus, error) {
	return startConfigured(ctx, program, dir, configuration(dir, targets))
}

func startConfigured(ctx context.Context, program, dir, configuration string) (*prometheus, error) {
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	address, err := exporter.FreeAddress()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &prometheus{
		url: "http://" + address, client: &http.Client{}, cancel: cancel, done: make(chan struct{}),
		cmd: exec.CommandContext(ctx, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
			"--web.listen-address="+address, "--log.level=warn"),
	}
	p.cmd.Stderr = os.Stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTimeout
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	if err := p.awaitReady(ctx); err != nil {
		_ = p.stop() // why it did not start is the news
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	return p, nil
}

func (p *prometheus) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := p.query(ctx, "vector(1)")
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("it ended at once, for the reason it gave above")
		case <-ctx.Done():
			return fmt.Errorf("wait for an answer: %w", err)
		case <-time.After(poll):
		}
	}
}

// stop ends Prometheus and waits for it.
func (p *prometheus) stop() error {
	p.cancel()
	<-p.done
	p.client.CloseIdleConnections()
	if p.err != nil && !errors.Is(p.err, context.Canceled) {
		return fmt.Errorf("stop Prometheus: %w", p.err)
	}
	return nil
}

// sample is a series of an answer and its value.
type sample struct {
	labels map[string]string
	value  float64
}

// query asks for the value of an expression now.
func (p *prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get(ctx, "/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &data); err != nil {
		return nil, err
	}
	list := make([]sample, 0, len(data.Result))
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		list = append(list, sample{r.Metric, v})
	}
	return list, nil
}

// rule is what Prometheus says of a rule that it evaluates.
type rule struct {
	Type, Name, State, Health, LastError string
}

// rules are all that were loaded.
func (p *prometheus) rules(ctx context.Context) (list []rule, err error) {
	var data struct{ Groups []struct{ Rules []rule } }
	if err := p.get(ctx, "/api/v1/rules", &data); err != nil {
		return nil, err
	}
	for _, g := range data.Groups {
		list = append(list, g.Rules...)
	}
	return list, nil
}

func (p *prometheus) get(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}
