package scrape

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// folding is a collector with a row for each object.
func folding() spec.Collector {
	return spec.Collector{
		Name: "objects", About: "Objects.", Scope: spec.PerDatabase,
		Cost:   spec.Cost{Timeout: time.Second, Every: time.Minute, MaxSeries: 1 << 20, Locks: "none"},
		Labels: []string{"relname"},
		Queries: []spec.Query{{SQL: `
SELECT x.key            AS key
     , x.relname        AS relname
     , x.calls          AS calls_total
     , x.rows           AS rows
     , x.at             AS at_timestamp_seconds
     , x.size           AS size_bytes
  FROM pg_catalog.x`}},
		Metrics: []spec.Metric{
			{Name: "calls_total", Type: spec.Counter, Help: "Calls."},
			{Name: "rows", Type: spec.Gauge, Help: "Rows."},
			{Name: "at_timestamp_seconds", Type: spec.Gauge, Help: "When."},
		},
		Fold: &spec.Fold{Key: "key", Rank: []string{"size_bytes", "calls_total"}, Limit: 10},
	}
}

// object is one underlying row.
type object struct {
	name              string
	calls, rows, size float64
	at                float64
}

func objectRows(objects map[string]object) *spec.Rows {
	rows := spec.NewRows([]spec.Column{
		{Name: "key", Kind: spec.Text}, {Name: "relname", Kind: spec.Text}, {Name: "calls_total", Kind: spec.Value},
		{Name: "rows", Kind: spec.Value}, {Name: "at_timestamp_seconds", Kind: spec.Value}, {Name: "size_bytes", Kind: spec.Value},
	})
	for key, o := range objects {
		rows.AppendText([]byte(key))
		rows.AppendText([]byte(o.name))
		for _, v := range []float64{o.calls, o.rows, o.at, o.size} {
			rows.AppendValue(v)
		}
		if err := rows.EndRow(); err != nil {
			panic(err)
		}
	}
	return rows
}

// folder folds run after run, an hour of its own clock apart unless told.
type folder struct {
	t    *testing.T
	unit *unit
	plan *plan
	now  time.Time

	unserved bool // no page shows the results
}

func newFolder(t *testing.T, limit int) *folder {
	c := folding()
	return &folder{t: t, unit: newUnit(c, limit), now: time.Unix(1e9, 0),
		plan: &plan{expects: expected(c, spec.Aliases(c.Queries[0].SQL))}}
}

