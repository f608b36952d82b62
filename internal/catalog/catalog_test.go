package catalog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/catalog"
	"github.com/pgvigil/pgvigil/internal/scrape"
	"github.com/pgvigil/pgvigil/internal/spec"
	"github.com/pgvigil/pgvigil/internal/web"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// own lists the metrics that no collector gives.
func own() []spec.Series { return slices.Concat(scrape.Own(), web.Own()) }

func TestGeneratedFilesAreCurrent(t *testing.T) {
	table, err := catalog.Table(os.DirFS("../../collector"))
	if err != nil {
		t.Fatal(err)
	}
	var metrics bytes.Buffer
	if err := catalog.Metrics(&metrics, collector.All(), own(), collector.KeptNames()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"collector/all.go": string(table), "METRICS.md": metrics.String()} {
		got, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what make generate writes (-want +got):\n%s", file, diff)
		}
	}
}

func TestTable(t *testing.T) {
	files := fstest.MapFS{
		"b.go": {Data: []byte(`package collector
var (
	Zebra = spec.Collector{Name: "zebra"}
	First, Second = spec.Collector{Name: "ape"}, spec.Query{}
)
func f() { var local = spec.Collector{Name: "local"}; _ = local }
`)},
		"a.go":      {Data: []byte("package collector\nvar Hen = spec.Collector{About: `x`, Name: `hen`}\n")},
		"a_test.go": {Data: []byte("package collector\nvar Toy = spec.Collector{Name: `a`}\n")},
		"all.go":    {Data: []byte("package collector\nthis does not parse\n")},
	}
	source, err := catalog.Table(files)
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(source), "return []spec.Collector{")
	if got := strings.Fields(list); !slices.Equal(got, []string{"First,", "Hen,", "Zebra,", "}", "}"}) {
		t.Errorf("table lists %q", got)
	}
	files["c.go"] = &fstest.MapFile{Data: []byte("package collector\nvar Bare = spec.Collector{}\n")}
	if _, err := catalog.Table(files); err == nil || !strings.Contains(err.Error(), "c.go: Bare") {
		t.Errorf("a collector without a name gives error %v", err)
	}
}

// TestOwnNamesLint holds promlint's judgement of pgvigil's own metrics; package
// collector tests the names of the others.
func TestOwnNamesLint(t *testing.T) {
	var families []*dto.MetricFamily
	for _, s := range own() {
		f := &dto.MetricFamily{Name: &s.Name, Help: &s.Help, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{}}}
		if s.Type == spec.Counter {
			f.Type = dto.MetricType_COUNTER.Enum()
		}
		for _, l := range s.Labels {
			f.Metric[0].Label = append(f.Metric[0].Label, &dto.LabelPair{Name: &l, Value: new(string)})
		}
		families = append(families, f)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
}

func TestDumpSQL(t *testing.T) {
	dir := t.TempDir()
	if err := catalog.DumpSQL(dir, []spec.Collector{collector.StatWAL}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "13", "stat_wal.sql")); !os.IsNotExist(err) {
		t.Errorf("pg_stat_wal came with 14, and there is a file for 13: %v", err)
	}
	for major, lines := range map[string]int{"14": 1, "18": 0} {
		text, err := os.ReadFile(filepath.Join(dir, major, "stat_wal.sql"))
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(text), "\n")
		if want := "-- stat_wal on PostgreSQL " + major + ": runs once a server, with each scrape; at most 1s and 20 series; locks: none"; head != want {
			t.Errorf("first line is %q, wanted %q", head, want)
		}
		if !strings.HasPrefix(body, "SELECT ") || !strings.HasSuffix(body, "pg_stat_wal;\n") || strings.Contains(body, "--") {
			t.Errorf("text for %s is not ready for psql:\n%s", major, body)
		}
		if n := strings.Count(body, "wal_write_time"); n != lines {
			t.Errorf("text for %s reads wal_write_time %d times, wanted %d", major, n, lines)
		}
	}
}
