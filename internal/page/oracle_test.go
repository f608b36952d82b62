package page

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// rawFamily is a family before either writer has seen it.
type rawFamily struct {
	name, help string
	typ        spec.Type
	columns    []rawColumn
}

type rawColumn struct {
	names  []string
	rows   [][]string
	values []float64
}

func (r rawFamily) family(t testing.TB) Family {
	t.Helper()
	f := Family{Name: r.name, Help: r.help, Type: r.typ}
	for _, c := range r.columns {
		f.Columns = append(f.Columns, Column{Labels: labels(t, c.names, c.rows...), Values: c.values})
	}
	return f
}

// dto builds what expfmt is asked to write, or nil where there is no sample. It
// shares no code with the package, so that it can judge it.
func (r rawFamily) dto() *dto.MetricFamily {
	mf := &dto.MetricFamily{
		Name: &r.name,
		Help: new(strings.ToValidUTF8(r.help, "\uFFFD")),
		Type: map[spec.Type]*dto.MetricType{
			spec.Gauge:   dto.MetricType_GAUGE.Enum(),
			spec.Counter: dto.MetricType_COUNTER.Enum(),
		}[r.typ],
	}
	for _, c := range r.columns {
		for i, v := range c.values {
			if spec.IsAbsent(v) {
				continue
			}
			m := &dto.Metric{}
			for j, name := range c.names {
				m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: new(strings.ToValidUTF8(c.rows[i][j], "\uFFFD"))})
			}
			if r.typ == spec.Counter {
				m.Counter = &dto.Counter{Value: &v}
			} else {
				m.Gauge = &dto.Gauge{Value: &v}
			}
			mf.Metric = append(mf.Metric, m)
		}
	}
	if len(mf.Metric) == 0 {
		return nil
	}
	return mf
}

// labels renders rows of label values.
func labels(t testing.TB, names []string, rows ...[]string) *Labels {
	t.Helper()
	l, err := NewLabels(names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			values[i] = []byte(v)
		}
		if err := l.Append(values...); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// formats are all that Write may be asked for.
func formats() []expfmt.Format {
	return []expfmt.Format{
		expfmt.FmtText,
		expfmt.FmtText + "; escaping=values",
		expfmt.FmtOpenMetrics_0_0_1,
		expfmt.FmtOpenMetrics_1_0_0,
		expfmt.FmtOpenMetrics_1_0_0 + "; escaping=allow-utf-8",
		expfmt.FmtOpenMetrics_1_0_0 + "; escaping=dots",
	}
}

// own stands for the process's own metrics.
func own() []*dto.MetricFamily {
	return []*dto.MetricFamily{
		{Name: new("go_goroutines"), Help: new("Goroutines."), Type: dto.MetricType_GAUGE.Enum(),
			Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: new(8.0)}}}},
		{Name: new("go_gc_duration_seconds"), Help: new("Pauses."), Type: dto.MetricType_SUMMARY.Enum(),
			Metric: []*dto.Metric{{Summary: &dto.Summary{SampleCount: new(uint64(3)), SampleSum: new(0.5)}}}},
	}
}

// compare holds Write to what expfmt writes, in every format.
func compare(t *testing.T, raws []rawFamily) {
	t.Helper()
	var families []Family
	for _, r := range raws {
		families = append(families, r.family(t))
	}
	for _, format := range formats() {
		var got, want bytes.Buffer
		if err := Write(&got, format, families, own()); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		enc := expfmt.NewEncoder(&want, format)
		for _, r := range raws {
			if mf := r.dto(); mf != nil {
				encode(t, enc, mf)
			}
		}
		for _, mf := range own() {
			encode(t, enc, mf)
		}
		if err := enc.(expfmt.Closer).Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want.Bytes(), got.Bytes()) {
			t.Fatalf("%s: Write differs from expfmt (-expfmt +Write):\n%s", format, cmp.Diff(want.String(), got.String()))
		}
	}
}

