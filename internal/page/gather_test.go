package page

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pgvigil/pgvigil/internal/spec"
)

func TestGatherer(t *testing.T) {
	g := Gatherer(func() []Family { return sample(t) })
	want := `
# HELP pg_ratio A ratio.
# TYPE pg_ratio gauge
pg_ratio{datname="app",relname="a\\b\nc"} 0
pg_ratio{datname="app",relname="odd \"name\""} NaN
# HELP pg_reads_total Reads.
# TYPE pg_reads_total counter
pg_reads_total{datname="",relname="caf�"} 9.007199254740992e+15
pg_reads_total{datname="app",relname="odd \"name\""} 12
# HELP pg_up Whether it "answers".\nOr \\not.
# TYPE pg_up gauge
pg_up 1
`
	if err := testutil.GatherAndCompare(g, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(g)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestGathererFails(t *testing.T) {
	twice := labels(t, []string{"datname"}, []string{"caf\xe9"}, []string{"caf\xe8"})
	tests := map[string]Family{
		"label set twice": {Name: "pg_x", Help: "X.", Type: spec.Gauge, Columns: []Column{{twice, []float64{1, 2}}}},
		"failed check":    {Name: "pg_x", Help: "X.", Type: spec.Gauge, Columns: []Column{{nil, []float64{1}}}},
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			good := Family{Name: "pg_y", Help: "Y.", Type: spec.Gauge, Columns: []Column{{twice, []float64{1, spec.Absent()}}}}
			got, err := Gatherer(func() []Family { return []Family{bad, good} }).Gather()
			if err == nil {
				t.Error("Gather succeeded")
			}
			if len(got) == 0 || got[len(got)-1].GetName() != "pg_y" {
				t.Errorf("Gather lost the family pg_y: %v", got)
			}
		})
	}
}
