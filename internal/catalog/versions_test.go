package catalog

import (
	"testing"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func TestVersions(t *testing.T) {
	view := []spec.Query{{Since: 14, SQL: `
SELECT a AS always
     , b AS gone      -- until 17
     , c AS new       -- since 18
     , d AS between   -- since 15 until 17
     , e AS one       -- since 15 until 16`}}
	ext := []spec.Query{{SQL: `
SELECT a AS always
     , b AS gone      -- until 1.11
     , c AS new       -- since 1.11
     , d AS between   -- since 1.9 until 1.10`}}
	emit := func() spec.Emitter { return nil }
	cases := []struct {
		name   string
		c      spec.Collector
		metric string
		want   string
	}{
		{"query", spec.Collector{Queries: view}, "always", "14+"},
		{"until", spec.Collector{Queries: view}, "gone", "14 to 16"},
		{"since the newest", spec.Collector{Queries: view}, "new", "18+"},
		{"since and until", spec.Collector{Queries: view}, "between", "15 to 16"},
		{"one major", spec.Collector{Queries: view}, "one", "15"},
		{"made by Emit", spec.Collector{Queries: view, Emit: emit}, spec.Any, "14+"},
		{"extension", spec.Collector{Queries: ext, Needs: spec.Needs{Extension: "x"}}, "always", "13+"},
		{"old extension", spec.Collector{Queries: ext, Needs: spec.Needs{Extension: "x"}}, "gone", "13+"},
		{"new extension", spec.Collector{Queries: ext, Needs: spec.Needs{Extension: "x"}}, "new", "x 1.11+"},
		{"between extensions", spec.Collector{Queries: ext, Needs: spec.Needs{Extension: "x"}}, "between", "x 1.9+"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := part{c.c}.Versions(spec.Metric{Name: c.metric})
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, wanted %q", got, err, c.want)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	if got, want := ranges([]spec.Version{13, 15, 16, 18}), "13, 15 to 16, 18+"; got != want {
		t.Errorf("got %q, wanted %q", got, want)
	}
}
