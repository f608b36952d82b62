package scrape

import (
	"bytes"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/pgvigil/pgvigil/internal/spec"
)

// activityHalf is the half-life of the activity that a rank in _total goes by.
const activityHalf = 30 * time.Minute

// fold keeps the rows of a collector over all databases of a server, decides
// which label sets are shown, and adds up the others in one remainder for each
// database.
//
// Counters are accumulated from the positive deltas of the underlying rows, so
// that neither a dropped relation nor a partition that moves makes a sum step
// back. A label set that comes to be shown shows all it has accumulated, as the
// server would tell it; what was added to the remainder while it was folded
// stays there. So increases add up over any window, and no counter falls.
type fold struct {
	c         spec.Collector
	limit     int
	databases map[string]*foldDatabase
	born      time.Time   // of the first run
	chosen    time.Time   // when the shown set was last chosen
	changes   []time.Time // of label sets that replaced another
}

// foldDatabase is what is kept of one database.
type foldDatabase struct {
	rows    map[string]*foldRow
	groups  map[string]*group
	rest    []float64 // accumulated counters of the remainder, by metric
	hasRest bool      // something was folded once, so the remainder stays
	moved   bool      // the shown set has changed since the last result was made
	result  *result   // the last that was made
	served  time.Time // of the last result before it that a page has shown
	columns foldColumns
	run     uint64
	last    time.Time
}

// foldRow is one underlying row, by its key.
type foldRow struct {
	group    *group
	counters []float64 // as last read, by metric
	ranks    []float64 // as last read, of the ranks that are counters
	run      uint64
}

// group is one label set: one row, or several that share their labels.
type group struct {
	labels   [][]byte
	counters []float64 // accumulated, by metric
	gauges   []float64 // of this run, by metric
	weights  []float64 // of each rank: its size now, or its recent growth
	weight   float64   // its largest share of any rank, when the shown set was chosen
	place    place
	since    time.Time // in its place since
	run      uint64
}

// place is where a label set is on the page.
type place uint8

const (
	undecided place = iota // new in this run
	shown
	folded
)

func newFold(c spec.Collector, limit int) *fold {
	return &fold{c: c, limit: limit, databases: map[string]*foldDatabase{}}
}

// forget drops what is kept of databases that are gone.
func (f *fold) forget(watched func(string) bool) {
	for name := range f.databases {
		if !watched(name) {
			delete(f.databases, name)
		}
	}
}

// columns finds the declared columns in the rows; -1 is a column this version
// lacks.
type foldColumns struct {
	key     int
	labels  []int
	metrics []int
	ranks   []int
}

func (f *fold) columns(rows *spec.Rows) foldColumns {
	find := func(name string, kind spec.Kind) int {
		if at, ok := rows.Find(name, kind); ok {
			return at
		}
		return -1
	}
	var cols foldColumns
	cols.key = find(f.c.Fold.Key, spec.Text)
	for _, l := range f.c.Labels {
		cols.labels = append(cols.labels, find(l, spec.Text))
	}
	for _, m := range f.c.Metrics {
		cols.metrics = append(cols.metrics, find(m.Name, spec.Value))
	}
	for _, rank := range f.c.Fold.Rank {
		cols.ranks = append(cols.ranks, find(rank, spec.Value))
	}
	return cols
}

// add takes the rows of one database and makes its result.
func (f *fold) add(run spec.Run, rows *spec.Rows, r *result) error {
	db := f.databases[run.Database]
	if db == nil {
		db = &foldDatabase{
			rows: map[string]*foldRow{}, groups: map[string]*group{},
			rest: absent(len(f.c.Metrics)),
		}
		f.databases[run.Database] = db
	}
	cols := f.columns(rows)
	if err := f.check(rows, cols); err != nil {
		return err
	}
	if f.born.IsZero() {
		f.born = run.Now
	}
	f.begin(db, run.Now)
	for row := range rows.Len() {
		f.take(db, rows, row, cols)
	}
	db.end()
	db.columns = cols
	f.choose(run.Now)
	return f.show(run.Database, db, r)
}

// check refuses a result with a key twice or a label NULL before any of it
// counts.
func (f *fold) check(rows *spec.Rows, cols foldColumns) error {
	keys := make(map[string]struct{}, rows.Len())
	for row := range rows.Len() {
		key, ok := rows.TextAt(row, cols.key)
		if !ok {
			return &MismatchError{Column: f.c.Fold.Key, Problem: "is NULL in a row, and a key cannot be"}
		}
		if _, twice := keys[string(key)]; twice {
			return &DuplicateError{What: f.c.Fold.Key + " " + string(key)}
		}
		keys[string(key)] = struct{}{}
		for i, at := range cols.labels {
			if _, ok := rows.TextAt(row, at); !ok {
				return &MismatchError{Column: f.c.Labels[i], Problem: "is NULL in a row, and a label cannot be; the SQL must decide what it means"}
			}
		}
	}
	return nil
}

