package pgbouncer_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgvigil/pgvigil/collector"
	"github.com/pgvigil/pgvigil/internal/pgbouncer"
	"github.com/pgvigil/pgvigil/internal/postgres"
	"github.com/pgvigil/pgvigil/internal/spec"
)

// recorded are the columns of each command by range of releases, as in the
// pooler's source, and of 1.18 as it runs.
func recorded(t *testing.T, each func(command, releases string, columns []string)) {
	t.Helper()
	text, err := os.ReadFile("testdata/columns.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if len(cells) == 3 {
			each(cells[0], cells[1], strings.Split(cells[2], ","))
		}
	}
}

// table has one row, in which each cell is its number.
func table(columns ...string) postgres.Table {
	row := make([][]byte, len(columns))
	for i := range row {
		row[i] = []byte{'0' + byte(i%10)}
	}
	return postgres.Table{Columns: columns, Rows: [][][]byte{row}}
}

func collectors() []spec.Collector { return spec.From(spec.PgBouncer, collector.All()) }

// TestBindEveryRelease replays the columns of all releases: none is unknown, one
// that is made up is counted, and labels are always there.
func TestBindEveryRelease(t *testing.T) {
	given := map[string]bool{}
	recorded(t, func(command, releases string, columns []string) {
		t.Run(command+" "+releases, func(t *testing.T) {
			i := slices.IndexFunc(collectors(), func(c spec.Collector) bool { return c.Queries[0].SQL == command })
			if i < 0 {
				t.Fatalf("no collector sends %s", command)
			}
			c := collectors()[i]
			rows, unknown, err := pgbouncer.Bind(c, table(columns...))
			if err != nil {
				t.Fatal(err)
			}
			// Of a table by key, the one key is unknown, unless all keys are.
			if keys := c.Answer.Key != "" && !c.Answer.Knows(spec.Any); unknown != 0 && !(keys && unknown == 1) {
				t.Errorf("%d columns are unknown", unknown)
			}
			for _, l := range c.Labels {
				if _, ok := rows.Find(l, spec.Text); !ok {
					t.Errorf("there is no label %s", l)
				}
			}
			for _, m := range c.Metrics {
				if _, ok := rows.Find(m.Name, spec.Value); ok {
					given[c.FullName(m.Name)] = true
				}
			}
			_, more, err := pgbouncer.Bind(c, table(slices.Insert(slices.Clone(columns), 1, "made_up")...))
			if err != nil || more != unknown+1 {
				t.Errorf("with a made-up column %d are unknown, without it %d: %v", more, unknown, err)
			}
		})
	})
	for _, c := range collectors() {
		for _, m := range c.Metrics {
			if name := c.FullName(m.Name); c.Answer.Key == "" && !given[name] {
				t.Errorf("no release gives %s", name)
			}
		}
	}
}

func TestBindPools(t *testing.T) {
	columns := []string{"user", "maxwait_us", "database", "cl_cancel_req", "maxwait", "cl_active"}
	rows, unknown, err := pgbouncer.Bind(collector.PgbouncerPools, postgres.Table{Columns: columns, Rows: [][][]byte{
		{[]byte("u"), []byte("250000"), []byte(`a"b`), []byte("3"), []byte("7"), []byte("1")},
		{[]byte("u"), []byte("0"), nil, nil, []byte("0"), []byte("2")},
	}})
	if err != nil || unknown != 0 || rows.Len() != 2 {
		t.Fatalf("%d rows, %d unknown, %v", rows.Len(), unknown, err)
	}
	if got := rows.Text(0, "database"); got != `a"b` {
		t.Errorf("database is %q", got)
	}
	if at, _ := rows.Find("database", spec.Text); at >= 0 {
		if _, ok := rows.TextAt(1, at); !ok {
			t.Error("a database without a name is NULL, and a label cannot be")
		}
	}
	for name, want := range map[string]float64{"client_maxwait_seconds": 7.25, "client_waiting_cancel_connections": 3, "client_active_connections": 1} {
		if got := rows.Value(0, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := rows.Value(1, "client_waiting_cancel_connections"); !spec.IsAbsent(got) {
		t.Errorf("NULL is %v", got)
	}
}

// TestBindOneMetricLess: what is no number, and what is not there, costs one metric.
func TestBindOneMetricLess(t *testing.T) {
	rows, _, err := pgbouncer.Bind(collector.PgbouncerDatabases, postgres.Table{
		Columns: []string{"name", "database", "pool_size", "paused", "reserve_pool_size", "reserve_pool"},
		Rows:    [][][]byte{{[]byte("a"), []byte("b"), []byte("20"), []byte("soon"), []byte("2"), []byte("1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"pool_size": true, "paused": false, "disabled": false, "reserve_pool": true} {
		if _, ok := rows.Find(name, spec.Value); ok != want {
			t.Errorf("%s is there: %v", name, ok)
		}
	}
	if got := rows.Value(0, "reserve_pool"); got != 2 {
		t.Errorf("reserve_pool is %v: the newer name is to win", got)
	}
}

func TestBindKeys(t *testing.T) {
	config := postgres.Table{Columns: []string{"key", "value", "default", "changeable"}, Rows: [][][]byte{
		{[]byte("max_client_conn"), []byte("100"), []byte("100"), []byte("yes")},
		{[]byte("new_setting"), []byte("x"), nil, []byte("no")},
		{[]byte("job_name"), nil, nil, []byte("no")},
	}}
	rows, unknown, err := pgbouncer.Bind(collector.PgbouncerConfig, config)
	if err != nil || unknown != 0 || rows.Len() != 1 || rows.Value(0, "max_client_connections") != 100 {
		t.Errorf("%v, %d unknown, %v", rows, unknown, err)
	}
	lists := postgres.Table{Columns: []string{"list", "items"}, Rows: [][][]byte{
		{[]byte("used_clients"), []byte("4")}, {[]byte("dns_pending"), []byte("0")}, {[]byte("new_list"), []byte("1")},
	}}
	rows, unknown, err = pgbouncer.Bind(collector.Pgbouncer, lists)
	if err != nil || unknown != 1 || rows.Value(0, "used_clients") != 4 {
		t.Errorf("%v, %d unknown, %v", rows, unknown, err)
	}
	if _, _, err := pgbouncer.Bind(collector.Pgbouncer, table("name", "size")); err == nil {
		t.Error("an answer without keys was taken")
	}
}