// run returns the samples of a run: metric and labels to value.
func (f *folder) run(database string, objects map[string]object) map[string]float64 {
	f.t.Helper()
	r, err := f.unit.bind(spec.Run{Now: f.now, Database: database}, objectRows(objects), f.plan, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if !f.unserved {
		r.serve()
	}
	samples := map[string]float64{}
	for i, m := range f.unit.c.Metrics {
		for row, v := range r.columns[i] {
			if !spec.IsAbsent(v) {
				samples[m.Name+string(r.labels.Block(row))] = v
			}
		}
	}
	return samples
}

func at(metric, database, relname string) string {
	return fmt.Sprintf("%s{datname=%q,relname=%q}", metric, database, relname)
}

func TestFoldAddsUp(t *testing.T) {
	f := newFolder(t, 2)
	objects := map[string]object{
		"1": {name: "big", calls: 10, rows: 100, size: 1000, at: 5},
		"2": {name: "mid", calls: 20, rows: 200, size: 500},
		"3": {name: "tiny", calls: 3, rows: 30, size: 1, at: 7},
		"4": {name: "tinier", calls: 4, rows: 40, size: 1},
	}
	got := f.run("a", objects)
	for key, want := range map[string]float64{
		at("calls_total", "a", "big"): 10, at("calls_total", "a", "mid"): 20, at("calls_total", "a", "other"): 7,
		at("rows", "a", "other"): 70, at("at_timestamp_seconds", "a", "big"): 5,
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	if _, ok := got[at("at_timestamp_seconds", "a", "other")]; ok {
		t.Error("the remainder has a timestamp")
	}
	// A folded object is dropped, another reset: the remainder only grows.
	delete(objects, "3")
	objects["4"] = object{name: "tinier", calls: 1, rows: 41, size: 1}
	got = f.run("a", objects)
	if v := got[at("calls_total", "a", "other")]; v != 8 {
		t.Errorf("other = %v after a drop and a reset, want 8", v)
	}
	if v := got[at("rows", "a", "other")]; v != 41 {
		t.Errorf("the remainder's gauge is %v, want that of what is left, 41", v)
	}
}

func TestFoldPartitions(t *testing.T) {
	f := newFolder(t, 10)
	objects := map[string]object{
		"1": {name: "root", calls: 10, rows: 1, at: 3}, "2": {name: "root", calls: 20, rows: 2, at: 9}, "3": {name: "alone", calls: 1},
	}
	got := f.run("a", objects)
	if got[at("calls_total", "a", "root")] != 30 || got[at("rows", "a", "root")] != 3 || got[at("at_timestamp_seconds", "a", "root")] != 9 {
		t.Errorf("the root shows %v", got)
	}
	delete(objects, "1") // a partition is detached and dropped
	objects["4"] = object{name: "root", calls: 5, rows: 7}
	got = f.run("a", objects)
	if v := got[at("calls_total", "a", "root")]; v != 35 {
		t.Errorf("the root's counter is %v after a partition went and one came, want 35", v)
	}
	if v := got[at("rows", "a", "root")]; v != 9 {
		t.Errorf("the root's gauge is %v, want 9", v)
	}
}

// TestFoldAttach joins a table to a root it was not under before: its history was
// counted under its own name, and only what comes is the root's.
func TestFoldAttach(t *testing.T) {
	f := newFolder(t, 10)
	objects := map[string]object{"1": {name: "root", calls: 10}, "2": {name: "alone", calls: 1000}}
	f.run("a", objects)
	objects["2"] = object{name: "root", calls: 1005}
	if v := f.run("a", objects)[at("calls_total", "a", "root")]; v != 15 {
		t.Errorf("the root shows %v after a table was attached, want 15", v)
	}
}

// TestFoldUnserved folds a table that was chosen to be shown and had to give way
// before any page was made: nothing of it may be lost.
func TestFoldUnserved(t *testing.T) {
	f := newFolder(t, 1)
	f.unserved = true
	f.run("a", map[string]object{"1": {name: "small", calls: 7, size: 1}})
	f.run("b", map[string]object{"1": {name: "large", calls: 1, size: 100}})
	others, err := f.unit.refolded("b")
	if err != nil || others["a"] == nil {
		t.Fatalf("the table of the first database did not give way: %v", err)
	}
	if v := others["a"].columns[0][0]; v != 7 {
		t.Errorf("the remainder shows %v, want all of the table, 7", v)
	}
}

func TestFoldIsSticky(t *testing.T) {
	f := newFolder(t, 1)
	objects := map[string]object{"1": {name: "first", size: 100}, "2": {name: "second", size: 90}}
	shows := func(name string) bool {
		_, ok := f.run("a", objects)[at("rows", "a", name)]
		return ok
	}
	if !shows("first") || shows("second") {
		t.Fatal("the biggest is not the one shown")
	}
	f.now = f.now.Add(settling + time.Minute)
	objects["2"] = object{name: "second", size: 1000}
	if !shows("first") {
		t.Error("a label set gave way before its time")
	}
	f.now = f.now.Add(tenure)
	objects["2"] = object{name: "second", size: 150}
	if !shows("first") {
		t.Error("a label set gave way to one hardly heavier")
	}
	f.now = f.now.Add(choiceEvery)
	objects["2"] = object{name: "second", size: 1000}
	if !shows("second") || shows("first") {
		t.Error("a label set did not give way to one clearly heavier")
	}
	f.now = f.now.Add(2 * tenure)
	objects["1"] = object{name: "first", size: 100000}
	if shows("first") {
		t.Error("more label sets were replaced in a day than the limit allows")
	}
	f.now = f.now.Add(changesWindow)
	if !shows("first") {
		t.Error("the next day did not allow a change")
	}
	delete(objects, "1")
	if !shows("second") {
		t.Error("a free place was not filled")
	}
}

func TestFoldOverDatabases(t *testing.T) {
	f := newFolder(t, 2)
	small := map[string]object{"1": {name: "s1", size: 1}, "2": {name: "s2", size: 1}, "3": {name: "s3", size: 1}}
	large := map[string]object{"1": {name: "l1", size: 100}, "2": {name: "l2", size: 100}}
	f.run("small", small)
	f.run("large", large)
	if got := f.run("small", small); len(got) != 2 { // calls and rows of other
		t.Errorf("the small database shows %v beside two large tables of another", got)
	}
	others, err := f.unit.refolded("small")
	if err != nil || len(others) != 0 {
		t.Errorf("the large database has a new result although nothing of it moved: %v, %v", others, err)
	}
	huge := map[string]object{"1": {name: "h1", size: 1e6}, "2": {name: "h2", size: 1e6}}
	f.run("huge", huge)
	others, err = f.unit.refolded("huge")
	if err != nil || len(others) != 1 || others["large"] == nil || others["large"].labels.Len() != 1 || others["large"].folded != 2 {
		t.Errorf("the large database's tables gave way, its new result is %v, %v", others["large"], err)
	}
	f.unit.forget(func(db string) bool { return db != "huge" })
	f.unit.forget(func(db string) bool { return db == "small" })
	if got := f.run("small", small); len(got) <= 3 {
		t.Errorf("the places of a database that is gone stay taken: %v", got)
	}
}

// TestFoldPromoted: a label set that comes to be shown begins at 0, and goes on
// where it was when it is shown again; the rest keeps what it counted meanwhile.
func TestFoldPromoted(t *testing.T) {
	f := newFolder(t, 1)
	objects := map[string]object{"1": {name: "first", calls: 10, size: 100}, "2": {name: "second", calls: 5, size: 1}}
	want := func(first, second, other float64) {
		t.Helper()
		got := f.run("a", objects)
		for name, v := range map[string]float64{"first": first, "second": second, "other": other} {
			if shown, ok := got[at("calls_total", "a", name)]; ok != (v >= 0) || ok && shown != v {
				t.Errorf("%s is %v (%v), want %v", name, shown, ok, v)
			}
		}
	}
	swap := func(first, second float64) {
		one, two := objects["1"], objects["2"]
		one.size, two.size, one.calls, two.calls = first, second, one.calls+1, two.calls+1
		if f.unit.fold.databases["a"].groups["first"].place == shown {
			two.calls += 3 // so that it is the busier one, too
		} else {
			one.calls += 3
		}
		objects["1"], objects["2"] = one, two
		f.now = f.now.Add(2*tenure + settling)
		f.unit.fold.changes = nil
	}
	want(10, -1, 5)
	swap(1, 100)
	want(-1, 0, 10) // the second's calls came before it was chosen, and the first's call as it gave way
	objects["1"] = object{name: "first", calls: 12, size: 1}
	objects["2"] = object{name: "second", calls: 10, size: 100}
	want(-1, 1, 11)
	swap(100, 1)
	want(10, -1, 16)
}

// TestFoldBegan: a row whose counters began anew counts whole, although none of
// them fell.
func TestFoldBegan(t *testing.T) {
	f := newFolder(t, 10)
	f.unit.c.Fold.Began = []string{"size_bytes"}
	f.unit.reset()
	objects := map[string]object{"1": {name: "a", calls: 10, size: 1}}
	f.run("a", objects)
	objects["1"] = object{name: "a", calls: 12, size: 2}
	if v := f.run("a", objects)[at("calls_total", "a", "a")]; v != 22 {
		t.Errorf("calls are %v after 10 and, anew, 12", v)
	}
}

// TestFoldAbsentUntilMoved: a counter that is NULL until it moves, and after a reset
// again, has no series before, and loses nothing of what comes after.
func TestFoldAbsentUntilMoved(t *testing.T) {
	f := newFolder(t, 10)
	for i, step := range []struct{ calls, want float64 }{
		{spec.Absent(), spec.Absent()}, {10, 10}, {spec.Absent(), 10}, {12, 22},
	} {
		samples := f.run("a", map[string]object{"1": {name: "a", calls: step.calls, size: 1}})
		v, there := samples[at("calls_total", "a", "a")]
		if there == spec.IsAbsent(step.want) || there && v != step.want {
			t.Errorf("run %d: calls are %v, want %v", i, v, step.want)
		}
	}
}

// TestFoldReserved: an object that is named as the rest is part of it.
func TestFoldReserved(t *testing.T) {
	f := newFolder(t, 1)
	objects := map[string]object{"1": {name: otherLabel, calls: 10, size: 100}, "2": {name: "a", calls: 5, size: 1}}
	got := f.run("a", objects)
	if got[at("calls_total", "a", "a")] != 5 || got[at("calls_total", "a", otherLabel)] != 10 {
		t.Errorf("the page has %v", got)
	}
}

// TestFoldAll shows every label set, and keeps nothing of those that are one row.
func TestFoldAll(t *testing.T) {
	f := newFolder(t, 0)
	objects := map[string]object{
		"1": {name: "root", calls: 10, rows: 1, at: 3}, "2": {name: "root", calls: 20, rows: 2, at: 9}, "3": {name: "alone", calls: 1, rows: 5},
	}
	check := func(root, alone float64) {
		t.Helper()
		got := f.run("a", objects)
		if got[at("calls_total", "a", "root")] != root || got[at("calls_total", "a", "alone")] != alone {
			t.Errorf("the page has %v, want root %v and alone %v", got, root, alone)
		}
	}
	check(30, 1)
	if kept := len(f.unit.fold.databases["a"].rows); kept != 2 {
		t.Errorf("%d rows are kept, want the partitions", kept)
	}
	delete(objects, "2")
	objects["1"] = object{name: "root", calls: 11}
	objects["3"] = object{name: "alone", calls: 7}
	check(31, 7)
	delete(objects, "1")
	delete(objects, "3")
	if got := f.run("a", objects); len(got) != 0 {
		t.Errorf("what was dropped is still there: %v", got)
	}
}

func TestFoldRefuses(t *testing.T) {
	f := newFolder(t, 2)
	rows := objectRows(map[string]object{"1": {name: "a"}})
	rows.AppendText([]byte("1"))
	rows.AppendText([]byte("b"))
	for range 4 {
		rows.AppendValue(0)
	}
	if err := rows.EndRow(); err != nil {
		t.Fatal(err)
	}
	_, err := f.unit.bind(spec.Run{Now: f.now, Database: "a"}, rows, f.plan, nil)
	if err == nil || !strings.Contains(err.Error(), "key 1 occurs twice") {
		t.Errorf("a key that occurs twice: %v", err)
	}
}

// TestFoldProperty drives random objects that come, grow, are reset, renamed,
// evicted and dropped, over pages of which some are never shown. No series ever
// steps back, and all there have been, each at its last value, add up to what the
// objects have counted.
func TestFoldProperty(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		f := newFolder(t, 1+random.IntN(8))
		evicts := seed%2 == 0
		f.unit.c.Fold.Evicts = evicts
		f.unit.reset()
		objects := map[string]object{}
		ever, groups := map[string]float64{}, map[string]*group{}
		next, recorded, ended := 0, 0.0, 0.0
		for step := range 300 {
			f.now = f.now.Add(time.Duration(random.IntN(3600)) * time.Second)
			recorded += change(random, objects, &next)
			f.unserved = evicts && random.IntN(3) == 0
			page := f.run("a", objects)
			if f.unserved {
				continue
			}
			for key, v := range page {
				if !strings.HasPrefix(key, "calls_total") {
					continue
				}
				g := f.unit.fold.databases["a"].groups[nameIn(key)]
				switch was := ever[key]; {
				case evicts || g == groups[key]:
					if v < was {
						t.Fatalf("seed %d, step %d: %s fell from %v to %v", seed, step, key, was, v)
					}
				default:
					ended += was // of a dropped object; another has its name now
				}
				ever[key], groups[key] = v, g
			}
			sum := ended
			for _, v := range ever {
				sum += v
			}
			if math.Abs(sum-recorded) > 1e-6 {
				t.Fatalf("seed %d, step %d: all series add up to %v, the objects counted %v", seed, step, sum, recorded)
			}
		}
	}
}

// nameIn is the relname in a series of objectRows.
func nameIn(series string) string {
	_, name, _ := strings.Cut(series, `relname="`)
	return strings.TrimSuffix(name, `"}`)
}

// change does random things to the objects and returns what their counters grew
// by, counting all of a new or reset one.
func change(random *rand.Rand, objects map[string]object, next *int) float64 {
	grown := 0.0
	for key, o := range objects {
		switch random.IntN(12) {
		case 0:
			delete(objects, key)
			continue
		case 1:
			reset := float64(random.IntN(5))
			if reset < o.calls {
				grown += reset
			} else {
				grown += reset - o.calls
			}
			o.calls = reset
		case 2:
			o.name += "x" // what it counted stays under its old name
		default:
			d := float64(random.IntN(50))
			o.calls += d
			grown += d
		}
		objects[key] = o
	}
	if len(objects) < 20 {
		*next++
		calls := float64(random.IntN(100))
		objects[fmt.Sprint(*next)] = object{name: fmt.Sprint("t", *next%30), calls: calls, size: random.ExpFloat64()}
		grown += calls
	}
	return grown
}
