package page

import (
	"compress/gzip"
	"fmt"
	"io"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// benchFamilies are ten families over a row for each relation, with values of
// the sizes PostgreSQL gives.
func benchFamilies(t testing.TB, rows int) []Family {
	t.Helper()
	l, err := NewLabels("datname", "schemaname", "relname")
	if err != nil {
		t.Fatal(err)
	}
	for row := range rows {
		if err := l.Append([]byte("production"), []byte("public"), fmt.Appendf(nil, "orders_2026_part_%06d", row)); err != nil {
			t.Fatal(err)
		}
	}
	families := make([]Family, 10)
	for i := range families {
		values := make([]float64, rows)
		for row := range values {
			switch i % 5 {
			case 0: // tuples
				values[row] = float64(row * 7919)
			case 1: // bytes
				values[row] = float64(row) * 8192 * 131
			case 2: // seconds
				values[row] = float64(row) * 0.0137
			case 3: // a timestamp
				values[row] = 1760000000 + float64(row)/1000
			case 4: // hardly anything
				values[row] = float64(row % 3)
			}
		}
		families[i] = Family{
			Name: fmt.Sprintf("pg_stat_user_tables_value_%d_total", i), Help: "A value.", Type: spec.Counter,
			Columns: []Column{{l, values}},
		}
	}
	return families
}

func BenchmarkWrite(b *testing.B) {
	const rows = 10_000
	families := benchFamilies(b, rows)
	series := rows * len(families)
	prebuilt := make([]*dto.MetricFamily, len(families))
	for i, f := range families {
		prebuilt[i] = f.gather()
	}
	writers := map[string]func(w io.Writer) error{
		"page":   func(w io.Writer) error { return Write(w, expfmt.FmtOpenMetrics_1_0_0, families, nil) },
		"expfmt": func(w io.Writer) error { return writePrebuilt(w, prebuilt) },
	}
	for _, name := range []string{"page", "expfmt"} {
		write := writers[name]
		b.Run(name+"/plain", func(b *testing.B) {
			benchmark(b, series, func() error { return write(io.Discard) })
		})
		b.Run(name+"/gzip", func(b *testing.B) {
			z, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
			if err != nil {
				b.Fatal(err)
			}
			benchmark(b, series, func() error {
				z.Reset(io.Discard)
				if err := write(z); err != nil {
					return err
				}
				return z.Close()
			})
		})
	}
}

func writePrebuilt(w io.Writer, families []*dto.MetricFamily) error {
	enc := expfmt.NewEncoder(w, expfmt.FmtOpenMetrics_1_0_0)
	for _, mf := range families {
		if err := enc.Encode(mf); err != nil {
			return err
		}
	}
	return enc.(expfmt.Closer).Close()
}

func benchmark(b *testing.B, series int, page func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := page(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
}

func BenchmarkAppend(b *testing.B) {
	datname, relname := []byte("production"), []byte("orders_2026_part_000001")
	b.ReportAllocs()
	l, err := NewLabels("datname", "relname")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l.text, l.ends = l.text[:0], l.ends[:0]
		if err := l.Append(datname, relname); err != nil {
			b.Fatal(err)
		}
	}
}
