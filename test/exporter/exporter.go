// Package exporter builds and runs the real binary, for the demo, the benchmark
// and the soak.
package exporter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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
	began := time.Now()
	var body []byte
	err := p.read(ctx, path, header, func(r io.Reader) (err error) {
		body, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		return Page{}, err
	}
	return Page{Body: body, Took: time.Since(began)}, nil
}

// Drain asks for a path and throws the answer away: for pages too large to keep.
func (p *Process) Drain(ctx context.Context, path string, header http.Header) (bytes int64, took time.Duration, err error) {
	began := time.Now()
	err = p.read(ctx, path, header, func(r io.Reader) (err error) {
		bytes, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, chunk))
		return err
	})
	return bytes, time.Since(began), err
}

// Lines asks for a path and hands over the answer line by line, without the
// newlines; a line is valid only during the call.
func (p *Process) Lines(ctx context.Context, path string, header http.Header, line func([]byte)) error {
	return p.read(ctx, path, header, func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, chunk), 16*chunk)
		for lines.Scan() {
			line(lines.Bytes())
		}
		return lines.Err()
	})
}

// chunk is read at once of a large page.
const chunk = 1 << 20

func (p *Process) read(ctx context.Context, path string, header http.Header, do func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, chunk)) // what can be read of the reason
		return fmt.Errorf("get %s: %s: %s", path, resp.Status, bytes.TrimSpace(said))
	}
	if err := do(resp.Body); err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	return nil
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

// Samples are the samples of a metric with labels, in their order on the page.
// Labels hold what stands between the braces.
func (p Page) Samples(name string) iter.Seq2[string, float64] {
	return func(yield func(labels string, v float64) bool) {
		for line := range bytes.Lines(p.Body) {
			rest, ok := bytes.CutPrefix(line, []byte(name+"{"))
			end := bytes.LastIndex(rest, []byte("} "))
			if !ok || end < 0 {
				continue
			}
			v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest[end+2:])), 64)
			if err == nil && !yield(string(rest[:end]), v) {
				return
			}
		}
	}
}
