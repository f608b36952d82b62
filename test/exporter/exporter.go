// Package exporter builds and runs the real binary, for the demo and the
// benchmark.
package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	startTimeout = 15 * time.Second
	stopTimeout  = 10 * time.Second
	poll         = 50 * time.Millisecond
)

// Build compiles the exporter into dir as make build does, and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pgvigil")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/pgvigil/pgvigil/cmd/pgvigil")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the exporter: %w\n%s", err, out)
	}
	return path, nil
}

// Process is an exporter that runs.
type Process struct {
	// URL is where it listens, without a path.
	URL string

	cmd    *exec.Cmd
	cancel context.CancelFunc
	client *http.Client
	done   chan struct{} // closed when it has ended
	err    error         // how; read it after done
}

// Start runs the binary at host:port, watching the server of dsn on /metrics,
// until ctx ends or Stop. It returns when the exporter answers. Its warnings go
// to standard error.
func Start(ctx context.Context, binary, address, dsn string, args ...string) (*Process, error) {
	ctx, cancel := context.WithCancel(ctx)
	args = append([]string{"--web.listen-address=" + address, "--log.level=warn"}, args...)
	p := &Process{
		URL: "http://" + address, cmd: exec.CommandContext(ctx, binary, args...), cancel: cancel,
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}}, done: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), "DATA_SOURCE_NAME="+dsn)
	p.cmd.Stderr = os.Stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTimeout
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start the exporter: %w", err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	if err := p.awaitAnswer(ctx); err != nil {
		_ = p.Stop() // why it did not start is the news
		return nil, fmt.Errorf("start the exporter: %w", err)
	}
	return p, nil
}

func (p *Process) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := p.Get(ctx, "/-/healthy", nil)
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

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the process and waits for it. It may be called again.
func (p *Process) Stop() error {
	p.cancel()
	<-p.done
	p.client.CloseIdleConnections()
	if p.err != nil && !errors.Is(p.err, context.Canceled) {
		return fmt.Errorf("stop the exporter: %w", p.err)
	}
	return nil
}

// Page is an answer of the exporter.
type Page struct {
	Body []byte
	Took time.Duration // until the last byte was read
}

// Get asks for a path. Any status but 200 is an error.
func (p *Process) Get(ctx context.Context, path string, header http.Header) (Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return Page{}, fmt.Errorf("get %s: %w", path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	began := time.Now()
	resp, err := p.client.Do(req)
	if err != nil {
		return Page{}, fmt.Errorf("get %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Page{}, fmt.Errorf("get %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Page{}, fmt.Errorf("get %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	}
	return Page{Body: body, Took: time.Since(began)}, nil
}

// Families is the number of metrics on the page.
func (p Page) Families() int { return bytes.Count(p.Body, []byte("# TYPE ")) }

// Series is the number of samples on the page.
func (p Page) Series() int {
	n := 0
	for line := range bytes.Lines(p.Body) {
		if line[0] != '#' {
			n++
		}
	}
	return n
}

// Value is the sample of a metric without labels, and whether there is one.
func (p Page) Value(name string) (float64, bool) {
	for line := range bytes.Lines(p.Body) {
		rest, ok := bytes.CutPrefix(line, []byte(name+" "))
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
		return v, err == nil
	}
	return 0, false
}
