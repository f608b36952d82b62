package page

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Gatherer returns a prometheus.Gatherer over the same columns a page is written
// from, for testutil, promlint and programs that embed pgvigil. It keeps what
// that interface promises: families and labels sorted by name, and an error for
// label sets that occur twice. It is not for large pages.
func Gatherer(families func() []Family) prometheus.Gatherer {
	raw := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		var (
			out []*dto.MetricFamily
			bad []error
		)
		for _, f := range families() {
			if err := f.Check(); err != nil {
				bad = append(bad, err)
				continue
			}
			out = append(out, f.gather())
		}
		return out, errors.Join(bad...)
	})
	// Gatherers sorts and checks what it merges, even where it merges one.
	return prometheus.Gatherers{raw}
}

// gather returns the family in the objects client_golang works with.
func (f Family) gather() *dto.MetricFamily {
	out := &dto.MetricFamily{Name: new(f.Name), Help: new(f.help()), Type: dto.MetricType_GAUGE.Enum()}
	if f.Type == spec.Counter {
		out.Type = dto.MetricType_COUNTER.Enum()
	}
	for _, c := range f.Columns {
		for row, v := range c.Values {
			if spec.IsAbsent(v) {
				continue
			}
			m := &dto.Metric{}
			for i, value := range c.Labels.values(row) {
				m.Label = append(m.Label, &dto.LabelPair{Name: &c.Labels.names[i], Value: &value})
			}
			if f.Type == spec.Counter {
				m.Counter = &dto.Counter{Value: &v}
			} else {
				m.Gauge = &dto.Gauge{Value: &v}
			}
			out.Metric = append(out.Metric, m)
		}
	}
	return out
}