func encode(t *testing.T, enc expfmt.Encoder, mf *dto.MetricFamily) {
	t.Helper()
	if err := enc.Encode(mf); err != nil {
		t.Fatal(err)
	}
}

// source makes families of the bytes it is given and of zeros after them.
type source []byte

func (s *source) next() int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b)
}

func (s *source) text() string {
	n := min(s.next()%24, len(*s))
	text := string((*s)[:n])
	*s = (*s)[n:]
	return text
}

func (s *source) value() float64 {
	special := []float64{
		spec.Absent(), math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1, -1, 0.5, 1e-4, 1e-5,
		999999, 1e6, -999999, -1e6, 999999.5, 1234567, 1e20, 1e21, 1e22, 1 << 53, 1<<53 + 2, math.MaxUint64,
		math.MaxFloat64, math.SmallestNonzeroFloat64, -2.2250738585072014e-308, 1760000000.123456,
	}
	switch i := s.next(); {
	case i < 160:
		return special[i%len(special)]
	case i < 200:
		return float64(s.next()<<8|s.next()) - 1<<15
	default:
		var bits [8]byte
		for i := range bits {
			bits[i] = byte(s.next())
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(bits[:]))
	}
}

func (s *source) families() []rawFamily {
	names := []string{"pg_up", "pg_stat_wal_bytes_total", "pg:recorded", "_x_total_total", "P9_total_seconds", "a"}
	var out []rawFamily
	for range s.next() % 4 {
		f := rawFamily{name: names[s.next()%len(names)], help: s.text(), typ: spec.Gauge + spec.Type(s.next()%2)}
		for range s.next() % 3 {
			c := rawColumn{names: []string{"datname", "relname", "_Mode9"}[:s.next()%4]}
			for range s.next() % 6 {
				row := make([]string, len(c.names))
				for i := range row {
					row[i] = s.text()
				}
				c.rows = append(c.rows, row)
				c.values = append(c.values, s.value())
			}
			f.columns = append(f.columns, c)
		}
		out = append(out, f)
	}
	return out
}

func FuzzWrite(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		data := make([]byte, r.IntN(512))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Add([]byte("\x01\x01\x07a\"b\\c\nd\x01\x01\x01\x02\x08\"\\\n\xff\xfe\xc3\x28\x00\x01\x04\x00\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := source(data)
		compare(t, s.families())
	})
}

// TestWriteOracle goes through every special value and far more label values
// than the fuzz corpus holds, in pages longer than the buffer.
func TestWriteOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	odd := []string{"", "a", `"`, `\`, "\n", "\r\t", `\n`, `\\`, "é", "\xff", "a\xffb", "\xe2\x82", "日本", "{},=", "\x00", strings.Repeat("x", 300)}
	var raws []rawFamily
	for range 3 {
		c := rawColumn{names: []string{"relname", "datname"}}
		for range 1500 {
			c.rows = append(c.rows, []string{odd[r.IntN(len(odd))] + odd[r.IntN(len(odd))], odd[r.IntN(len(odd))]})
			s := source(binary.LittleEndian.AppendUint64([]byte{byte(r.Uint32())}, r.Uint64()))
			c.values = append(c.values, s.value())
		}
		for typ := spec.Gauge; typ <= spec.Counter; typ++ {
			raws = append(raws, rawFamily{name: "pg_x_total", help: odd[r.IntN(len(odd))], typ: typ, columns: []rawColumn{c, c}})
		}
	}
	// Long lines must survive a buffer that cannot hold them.
	raws = append(raws, rawFamily{name: "pg_long", typ: spec.Gauge, help: strings.Repeat("h", 2*BufferSize), columns: []rawColumn{{
		names: []string{"query"}, rows: [][]string{{strings.Repeat("q", 2*BufferSize)}}, values: []float64{1},
	}}})
	compare(t, raws)
}
