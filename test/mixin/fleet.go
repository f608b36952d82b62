package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/test/exporter"
	"github.com/pgvigil/pgvigil/test/stage"
)

const (
	warmUp   = 4 * time.Minute  // until rules have had several rounds over what was scraped
	most     = 0.1              // of the interval that all rules may take
	interval = 30 * time.Second // of the rules, as they are shipped
)

// fleet loads the rules as they are shipped into a Prometheus that scrapes as many
// instances every 15 s, in clusters of three, and prints what evaluating them takes.
// The instances are the pages of one real primary and one standby, again and again,
// with the metrics that the rules use.
func fleet(ctx context.Context, w io.Writer, top string, instances int) (err error) {
	program, err := pgtest.FindProgram("prometheus")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgvigil-fleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := jsonnet(ctx, top, "-S", "-c", "-m", dir, "--ext-code", "config={}", "mixin/rendered.jsonnet"); err != nil {
		return err
	}
	primary, standby, err := realPages(ctx, dir)
	if err != nil {
		return err
	}
	used, err := namesInRules(dir)
	if err != nil {
		return err
	}
	pages := [][]byte{only(primary, used), only(standby, used)}
	server, address, err := serve(pages)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	p, err := startConfigured(ctx, program, dir, fleetConfiguration(dir, address, instances))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	fmt.Fprintf(w, "%d instances, %d and %d series each, scraped every 15 s; %v to warm up\n",
		instances, bytes.Count(pages[0], []byte("\n")), bytes.Count(pages[1], []byte("\n")), warmUp)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return errors.New("the Prometheus ended, for the reason it gave above")
	case <-time.After(warmUp):
	}
	return p.reportGroups(ctx, w)
}

// realPages are the pages of a primary and a standby of the newest major.
func realPages(ctx context.Context, dir string) (primary, standby []byte, err error) {
	bin, err := pgtest.Find()
	if err != nil {
		return nil, nil, err
	}
	major := slices.Max(bin.Majors())
	binary, err := exporter.Build(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	st, err := stage.Start(ctx, major)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, st.Stop()) }()
	e, _, err := watch(ctx, binary, dir, st, major)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	for _, page := range []struct {
		path string
		into *[]byte
	}{{"/metrics", &primary}, {"/probe?target=standby", &standby}} {
		// The first scrape reads what is slow to read; the second has it all.
		for range 2 {
			p, err := e.Get(ctx, page.path, nil)
			if err != nil {
				return nil, nil, err
			}
			*page.into = p.Body
		}
	}
	return primary, standby, nil
}

var word = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// namesInRules are all words of the rendered rules, names of metrics among them.
func namesInRules(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "alerts/prometheus/*.yaml"))
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, name := range word.FindAll(text, -1) {
			used[string(name)] = true
		}
	}
	return used, nil
}

// only keeps the samples of the metrics that are used.
func only(page []byte, used map[string]bool) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(page) {
		if !bytes.HasPrefix(line, []byte("#")) && used[string(word.Find(line))] {
			out.Write(line)
		}
	}
	return out.Bytes()
}

// serve answers /0 with the first page and anything else with the second.
func serve(pages [][]byte) (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s := &http.Server{ReadHeaderTimeout: startTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := pages[1]
		if r.URL.Path == "/0" {
			page = pages[0]
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(page) // a scrape that is gone needs none
	})}
	go func() { _ = s.Serve(l) }() // until Close
	return s, l.Addr().String(), nil
}

func fleetConfiguration(dir, address string, instances int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "global: {scrape_interval: 15s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: postgres\n    static_configs:\n",
		filepath.Join(dir, "alerts/prometheus/*.yaml"))
	for i := range instances {
		// The first of three is the primary.
		fmt.Fprintf(&text, "      - {targets: [%q], labels: {__metrics_path__: /%d, cluster: live, pg_cluster: pg%d, instance: db%d}}\n", address, i%3, i/3, i)
	}
	return text.String()
}

var groupDuration = regexp.MustCompile(`^prometheus_rule_group_last_duration_seconds\{rule_group="[^"]*;([^"]*)"\} (\S+)`)

// reportGroups prints what Prometheus says that each group took, and fails where all
// together take too much.
func (p *prometheus) reportGroups(ctx context.Context, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	type group struct {
		name    string
		seconds float64
	}
	var groups []group
	sum := 0.0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if m := groupDuration.FindStringSubmatch(lines.Text()); m != nil {
			seconds, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return fmt.Errorf("read what group %s took: %w", m[1], err)
			}
			groups = append(groups, group{m[1], seconds})
			sum += seconds
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, g := range groups {
		fmt.Fprintf(w, "%8.3f s  %s\n", g.seconds, g.name)
	}
	share := sum / interval.Seconds()
	fmt.Fprintf(w, "all groups: %.2f s of an interval of %v, %.1f %%\n", sum, interval, 100*share)
	if len(groups) == 0 || share > most {
		return fmt.Errorf("evaluating the rules takes more than %.0f %% of the interval, or nothing is known of it", 100*most)
	}
	return nil
}
