package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// Column is one metric's values beside the labels of the rows they came from;
// spec.Absent means no sample. Columns of one result share their Labels.
type Column struct {
	Labels *Labels
	Values []float64
}

// Family is one metric with all its columns: usually one, one for each database
// where a collector runs per database.
type Family struct {
	Name, Help string
	Type       spec.Type
	Columns    []Column
}

// Samples returns the number of samples the family gives on a page.
func (f Family) Samples() int {
	n := 0
	for _, c := range f.Columns {
		for _, v := range c.Values {
			if !spec.IsAbsent(v) {
				n++
			}
		}
	}
	return n
}

// Check returns why the family cannot be on a page. It does not look for label
// sets that occur twice.
func (f Family) Check() error {
	if f.Type != spec.Gauge && f.Type != spec.Counter {
		return fmt.Errorf("family %q has no type", f.Name)
	}
	if !model.LegacyValidation.IsValidMetricName(f.openMetricsName()) {
		return fmt.Errorf("family %q: the name is not valid", f.Name)
	}
	for _, c := range f.Columns {
		if c.Labels == nil || c.Labels.Len() != len(c.Values) {
			return fmt.Errorf("family %q has a column that does not fit its labels", f.Name)
		}
	}
	return nil
}

// empty reports whether the family has no sample at all.
func (f Family) empty() bool {
	return !slices.ContainsFunc(f.Columns, func(c Column) bool {
		return slices.ContainsFunc(c.Values, func(v float64) bool { return !spec.IsAbsent(v) })
	})
}

// openMetricsName is the name in the comments of an OpenMetrics page, where
// _total belongs to a counter's sample and not to its family.
func (f Family) openMetricsName() string {
	if f.Type == spec.Counter {
		return strings.TrimSuffix(f.Name, "_total")
	}
	return f.Name
}

// help is the help text made valid UTF-8, for the same reason as label values:
// PostgreSQL's own descriptions are among the texts.
func (f Family) help() string { return strings.ToValidUTF8(f.Help, replacement) }

// Each calls with the labels and the value of each sample, in their order on the page.
func (f Family) Each(do func(labels map[string]string, v float64)) {
	for _, c := range f.Columns {
		for row, v := range c.Values {
			if spec.IsAbsent(v) {
				continue
			}
			labels := make(map[string]string, len(c.Labels.names))
			for i, value := range c.Labels.values(row) {
				labels[c.Labels.names[i]] = value
			}
			do(labels, v)
		}
	}
}
