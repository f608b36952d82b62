package page

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// sample is a page's worth of families with something of everything.
func sample(t testing.TB) []Family {
	t.Helper()
	db1 := labels(t, []string{"datname", "relname"}, []string{"app", `odd "name"`}, []string{"app", "a\\b\nc"})
	db2 := labels(t, []string{"datname", "relname"}, []string{"", "caf\xe9"})
	none := labels(t, nil, nil)
	return []Family{
		{Name: "pg_up", Help: "Whether it \"answers\".\nOr \\not.", Type: spec.Gauge, Columns: []Column{{none, []float64{1}}}},
		{Name: "pg_reads_total", Help: "Reads.", Type: spec.Counter, Columns: []Column{
			{db1, []float64{12, spec.Absent()}}, {db2, []float64{9007199254740993}},
		}},
		{Name: "pg_absent", Help: "Never seen.", Type: spec.Gauge, Columns: []Column{{db1, []float64{spec.Absent(), spec.Absent()}}}},
		{Name: "pg_none", Help: "No rows.", Type: spec.Gauge},
		{Name: "pg_ratio", Help: "A ratio.", Type: spec.Gauge, Columns: []Column{{db1, []float64{math.NaN(), math.Copysign(0, -1)}}}},
	}
}

func TestWrite(t *testing.T) {
	tests := map[string]struct {
		format expfmt.Format
		want   string
	}{
		"text": {expfmt.FmtText, `# HELP pg_up Whether it "answers".\nOr \\not.
# TYPE pg_up gauge
pg_up 1
# HELP pg_reads_total Reads.
# TYPE pg_reads_total counter
pg_reads_total{datname="app",relname="odd \"name\""} 12
pg_reads_total{datname="",relname="caf�"} 9.007199254740992e+15
# HELP pg_ratio A ratio.
# TYPE pg_ratio gauge
pg_ratio{datname="app",relname="odd \"name\""} NaN
pg_ratio{datname="app",relname="a\\b\nc"} 0
# HELP go_goroutines Goroutines.
# TYPE go_goroutines gauge
go_goroutines 8
# HELP go_gc_duration_seconds Pauses.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds_sum 0.5
go_gc_duration_seconds_count 3
`},
		"OpenMetrics": {expfmt.FmtOpenMetrics_1_0_0, `# HELP pg_up Whether it \"answers\".\nOr \\not.
# TYPE pg_up gauge
pg_up 1.0
# HELP pg_reads Reads.
# TYPE pg_reads counter
pg_reads_total{datname="app",relname="odd \"name\""} 12.0
pg_reads_total{datname="",relname="caf�"} 9.007199254740992e+15
# HELP pg_ratio A ratio.
# TYPE pg_ratio gauge
pg_ratio{datname="app",relname="odd \"name\""} NaN
pg_ratio{datname="app",relname="a\\b\nc"} 0.0
# HELP go_goroutines Goroutines.
# TYPE go_goroutines gauge
go_goroutines 8.0
# HELP go_gc_duration_seconds Pauses.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds_sum 0.5
go_gc_duration_seconds_count 3
# EOF
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			rest := append(own(), &dto.MetricFamily{Name: new("go_empty"), Type: dto.MetricType_GAUGE.Enum()})
			if err := Write(&page, test.format, sample(t), rest); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, page.String()); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWriteParsed reads a page as a scraper would.
func TestWriteParsed(t *testing.T) {
	var page bytes.Buffer
	if err := Write(&page, expfmt.FmtText, sample(t), own()); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&page)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for name, mf := range families {
		got[name] = len(mf.Metric)
	}
	want := map[string]int{"pg_up": 1, "pg_reads_total": 2, "pg_ratio": 2, "go_goroutines": 1, "go_gc_duration_seconds": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics of each family (-want +got):\n%s", diff)
	}
	if got, want := families["pg_ratio"].Metric[1].Label[1].GetValue(), "a\\b\nc"; got != want {
		t.Errorf("relname = %q, want %q", got, want)
	}
}

// TestWriteLeavesOut proves that a family that cannot be written costs only itself.
func TestWriteLeavesOut(t *testing.T) {
	one := labels(t, nil, nil)
	good := Family{Name: "pg_up", Type: spec.Gauge, Columns: []Column{{one, []float64{1}}}}
	tests := map[string]Family{
		"no type":         {Name: "pg_bad", Columns: good.Columns},
		"no name":         {Type: spec.Gauge, Columns: good.Columns},
		"quoted name":     {Name: "pg_foo.bar", Type: spec.Gauge, Columns: good.Columns},
		"bare total":      {Name: "_total", Type: spec.Counter, Columns: good.Columns},
		"no labels":       {Name: "pg_bad", Type: spec.Gauge, Columns: []Column{{nil, []float64{1}}}},
		"too few values":  {Name: "pg_bad", Type: spec.Gauge, Columns: []Column{{one, nil}}},
		"too many values": {Name: "pg_bad", Type: spec.Gauge, Columns: []Column{{one, []float64{1, 2}}}},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			if err := Write(&page, expfmt.FmtOpenMetrics_1_0_0, []Family{bad, good}, nil); err == nil {
				t.Error("Write succeeded")
			}
			want := "# HELP pg_up \n# TYPE pg_up gauge\npg_up 1.0\n# EOF\n"
			if diff := cmp.Diff(want, page.String()); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteRefusesFormat(t *testing.T) {
	for _, format := range []expfmt.Format{"", expfmt.FmtProtoDelim, expfmt.FmtProtoText, expfmt.FmtOpenMetrics_2_0_0, "text/plain; version=1.0.0"} {
		var page bytes.Buffer
		if err := Write(&page, format, sample(t), nil); err == nil || page.Len() > 0 {
			t.Errorf("Write in format %q: error %v and %d bytes, wanted an error and none", format, err, page.Len())
		}
	}
}

// failing takes so many bytes and then fails.
type failing struct{ left int }

var errGone = errors.New("connection is gone")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

func TestWriteFails(t *testing.T) {
	l := labels(t, []string{"query"}, []string{strings.Repeat("q", BufferSize/3)}, []string{strings.Repeat("r", BufferSize/3)})
	family := Family{Name: "pg_long", Type: spec.Gauge, Columns: []Column{{l, []float64{1, 2}}, {l, []float64{3, 4}}}}
	for _, left := range []int{0, BufferSize} {
		if err := Write(&failing{left}, expfmt.FmtText, []Family{family, family}, own()); !errors.Is(err, errGone) {
			t.Errorf("Write with room for %d bytes: %v, want %v", left, err, errGone)
		}
	}
}

// TestWriteAllocates holds that a sample costs no allocation.
func TestWriteAllocates(t *testing.T) {
	measure := func(rows int) float64 {
		families := benchFamilies(t, rows)
		return testing.AllocsPerRun(5, func() {
			if err := Write(io.Discard, expfmt.FmtOpenMetrics_1_0_0, families, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := measure(10), measure(10_000); few != many {
		t.Errorf("Write allocates %v times for 10 rows and %v times for 10000", few, many)
	}
}

func TestSamples(t *testing.T) {
	var got []int
	for _, f := range sample(t) {
		got = append(got, f.Samples())
	}
	if diff := cmp.Diff([]int{1, 2, 0, 0, 2}, got); diff != "" {
		t.Errorf("Samples (-want +got):\n%s", diff)
	}
}
