package spec_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// sound is a collector with nothing wrong with it.
func sound() spec.Collector {
	return spec.Collector{
		Name: "sound", About: "A sound collector.", Scope: spec.PerDatabase,
		Cost: spec.Cost{Timeout: time.Second, Every: time.Minute, MaxSeries: 10, Locks: "none"},
		Queries: []spec.Query{{SQL: `
SELECT x.relid::text              AS relid
     , x.relname::text            AS relname
     , x.size::double precision   AS size_bytes
     , x.calls::double precision  AS calls_total
  FROM pg_catalog.x`}},
		Labels: []string{"relname"},
		Metrics: []spec.Metric{
			{Name: "size_bytes", Type: spec.Gauge, Help: "Size."},
			{Name: "calls_total", Type: spec.Counter, Help: "Calls."},
		},
		Fold: &spec.Fold{Key: "relid", Rank: []string{"size_bytes"}, Limit: 5},
	}
}

func TestValidate(t *testing.T) {
	if err := spec.Validate(sound()); err != nil {
		t.Fatalf("a sound collector: %v", err)
	}
	for want, spoil := range map[string]func(*spec.Collector){
		"Name is not lower case":          func(c *spec.Collector) { c.Name = "Sound" },
		"About is not a sentence":         func(c *spec.Collector) { c.About = "Sound" },
		"Cost.Timeout is not set":         func(c *spec.Collector) { c.Cost.Timeout = 0 },
		"Cost.MaxSeries is not set":       func(c *spec.Collector) { c.Cost.MaxSeries = 0 },
		"Cost.Locks is not set":           func(c *spec.Collector) { c.Cost.Locks = "" },
		"cannot run with the scrape":      func(c *spec.Collector) { c.Cost.Every = 0 },
		"no Grant that cures it":          func(c *spec.Collector) { c.Needs.Select = []string{"x"} },
		"Metrics are empty":               func(c *spec.Collector) { c.Metrics = nil },
		`metric "Size" is not lower case`: func(c *spec.Collector) { c.Metrics[0].Name = "Size" },
		"has no type":                     func(c *spec.Collector) { c.Metrics[0].Type = 0 },
		"only counters end in _total":     func(c *spec.Collector) { c.Metrics[1].Type = spec.Gauge },
		"Help is not a sentence":          func(c *spec.Collector) { c.Metrics[0].Help = "Size" },
		"needs Emit":                      func(c *spec.Collector) { c.Metrics[0].Name = spec.Any },
		"has both Fold and Emit":          func(c *spec.Collector) { c.Emit = func() spec.Emitter { return nil } },
		"Fold needs Key":                  func(c *spec.Collector) { c.Fold.Limit = 0 },
		`Fold needs column "nothing"`:     func(c *spec.Collector) { c.Fold.Rank = []string{"nothing"} },
		`Fold.Key "relname" is a label`:   func(c *spec.Collector) { c.Fold.Key = "relname" },
		`label "schemaname" is no alias`:  func(c *spec.Collector) { c.Labels = append(c.Labels, "schemaname") },
		`metric "more" is no alias`: func(c *spec.Collector) {
			c.Metrics = append(c.Metrics, spec.Metric{Name: "more", Type: spec.Gauge, Help: "More."})
		},
		"no query fits any supported version": func(c *spec.Collector) { c.Queries[0].Until = 13 },
		"though one fits an older":            func(c *spec.Collector) { c.Queries[0].Until = 15 },
		"2 queries fit version 13":            func(c *spec.Collector) { c.Queries = append(c.Queries, c.Queries[0]) },
		"Follow needs Of and Column":          func(c *spec.Collector) { c.Fold, c.Follow = nil, &spec.Follow{Of: "x"} },
		"the text has no $1":                  func(c *spec.Collector) { c.Fold, c.Follow = nil, &spec.Follow{Of: "x", Column: "y"} },
		"Fold.Keep or Within has":             func(c *spec.Collector) { c.Fold.Keep = []string{"nothing"} },
		"it may live in another database": func(c *spec.Collector) {
			c.Fold, c.Scope, c.Cost.Every, c.Needs.Extension = nil, spec.PerServer, 0, "x"
		},
		"is no mark":     func(c *spec.Collector) { c.Queries[0].SQL += " -- sometimes" },
		"SELECT * hides": func(c *spec.Collector) { c.Queries[0].SQL += "\n JOIN (SELECT * FROM y) ON true" },
	} {
		t.Run(want, func(t *testing.T) {
			c := sound()
			spoil(&c)
			err := spec.Validate(c)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// pooled is a pooler's collector with nothing wrong with it.
func pooled() spec.Collector {
	return spec.Collector{
		Name: "pgbouncer_pools", About: "A sound collector.", Source: spec.PgBouncer, Cost: spec.Cost{MaxSeries: 10},
		Queries: []spec.Query{{SQL: "SHOW POOLS"}}, Answer: &spec.Answer{Unused: []string{"host"}}, Labels: []string{"database"},
		Metrics: []spec.Metric{{Name: "wait_seconds", Type: spec.Gauge, From: "maxwait + maxwait_us * 1e-6", Help: "Wait."}},
	}
}

func TestValidateOutside(t *testing.T) {
	backup := func() spec.Collector {
		c := pooled()
		c.Name, c.Source, c.Queries, c.Answer, c.Metrics[0].From = "backup_wal", spec.Backup, nil, nil, ""
		return c
	}
	for _, c := range []spec.Collector{pooled(), backup()} {
		if err := spec.Validate(c); err != nil {
			t.Fatalf("a sound collector: %v", err)
		}
	}
	type spoiler struct {
		sound func() spec.Collector
		spoil func(*spec.Collector)
	}
	for want, s := range map[string]spoiler{
		"Name does not begin with pgbouncer": {pooled, func(c *spec.Collector) { c.Name = "pools" }},
		"Name does not begin with backup":    {backup, func(c *spec.Collector) { c.Name = "backups" }},
		"Cost.MaxSeries is not set":          {backup, func(c *spec.Collector) { c.Cost.MaxSeries = 0 }},
		"Cost has more than MaxSeries":       {backup, func(c *spec.Collector) { c.Cost.Timeout = time.Second }},
		"which are PostgreSQL's":             {pooled, func(c *spec.Collector) { c.Needs.Grant = "GRANT" }},
		"has not one Query":                  {pooled, func(c *spec.Collector) { c.Queries[0].Since = 14 }},
		"or is SHOW FDS":                     {pooled, func(c *spec.Collector) { c.Queries[0].SQL = "SHOW FDS" }},
		`"SHOW POOLS; PAUSE" is not SHOW`:    {pooled, func(c *spec.Collector) { c.Queries[0].SQL = "SHOW POOLS; PAUSE" }},
		"Answer is not set":                  {pooled, func(c *spec.Collector) { c.Answer = nil }},
		"needs both Key and Value":           {pooled, func(c *spec.Collector) { c.Answer.Key = "key" }},
		`column "maxwait" is used and`:       {pooled, func(c *spec.Collector) { c.Answer.Unused = []string{"maxwait"} }},
		"where a column belongs":             {pooled, func(c *spec.Collector) { c.Metrics[0].From = "max-wait" }},
		"where a number belongs":             {pooled, func(c *spec.Collector) { c.Metrics[0].From = "maxwait * us" }},
		"has Queries or Answer":              {backup, func(c *spec.Collector) { c.Queries = []spec.Query{{SQL: "SELECT 1"}} }},
		"a metric has From":                  {backup, func(c *spec.Collector) { c.Metrics[0].From = "x" }},
		"only counters end in _total":        {pooled, func(c *spec.Collector) { c.Metrics[0].Name = "waits_total" }},
	} {
		t.Run(want, func(t *testing.T) {
			c := s.sound()
			s.spoil(&c)
			if err := spec.Validate(c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
	part := backup()
	part.Of = "pgbouncer_pools"
	if err := spec.ValidateAll([]spec.Collector{pooled(), part}); err == nil || !strings.Contains(err.Error(), "Of names a collector of PgBouncer") {
		t.Errorf("a collector of another source: %v", err)
	}
	only := sound()
	only.Metrics[0].From = "x"
	if err := spec.Validate(only); err == nil || !strings.Contains(err.Error(), "a metric has From") {
		t.Errorf("SQL and From: %v", err)
	}
}

func TestTerms(t *testing.T) {
	terms := func(from string) []spec.Term {
		t.Helper()
		terms, err := spec.Metric{Name: "m", From: from}.Terms()
		if err != nil {
			t.Fatal(err)
		}
		return terms
	}
	for from, want := range map[string][]spec.Term{
		"":                   {{Columns: []string{"m"}, Factor: 1}},
		"1":                  {{Factor: 1}},
		"new | old":          {{Columns: []string{"new", "old"}, Factor: 1}},
		"a + b | c * 1e-6":   {{Columns: []string{"a"}, Factor: 1}, {Columns: []string{"b", "c"}, Factor: 1e-6}},
		"max_wait_us * 1000": {{Columns: []string{"max_wait_us"}, Factor: 1000}},
	} {
		if diff := cmp.Diff(want, terms(from)); diff != "" {
			t.Errorf("%q: %s", from, diff)
		}
	}
}

func TestValidateAll(t *testing.T) {
	part := sound()
	part.Name, part.Of = "sound_part", "sound"
	if err := spec.ValidateAll([]spec.Collector{sound(), part}); err != nil {
		t.Errorf("two sources of one metric: %v", err)
	}
	part.Metrics = slices.Clone(part.Metrics)
	part.Metrics[0].Help = "Something else."
	err := spec.ValidateAll([]spec.Collector{sound(), part})
	if err == nil || !strings.Contains(err.Error(), `metric "pg_sound_size_bytes" is declared by sound and by sound_part`) {
		t.Errorf("two collectors with one metric: %v", err)
	}
	part.Of = "nobody"
	err = spec.ValidateAll([]spec.Collector{sound(), sound(), part})
	if err == nil || !strings.Contains(err.Error(), "is declared twice") || !strings.Contains(err.Error(), `Of names no collector: "nobody"`) {
		t.Errorf("got %v", err)
	}
}

func TestFullName(t *testing.T) {
	c := spec.Collector{Name: "locks_waits", Of: "locks"}
	for alias, want := range map[string]string{
		"blocked": "pg_locks_blocked", "pg_replication_is_replica": "pg_replication_is_replica", "pg_": "pg_locks_pg_",
	} {
		if got := c.FullName(alias); got != want {
			t.Errorf("FullName(%q) = %q, want %q", alias, got, want)
		}
	}
	for want, c := range map[string]spec.Collector{
		"pgbouncer_pools_x": {Name: "pgbouncer_pools", Of: "pgbouncer", Source: spec.PgBouncer}, "pgbouncer_x": {Name: "pgbouncer", Source: spec.PgBouncer},
		"pg_backup_wal_x": {Name: "backup_wal", Of: "backup", Source: spec.Backup}, "pg_backup_x": {Name: "backup", Source: spec.Backup},
	} {
		if got := c.FullName("x"); got != want {
			t.Errorf("%s: got %q, want %q", c.Name, got, want)
		}
	}
	if got := (spec.Collector{Name: "pgbouncer_lists", Source: spec.PgBouncer}).FullName("pgbouncer_up"); got != "pgbouncer_up" {
		t.Errorf("a whole name became %q", got)
	}
}

func TestRows(t *testing.T) {
	rows := spec.NewRows([]spec.Column{{Name: "a", Kind: spec.Text}, {Name: "v", Kind: spec.Value}, {Name: "b", Kind: spec.Text}})
	for range 2 { // the second time in the memory of the first
		rows.Reset()
		rows.AppendText(nil)
		rows.AppendValue(1)
		rows.AppendText([]byte(""))
		if err := rows.EndRow(); err != nil {
			t.Fatal(err)
		}
		rows.AppendText([]byte("x"))
		rows.AppendValue(spec.Absent())
		rows.AppendText(nil)
		if err := rows.EndRow(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := rows.TextAt(0, 0); ok {
		t.Error("NULL is not told from empty")
	}
	if b, ok := rows.TextAt(0, 1); !ok || len(b) != 0 {
		t.Errorf("empty text is %q, %v", b, ok)
	}
	if got := rows.Text(1, "a"); got != "x" {
		t.Errorf("a = %q", got)
	}
	if !spec.IsAbsent(rows.Value(1, "v")) || rows.Value(0, "v") != 1 || !spec.IsAbsent(rows.Value(0, "nothing")) {
		t.Error("values are not what was put in")
	}
	rows.AppendValue(2)
	if rows.EndRow() == nil {
		t.Error("a row that lacks cells was taken")
	}
}

func TestSink(t *testing.T) {
	c := sound()
	s := spec.NewSink(c)
	s.Row("a")
	s.Set("size_bytes", 3)
	s.Row("b")
	rows, _, err := s.Close()
	if err != nil || rows.Len() != 2 || rows.Value(0, "size_bytes") != 3 || !spec.IsAbsent(rows.Value(1, "size_bytes")) {
		t.Errorf("%d rows, %v", rows.Len(), err)
	}
	s = spec.NewSink(c)
	s.Row("a")
	s.Set("nothing", 1)
	if _, _, err := s.Close(); err == nil {
		t.Error("an undeclared metric was taken")
	}
	s = spec.NewSink(c)
	s.Row("a", "b")
	if _, _, err := s.Close(); err == nil {
		t.Error("a label too many was taken")
	}
}
