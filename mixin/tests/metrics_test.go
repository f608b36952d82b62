package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// majors are the releases of PostgreSQL that the mixin is for.
var majors = []int{13, 14, 15, 16, 17, 18}

// statements are the versions of pg_stat_statements that come with each major.
var statements = map[int]string{13: "1.8", 14: "1.9", 15: "1.10", 16: "1.10", 17: "1.11", 18: "1.12"}

// target are the labels that every series has from its scrape.
var target = []string{"cluster", "job", "pg_cluster", "instance"}

// metric is what is known of the series of a name.
type metric struct {
	counter bool
	labels  []string // without those of the target
	majors  []int    // that have it
}

// catalog is what series there are, by name.
type catalog map[string]metric

// foreign are the series that are not the exporter's: of Prometheus itself and of
// rules.
var foreign = catalog{
	"up":                      {majors: majors},
	"scrape_duration_seconds": {majors: majors},
	"scrape_samples_scraped":  {majors: majors},
	"ALERTS":                  {labels: []string{"alertname", "alertstate", "severity"}, majors: majors},
}

// documented is a line of a table of METRICS.md: name, type, labels and, but for
// those of pgvigil itself, what has it.
var documented = regexp.MustCompile("^\\| `([a-z0-9_]+)(<name>)?` \\| (gauge|counter) \\| ([^|]*) \\| (?:((?:pg_stat_statements )?[0-9.]+(?:\\+| to [0-9]+)?) \\| )?")

// readCatalog reads METRICS.md. Names that end in <name> there are those of the
// settings, which are read from the recorded answers of real servers.
func readCatalog(t *testing.T) catalog {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "METRICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := catalog{}
	for line := range strings.Lines(string(text)) {
		m := documented.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		labels := []string{}
		for label := range strings.SplitSeq(m[4], ",") {
			if label = strings.Trim(label, " `"); label != "" {
				labels = append(labels, label)
			}
		}
		if m[2] == "" {
			all[m[1]] = metric{m[3] == "counter", labels, having(t, m[5])}
			continue
		}
		for name, on := range recorded(t, m[1]) {
			all[name] = metric{m[3] == "counter", labels, on}
		}
	}
	if len(all) < 200 {
		t.Fatalf("METRICS.md has %d names only; has its form changed?", len(all))
	}
	for name, m := range foreign {
		all[name] = m
	}
	return all
}

// having reads the column of what has a metric: 13+, 13 to 16, or a version of
// pg_stat_statements.
func having(t *testing.T, text string) (list []int) {
	t.Helper()
	version, extension := strings.CutPrefix(text, "pg_stat_statements ")
	since, until, bounded := strings.Cut(version, " to ")
	since, open := strings.CutSuffix(since, "+")
	switch {
	case extension:
		for _, major := range majors {
			if minor(t, statements[major]) >= minor(t, since) {
				list = append(list, major)
			}
		}
		return list
	case text == "":
		return majors
	case !bounded && !open:
		until = since
	case open:
		until = "1000"
	}
	first, err := strconv.Atoi(since)
	last, err2 := strconv.Atoi(until)
	if err != nil || err2 != nil {
		t.Fatalf("METRICS.md: %q are no majors", text)
	}
	return slices.DeleteFunc(slices.Clone(majors), func(major int) bool { return major < first || last < major })
}

// minor is 10 of 1.10.
func minor(t *testing.T, version string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
	if err != nil {
		t.Fatalf("%q is no version of pg_stat_statements", version)
	}
	return n
}

// recorded are the names with a prefix in collector/testdata, and the majors whose
// servers gave them.
func recorded(t *testing.T, prefix string) map[string][]int {
	t.Helper()
	names := map[string][]int{}
	for _, major := range majors {
		text, err := os.ReadFile(filepath.Join(top, "collector/testdata/settings", strconv.Itoa(major)+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, prefix) {
				name, _, _ = strings.Cut(name, "{")
				if !slices.Contains(names[name], major) {
					names[name] = append(names[name], major)
				}
			}
		}
	}
	return names
}

// find returns what is known of a name. Patroni's own are taken as they are: it
// documents them, and its releases differ.
func (c catalog) find(name string) (metric, bool) {
	if m, ok := c[name]; ok {
		return m, true
	}
	return metric{strings.HasSuffix(name, "_total"), []string{"scope", "name"}, majors}, strings.HasPrefix(name, "patroni_")
}