// begin opens a run: gauges and sizes are read anew, activity fades.
func (f *fold) begin(db *foldDatabase, now time.Time) {
	fade := 1.0
	if !db.last.IsZero() {
		fade = math.Exp2(-now.Sub(db.last).Seconds() / activityHalf.Seconds())
	}
	db.last = now
	db.run++
	for _, g := range db.groups {
		for i := range g.gauges {
			g.gauges[i] = spec.Absent()
		}
		for i, rank := range f.c.Fold.Rank {
			if isCounter(rank) {
				g.weights[i] *= fade
			} else {
				g.weights[i] = 0
			}
		}
	}
}

// take adds one row to its group.
func (f *fold) take(db *foldDatabase, rows *spec.Rows, row int, cols foldColumns) {
	known := f.rowOf(db, rows, row, cols)
	g := known.group
	known.run, g.run = db.run, db.run
	for i, at := range cols.metrics {
		if at < 0 {
			continue
		}
		v := rows.ValueAt(row, at)
		switch {
		case spec.IsAbsent(v):
		case f.c.Metrics[i].Type == spec.Counter:
			d := delta(known.counters[i], v)
			known.counters[i] = v
			g.counters[i] = plus(g.counters[i], d)
			if g.place == folded {
				db.rest[i] = plus(db.rest[i], d)
			}
		case isTimestamp(f.c.Metrics[i].Name):
			if spec.IsAbsent(g.gauges[i]) || v > g.gauges[i] {
				g.gauges[i] = v
			}
		default:
			g.gauges[i] = plus(g.gauges[i], v)
		}
	}
	for i, at := range cols.ranks {
		if at < 0 || spec.IsAbsent(rows.ValueAt(row, at)) {
			continue
		}
		v := rows.ValueAt(row, at)
		if isCounter(f.c.Fold.Rank[i]) {
			v = delta(known.ranks[i], v)
			known.ranks[i] = rows.ValueAt(row, at)
		}
		g.weights[i] += v
	}
}

// rowOf returns what is kept of a row, new where the row is, or where its labels
// have changed: a renamed table is another series.
func (f *fold) rowOf(db *foldDatabase, rows *spec.Rows, row int, cols foldColumns) *foldRow {
	key, _ := rows.TextAt(row, cols.key)
	known := db.rows[string(key)]
	if known != nil && known.group.is(rows, row, cols.labels) {
		return known
	}
	fresh := &foldRow{
		group:    f.groupOf(db, rows, row, cols),
		counters: absent(len(cols.metrics)), ranks: absent(len(cols.ranks)),
	}
	if known != nil && fresh.group.run > 0 {
		// It joins others, as a partition that is attached: what it counted before
		// was counted under its own name.
		fresh.counters, fresh.ranks = known.counters, known.ranks
	}
	db.rows[string(key)] = fresh
	return fresh
}

func (f *fold) groupOf(db *foldDatabase, rows *spec.Rows, row int, cols foldColumns) *group {
	var name []byte
	labels := make([][]byte, len(cols.labels))
	for i, at := range cols.labels {
		text, _ := rows.TextAt(row, at)
		labels[i] = bytes.Clone(text)
		// PostgreSQL's text has no zero byte.
		name = append(append(name, text...), 0)
	}
	g := db.groups[string(name)]
	if g == nil {
		g = &group{
			labels: labels, counters: absent(len(cols.metrics)), gauges: absent(len(cols.metrics)),
			weights: make([]float64, len(cols.ranks)),
		}
		db.groups[string(name)] = g
	}
	return g
}

// is reports whether a row has the group's labels.
func (g *group) is(rows *spec.Rows, row int, labels []int) bool {
	for i, at := range labels {
		if text, _ := rows.TextAt(row, at); !bytes.Equal(text, g.labels[i]) {
			return false
		}
	}
	return true
}

// end closes a run: what did not come is gone.
func (db *foldDatabase) end() {
	maps.DeleteFunc(db.rows, func(_ string, r *foldRow) bool { return r.run != db.run })
	maps.DeleteFunc(db.groups, func(_ string, g *group) bool { return g.run != db.run })
}

// delta is what a counter grew by: since its first sight, all of it; since a
// reset, all that came after.
func delta(before, now float64) float64 {
	if spec.IsAbsent(before) || now < before {
		return now
	}
	return now - before
}

// plus adds, with absent as nothing.
func plus(sum, v float64) float64 {
	switch {
	case spec.IsAbsent(v):
		return sum
	case spec.IsAbsent(sum):
		return v
	}
	return sum + v
}

func absent(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = spec.Absent()
	}
	return values
}

func isCounter(name string) bool   { return strings.HasSuffix(name, "_total") }
func isTimestamp(name string) bool { return strings.HasSuffix(name, "_timestamp_seconds") }
