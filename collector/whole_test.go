package collector_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgtest"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/test/exporter"
)

// TestWholePage runs the binary itself over a primary and its standby of each
// major: promtool finds fault with the kept names only, and the names on the
// pages are those of METRICS.md.
func TestWholePage(t *testing.T) {
	dir := t.TempDir()
	binary, err := exporter.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedNames(t)
	for _, major := range pgtest.Majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			primary, standby := scene(t, major)
			config := filepath.Join(t.TempDir(), "pgvigil.yml")
			yaml := "targets:\n  - name: standby\n    dsn: " + strconv.Quote(standby.DSN(pgtest.Monitor, "postgres")) + "\n"
			if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := exporter.Start(t.Context(), binary, freeAddress(t), primary.DSN(pgtest.Monitor, "postgres"),
				append(optional(), "--config.file="+config)...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			})
			seen := map[string]bool{}
			for _, path := range []string{"/metrics", "/probe?target=standby"} {
				for name := range fetch(t, p, path) {
					seen[name] = true
				}
			}
			for name := range seen {
				if !documented.has(name, major) {
					t.Errorf("%s is on the page and not in METRICS.md for PostgreSQL %d", name, major)
				}
			}
			for name := range documented {
				if documented.has(name, major) && !ofPooler(name) && !ofBackups(name) && !seen[name] && mayLack(name, major) == "" {
					t.Errorf("%s is in METRICS.md for PostgreSQL %d and on no page", name, major)
				}
			}
		})
	}
}

// optional are the flags that switch on what is off by default.
func optional() []string {
	var flags []string
	for _, c := range collector.All() {
		if c.Flag() == c.Name && !c.Default {
			flags = append(flags, "--collector."+c.Name)
		}
	}
	return flags
}

// fetch reads a page and checks it as promtool and as OpenMetrics would.
func fetch(t *testing.T, p *exporter.Process, path string) map[string]*dto.MetricFamily {
	t.Helper()
	text, err := p.Get(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text.Body))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, name := range []string{"pg_up", "pgbouncer_up"} {
		if up := families[name].GetMetric(); len(up) > 1 || len(up) == 1 && up[0].GetGauge().GetValue() != 1 {
			t.Errorf("%s: %s is not 1", path, name)
		}
	}
	if families["pg_up"] == nil && families["pgbouncer_up"] == nil {
		t.Errorf("%s has nothing that is up", path)
	}
	checkByPromtool(t, text.Body)
	open, err := p.Get(t.Context(), path, http.Header{"Accept": {"application/openmetrics-text;version=1.0.0"}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(open.Body, []byte("\n# EOF\n")) {
		t.Errorf("%s as OpenMetrics does not end in # EOF", path)
	}
	return families
}

// checkByPromtool lets promtool check the page; what it says of kept names is
// expected.
func checkByPromtool(t *testing.T, text []byte) {
	t.Helper()
	tool := os.Getenv("PROMTOOL")
	if tool == "" {
		tool = "promtool"
	}
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no promtool: %v", err)
		}
		t.Logf("not checked by promtool: %v; make tools installs it", err)
		return
	}
	cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	// Complaints make it exit with 3; what they are is what counts.
	out, _ := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		if !slices.Contains(collector.KeptNames(), name) {
			t.Errorf("promtool: %s", strings.TrimSpace(line))
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := exporter.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// ofPooler reports whether a name is on pages of poolers only.
func ofPooler(name string) bool {
	return strings.HasPrefix(name, "pgbouncer_") || strings.HasPrefix(name, "pgvigil_pgbouncer_") || name == "pgvigil_collector_columns_unknown"
}

// documentation is what METRICS.md lists: names and the majors that have them.
type documentation map[string]string

// documentedRow is a line of a table of metrics: name, type, labels and, but for
// those of pgvigil itself, the majors that have it.
var documentedRow = regexp.MustCompile("^\\| `([a-z0-9_]+(?:<name>)?)` \\| (?:gauge|counter) \\| [^|]* \\| (?:((?:pg_stat_statements )?[0-9.]+(?:\\+| to [0-9]+)?) \\| )?")

func documentedNames(t *testing.T) documentation {
	t.Helper()
	file, err := os.ReadFile("../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	names := documentation{}
	for line := range strings.Lines(string(file)) {
		if m := documentedRow.FindStringSubmatch(line); m != nil {
			names[m[1]] = m[2]
		}
	}
	if len(names) < 200 {
		t.Fatalf("METRICS.md has %d names only; has its form changed?", len(names))
	}
	return names
}

// has reports whether a name, or a pattern for it, is documented for a major.
func (d documentation) has(name string, major int) bool {
	majors, ok := d[name]
	if !ok {
		for pattern := range d {
			if prefix, _, found := strings.Cut(pattern, "<"); found && strings.HasPrefix(name, prefix) {
				return true
			}
		}
		// The process's own, which are listed as go_* and process_*.
		return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
	}
	if version, ok := strings.CutPrefix(majors, "pg_stat_statements "); ok {
		since, err := spec.ParseVersion(strings.TrimSuffix(version, "+"))
		return err == nil && shipped("pg_stat_statements", spec.Version(major)) >= since
	}
	since, until, bounded := strings.Cut(majors, " to ")
	first, err := strconv.Atoi(strings.TrimSuffix(since, "+"))
	if err != nil {
		return true // of the exporter itself
	}
	last := first
	if strings.HasSuffix(since, "+") {
		last = major
	} else if bounded {
		if last, err = strconv.Atoi(until); err != nil {
			return false
		}
	}
	return first <= major && major <= last
}

// mayLack says why a documented name need not be on the pages of a scene.
func mayLack(name string, major int) string {
	if strings.Contains(name, "<") {
		return "a pattern"
	}
	if why := rare(major)[name]; why != "" {
		return why
	}
	for _, c := range collector.All() {
		denied := c.Needs.Grant != "" && !strings.HasPrefix(c.Needs.Grant, "GRANT pg_monitor ")
		if denied && slices.ContainsFunc(c.Metrics, func(m spec.Metric) bool { return c.FullName(m.Name) == name }) {
			return "pg_monitor may not read it"
		}
	}
	return map[string]string{
		"pgvigil_collector_failures_total":  "nothing failed",
		"pgvigil_collector_columns_missing": "no column is missing",
		"pgvigil_database_skipped":          "no database is left out",
	}[name]
}
