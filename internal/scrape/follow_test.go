package scrape

import (
	"slices"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// following is a collector that asks for what objects shows.
func following() spec.Collector {
	return spec.Collector{
		Name: "measured", About: "Measured.", Scope: spec.PerDatabase,
		Cost:   spec.Cost{Timeout: time.Second, Every: time.Minute, MaxSeries: 100, Locks: "none"},
		Labels: []string{"relname"},
		Queries: []spec.Query{{SQL: `
SELECT k             AS key
     , k             AS relname
     , 1             AS size_bytes
  FROM pg_catalog.unnest($1::text[]) AS k`}},
		Metrics: []spec.Metric{{Name: "size_bytes", Type: spec.Gauge, Help: "Size."}},
		Follow:  &spec.Follow{Of: "objects", Column: "key", For: time.Hour},
	}
}

func measuredRows(names ...string) *spec.Rows {
	rows := spec.NewRows([]spec.Column{{Name: "key", Kind: spec.Text}, {Name: "relname", Kind: spec.Text}, {Name: "size_bytes", Kind: spec.Value}})
	for _, name := range names {
		rows.AppendText([]byte(name))
		rows.AppendText([]byte("r" + name))
		rows.AppendValue(8192)
		if err := rows.EndRow(); err != nil {
			panic(err)
		}
	}
	return rows
}

// TestFollow asks for what is shown, heaviest first; an answer holds for a time,
// what had none is asked for again, and what is no longer shown is dropped.
func TestFollow(t *testing.T) {
	if err := spec.ValidateAll([]spec.Collector{folding(), following()}); err != nil {
		t.Fatal(err)
	}
	f := newFolder(t, 3)
	u := newUnit(following(), 0)
	u.of = f.unit
	u.reset()
	p := &plan{expects: expected(u.c, spec.Aliases(u.c.Queries[0].SQL))}
	asks := func(want ...string) {
		t.Helper()
		if got := u.ask("a", f.now); !slices.Equal(got, want) {
			t.Errorf("asks for %q, want %q", got, want)
		}
	}
	answer := func(samples int, names ...string) {
		t.Helper()
		r, err := u.bind(spec.Run{Now: f.now, Database: "a"}, measuredRows(names...), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.samples != samples {
			t.Errorf("%d samples are shown, want %d", r.samples, samples)
		}
	}
	asks() // nothing is shown yet
	objects := map[string]object{"1": {name: "a", size: 1}, "2": {name: "b", size: 5}, "3": {name: "c", size: 3}, "4": {name: "d"}}
	f.run("a", objects)
	asks("2", "3", "1")
	answer(2, "2", "1")
	asks("3")
	answer(3, "3")
	asks()
	f.now = f.now.Add(time.Hour)
	asks("2", "3", "1")
	answer(1, "2")
	delete(objects, "2")
	f.run("a", objects)
	asks("3", "1", "4")
	if r, err := u.answered("a", f.now); err != nil || r.samples != 0 {
		t.Errorf("what is gone still has %d samples (%v)", r.samples, err)
	}
}

// TestBudgets: a budget for all collectors bounds the series of each, and lifted
// there is none.
func TestBudgets(t *testing.T) {
	c := folding()
	for _, test := range []struct {
		opt         Options
		limit, most int
	}{
		{Options{}, 10, 0},
		{Options{Limits: map[string]int{"objects": 7}}, 7, 0},
		{Options{MaxSeries: -1}, 0, 1 << 62},
		{Options{MaxSeries: -1, Limits: map[string]int{"objects": 7}}, 7, 1 << 62},
		{Options{MaxSeries: 12}, 3, 12},
		{Options{MaxSeries: 1}, 1, 1},
		{Options{MaxSeries: 300, Limits: map[string]int{"objects": 0}}, 99, 300},
	} {
		test.opt.Collectors = []spec.Collector{c}
		e := &Engine{opt: test.opt}
		u := e.newUnit(c)
		if u.limit != test.limit || u.most < test.most || test.most == 0 && u.most != 0 {
			t.Errorf("%+v: limit %d and at most %d, want %d and %d", test.opt, u.limit, u.most, test.limit, test.most)
		}
	}
}

// TestStretch: slow collectors that would take too much together run more rarely,
// all alike; a quick one keeps its rhythm.
func TestStretch(t *testing.T) {
	e := &Engine{opt: Options{Share: 0.01}}
	for _, every := range []time.Duration{time.Minute, time.Minute, 5 * time.Minute, 15 * time.Second} {
		c := following()
		c.Cost.Every = every
		e.units = append(e.units, newUnit(c, 0))
	}
	rhythms := func(want ...time.Duration) {
		t.Helper()
		for i, u := range e.units {
			if got := e.rhythm(u).Round(time.Millisecond); got != want[i] {
				t.Errorf("collector %d has a rhythm of %s, want %s", i, got, want[i])
			}
		}
	}
	const quick = 15 * time.Second
	e.noteTook(e.units[0], 300*time.Millisecond) // half a percent
	e.noteTook(e.units[3], 150*time.Millisecond)
	rhythms(time.Minute, time.Minute, 5*time.Minute, quick)
	e.noteTook(e.units[1], 300*time.Millisecond) // and another
	rhythms(time.Minute, time.Minute, 5*time.Minute, quick)
	e.noteTook(e.units[2], 4500*time.Millisecond) // one and a half, which its own share makes one
	rhythms(2*time.Minute, 2*time.Minute, 15*time.Minute, quick)
	e.noteTook(e.units[2], -4500*time.Millisecond)
	rhythms(time.Minute, time.Minute, 5*time.Minute, quick)
}
