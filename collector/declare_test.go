package collector_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/page"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// TestDeclarations checks every collector without a server.
func TestDeclarations(t *testing.T) {
	all := collector.All()
	if err := spec.ValidateAll(all); err != nil {
		t.Error(err)
	}
	vocabulary := collector.Labels()
	used := map[string]bool{}
	for _, c := range all {
		for _, l := range c.Labels {
			used[l] = true
			if vocabulary[l] == "" {
				t.Errorf("%s: label %q is not in labels.go", c.Name, l)
			}
		}
	}
	for l := range vocabulary {
		if !used[l] && l != "datname" {
			t.Errorf("labels.go: no collector has the label %q", l)
		}
	}
}

// TestNamesLint holds promlint's judgement: it may dislike the kept names only.
func TestNamesLint(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(declaredFamilies(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	kept := collector.KeptNames()
	for _, p := range problems {
		if !slices.Contains(kept, p.Metric) {
			t.Errorf("promlint: %s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range kept {
		// Names that Emit makes are not declared; TestWholePage sees them.
		if strings.HasPrefix(name, "pg_settings_") {
			continue
		}
		if !slices.ContainsFunc(problems, func(p promlint.Problem) bool { return p.Metric == name }) {
			t.Errorf("KeptNames has %s, which promlint does not dislike", name)
		}
	}
}

// declaredFamilies makes one sample of every declared metric.
func declaredFamilies(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	labels, err := page.NewLabels()
	if err != nil {
		t.Fatal(err)
	}
	if err := labels.Append(); err != nil {
		t.Fatal(err)
	}
	var fams []page.Family
	seen := map[string]bool{}
	for _, c := range collector.All() {
		for _, m := range c.Metrics {
			if name := c.FullName(m.Name); m.Name != spec.Any && !seen[name] {
				seen[name] = true
				fams = append(fams, page.Family{
					Name: c.FullName(m.Name), Help: m.Help, Type: m.Type,
					Columns: []page.Column{{Labels: labels, Values: []float64{1}}},
				})
			}
		}
	}
	gathered, err := page.Gatherer(func() []page.Family { return fams }).Gather()
	if err != nil {
		t.Fatal(err)
	}
	return gathered
}
